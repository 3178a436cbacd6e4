"""LINEAR_REG and LOGISTIC_REG against scikit-learn and statsmodels, and over a relation in parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression

import sqlml
from sqlml import train as training
from sqlml.grammar import CreateModel, parse_one
from sqlml.plan import plan_create
from sqlml.progress import Run
from sqlml.relation import LocalRelation, Sums
from sqlml.schema import Column

MADE = """
CREATE OR REPLACE TABLE t AS
SELECT *, 3.0 + 2.0 * a - b + c * 0.1 + noise AS y,
       CASE WHEN a - b + noise > 0.3 THEN 'yes' ELSE 'no' END AS yn,
       CASE WHEN a + noise > 0.5 THEN 'x' WHEN b + noise > 0.2 THEN 'y' ELSE 'z' END AS three
FROM (SELECT sin(i * 1.7) AS a, cos(i * 0.9) * 3 AS b, (i * 7919) % 13 AS c, 'k' || ((i * 31) % 5) AS k,
             sin(i * 12.9898) * 0.5 AS noise, i FROM range({rows}) AS r(i))
"""


def made(con: sqlml.Connection, rows: int = 400) -> None:
    con.duckdb.execute(MADE.format(rows=rows))


def matrix(con: sqlml.Connection, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Standardised a, b, c and the dummies of k (the most frequent, k0, dropped), and the label."""
    frame = con.duckdb.execute(f"SELECT a, b, c::DOUBLE AS c, k, {label} AS label FROM t").fetchnumpy()
    numbers = np.stack([np.asarray(frame[n], dtype=float) for n in ("a", "b", "c")], axis=1)
    numbers = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0, ddof=1)
    k = np.asarray(frame["k"].tolist())
    return np.column_stack([numbers, *((k == f"k{i}").astype(float) for i in range(1, 5))]), np.asarray(
        frame["label"].tolist()
    )


def predictions(con: sqlml.Connection, column: str) -> np.ndarray:
    return np.array(
        [r[0] for r in con.execute(f"SELECT {column} FROM ML.PREDICT(MODEL m, TABLE t) ORDER BY i").fetchall()]
    )


@pytest.mark.parametrize("rows", [400, 30_000])
def test_least_squares_is_scikit_learns(con: sqlml.Connection, rows: int) -> None:
    """Both roads, blocks (few rows) and SQL sums (many)."""
    made(con, rows)
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y'], data_split_method='NO_SPLIT')"
        " AS SELECT a, b, c, k, y FROM t"
    )
    x, y = matrix(con, "y")
    expected = LinearRegression().fit(x, y).predict(x)
    assert predictions(con, "predicted_y") == pytest.approx(expected, rel=1e-9)


def test_lasso_is_scikit_learns(con: sqlml.Connection) -> None:
    made(con)
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y'], l1_reg=0.2,"
        " category_encoding_method='dummy_encoding') AS SELECT a, b, c, k, y FROM t"
    )
    x, y = matrix(con, "y")
    expected = Lasso(alpha=0.2, tol=1e-12, max_iter=100_000).fit(x, y).predict(x)
    assert predictions(con, "predicted_y") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rows", [500, 120_000])
def test_two_labels_converge(con: sqlml.Connection, rows: int) -> None:
    made(con, rows)
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='logistic_reg', input_label_cols=['yn'], data_split_method='NO_SPLIT',"
        " category_encoding_method='dummy_encoding', l2_reg=0.001) AS SELECT a, b, c, k, yn FROM t"
    )
    x, y = matrix(con, "yn")
    fit = LogisticRegression(C=1.0 / (0.001 * len(y)), tol=1e-10, max_iter=10_000).fit(x, y)
    expected = fit.predict_proba(x)[:, 1]
    assert predictions(con, "predicted_yn_probs[OFFSET(0)].prob") == pytest.approx(expected, rel=1e-4, abs=1e-7)
    first = con.execute("SELECT predicted_yn_probs FROM ML.PREDICT(MODEL m, TABLE t) LIMIT 1").fetchall()[0][0]
    assert [p["label"] for p in first] == ["yes", "no"]


def test_three_labels_converge(con: sqlml.Connection) -> None:
    made(con, 900)
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='logistic_reg', input_label_cols=['three'], data_split_method='NO_SPLIT',"
        " category_encoding_method='dummy_encoding', l2_reg=0.01) AS SELECT a, b, c, k, three FROM t"
    )
    x, y = matrix(con, "three")
    fit = LogisticRegression(C=1.0 / (0.01 * len(y)), tol=1e-10, max_iter=10_000).fit(x, y)
    expected = fit.predict_proba(x)
    rows = con.execute(
        "SELECT predicted_three_probs, predicted_three FROM ML.PREDICT(MODEL m, TABLE t) ORDER BY i"
    ).fetchall()
    found = np.array([[{p["label"]: p["prob"] for p in r[0]}[c] for c in "xyz"] for r in rows])
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert [r[1] for r in rows] == fit.predict(x).tolist()


