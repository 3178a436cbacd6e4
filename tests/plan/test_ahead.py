"""Whole tables scored ahead of the query: where it is done, where not, and always the same rows."""

from __future__ import annotations

import numpy as np
import pytest

import sqlml
from sqlml.kernels import trees as kernel
from sqlml.plan import ahead

pytest.importorskip("xgboost")

ROWS = 6_000
TABLE = f"""
CREATE TABLE t AS
SELECT i AS id, CASE WHEN i % 13 = 0 THEN NULL ELSE sin(i * 0.7) * 3 END AS a, (i % 97)::INTEGER AS b,
       CASE i % 501 WHEN 0 THEN 'Infinity'::DOUBLE WHEN 1 THEN 1e300 ELSE cos(i) END AS c,
       (i % 1000 / 10.0)::DECIMAL(9, 2) AS d, ['x', 'y', 'z'][i % 3 + 1] AS k, DATE '2024-01-01' + (i % 300)::INTEGER AS day,
       sin(i * 0.7) * 3 + (i % 97) / 20.0 AS y, CASE WHEN sin(i * 0.7) > 0.2 THEN 'up' ELSE 'down' END AS two,
       ['p', 'q', 'r'][(i * 7 % 10) // 4 + 1] AS three
FROM range({ROWS}) AS r(i)"""
FEATURES = "a, b, c, d, k"


def create(con, name, kind, label):
    con.execute(
        f"CREATE OR REPLACE MODEL {name} OPTIONS (model_type = 'boosted_tree_{kind}', input_label_cols = ['{label}'],"
        f" max_iterations = 4, max_tree_depth = 4, data_split_method = 'no_split') AS SELECT {FEATURES}, {label} FROM t WHERE c < 2"
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("ahead") / "some.duckdb")
    with sqlml.connect(path) as con:
        con.duckdb.execute(TABLE).fetchall()
        create(con, "number", "regressor", "y")
        create(con, "pair", "classifier", "two")
        create(con, "triple", "classifier", "three")
    return path


@pytest.fixture
def con(file, tmp_path):
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(open(file, "rb").read())  # noqa: SIM115
    with sqlml.connect(str(copy)) as con:
        yield con


@pytest.fixture
def made(monkeypatch):
    """What was read beside a query, while small tables count as large ones."""
    monkeypatch.setattr(ahead, "LEAST_ROWS", 1_000)
    monkeypatch.setattr(ahead, "_FIRST", 300)
    monkeypatch.setattr(ahead, "_ROWS", 2_048)
    found = []
    reader = ahead._reader

    def noted(database, one, table, wanted):
        found.append(wanted)
        return reader(database, one, table, wanted)

    monkeypatch.setattr(ahead, "_reader", noted)
    return found


def rows(con, sql, *parameters):
    return con.execute(sql, *parameters).fetchall()


def both(con, sql, monkeypatch, *parameters):
    """The answer, after it was compared with the one that calls the function in the query."""
    found = rows(con, sql, *parameters)
    with monkeypatch.context() as small:
        small.setattr(ahead, "LEAST_ROWS", 10**12)
        assert found == rows(con, sql, *parameters)
    return found


WHOLE = [
    "SELECT * FROM ML.PREDICT(MODEL number, TABLE t)",
    "SELECT * FROM ML.PREDICT(MODEL pair, TABLE t)",
    "SELECT * FROM ML.PREDICT(MODEL pair, TABLE t, STRUCT(0.9 AS threshold))",
    "SELECT * FROM ML.PREDICT(MODEL triple, TABLE t)",
    "SELECT id, predicted_y FROM ML.PREDICT(MODEL number, (SELECT * FROM t)) ORDER BY id DESC",
    f"SELECT id + 1 AS next, predicted_y FROM ML.PREDICT(MODEL number, (SELECT day, id, {FEATURES} FROM main.t))",
    "SELECT predicted_two, COUNT(*), MAX(day) FROM ML.PREDICT(MODEL pair, TABLE t) GROUP BY 1 ORDER BY 1",
    "SELECT id, p.label, p.prob FROM ML.PREDICT(MODEL triple, TABLE t), UNNEST(predicted_three_probs) AS p"
    " WHERE p.prob > 0.4",
    "WITH p AS (SELECT * FROM ML.PREDICT(MODEL number, TABLE t)) SELECT COUNT(DISTINCT predicted_y) FROM p",
]


