"""The kept tables of the parser are those of the grammar."""

from __future__ import annotations

import json

import lark
import pytest

from sqlml.grammar import build, parse, tables

STATEMENTS = (
    "CREATE OR REPLACE MODEL a.b OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT * FROM t",
    "SELECT * FROM ML.PREDICT(MODEL a.b, (SELECT 1), STRUCT(0.5 AS threshold))",
    "DROP MODEL IF EXISTS a.b; SHOW MODELS IN a LIKE 'x%'; SET sqlml.fidelity = 'bigquery'",
    "SELECT * FROM AI.FORECAST(TABLE t, data_col => 'x', timestamp_col => 'ts', horizon => 3)",
)


def test_tables_are_of_this_grammar() -> None:
    kept = json.loads(tables._text(tables.TABLES))
    assert kept["of"][1] == tables._origin()[1], "run `make grammar`"


@pytest.mark.parametrize("sql", STATEMENTS)
def test_both_parsers_agree(sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = parse(sql)
    slow = tables.made()
    monkeypatch.setattr(build, "_lark", lambda: slow)
    assert parse(sql) == fast


def test_another_lark_makes_its_own_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(lark, "__version__", "0.0")
    monkeypatch.setattr(tables, "made", lambda: asked.append(1))
    tables.parser()
    assert asked == [1]