def test_standard_errors_are_statsmodels(con: sqlml.Connection) -> None:
    made(con, 600)
    for kind, label, fitted in (
        ("linear_reg", "y", lambda x, y: sm.OLS(y, x).fit()),
        ("logistic_reg", "yn", lambda x, y: sm.Logit((y == "yes").astype(float), x).fit(disp=0)),
    ):
        con.execute(
            f"CREATE OR REPLACE MODEL m OPTIONS(model_type='{kind}', input_label_cols=['{label}'], calculate_p_values=TRUE,"
            f" category_encoding_method='dummy_encoding', data_split_method='NO_SPLIT') AS SELECT a, b, c, k, {label} FROM t"
        )
        x, y = matrix(con, label)
        expected = fitted(sm.add_constant(x), y)
        rows = con.execute(
            "SELECT category, weight, standard_error, p_value FROM ML.ADVANCED_WEIGHTS(MODEL m, STRUCT(TRUE AS standardize))"
        ).fetchall()
        assert len(rows) == 9
        dropped = [r for r in rows if r[0] == "k0"]
        assert dropped[0][1] == 0.0 and np.isnan(dropped[0][2]) and np.isnan(dropped[0][3])
        kept = [r for r in rows if r[0] != "k0"]
        order = [*range(1, 8), 0]  # statsmodels has the constant first
        assert [r[1] for r in kept] == pytest.approx(expected.params[order], rel=1e-5, abs=1e-9)
        assert [r[2] for r in kept] == pytest.approx(expected.bse[order], rel=1e-5)


def test_weights_are_in_original_units(con: sqlml.Connection) -> None:
    made(con)
    con.execute("CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT a, b, c, y FROM t")
    weights = dict(con.execute("SELECT processed_input, weight FROM ML.WEIGHTS(MODEL m)").fetchall())
    row = con.execute("SELECT a, b, c, predicted_y FROM ML.PREDICT(MODEL m, TABLE t) LIMIT 1").fetchall()[0]
    total = weights["__INTERCEPT__"] + sum(weights[n] * v for n, v in zip("abc", row, strict=False))
    assert total == pytest.approx(row[3], rel=1e-10)


def test_a_category_with_very_many_levels(con: sqlml.Connection) -> None:
    """Never expanded: the largest category is eliminated, a second one goes to conjugate gradients."""
    con.duckdb.execute(
        "CREATE TABLE big AS SELECT 'u' || (i % 20000) AS u, 'v' || (i * 7 % 3000) AS v, sin(i) AS x,"
        " 2 * sin(i) + (i % 20000) / 1e4 + (i * 7 % 3000) / 1e3 AS y FROM range(120000) AS r(i)"
    )
    for columns in ("u, x", "u, v, x"):
        con.execute(
            "CREATE OR REPLACE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y'],"
            f" data_split_method='NO_SPLIT') AS SELECT {columns}, y{' - (i * 0)' if False else ''} FROM big"
        )
        found = con.execute("SELECT r2_score FROM ML.EVALUATE(MODEL m)").fetchall()[0][0]
        assert found > (0.999999 if "v" in columns else 0.3)
    other = con.execute("SELECT MAX(ABS(y - predicted_y)) FROM ML.PREDICT(MODEL m, TABLE big)").fetchall()[0][0]
    assert other < 1e-4


def test_results_do_not_depend_on_order_or_threads(con: sqlml.Connection) -> None:
    made(con, 60_000)
    found = []
    for order, threads in (("i", 1), ("hash(i)", 2), ("-i", 2)):
        con.duckdb.execute(f"SET threads = {threads}")
        con.duckdb.execute(f"CREATE OR REPLACE TABLE s AS SELECT a, b, c, k, y FROM t ORDER BY {order}")
        con.execute(
            "CREATE OR REPLACE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT * FROM s"
        )
        weights = con.execute("SELECT weight FROM ML.WEIGHTS(MODEL m) WHERE weight IS NOT NULL").fetchall()
        metrics = con.execute("SELECT * FROM ML.EVALUATE(MODEL m)").fetchall()[0]
        found.append([w[0] for w in weights] + list(metrics))
    assert found[1] == pytest.approx(found[0], rel=1e-9, nan_ok=True)
    assert found[2] == pytest.approx(found[0], rel=1e-9, nan_ok=True)


