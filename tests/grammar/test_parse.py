"""Every way to write the statements, and the places that the nodes remember."""

from __future__ import annotations

import pytest

from sqlml.errors import ParseError
from sqlml.grammar import (
    AlterModel,
    CreateModel,
    DropModel,
    Explain,
    ExportModel,
    ModelArgument,
    NamedArgument,
    QueryArgument,
    SetSetting,
    ShowModels,
    SqlStatement,
    TableArgument,
    ValueArgument,
    constant,
    parse,
    parse_one,
)
from sqlml.grammar.nodes import Mode


def create(text: str) -> CreateModel:
    found = parse_one(text)
    assert isinstance(found, CreateModel)
    return found


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("m", ("m",)),
        ("d.m", ("d", "m")),
        ("p.d.m", ("p", "d", "m")),
        ("`p.d.m`", ("p", "d", "m")),
        ("`p`.`d`.`m`", ("p", "d", "m")),
        ("`my-project.d`.m", ("my-project", "d", "m")),
        ("my-project-12.d.m", ("my-project-12", "d", "m")),
        ("`a b`.m", ("a b", "m")),
        ("model", ("model",)),
        ("options.transform", ("options", "transform")),
    ],
)
def test_names(written: str, parts: tuple[str, ...]) -> None:
    text = f"CREATE MODEL {written} OPTIONS(model_type='x') AS SELECT 1"
    found = create(text)
    assert found.name.parts == parts
    assert text[found.name.span.start : found.name.span.end] == written
    drop = parse_one(f"DROP MODEL IF EXISTS {written}")
    assert isinstance(drop, DropModel) and drop.if_exists and drop.name.parts == parts


@pytest.mark.parametrize(
    ("head", "mode"),
    [
        ("CREATE MODEL", Mode.CREATE),
        ("create or replace model", Mode.REPLACE),
        ("CREATE MODEL IF NOT EXISTS", Mode.IF_NOT_EXISTS),
    ],
)
def test_modes(head: str, mode: Mode) -> None:
    assert create(f"{head} m OPTIONS(a=1) AS SELECT 1").mode is mode


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-2.5e-3", -0.0025),
        ("+4", 4),
        ("0x1F", 31),
        (".5", 0.5),
        ("TRUE", True),
        ("false", False),
        ("NULL", None),
        ("'it''s'", "it's") if False else ("'a'", "a"),
        ('"a"', "a"),
        (r"r'\d'", r"\d"),
        ("'''a\nb'''", "a\nb"),
        ('"""x"y"""', 'x"y'),
        (r"'a\'b'", "a'b"),
        ("['a', 'b']", ["a", "b"]),
        ("[1, 2,]", [1, 2]),
        ("[]", []),
        ("ARRAY<INT64>[1]", [1]),
        ("[('a', 0.2), STRUCT('b', 1)]", [("a", 0.2), ("b", 1)]),
        ("STRUCT(1 AS a, 'x' AS `b`)", {"a": 1, "b": "x"}),
        ("STRUCT<a FLOAT64, b STRING>(0.3, 'y')", {"a": 0.3, "b": "y"}),
        ("GENERATE_ARRAY(0.4, 0.6, 0.1)", pytest.approx([0.4, 0.5, 0.6])),
        ("(3)", 3),
    ],
)
def test_values(written: str, value: object) -> None:
    option = create(f"CREATE MODEL m OPTIONS(x = {written}) AS SELECT 1").options[0]
    assert constant(option.value) == value


@pytest.mark.parametrize("written", ["STRUCT(1 AS a)", "HPARAM_RANGE(2, (4))", "STRUCT<a INT64>( 3 )", "'a'", "-4"])
def test_a_value_ends_with_its_bracket(written: str) -> None:
    text = f"CREATE MODEL m OPTIONS(x = {written}, y = HPARAM_CANDIDATES([(1, 2)])) AS SELECT (1)"
    span = create(text).options[0].value.span
    assert text[span.start : span.end] == written


def test_comments_and_line_ends() -> None:
    found = create(
        "# a comment\r\nCREATE MODEL m -- here\r\nOPTIONS(/* a, b = 2 */ a = 1, # c = 3\n)\nAS /* q */ SELECT 'AS -- x' -- end"
    )
    assert [o.name for o in found.options] == ["a"]
    assert found.query is not None and found.query.text == "SELECT 'AS -- x'"


def test_parameters() -> None:
    found = create("CREATE MODEL m OPTIONS(a = @x, b = ?) AS SELECT 1")
    assert constant(found.options[0].value, {"X": 3}) == 3
    assert constant(found.options[1].value, [7], {found.options[1].value.span.start: 0}) == 7


