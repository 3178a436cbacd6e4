"""Wrong calls: the sentence, and the caret under the place."""

from __future__ import annotations

from typing import Any

import pytest

from sqlml.errors import Error

COLUMNS = "x DOUBLE, i INTEGER, s VARCHAR, a DOUBLE[], ts VARCHAR[], b BOOLEAN, y DOUBLE"
ROWS = [(1.0, 1, "a", [1.0, 2.0], ["x", "y"], True, 1.0), (None, None, None, None, None, None, 2.0)]

CALLS = [
    ("ML.STANDARD_SCALER(s) OVER()", "s) OVER", "must be a number. Got STRING."),
    ("ML.STANDARD_SCALER(a) OVER()", "a) OVER", "must be a number. Got ARRAY<FLOAT64>."),
    ("ML.MIN_MAX_SCALER(b) OVER()", "b) OVER", "must be a number. Got BOOL."),
    ("ML.STANDARD_SCALER(UPPER(s)) OVER()", "s)) OVER", "must be a number. Got STRING."),
    ("ML.STANDARD_SCALER(x)", "ML.STANDARD_SCALER", "must be followed by OVER()."),
    ("ML.STANDARD_SCALER(x) OVER(PARTITION BY s)", "ML.STANDARD_SCALER", "must have an empty OVER()"),
    ("ML.STANDARD_SCALER(x, 2) OVER()", "ML.STANDARD_SCALER", "must have 1 argument. Got 2."),
    ("ML.BUCKETIZE(x, [2]) OVER()", "ML.BUCKETIZE", "must stand without OVER"),
    ("ML.BUCKETIZE(x)", "ML.BUCKETIZE", "must have 2 to 4 arguments. Got 1."),
    ("ML.BUCKETIZE(x, [1, i])", "1, i", "must be a constant array of ascending finite numbers. Got [1, i]."),
    ("ML.BUCKETIZE(x, [3, 1])", "3, 1", "ascending finite numbers. Got [3, 1]."),
    ("ML.BUCKETIZE(x, [])", None, "ascending finite numbers. Got []."),
    ("ML.BUCKETIZE(x, 5)", "5", "ascending finite numbers. Got 5."),
    ("ML.BUCKETIZE(x, ['a'])", "'a'", "ascending finite numbers. Got ['a']."),
    ("ML.BUCKETIZE(x, [1, CAST('nan' AS FLOAT64)])", None, "ascending finite numbers."),
    ("ML.BUCKETIZE(x, [1], TRUE)", "1", "must hold at least two split points"),
    ("ML.BUCKETIZE(x, [1, 2], 'a')", "'a'", "must be TRUE or FALSE (exclude_boundaries). Got 'a'."),
    ("ML.BUCKETIZE(x, [1, 2], TRUE, 'names')", "'names'", "must be one of 'bucket_names', 'bucket_ranges'"),
    ("ML.BUCKETIZE('a', [3])", "'a'", "must be a number. Got 'a'."),
    ("ML.BUCKETIZE([1.0], [3])", "1.0", "must be a number."),
    (
        "ML.QUANTILE_BUCKETIZE(x, 0) OVER()",
        "0",
        "must be a constant integer from 1 to 100000 (num_buckets). Got 0.",
    ),
    ("ML.QUANTILE_BUCKETIZE(x, i) OVER()", "i) OVER", "must be a constant integer"),
    ("ML.HASH_BUCKETIZE(s, -1)", "1", "must be a constant integer of at least 0 (hash_bucket_size). Got -1."),
    ("ML.HASH_BUCKETIZE(x, 3)", "x, 3", "must be a STRING. Got FLOAT64."),
    ("ML.ROBUST_SCALER(x, [75, 25]) OVER()", "75, 25", "with 0 < lower < upper < 100. Got [75, 25]."),
    ("ML.ROBUST_SCALER(x, [0, 50]) OVER()", "0, 50", "with 0 < lower < upper < 100."),
    ("ML.IMPUTER(x, 'mod') OVER()", "'mod'", "must be one of 'mean', 'median', 'most_frequent' (strategy)."),
    ("ML.IMPUTER(s, 'mean') OVER()", "s, 'mean'", "must be a number. Got STRING."),
    ("ML.IMPUTER(b, 'most_frequent') OVER()", "b, 'most", "must be a number or a STRING. Got BOOL."),
    ("ML.ONE_HOT_ENCODER(i) OVER()", "i) OVER", "must be a STRING. Got INT64."),
    ("ML.ONE_HOT_ENCODER(s, 'first') OVER()", "'first'", "must be one of 'none', 'most_frequent' (drop)."),
    ("ML.LABEL_ENCODER(s, 0) OVER()", "0", "from 1 to 1000000 (top_k). Got 0."),
    ("ML.LABEL_ENCODER(s, 2, -1) OVER()", "1", "of at least 0 (frequency_threshold). Got -1."),
    ("ML.MULTI_HOT_ENCODER(s) OVER()", "s) OVER", "must be an ARRAY<STRING>. Got STRING."),
    ("ML.BAG_OF_WORDS(a) OVER()", "a) OVER", "must be an ARRAY<STRING>. Got ARRAY<FLOAT64>."),
    ("ML.NGRAMS(ts, [2, 1])", "2, 1", "with 1 <= lo <= hi, or one integer. Got [2, 1]."),
    ("ML.NGRAMS(ts, 2, i)", "i)", "must be a constant STRING (separator). Got i."),
    ("ML.POLYNOMIAL_EXPAND(STRUCT(x, x))", None, "must have fields of different names."),
    ("ML.POLYNOMIAL_EXPAND(STRUCT(x + 1))", None, "must have a name for every field"),
    (
        "ML.POLYNOMIAL_EXPAND(STRUCT(x, s))",
        "s))",
        "Field s of ML.POLYNOMIAL_EXPAND must be a number. Got STRING.",
    ),
    ("ML.POLYNOMIAL_EXPAND(x)", "x)", "must be written as STRUCT(column, ...). Got x."),
    ("ML.POLYNOMIAL_EXPAND(STRUCT(x, i), 5)", "5", "from 1 to 4 (degree). Got 5."),
    ("ML.FEATURE_CROSS(STRUCT(s))", None, "must be a STRUCT of at least 2 fields."),
    ("ML.FEATURE_CROSS(STRUCT(s, i))", "i))", "Field i of ML.FEATURE_CROSS must be a STRING or a BOOL. Got INT64."),
    ("ML.NORMALIZER(x)", "x)", "must be an ARRAY of numbers. Got FLOAT64."),
    ("ML.NORMALIZER(a, 0.5)", "0.5", "must be a constant: 0, a number of at least 1"),
    ("ML.LP_NORM(a, -1)", "1", "must be a constant: 0, a number of at least 1"),
    (
        "ML.DISTANCE(a, a, 'HAMMING')",
        "'HAMMING'",
        "must be one of 'EUCLIDEAN', 'MANHATTAN', 'COSINE' (type).",
    ),
    ("ML.DISTANCE(a, x)", "x)", "must be an ARRAY of numbers or of (identifier, number) pairs. Got FLOAT64."),
    ("ML.DISTANCE(a, [1.0])", "ML.DISTANCE", "must have the same length. Got 2 and 1 numbers."),
    (
        "ML.DISTANCE([(1, 1.0), (1, 2.0)], [(2, 1.0)])",
        "ML.DISTANCE",
        "must not repeat an identifier. Got 1, 1.",
    ),
    ("ML.DECODE_IMAGE(s)", "ML.DECODE_IMAGE", "is not available: sqlml has no image functions."),
    ("ML.STANDARD_SCALLER(x) OVER()", "ML.STANDARD_SCALLER", "is not a function that is known here."),
]


