"""Models in the user's file: they survive, they are whole or absent, and damage is told."""

from __future__ import annotations

import gc
import pathlib
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

import sqlml
from sqlml import arrays, catalog
from sqlml.catalog import decode, encode
from sqlml.encode import Category, Design, Number
from sqlml.models.base import Trained
from tests.conftest import load_penguins

CREATE = (
    "CREATE OR REPLACE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], l2_reg={l2})"
    " AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL"
)
PREDICT = "SELECT predicted_body_mass_g FROM ML.PREDICT(MODEL m, TABLE penguins) ORDER BY 1"


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    """A database file with the model `m`."""
    found = str(tmp_path / "zoo.duckdb")
    with sqlml.connect(found) as con:
        load_penguins(con)
        con.execute(CREATE.format(l2=0.0))
    return found


def test_models_survive_closing(path: str) -> None:
    with sqlml.connect(path) as con:
        first = con.execute(PREDICT).fetchall()
    with sqlml.connect(path) as con:
        assert con.execute(PREDICT).fetchall() == first
        con.execute("DROP MODEL m")
    with sqlml.connect(path) as con, pytest.raises(sqlml.ProgrammingError, match="does not exist"):
        con.execute(PREDICT)


def test_two_processes_read_at_once(path: str) -> None:
    with sqlml.connect(path, read_only=True) as con:
        expected = con.execute(PREDICT).fetchall()
        code = f"import sqlml; print(len(sqlml.connect({path!r}, read_only=True).execute({PREDICT!r}).fetchall()))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert int(done.stdout) == len(expected) == 344
        with pytest.raises(sqlml.OperationalError, match="read-only"):
            con.execute(CREATE.format(l2=1.0))
        with pytest.raises(sqlml.OperationalError, match="read-only"):
            con.execute("DROP MODEL m")


def test_a_locked_file_is_told(path: str) -> None:
    with sqlml.connect(path):
        code = f"import sqlml\ntry:\n sqlml.connect({path!r})\nexcept sqlml.OperationalError as e:\n print(e)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "locked by another process" in done.stdout


def test_a_killed_replacement_leaves_the_old_model(path: str) -> None:
    with sqlml.connect(path) as con:
        before = con.execute(PREDICT).fetchall()
    code = f"""
import sqlml, sys
con = sqlml.connect({path!r})
con.execute("CREATE TABLE big AS SELECT p.* FROM penguins AS p CROSS JOIN UNNEST(GENERATE_ARRAY(1, 3000)) AS i WHERE body_mass_g IS NOT NULL")
def tell(event):
    print(event.stage, flush=True)
con.listen(tell)
while True:
    con.execute("CREATE OR REPLACE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], l2_reg=5) AS SELECT * FROM big")
"""
    stages = ("reading", "encoding", "evaluating", "saving")
    for stage in stages:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == stage:
                process.send_signal(signal.SIGKILL)
                break
        process.wait()
        with sqlml.connect(path) as con:
            con.execute("DROP TABLE IF EXISTS big")
            found = con.execute(PREDICT).fetchall()
            rows = con.execute("SELECT COUNT(*) FROM ML.WEIGHTS(MODEL m)").fetchall()
            assert rows == [(7,)]
            assert con.duckdb.execute("SELECT count(*) FROM sqlml.models").fetchall() == [(1,)]
            # The old model, or (a kill right after the commit) the new one; never a mixture.
            assert found == before or stage == "saving"
            con.execute(CREATE.format(l2=0.0))


def test_a_query_keeps_the_model_that_it_was_planned_with(path: str) -> None:
    with sqlml.connect(path) as con:
        con.execute(
            "CREATE TABLE many AS SELECT p.* FROM penguins AS p CROSS JOIN UNNEST(GENERATE_ARRAY(1, 2000)) AS i"
        )
        expected = con.execute("SELECT SUM(predicted_body_mass_g) FROM ML.PREDICT(MODEL m, TABLE many)").fetchall()
        cursor = con.execute("SELECT predicted_body_mass_g FROM ML.PREDICT(MODEL m, TABLE many)")
        first = cursor.fetchone()
        con.execute(CREATE.format(l2=100.0))
        assert first is not None
        total = first[0] + sum(row[0] for row in cursor)
        assert total == pytest.approx(expected[0][0], rel=1e-9)


