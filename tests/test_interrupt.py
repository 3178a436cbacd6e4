"""`Connection.interrupt` ends the running statement, whatever it is doing, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

import sqlml
from sqlml.database import Database
from sqlml.errors import Cancelled
from sqlml.progress import Progress

#: Takes hours.
LONG = (
    "SELECT COUNT(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 3000000)) AS a, UNNEST(GENERATE_ARRAY(1, 3000000)) AS b"
    " WHERE MOD(a * b, 7) = 3"
)


@pytest.fixture
def con() -> Iterator[sqlml.Connection]:
    with sqlml.connect() as con:
        con.execute("CREATE TABLE t AS SELECT x, MOD(x, 7) AS y FROM UNNEST(GENERATE_ARRAY(1, 700)) AS x")
        yield con


def interrupt_soon(con: sqlml.Connection) -> None:
    """Once, when the next statement has run for a moment."""

    def ask() -> None:
        while not con._database.stop._running:
            time.sleep(0.01)
        time.sleep(0.3)
        assert con.interrupt()

    threading.Thread(target=ask, daemon=True).start()


def works(con: sqlml.Connection) -> None:
    """The connection is free, no transaction is open, nothing is left."""
    assert con.execute("SELECT SUM(x) FROM t").fetchall() == [(245350,)]
    assert con._database.snapshots == set()
    con.execute("BEGIN TRANSACTION")
    con.execute("COMMIT")


def test_between_two_statements_nothing_happens(con: sqlml.Connection) -> None:
    assert con.interrupt() is False
    works(con)


def test_a_running_query(con: sqlml.Connection) -> None:
    interrupt_soon(con)
    with pytest.raises(Cancelled):
        con.execute(LONG)
    works(con)


def test_a_query_that_is_being_planned(con: sqlml.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB has forgotten the interrupt by the time the query begins."""
    describe = Database.describe

    def late(self: Database, *arguments: object) -> object:
        found = describe(self, *arguments)  # type: ignore[arg-type]
        con.interrupt()
        return found

    monkeypatch.setattr(Database, "describe", late)
    with pytest.raises(Cancelled):
        con.execute("SELECT COUNT(*) FROM ML.DESCRIBE_DATA((SELECT x FROM t), STRUCT(3 AS top_k)) AS d, t AS a, t AS b")
    monkeypatch.undo()
    works(con)