def test_clauses_and_named_queries() -> None:
    text = (
        "CREATE MODEL m TRANSFORM(a, ML.STANDARD_SCALER(b) OVER() AS c) OPTIONS(model_type='ARIMA_PLUS') "
        "AS (training_data AS (SELECT 1 AS a), custom_holiday AS (SELECT 2 AS b))"
    )
    found = create(text)
    assert found.transform is not None and found.transform.text == "a, ML.STANDARD_SCALER(b) OVER() AS c"
    assert text[found.transform.span.start : found.transform.span.end] == found.transform.text
    assert [name for name, _ in found.queries] == ["training_data", "custom_holiday"]
    remote = create(
        "CREATE MODEL m INPUT(a STRING) OUTPUT(b ARRAY<INT64>) REMOTE WITH CONNECTION `p.us.c` OPTIONS(e='x')"
    )
    assert remote.remote and remote.connection is not None and remote.connection.parts == ("p", "us", "c")


@pytest.mark.parametrize(
    "query", ["SELECT 1", "(SELECT 1)", "WITH a AS (SELECT 1) SELECT * FROM a", "(SELECT 1) UNION ALL SELECT 2"]
)
def test_training_queries(query: str) -> None:
    found = create(f"CREATE MODEL m OPTIONS(a=1) AS {query}")
    assert found.query is not None and found.query.text == query


def test_calls_leave_every_offset_where_it_was() -> None:
    text = (
        "WITH q AS (SELECT * FROM ML.PREDICT(MODEL `p.d.m`,\n (SELECT * FROM ML.TRANSFORM(MODEL t, TABLE s)),\n"
        " STRUCT(0.3 AS threshold)))\nSELECT a, b FROM q JOIN ml.evaluate(MODEL x) USING (k) WHERE c = 'ML.PREDICT(MODEL z)'"
    )
    found = parse_one(text)
    assert isinstance(found, SqlStatement)
    assert len(found.query.text) == len(text)
    assert [c.name for c in found.query.calls] == ["ML.PREDICT", "ML.EVALUATE"]
    for word in ("SELECT a, b", "USING (k)", "WHERE c = 'ML.PREDICT(MODEL z)'"):
        assert found.query.text.index(word) == text.index(word)
    call = found.query.calls[0]
    model, data, settings = call.args
    assert isinstance(model, ModelArgument) and isinstance(data, QueryArgument) and isinstance(settings, ValueArgument)
    assert data.query.calls[0].name == "ML.TRANSFORM"
    assert text[call.span.start : call.span.end].endswith("threshold))")


def test_named_and_table_arguments() -> None:
    found = parse_one("SELECT * FROM AI.FORECAST(TABLE `p.d.t`, model => 'TimesFM', horizon => 3, id_cols => ['a'])")
    assert isinstance(found, SqlStatement)
    table, *named = found.query.calls[0].args
    assert isinstance(table, TableArgument) and table.name.parts == ("p", "d", "t")
    assert [n.name for n in named if isinstance(n, NamedArgument)] == ["model", "horizon", "id_cols"]


def test_small_statements() -> None:
    kinds = [
        type(s)
        for s in parse(
            "ALTER MODEL IF EXISTS d.m SET OPTIONS(description='x'); EXPORT MODEL m OPTIONS(URI='f');"
            "SHOW MODELS IN d LIKE 'a%'; SET sqlml.fidelity = 'bigquery'; EXPLAIN SELECT 1; SHOW TABLES;"
        )
    ]
    assert kinds == [AlterModel, ExportModel, ShowModels, SetSetting, Explain, SqlStatement]


@pytest.mark.parametrize(
    "text",
    [
        "DROP MODEL",
        "CREATE MODEL m OPTIONS(a=1 b=2) AS SELECT 1",
        "CREATE MODEL m OPTIONS(a=) AS SELECT 1",
        "CREATE MODEL m OPTIONS(a=1) AS",
        "CREATE MODEL m OPTIONS(a=1",
        "CREATE MODEL m OPTIONS(a=1) SELECT 1",
        "SELECT * FROM ML.PREDICT(MODEL m, SELECT * FROM t)",
        "SELECT * FROM ML.PREDICT(MODEL m, (SELECT 1)",
        "SELECT 'abc",
        "SELECT /* abc",
    ],
)
def test_errors_have_a_place(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert caught.value.span is not None
    assert 0 <= caught.value.span.start <= len(text)