@pytest.fixture(autouse=True, scope="module")
def _table(engine: Any) -> None:
    engine.table("t", COLUMNS, ROWS)


def refused(error: Error, source: str, place: str | None, sentence: str) -> None:
    """The sentence is there, and the caret stands where `place` begins in the source."""
    assert sentence in error.message, error.message
    assert error.span is not None and error.source == source
    if place is not None:
        assert source[error.span.start :].startswith(place), str(error)
    assert "^" in str(error)


@pytest.mark.parametrize(("call", "place", "sentence"), CALLS, ids=lambda v: str(v)[:40])
def test_in_a_query(engine: Any, call: str, place: str | None, sentence: str) -> None:
    source = f"SELECT y,\n  {call} AS out\nFROM t"
    with pytest.raises(Error) as caught:
        engine.query(source)
    refused(caught.value, source, place, sentence)


@pytest.mark.parametrize(("call", "place", "sentence"), CALLS, ids=lambda v: str(v)[:40])
def test_in_transform(engine: Any, call: str, place: str | None, sentence: str) -> None:
    with pytest.raises(Error) as caught:
        transform = engine.fit(f"{call} AS out, y", passthrough=("y",))
        engine.apply(transform)  # lengths of vectors are known only here
        raise AssertionError("nothing was refused")
    error = caught.value
    assert sentence in error.message
    if error.source is not None:
        refused(error, f"CREATE MODEL m TRANSFORM({call} AS out, y)", place, sentence)