def test_a_query_that_begins_right_after(con: sqlml.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wish is repeated until it is heard."""
    check = con._database.stop.check

    def passed() -> None:
        check()
        con.interrupt()

    monkeypatch.setattr(con._database.stop, "check", passed)
    with pytest.raises(Cancelled):
        con.execute(LONG)
    monkeypatch.undo()
    works(con)


def test_rows_that_are_being_read(con: sqlml.Connection) -> None:
    reader = con.execute("SELECT a.x FROM t AS a, t AS b, t AS c, t AS d").reader()
    assert reader.read_next_batch().num_rows
    con.interrupt()
    with pytest.raises(Exception, match=r"(?i)cancel|interrupt"):
        for _ in reader:
            pass
    works(con)


@pytest.mark.parametrize("kind", ["logistic_reg", "boosted_tree_classifier", "kmeans"])
def test_a_training(con: sqlml.Connection, kind: str) -> None:
    """Without any listener of the caller's own; the old model stays."""
    label = "" if kind == "kmeans" else ", input_label_cols=['y']"
    create = f"CREATE OR REPLACE MODEL m OPTIONS(model_type='{kind}', max_iterations=@n{label}, early_stop=FALSE) AS SELECT * FROM t"
    con.execute(create.replace("@n", "2"))
    before = con.execute("SELECT * FROM ML.TRAINING_INFO(MODEL m)").fetchall()

    def tell(event: Progress) -> None:
        if event.stage == "training" and event.step == 2:
            con.interrupt()

    forget = con.listen(tell)
    with pytest.raises(Cancelled):
        con.execute(create.replace("@n", "50"))
    forget()
    works(con)
    assert con.execute("SELECT * FROM ML.TRAINING_INFO(MODEL m)").fetchall() == before


@pytest.mark.parametrize("stage", ["reading", "encoding", "evaluating"])
def test_each_stage_of_a_training(con: sqlml.Connection, stage: str) -> None:
    def tell(event: Progress) -> None:
        if event.stage == stage:
            con.interrupt()

    con.listen(tell)
    with pytest.raises(Cancelled):
        con.execute("CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT * FROM t")
    works(con)
    assert con.execute("SHOW MODELS").fetchall() == []


def test_finished_trials_are_kept(con: sqlml.Connection) -> None:
    asked: list[Progress] = []

    def tell(event: Progress) -> None:
        if event.stage == "trial" and event.step == 3 and not asked:
            asked.append(event)
            con.interrupt()

    con.listen(tell)
    with pytest.raises(Cancelled, match="2 finished trials were kept"):
        con.execute(
            "CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y'], num_trials=5,"
            " l2_reg=HPARAM_RANGE(0, 5)) AS SELECT * FROM t"
        )
    assert con.execute("SELECT COUNT(*) FROM ML.TRIAL_INFO(MODEL m)").fetchall() == [(2,)]
    works(con)


def test_a_loop_of_a_script(con: sqlml.Connection) -> None:
    interrupt_soon(con)
    with pytest.raises(Cancelled):
        con.execute("DECLARE i INT64 DEFAULT 0; LOOP SET i = i + 1; END LOOP;")
    works(con)


def test_a_handler_of_a_script_does_not_catch_it(con: sqlml.Connection) -> None:
    interrupt_soon(con)
    with pytest.raises(Cancelled):
        con.execute(f"BEGIN {LONG}; EXCEPTION WHEN ERROR THEN SELECT 1; END;")
    works(con)


def test_series_that_are_fitted_by_a_query(con: sqlml.Connection) -> None:
    con.execute(
        "CREATE TABLE s AS SELECT id, DATE_ADD(DATE '2020-01-01', INTERVAL d DAY) AS day, RAND() AS v"
        " FROM UNNEST(GENERATE_ARRAY(1, 3000)) AS id, UNNEST(GENERATE_ARRAY(0, 400)) AS d"
    )
    interrupt_soon(con)
    with pytest.raises(Cancelled):
        con.execute(
            "SELECT * FROM AI.FORECAST(TABLE s, data_col => 'v', timestamp_col => 'day', id_cols => ['id'], horizon => 3)"
        )
    works(con)


def test_waiting_for_threads_lasts_until_they_need_the_connection_no_more(con: sqlml.Connection) -> None:
    """A job says that it is done before its thread has told us, for which the thread needs the connection's lock."""
    first: Future[None] = Future()
    second: Future[None] = Future()
    told: list[str] = []

    def work() -> None:
        time.sleep(0.1)
        second._state = "FINISHED"  # as `set_result` does before it calls anybody
        first.set_result(None)
        time.sleep(0.2)
        told.append("second")
        second._invoke_callbacks()  # type: ignore[attr-defined]

    thread = threading.Thread(target=work, daemon=True)
    with con._database.lock:
        thread.start()
        con._database.wait([first, second])
        assert told == ["second"]
        thread.join(60)
        assert not thread.is_alive()


def test_parallel_trials_end_together(con: sqlml.Connection) -> None:
    """Those beside the one that hears it need the connection until they hear it too."""
    asked: list[Progress] = []

    def tell(event: Progress) -> None:
        if event.stage == "trial" and event.step is not None and event.step >= 5 and not asked:
            asked.append(event)
            con.interrupt()

    con.listen(tell)
    with pytest.raises(Cancelled, match="4 finished trials were kept"):
        con.execute(
            "CREATE MODEL m OPTIONS(model_type='logistic_reg', input_label_cols=['y'], num_trials=12,"
            " max_parallel_trials=4, l2_reg=HPARAM_RANGE(0, 5)) AS SELECT x, IF(y > 3, 'a', 'b') AS y FROM t"
        )
    assert con.execute("SELECT COUNT(*) FROM ML.TRIAL_INFO(MODEL m)").fetchall() == [(4,)]
    works(con)


def test_rows_that_a_training_reads(con: sqlml.Connection) -> None:
    """A stream tells of an interrupt in words of its own."""
    stream = con._database.stream("SELECT a.x FROM t AS a, t AS b, t AS c, t AS d")
    assert stream is not None
    con.interrupt()
    with pytest.raises(Cancelled):
        while stream.next() is not None:
            pass
    stream.close()
    works(con)


@pytest.mark.parametrize("name", ["same_state", "transaction"])
def test_a_rollback_that_hears_the_interrupt_is_tried_again(
    con: sqlml.Connection, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Else the transaction would stay open, and every later statement be refused."""
    execute, heard = Database.execute, []

    def interrupted(self: Database, sql: str, *arguments: object) -> object:
        if sql == "ROLLBACK" and len(heard) < 2:
            heard.append(sql)
            raise Cancelled("the statement was cancelled.")
        return execute(self, sql, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "execute", interrupted)
    with pytest.raises(ZeroDivisionError), getattr(con._database, name)():
        con._database.execute("SELECT 1")
        raise ZeroDivisionError
    monkeypatch.undo()
    assert len(heard) == 2
    with con._database.transaction():  # there is none already
        con._database.execute("SELECT 1")
    works(con)