@pytest.mark.parametrize("sql", WHOLE)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_whole_table(con, made, monkeypatch, sql, threads):
    con.duckdb.execute(f"SET threads = {threads}").fetchall()
    both(con, sql, monkeypatch)
    assert len(made) == 1


def test_the_scores_are_the_booster_s(con, made):
    import xgboost as xgb

    session = con._session
    raw = session.catalog(session.current()[0]).load("main", "number").state.booster
    largest = np.finfo(np.float32).max
    X = np.array(
        [
            [np.nan if a is None else a, b, np.clip(c, -largest, largest), float(d), {"x": 1, "y": 2, "z": 3}[k]]
            for a, b, c, d, k in rows(con, f"SELECT {FEATURES} FROM t")
        ]
    ).astype(np.float32)
    expected = xgb.Booster(model_file=bytearray(raw)).predict(xgb.DMatrix(X)).astype(np.float64)
    found = rows(con, "SELECT predicted_y FROM ML.PREDICT(MODEL number, TABLE t)")
    assert made
    np.testing.assert_array_equal([v for (v,) in found], expected)


PARTS = [
    "SELECT id FROM ML.PREDICT(MODEL number, TABLE t) WHERE predicted_y > 3",
    "SELECT * FROM ML.PREDICT(MODEL number, TABLE t) WHERE id = 77",
    "SELECT * FROM ML.PREDICT(MODEL number, (SELECT * FROM t WHERE id < 3000))",
    "SELECT id, predicted_y FROM ML.PREDICT(MODEL number, TABLE t) LIMIT 5 OFFSET 2",
    "SELECT id, predicted_y FROM ML.PREDICT(MODEL number, (SELECT * FROM t ORDER BY id LIMIT 4000)) ORDER BY id",
    "SELECT COUNT(*) FROM ML.PREDICT(MODEL number, TABLE t)",
    "SELECT MIN(day) FROM ML.PREDICT(MODEL number, TABLE t)",
    "SELECT id, predicted_y, predicted_two FROM ML.PREDICT(MODEL pair, (SELECT * FROM ML.PREDICT(MODEL number, TABLE t)))",
    "SELECT a.id, a.predicted_y, b.predicted_y FROM ML.PREDICT(MODEL number, TABLE t) AS a"
    " JOIN ML.PREDICT(MODEL number, TABLE t) AS b ON a.id = b.id + 1 ORDER BY 1",
    "WITH p AS (SELECT id, predicted_y AS v FROM ML.PREDICT(MODEL number, TABLE t))"
    " SELECT a.v, b.v FROM p AS a JOIN p AS b ON a.id = b.id ORDER BY a.id",
    "SELECT id, v FROM (SELECT id, predicted_y AS v FROM ML.PREDICT(MODEL number, TABLE t)) WHERE id BETWEEN 5 AND 9",
    "SELECT predicted_y FROM ML.PREDICT(MODEL number, TABLE t)"
    " UNION ALL SELECT predicted_y FROM ML.PREDICT(MODEL number, TABLE t) ORDER BY 1",
    "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM ML.PREDICT(MODEL number, TABLE t) AS p"
    " WHERE p.id = t.id AND p.predicted_y > 6) ORDER BY 1",
    f"SELECT predicted_y FROM ML.PREDICT(MODEL number, (SELECT {FEATURES.replace('a,', 'abs(a) AS a,')} FROM t))",
    f"SELECT id, predicted_y FROM ML.PREDICT(MODEL number, (SELECT id AS id, {FEATURES} FROM t))",
]


@pytest.mark.parametrize("sql", PARTS)
def test_what_does_not_score_a_whole_table_is_left_as_it_is(con, made, monkeypatch, sql):
    both(con, sql, monkeypatch)
    assert not made


