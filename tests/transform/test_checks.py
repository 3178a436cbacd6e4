"""Numbers that are printed in BigQuery's documentation, one test per printed check."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from sqlml.transform import PREPROCESS

CHECKS = json.loads((pathlib.Path(__file__).parents[1] / "data" / "preprocess_checks.json").read_text("utf-8"))
TYPES = {int: "BIGINT", float: "DOUBLE", str: "VARCHAR", list: "VARCHAR[]"}


def literal(value: Any) -> str:
    """A GoogleSQL literal."""
    if isinstance(value, dict):
        return "STRUCT(" + ", ".join(f"{literal(v)} AS {k}" for k, v in value.items()) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(literal(v) for v in value) + "]"
    if isinstance(value, bool):
        return str(value).upper()
    return repr(value)


def plain(value: Any) -> Any:
    """Arrays of (index, value) structs as pairs."""
    if isinstance(value, list):
        return [[v["index"], v["value"]] if isinstance(v, dict) else v for v in value]
    return value


def close(value: Any, expected: Any) -> bool:
    """Equal, numbers to the last printed digit."""
    if isinstance(expected, list):
        return isinstance(value, list) and len(value) == len(expected) and all(map(close, value, expected))
    if isinstance(expected, dict):
        return value == expected
    return (
        bool(value == pytest.approx(expected, rel=1e-14, abs=1e-15))
        if isinstance(expected, float)
        else value == expected
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: f"{c['function']}-{c.get('args')}"[:60])
def test_check(engine: Any, check: dict[str, Any]) -> None:
    name, args = check["function"], [literal(a) for a in check.get("args", [])]
    if "column" not in check:
        found = engine.query(f"SELECT {name}({', '.join(args)})")
        assert close(plain(found[0][0]), check["expect"])
        return
    values = check["column"]
    kind = TYPES[type(next(v for v in values if v is not None))]
    engine.table("t", f"i BIGINT, f {kind}", list(enumerate(values)))
    call = f"{name}({', '.join(['f', *args])})" + (" OVER()" if PREPROCESS[name].analytic else "")
    direct = engine.query(f"SELECT {call} FROM t ORDER BY i")
    fitted = engine.apply(engine.fit(f"{call} AS out"), order="i")
    for rows in (direct, fitted):
        assert close([plain(r[0]) for r in rows], check["expect"])


def test_all_checks_are_here() -> None:
    assert len(CHECKS) == 28
    without = {"ML.DECODE_IMAGE", "ML.RESIZE_IMAGE", "ML.CONVERT_IMAGE_TYPE", "ML.CONVERT_COLOR_SPACE"}
    without |= {"ML.TFDV_VALIDATE"}  # no number is printed for it
    assert {c["function"] for c in CHECKS} == set(PREPROCESS) - without


TEXT_CHECKS = [
    ("ML.DISTANCE([4.1, 0.5, 1.0], [3.0, 0.0, 2.5], 'MANHATTAN')", 3.1),
    ("ROUND(ML.DISTANCE([4.1, 0.5, 1.0], [3.0, 0.0, 2.5], 'COSINE'), 8)", 0.10819907),
    ("ML.QUANTILE_BUCKETIZE(2, 3, 'bucket_ranges_json') OVER()", '{"start": "2", "end": "Infinity"}'),
    ("ML.BUCKETIZE(0.5, [1, 2, 3], FALSE, 'bucket_ranges_json')", '{"start": "-Infinity", "end": "1"}'),
    ("ML.BUCKETIZE(2, [1.5, 2.0, 3], FALSE, 'bucket_ranges')", "[2.0, 3)"),
    ("ML.BUCKETIZE(-3, [-2.5, 0], FALSE, 'bucket_ranges')", "(-inf, -2.5)"),
    ("ML.BUCKETIZE(19, GENERATE_ARRAY(17, 47, 1))", "bin_4"),
    ("ML.BUCKETIZE(19, GENERATE_ARRAY(17, 47), FALSE, 'bucket_ranges')", "[19, 20)"),
    ("ML.BUCKETIZE(0.6, GENERATE_ARRAY(0, 1, 0.25), FALSE, 'bucket_ranges')", "[0.5, 0.75)"),
    ("ML.BUCKETIZE(0.6, GENERATE_ARRAY(-1.5, -0.5, .5))", "bin_4"),
    ("ML.BUCKETIZE(6, [1, 2 + 3, -3 + 2 * 5])", "bin_3"),
    ("ML.NGRAMS(['a', 'b'], ARRAY<INT64>[1, 2])", ["a", "a b", "b"]),
    ("ML.HASH_BUCKETIZE('a', 0)", -5528939962900187677),
    ("ML.NGRAMS(['a', 'b', 'c'], 2)", ["a b", "b c"]),
    ("ML.NORMALIZER([3.0, -4.0], 1)", [3 / 7, -4 / 7]),
    ("ML.NORMALIZER([3.0, -4.0, 0.0], 0)", [1.5, -2.0, 0.0]),
    ("ML.NORMALIZER([3.0, -4.0], CAST('+inf' AS FLOAT64))", [0.75, -1.0]),
    ("ML.LP_NORM([3.0, -4.0, 0.0], 0.0)", 2.0),
    ("ML.LP_NORM([3.0, -4.0], CAST('inf' AS FLOAT64))", 4.0),
    ("ML.LP_NORM([1.0, 2.0], 3)", 9.0 ** (1 / 3)),
    ("ML.DISTANCE([('a', 1.0), ('b', 2.0)], [('b', 1.0), ('c', 5)], 'MANHATTAN')", 7.0),
    ("ML.DISTANCE([(1, 3.0)], [(2, 4.0)])", 5.0),
    ("ML.DISTANCE([(1, 3.0), (2, 4.0)], [(2, 8.0), (1, 6.0)], 'COSINE')", 0.0),
    ("ML.FEATURE_CROSS(STRUCT('a' AS x, 'b' AS y, 'c' AS z), 3).x_y_z", "a_b_c"),
    ("ML.FEATURE_CROSS(STRUCT('a' AS x, 1 > 0 AS y)).x_y", "a_true"),
    ("ML.POLYNOMIAL_EXPAND(STRUCT(2 AS a), 4)", {"a": 2.0, "a_a": 4.0, "a_a_a": 8.0, "a_a_a_a": 16.0}),
]


@pytest.mark.parametrize(("expression", "expected"), TEXT_CHECKS, ids=lambda v: str(v)[:50])
def test_value(engine: Any, expression: str, expected: Any) -> None:
    assert close(engine.query(f"SELECT {expression}")[0][0], expected)


@pytest.mark.parametrize(
    "expression",
    [
        "ML.BUCKETIZE(NULL, [1])",
        "ML.NORMALIZER(CAST(NULL AS ARRAY<FLOAT64>))",
        "ML.NGRAMS(CAST(NULL AS ARRAY<STRING>), 2)",
        "ML.LP_NORM(CAST(NULL AS ARRAY<FLOAT64>), 1)",
        "ML.DISTANCE([1.0], CAST(NULL AS ARRAY<FLOAT64>))",
        "ML.DISTANCE([1.0], CAST(NULL AS ARRAY<FLOAT64>), 'MANHATTAN')",
        "ML.HASH_BUCKETIZE(NULL, 3)",
        "ML.STANDARD_SCALER(NULL) OVER()",
        "ML.ROBUST_SCALER(NULL) OVER()",
        "ML.QUANTILE_BUCKETIZE(NULL, 4) OVER()",
        "ML.MULTI_HOT_ENCODER(CAST(NULL AS ARRAY<STRING>)) OVER()",
        "ML.TF_IDF(CAST(NULL AS ARRAY<STRING>)) OVER()",
        "ML.FEATURE_CROSS(STRUCT('a' AS x, CAST(NULL AS STRING) AS y)).x_y",
    ],
)
def test_null_gives_null(engine: Any, expression: str) -> None:
    assert engine.query(f"SELECT {expression}") == [(None,)]