def test_two_connections_replace_the_same_model(path: str) -> None:
    with sqlml.connect(path) as one:
        two = sqlml.Connection(type(one._database)(one.duckdb.cursor()))
        failures: list[BaseException] = []

        def work(con: sqlml.Connection, l2: float) -> None:
            try:
                for _ in range(5):
                    con.execute(CREATE.format(l2=l2))
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                failures.append(error)

        threads = [threading.Thread(target=work, args=pair) for pair in ((one, 0.0), (two, 1.0))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures
        assert one.duckdb.execute("SELECT count(*), count(DISTINCT uid) FROM sqlml.models").fetchall() == [(1, 1)]
        assert len(one.execute(PREDICT).fetchall()) == 344
        two.close()


def test_newer_formats_and_damage_are_refused(path: str) -> None:
    with sqlml.connect(path) as con:
        con.duckdb.execute("UPDATE sqlml.models SET format = 99")
        with pytest.raises(sqlml.OperationalError, match="format 99"):
            con.execute(PREDICT)
        con.duckdb.execute("UPDATE sqlml.models SET format = 1")
        con.duckdb.execute("UPDATE sqlml.arrays SET data = data || '\\x00'::BLOB")
        with pytest.raises(sqlml.OperationalError, match="does not match its hash"):
            con.execute(PREDICT)
        con.duckdb.execute("UPDATE sqlml.models SET document = '{\"a\": 1}'")
        con.duckdb.execute("DELETE FROM sqlml.arrays")
        with pytest.raises(sqlml.OperationalError, match="damaged"):
            con.execute(PREDICT)
        con.duckdb.execute("UPDATE sqlml.models SET model_type = 'os.system'")
        with pytest.raises(sqlml.OperationalError, match="does not know"):
            con.execute(PREDICT)


def test_large_arrays_are_stored_in_pieces(path: str) -> None:
    rows = "SELECT id, DATE '2020-01-01' + t::INT AS day, 100 + sin(t / 9.0 + id) + (hash(t) % 97) / 97.0 AS y"
    create = (
        "CREATE OR REPLACE MODEL many OPTIONS (model_type = 'ARIMA_PLUS', time_series_timestamp_col = 'day',"
        " time_series_data_col = 'y', time_series_id_col = 'id', auto_arima_max_order = 2, horizon = 5) AS"
        f" {rows} FROM range(2) a(id), range(70000) b(t)"
    )
    read = "SELECT time_series_data, trend FROM ML.EXPLAIN_FORECAST(MODEL many) ORDER BY id, time_series_timestamp"
    with sqlml.connect(path) as con:
        con.execute("SET sqlml.dialect = 'duckdb'")
        con.execute(create)
        there = con.execute(read).fetchall()
        kinds = con.duckdb.execute("SELECT dtype FROM sqlml.arrays WHERE key LIKE '%.trend' ORDER BY ALL").fetchall()
        assert len(kinds) == 137 and ("<f8 0/137",) in kinds  # 2 * 70,000 * 8 bytes by 8,192
    with sqlml.connect(path) as con:
        con.execute("SET sqlml.dialect = 'duckdb'")
        assert con.execute(read).fetchall() == there
        con.duckdb.execute("DELETE FROM sqlml.arrays WHERE key LIKE '%.trend' AND dtype = '<f8 5/137'")
    with sqlml.connect(path) as con:
        con.execute("SET sqlml.dialect = 'duckdb'")
        with pytest.raises(sqlml.OperationalError, match=r"pieces of the array state\.series\.trend are missing"):
            con.execute(read)


def test_a_model_is_let_go_while_it_is_written(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def watched(waiting: deque[arrays.Outgoing]) -> Iterator[pa.RecordBatch]:
        yield from arrays.pieces(waiting)
        left.append(sum(isinstance(o, Trained) and o.name == "let_go" for o in gc.get_objects()))

    with sqlml.connect(path) as con:
        expected = con.execute(PREDICT).fetchall()
        monkeypatch.setattr(catalog, "LARGE", 1)
        monkeypatch.setattr(catalog, "pieces", watched)
        con.execute(CREATE.format(l2=0.0).replace("MODEL m", "MODEL let_go"))
        assert left == [0]
        assert con.execute(PREDICT.replace("MODEL m", "MODEL let_go")).fetchall() == expected


def test_a_large_model_is_saved_again_after_a_conflict(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = catalog.Catalog._prepare, []

    def busy(self: catalog.Catalog) -> None:
        calls.append(1)
        plain(self)
        if len(calls) < 3:
            raise sqlml.OperationalError("TransactionContext Error: Conflict on update!")

    with sqlml.connect(path) as con:
        expected = con.execute(PREDICT).fetchall()
        monkeypatch.setattr(catalog, "LARGE", 1)
        monkeypatch.setattr(catalog.Catalog, "_prepare", busy)
        con.execute(CREATE.format(l2=0.0))
        assert len(calls) == 3
        assert con.execute(PREDICT).fetchall() == expected


def test_what_was_written_in_part_is_not_tried_again(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def broken(waiting: deque[arrays.Outgoing]) -> Iterator[pa.RecordBatch]:
        written.append(1)
        yield next(arrays.pieces(waiting))
        raise RuntimeError("Conflict on update!")

    with sqlml.connect(path) as con:
        expected = con.execute(PREDICT).fetchall()
        with monkeypatch.context() as patch:
            patch.setattr(catalog, "LARGE", 1)
            patch.setattr(catalog, "pieces", broken)
            with pytest.raises(sqlml.Error, match="onflict"):
                con.execute(CREATE.format(l2=100.0))
        assert written == [1]
        assert con.execute(PREDICT).fetchall() == expected
        con.execute(CREATE.format(l2=100.0))
        assert con.execute(PREDICT).fetchall() != expected


def test_expired_models_are_gone(path: str) -> None:
    with sqlml.connect(path) as con:
        con.execute("ALTER MODEL m SET OPTIONS(expiration_timestamp=TIMESTAMP '2100-01-01 00:00:00')")
        assert len(con.execute("SHOW MODELS").fetchall()) == 1
        con.execute("ALTER MODEL m SET OPTIONS(expiration_timestamp=TIMESTAMP '2001-01-01 00:00:00')")
        assert con.execute("SHOW MODELS").fetchall() == []
        with pytest.raises(sqlml.ProgrammingError, match="does not exist"):
            con.execute(PREDICT)


def test_models_of_other_databases(path: str, tmp_path: pathlib.Path) -> None:
    with sqlml.connect(str(tmp_path / "other.duckdb")) as con:
        con.duckdb.execute(f"ATTACH '{path}' AS zoo")
        found = con.execute(
            "SELECT COUNT(*) FROM ML.PREDICT(MODEL zoo.main.m, (SELECT * FROM zoo.main.penguins))"
        ).fetchall()
        assert found == [(344,)]


def test_records_come_back_as_they_were() -> None:
    design = Design(
        (
            Number("x", '"x"', "x", 1.5, 2.0, 1.5, 2.0),
            Category("c", '"c"', "c", (None, "", "ä\"'"), (1, 2, 3), 1),
        ),
        (),
    )
    arrays: dict[str, object] = {}
    assert decode(Design, encode(design, arrays, "d"), arrays) == design
    value = {"a": np.arange(6.0).reshape(2, 3), "b": b"\x00\xff", "n": float("nan")}
    found = decode(dict[str, object], encode(value, arrays, "v"), arrays)
    assert np.array_equal(found["a"], value["a"]) and found["b"] == b"\x00\xff" and np.isnan(found["n"])
    with pytest.raises(sqlml.InternalError):
        encode(object(), arrays, "o")
    with pytest.raises(ValueError, match="not expected"):
        decode(Design, {"$type": "Popen", "args": "x"}, {})