def test_parameters_and_small_tables(con, made, monkeypatch):
    sql = "SELECT id + ? AS shifted, predicted_y FROM ML.PREDICT(MODEL number, TABLE t)"
    both(con, sql, monkeypatch, [3])
    con.execute("CREATE TABLE few AS SELECT * FROM t WHERE id < 900")
    both(con, "SELECT predicted_y FROM ML.PREDICT(MODEL number, TABLE few)", monkeypatch)
    assert not made


def test_what_only_this_connection_sees(con, made):
    """Open transactions, however they were opened; temporary tables; names that stand for several things."""
    count = "SELECT COUNT(predicted_y) FROM ML.PREDICT(MODEL number, TABLE t)"
    assert rows(con, count) == [(ROWS,)]  # the function is made outside of the transactions
    made.clear()
    con.execute("BEGIN")
    con.execute("INSERT INTO t SELECT * FROM t")
    assert rows(con, count) == [(2 * ROWS,)]
    con.execute("ROLLBACK")
    con.duckdb.execute("BEGIN").fetchall()
    con.duckdb.execute("INSERT INTO t SELECT * FROM t").fetchall()
    assert rows(con, count) == [(2 * ROWS,)]
    con.duckdb.execute("ROLLBACK").fetchall()
    assert not made
    assert rows(con, count) == [(ROWS,)] and len(made) == 1
    con.execute("CREATE TEMP TABLE own AS SELECT * FROM t")
    assert rows(con, count.replace("TABLE t", "TABLE own")) == [(ROWS,)]
    con.execute("CREATE TEMP TABLE t AS SELECT * FROM main.t WHERE id < 2000")
    assert rows(con, count) == [(2000,)]
    con.execute("DROP TABLE temp.t")
    con.execute("CREATE VIEW half AS SELECT * FROM t WHERE id < 3000")
    assert rows(con, count.replace("TABLE t", "TABLE half")) == [(3000,)]
    con.execute("CREATE SCHEMA other")
    con.execute("CREATE TABLE other.t AS SELECT * FROM main.t WHERE id < 1500")
    assert rows(con, count.replace("TABLE t", "TABLE other.t")) == [(1500,)]
    assert rows(con, count) == [(ROWS,)] and len(made) == 1


def test_columns_that_arrow_would_change(con, made, monkeypatch):
    con.duckdb.execute("CREATE TABLE ids AS SELECT *, md5(id::VARCHAR)::UUID AS u, id::HUGEINT AS h FROM t")
    both(con, "SELECT * FROM ML.PREDICT(MODEL number, TABLE ids)", monkeypatch)
    assert not made
    both(con, "SELECT id, predicted_y FROM ML.PREDICT(MODEL number, TABLE ids)", monkeypatch)
    assert len(made) == 1 and "u" not in made[0]
    con.duckdb.execute(
        "CREATE TABLE folded (id BIGINT, w VARCHAR COLLATE NOCASE, a DOUBLE, b INT, c DOUBLE, d DOUBLE, k TEXT)"
    )
    con.duckdb.execute("INSERT INTO folded SELECT id, CASE WHEN id % 2 = 0 THEN 'A' ELSE 'a' END, a, b, c, d, k FROM t")
    grouped = "SELECT COUNT(*), MIN(predicted_y) FROM ML.PREDICT(MODEL number, TABLE folded) GROUP BY w"
    assert [n for n, _ in both(con, grouped, monkeypatch)] == [ROWS]


def test_types_are_those_of_the_table(con, made, monkeypatch):
    con.duckdb.execute(
        "CREATE TABLE typed AS SELECT *, id::TINYINT AS i8, id::UBIGINT AS u64, id::FLOAT AS f4, id % 2 = 0 AS yes,"
        " TIMESTAMP '2024-01-01' + to_hours(id) AS at, (TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_hours(id)) AS at_z"
        " FROM (SELECT * REPLACE (id % 100 AS id) FROM t)"
    )
    sql = "CREATE OR REPLACE TABLE kept AS SELECT * FROM ML.PREDICT(MODEL pair, TABLE typed)"
    found = []
    for least in (1_000, 10**12):
        monkeypatch.setattr(ahead, "LEAST_ROWS", least)
        con.execute(sql)
        types = con.duckdb.execute("DESCRIBE kept").fetchall()
        found.append((types, rows(con, "SELECT * FROM kept")))
    assert found[0] == found[1]
    assert len(made) == 1


