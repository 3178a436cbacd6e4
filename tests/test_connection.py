"""The DB-API: cursors, parameters, streams, threads, transactions; the public compliance suite."""

from __future__ import annotations

import datetime
import pathlib
import subprocess
import sys
import threading
from typing import ClassVar

import pyarrow as pa
import pytest

import sqlml


def test_pep_249_names() -> None:
    assert sqlml.apilevel == "2.0" and sqlml.paramstyle == "qmark" and sqlml.threadsafety == 2
    assert issubclass(sqlml.ProgrammingError, sqlml.DatabaseError) and issubclass(sqlml.DatabaseError, sqlml.Error)
    assert sqlml.Date(2024, 1, 2) == datetime.date(2024, 1, 2) and sqlml.Binary(b"a") == b"a"


def test_fetching(con: sqlml.Connection) -> None:
    cursor = con.cursor()
    assert cursor.description is None
    cursor.execute("SELECT x, 'a' AS s FROM UNNEST([1, 2, 3, 4, 5]) AS x ORDER BY x")
    assert [d[0] for d in cursor.description or ()] == ["x", "s"]
    assert cursor.description is not None and cursor.description[0][1] == sqlml.NUMBER
    assert cursor.fetchone() == (1, "a")
    assert cursor.fetchmany(2) == [(2, "a"), (3, "a")]
    assert cursor.fetchall() == [(4, "a"), (5, "a")]
    assert cursor.fetchone() is None and cursor.fetchall() == []
    assert list(con.execute("SELECT 1 AS a")) == [(1,)]


def test_frames(con: sqlml.Connection) -> None:
    query = "SELECT x, x / 2 AS h FROM UNNEST([1, 2]) AS x ORDER BY x"
    assert con.execute(query).arrow().to_pydict() == {"x": [1, 2], "h": [0.5, 1.0]}
    assert con.execute(query).df()["h"].tolist() == [0.5, 1.0]
    assert con.execute(query).fetchnumpy()["x"].tolist() == [1, 2]
    assert con.execute(query).pl()["x"].to_list() == [1, 2]
    assert isinstance(con.execute(query).reader(), pa.RecordBatchReader)


def test_parameters_in_queries_and_ml_calls(penguins: sqlml.Connection) -> None:
    penguins.execute(
        "CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=[@label], l2_reg=@l2)"
        " AS SELECT * FROM penguins WHERE body_mass_g > @least",
        {"label": "body_mass_g", "l2": 0.1, "least": 3000},
    )
    named = penguins.execute(
        "SELECT COUNT(*) FROM ML.PREDICT(MODEL m, (SELECT * FROM penguins WHERE island = @i)) WHERE @one = 1",
        {"i": "Dream", "one": 1, "unused": 3},
    ).fetchall()
    positional = penguins.execute(
        "SELECT COUNT(*) FROM ML.PREDICT(MODEL m, (SELECT * FROM penguins WHERE island = ?)) WHERE ? = 1", ["Dream", 1]
    ).fetchall()
    assert named == positional == [(124,)]
    with pytest.raises(sqlml.ProgrammingError, match="@label must be given"):
        penguins.execute("CREATE MODEL n OPTIONS(model_type='linear_reg', input_label_cols=[@label]) AS SELECT 1 AS x")