def test_thresholds_and_unseen_labels(con: sqlml.Connection) -> None:
    made(con)
    con.execute("CREATE MODEL m OPTIONS(model_type='logistic_reg', input_label_cols=['yn']) AS SELECT a, b, yn FROM t")
    low, high = (
        con.execute(f"SELECT recall FROM ML.EVALUATE(MODEL m, TABLE t, STRUCT({x} AS threshold))").fetchall()[0][0]
        for x in (0.1, 0.9)
    )
    assert low > high
    matrix_ = con.execute(
        "SELECT * FROM ML.CONFUSION_MATRIX(MODEL m, (SELECT a, b, IF(i = 0, 'maybe', yn) AS yn FROM t))"
    ).fetchall()
    assert [r[0] for r in matrix_] == ["maybe", "no", "yes"] and sum(sum(r[1:]) for r in matrix_) == 400
    curve = con.execute("SELECT * FROM ML.ROC_CURVE(MODEL m, TABLE t, [0.3, 0.5])").fetchall()
    assert [c[0] for c in curve] == [0.3, 0.5]
    at = con.execute("SELECT * FROM ML.CONFUSION_MATRIX(MODEL m, TABLE t, STRUCT(0.3 AS threshold))").fetchall()
    assert (curve[0][3], curve[0][4], curve[0][5], curve[0][6]) == (at[1][2], at[0][2], at[0][1], at[1][1])


def test_numeric_and_boolean_labels_keep_their_type(con: sqlml.Connection) -> None:
    made(con)
    for expression, kind in (
        ("yn = 'yes'", bool),
        ("IF(yn = 'yes', 10, 9)", int),
        ("DATE '2024-01-01' + IF(yn = 'yes', 1, 0)", object),
    ):
        con.execute(
            "CREATE OR REPLACE MODEL m OPTIONS(model_type='logistic_reg', input_label_cols=['l'])"
            f" AS SELECT a, b, {expression} AS l FROM t"
        )
        values = {r[0] for r in con.execute("SELECT predicted_l FROM ML.PREDICT(MODEL m, TABLE t)").fetchall()}
        assert len(values) == 2 and all(isinstance(v, kind) for v in values)


# ---------------------------------------------------------------- the seam for a cluster


@dataclasses.dataclass(frozen=True)
class Parts:
    """A relation cut into three parts, as a cluster has it: sums are added up, batches follow each other."""

    parts: tuple[LocalRelation, ...]
    whole: LocalRelation

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.whole.columns

    def sums(
        self, terms: Sequence[str], by: Sequence[str] = (), let: Mapping[str, str] | None = None, **lookups: pa.Table
    ) -> Sums:
        answers = [p.sums(terms, by, let, **lookups) for p in self.parts]
        if not by:
            return Sums((), sum(a.values for a in answers))
        total: dict[tuple[Any, ...], np.ndarray] = {}
        for answer in answers:
            for key, row in zip(zip(*(k.to_pylist() for k in answer.keys), strict=True), answer.values, strict=True):
                total[key] = total.get(key, 0.0) + row
        keys = tuple(pa.array([k[i] for k in total]) for i in range(len(by)))
        return Sums(keys, np.array(list(total.values())))

    def batches(
        self, columns: Mapping[str, str], rows: int = 100_000, order: Sequence[str] = ()
    ) -> Iterator[pa.RecordBatch]:
        for part in self.parts:
            yield from part.batches(columns, rows, order)

    def aggregate(self, expressions: Sequence[str]) -> tuple[Any, ...]:
        return self.whole.aggregate(expressions)

    def table(self, sql_tail: str) -> pa.Table:
        return self.whole.table(sql_tail)

    def where(self, condition: str) -> LocalRelation:
        return self.whole.where(condition)

    def count(self) -> int:
        return sum(p.count() for p in self.parts)


@pytest.mark.parametrize("kind", ["linear_reg", "logistic_reg"])
@pytest.mark.parametrize("rows", [900, 130_000])
def test_a_relation_in_parts_trains_to_the_same_model(con: sqlml.Connection, kind: str, rows: int) -> None:
    made(con, rows)
    label = "y" if kind == "linear_reg" else "yn"
    text = (
        f"CREATE OR REPLACE MODEL m OPTIONS(model_type='{kind}', input_label_cols=['{label}'], data_split_method='NO_SPLIT')"
        f" AS SELECT a, b, c, k, {label} FROM t"
    )
    statement = parse_one(text)
    assert isinstance(statement, CreateModel)
    plan = plan_create(con._session, statement, text)
    with training.rows_of(con._session, plan) as whole:
        trained = training.train(con._session, plan, whole, Run())
        parts = Parts(tuple(whole.where(f"hash(a) % 3 = {i}") for i in range(3)), whole)
        assert trained.label is not None
        data = training.TrainingData(
            parts, None, trained.design, trained.label, None, rows, whole.columns, given=plan.given
        )
        state = plan.model.train(data, plan.options, Run())
    assert state.beta == pytest.approx(trained.state.beta, rel=1e-6, abs=1e-8)