def test_tables_are_made_and_replaced(con, made):
    con.execute("CREATE TABLE scored AS SELECT id, predicted_y FROM ML.PREDICT(MODEL number, TABLE t)")
    con.execute("CREATE OR REPLACE TABLE t AS SELECT * FROM ML.PREDICT(MODEL number, TABLE t)")
    assert len(made) == 2
    assert rows(con, "SELECT COUNT(*) FROM t JOIN scored USING (id) WHERE t.predicted_y = scored.predicted_y") == [
        (ROWS,)
    ]
    con.execute(
        "INSERT INTO scored SELECT id, predicted_y FROM ML.PREDICT(MODEL number, (SELECT * EXCEPT (predicted_y) FROM t))"
    )
    assert rows(con, "SELECT COUNT(*) FROM scored") == [(2 * ROWS,)]


def test_a_view_over_the_function(con, made, monkeypatch):
    con.execute("CREATE VIEW p AS SELECT id, predicted_y FROM ML.PREDICT(MODEL number, TABLE t)")
    both(con, "SELECT * FROM p", monkeypatch)
    assert len(made) == 1
    both(con, "SELECT * FROM p WHERE id = 3", monkeypatch)
    assert len(made) == 1


def test_rows_that_nobody_reads(con, made):
    """The rest of an answer is not scored, and the connection is free for the next statement."""
    sql = "SELECT id, predicted_y FROM ML.PREDICT(MODEL number, TABLE t)"
    cursor = con.execute(sql)
    first = cursor.fetchone()
    assert rows(con, "SELECT 1") == [(1,)]
    assert rows(con, sql)[0] == first
    for _ in range(3):
        con.execute(sql).fetchmany(2)
    con.execute(sql)
    con.execute("DROP TABLE t")
    assert len(made) >= 5


def test_a_connection_is_closed_over_unread_rows(file, tmp_path, made):
    copy = tmp_path / "other.duckdb"
    copy.write_bytes(open(file, "rb").read())  # noqa: SIM115
    con = sqlml.connect(str(copy))
    con.execute("SELECT * FROM ML.PREDICT(MODEL number, TABLE t)").fetchone()
    con.close()
    assert made
    with sqlml.connect(str(copy)) as again:
        assert rows(again, "SELECT COUNT(predicted_y) FROM ML.PREDICT(MODEL number, TABLE t)") == [(ROWS,)]


@pytest.mark.parametrize("least", [1_000, 10**12])
def test_errors_and_ctrl_c_while_rows_are_scored(con, made, monkeypatch, least):
    """The same whether rows are scored ahead of the query or in it."""
    monkeypatch.setattr(ahead, "LEAST_ROWS", least)
    sql = "SELECT SUM(predicted_y) FROM ML.PREDICT(MODEL number, TABLE t)"
    [(expected,)] = rows(con, sql)
    predict = kernel.predict
    calls = []

    def failing(error):
        def call(*arguments):
            calls.append(None)
            if len(calls) == 2:
                raise error
            return predict(*arguments)

        return call

    for error, told in ((KeyboardInterrupt(), KeyboardInterrupt), (ValueError("no such leaf"), sqlml.Error)):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "predict", failing(error))
            with pytest.raises(told):
                rows(con, sql)
        assert rows(con, sql)[0][0] == pytest.approx(expected)


def test_an_interrupt_while_rows_are_scored(con, made, monkeypatch):
    predict = kernel.predict
    asked = []

    def call(*arguments):
        if not asked:
            asked.append(con.interrupt())
        return predict(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(kernel, "predict", call)
        with pytest.raises(sqlml.Error, match="cancelled"):
            rows(con, "SELECT SUM(predicted_y) FROM ML.PREDICT(MODEL number, TABLE t)")
    assert asked and made
    assert len(rows(con, "SELECT predicted_y FROM ML.PREDICT(MODEL number, TABLE t)")) == ROWS