def test_a_stream_survives_other_statements(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE t AS SELECT x FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS x")
    first = con.execute("SELECT x FROM t ORDER BY x")
    assert first.fetchone() == (1,)
    assert con.execute("SELECT COUNT(*) FROM t").fetchone() == (300000,)
    assert first.fetchone() == (2,)
    con.execute("DROP TABLE t")
    assert sum(row[0] for row in first) == 300000 * 300001 // 2 - 3


def test_transactions(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE t (a INT64)")
    con.execute("BEGIN TRANSACTION")
    con.execute("INSERT INTO t VALUES (1)")
    con.execute("CREATE MODEL m OPTIONS(model_type='linear_reg') AS SELECT 1.0 AS x, 2.0 AS label")
    assert con.execute("SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT 1.0 AS x))").fetchall() == [(2.0,)]
    con.rollback()
    assert con.execute("SELECT COUNT(*) FROM t").fetchall() == [(0,)]
    with pytest.raises(sqlml.ProgrammingError, match="does not exist"):
        con.execute("SELECT * FROM ML.WEIGHTS(MODEL m)")
    con.execute("CREATE MODEL m OPTIONS(model_type='linear_reg') AS SELECT 1.0 AS x, 3.0 AS label")
    assert con.execute("SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT 1.0 AS x))").fetchall() == [(3.0,)]


def test_temporary_tables_train(con: sqlml.Connection) -> None:
    con.execute("CREATE TEMP TABLE t AS SELECT 1.0 AS x, 2.0 AS label UNION ALL SELECT 2.0, 4.0")
    con.execute("CREATE MODEL m OPTIONS(model_type='linear_reg') AS SELECT * FROM t")
    assert con.execute(
        "SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT 3.0 AS x))"
    ).fetchone() == pytest.approx((6.0,))


def test_threads_may_share_a_connection(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE t AS SELECT x FROM UNNEST(GENERATE_ARRAY(1, 50000)) AS x")
    found: list[int] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                found.append(sum(row[0] for row in con.execute("SELECT x FROM t")))  # noqa: PERF401 - one statement at a time
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and found == [50000 * 50001 // 2] * 20


def test_closed(con: sqlml.Connection) -> None:
    cursor = con.execute("SELECT 1")
    cursor.close()
    with pytest.raises(sqlml.ProgrammingError, match="closed"):
        cursor.fetchall()
    con.close()
    with pytest.raises(sqlml.ProgrammingError, match="closed"):
        con.execute("SELECT 1")


def test_the_last_result_of_several_statements(con: sqlml.Connection) -> None:
    assert con.execute("SELECT 1; SELECT 2; -- end").fetchall() == [(2,)]
    with pytest.raises(sqlml.ProgrammingError) as caught:
        con.execute("SELECT 1;\nSELECT nope FROM UNNEST([1]) AS x")
    assert "  2 | SELECT nope" in str(caught.value)


def test_listeners_see_and_cancel(penguins: sqlml.Connection) -> None:
    seen: list[str] = []
    statement = (
        "CREATE OR REPLACE MODEL m OPTIONS(model_type='logistic_reg', input_label_cols=['sex'])"
        " AS SELECT * FROM penguins WHERE sex IS NOT NULL"
    )
    stop = penguins.listen(lambda event: seen.append(event.stage))
    penguins.execute(statement)
    stop()
    assert seen[0] == "reading" and "training" in seen and seen[-1] == "saving"
    before = penguins.execute(
        "SELECT created FROM (SELECT creation_time AS created FROM INFORMATION_SCHEMA.MODELS)"
    ).fetchall()
    remove = penguins.listen(lambda event: event.stage != "training")
    with pytest.raises(sqlml.OperationalError, match="cancelled"):
        penguins.execute(statement)
    remove()
    after = penguins.execute(
        "SELECT created FROM (SELECT creation_time AS created FROM INFORMATION_SCHEMA.MODELS)"
    ).fetchall()
    assert before == after and len(after) == 1
    left = penguins.duckdb.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE '%sqlml_rows%'"
    ).fetchall()
    assert left == [(0,)]


def test_nothing_is_printed_at_exit() -> None:
    code = (
        "import sqlml; con = sqlml.connect();"
        "print(con.execute('SELECT FARM_FINGERPRINT(\"a\")').fetchall()); cur = con.execute('SELECT 1')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_database_that_is_not_one(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.duckdb"
    path.write_text("this is not a database")
    with pytest.raises(sqlml.Error):
        sqlml.connect(str(path))
    with pytest.raises(sqlml.OperationalError):
        sqlml.connect(str(tmp_path / "no" / "such" / "folder.duckdb"))


# ---------------------------------------------------------------- the public suite

#: Checks of dbapi20 that cannot apply, with the reason.
NOT_APPLICABLE = {
    "test_callproc": "callproc is optional",
    "test_nextset": "nextset is optional",
    "test_setoutputsize": "the suite itself leaves it to the driver",
    "test_non_idempotent_close": "closing twice is allowed, as in sqlite3",
}

dbapi20 = pytest.importorskip("dbapi20")


class TestCompliance(dbapi20.DatabaseAPI20Test):  # type: ignore[misc]
    """PEP 249's public test suite."""

    driver = sqlml
    connect_args = (":memory:",)
    connect_kw_args: ClassVar[dict[str, object]] = {}


for _name, _reason in NOT_APPLICABLE.items():
    setattr(TestCompliance, _name, pytest.mark.skip(reason=_reason)(getattr(TestCompliance, _name, lambda self: None)))


_ENDLESS = """
import os, signal, threading, time
import sqlml
con = sqlml.connect()
heard = threading.Event()
def knock() -> None:
    while not con._database.stop._running:
        time.sleep(0.01)
    time.sleep(0.3)
    while not heard.is_set():  # a signal that comes before DuckDB begins may be lost; a user presses again
        os.kill(os.getpid(), signal.SIGINT)
        heard.wait(20)
threading.Thread(target=knock, daemon=True).start()
try:
    con.execute("SELECT SUM(SQRT(a * b)) FROM UNNEST(GENERATE_ARRAY(1, 1000000)) a, UNNEST(GENERATE_ARRAY(1, 1000000)) b")
except KeyboardInterrupt:
    heard.set()
    print("interrupted")
print(con.execute("SELECT 7").fetchall())
"""


def test_ctrl_c_in_a_query_is_a_keyboard_interrupt() -> None:
    command = ["env", "--default-signal=INT", sys.executable, "-c", _ENDLESS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split("\n")[:2] == ["interrupted", "[(7,)]"], done.stderr


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: pathlib.Path) -> None:
    with pytest.raises(sqlml.OperationalError, match="does not exist") as caught:
        sqlml.connect(str(tmp_path / "none.duckdb"), read_only=True)
    assert "read_only" in (caught.value.hint or "")


def test_models_of_an_attached_database(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ein Laden é.duckdb"
    model = (
        "OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT x, 2 * x AS y FROM UNNEST([1, 2, 3]) AS x"
    )
    with sqlml.connect(str(path)) as con:
        con.execute(f"CREATE SCHEMA d; CREATE MODEL d.m {model}")
    with sqlml.connect() as con:
        con.execute(f"CREATE SCHEMA d; CREATE MODEL d.here {model}; ATTACH '{path}' AS shop (READ_ONLY)")
        names = "SELECT model_catalog, model_name FROM {}.INFORMATION_SCHEMA.MODELS"
        assert con.execute(names.format("shop.d")).fetchall() == [("shop", "m")]
        assert con.execute(names.format("d")).fetchall() == [("memory", "here")]
        assert con.execute("SELECT COUNT(*) FROM ML.WEIGHTS(MODEL shop.d.m)").fetchall() == [(2,)]


def test_merge_updates_and_inserts(con: sqlml.Connection) -> None:
    con.execute(
        "CREATE TABLE target AS SELECT 1 AS id, 'a' AS s; CREATE TABLE source AS SELECT n AS id, 'b' AS s FROM UNNEST([1, 2]) n"
    )
    con.execute(
        "MERGE INTO target t USING source u ON t.id = u.id WHEN MATCHED THEN UPDATE SET t.s = u.s"
        " WHEN NOT MATCHED THEN INSERT (id, s) VALUES (u.id, u.s)"
    )
    assert con.execute("SELECT id, s FROM target ORDER BY id").fetchall() == [(1, "b"), (2, "b")]


def test_a_date_that_python_lacks_is_an_error_with_its_column():
    with sqlml.connect() as con:
        cursor = con.execute("SELECT DATE_ADD(DATE '9999-12-31', INTERVAL 1 DAY) AS d")
        with pytest.raises(sqlml.DataError, match="the column d must be from the year 1 to 9999"):
            cursor.fetchall()
        assert con.execute("SELECT DATE '9999-12-31'").fetchone() == (datetime.date(9999, 12, 31),)


@pytest.mark.parametrize("close", ["", "con.close()"])
def test_a_process_ends_quietly_while_rows_are_left(close):
    """A reader of Arrow is not freed at the end of a process; it must not keep DuckDB's connection, which complains."""
    program = (
        "import sqlml\ncon = sqlml.connect()\n"
        "found = con.execute('SELECT x FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS x')\nfound.fetchmany(5)\n" + close
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