def test_analytic_in_analytic(engine: Any) -> None:
    source = "SELECT ML.STANDARD_SCALER(ML.IMPUTER(x, 'mean') OVER()) OVER() FROM t"
    with pytest.raises(Error) as caught:
        engine.query(source)
    refused(caught.value, source, "ML.IMPUTER", "must not stand inside another analytic function.")


CLAUSES = [
    ("x + 1, y", "x + 1", "must have a name."),
    ("ML.POLYNOMIAL_EXPAND(STRUCT(x, i)), y", "ML.POLY", "must have a name."),
    ("SUM(x) AS z, y", "SUM", "must not hold the aggregate function SUM."),
    ("COUNT(*) AS z, y", "COUNT", "must not hold the aggregate function COUNT."),
    ("x, SUM(x) OVER() AS z, y", "SUM", "must not hold the analytic function SUM."),
    ("ROW_NUMBER() OVER() AS z, y", "ROW_NUMBER", "must not hold the analytic function ROW_NUMBER."),
    ("(SELECT 1) AS z, y", "1", "must not hold a subquery."),
    ("x IN (SELECT 1) AS z, y", "1", "must not hold a subquery."),
    ("EXISTS(SELECT 1) AS z, y", "1", "must not hold a subquery."),
    ("my_udf(x) AS z, y", "my_udf", "must not hold the user-defined function MY_UDF."),
    ("x, y, @p AS z", None, "must not hold a query parameter."),
    ("x", None, "must pass the column y through by its bare name."),
    ("x, y + 1 AS y", None, "must pass the column y through by its bare name."),
    ("* EXCEPT (y)", None, "must pass the column y through by its bare name."),
    ("x, X, y", "X", "names of TRANSFORM must differ. Got X twice."),
    ("*, x", "x", "names of TRANSFORM must differ. Got x twice."),
    ("xx AS z, y", "xx", "xx is not a column of the training query."),
    ("* EXCEPT (nope)", "nope", "nope is not a column of the training query."),
    ("* REPLACE (1 AS nope)", "1 AS nope", "nope is not a column of the training query."),
    ("t.*, y", "t.*", "A star in TRANSFORM must stand alone."),
]


@pytest.mark.parametrize(("clause", "place", "sentence"), CLAUSES, ids=lambda v: str(v)[:40])
def test_clause(engine: Any, clause: str, place: str | None, sentence: str) -> None:
    with pytest.raises(Error) as caught:
        engine.fit(clause, passthrough=("y",))
    source = f"CREATE MODEL m TRANSFORM({clause})"
    assert sentence in caught.value.message
    assert caught.value.span is not None
    if place is not None:
        assert source[caught.value.span.start :].startswith(place), str(caught.value)
