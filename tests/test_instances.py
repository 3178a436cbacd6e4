"""Several connections of one process to one file: functions written in Python outlive their maker."""

from __future__ import annotations

import gc
import pathlib
import subprocess
import sys

import sqlml

SCRIPT = """
import gc, sys, sqlml
a, b = sqlml.connect(sys.argv[1]), sqlml.connect(sys.argv[1])
sql = "SELECT FARM_FINGERPRINT('foo') AS h"
first = a.execute(sql).fetchall()
assert b.execute(sql).fetchall() == first
a.close()
del a
gc.collect()
assert b.execute(sql).fetchall() == first
c = sqlml.connect(sys.argv[1])
del b
gc.collect()
assert c.execute(sql).fetchall() == first
c.close()
assert sqlml.connect(sys.argv[1]).execute(sql).fetchall() == first
"""


def test_functions_outlive_the_connection_that_made_them(tmp_path: pathlib.Path) -> None:
    """In a process of its own, because the failure is a crash."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "shared.duckdb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_file_is_free_after_the_last_close(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "free.duckdb"
    one, two = sqlml.connect(str(path)), sqlml.connect(str(path))
    one.execute("CREATE TABLE t AS SELECT 1 AS x")
    one.close()
    assert two.execute("SELECT x FROM t").fetchall() == [(1,)]
    two.close()
    gc.collect()
    code = f"import duckdb; print(duckdb.connect({str(path)!r}).execute('SELECT x FROM t').fetchall())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip() == "[(1,)]", done.stderr


def test_an_open_transaction_ends_with_its_connection(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "open.duckdb")
    one, two = sqlml.connect(path), sqlml.connect(path)
    one.execute("CREATE TABLE t (x INT64)")
    one.execute("BEGIN TRANSACTION")
    one.execute("INSERT INTO t VALUES (1)")
    one.close()
    two.execute("DROP TABLE t")
    two.close()


def test_a_result_that_is_given_up_is_not_read_to_its_end(con: sqlml.Connection) -> None:
    """Ten thousand million rows would fill the memory before the next statement began."""
    sql = "SELECT a FROM UNNEST(GENERATE_ARRAY(1, 100000)) AS a, UNNEST(GENERATE_ARRAY(1, 100000)) AS b"
    reader = con.execute(sql).reader()
    assert reader.read_next_batch().num_rows > 0
    del reader
    gc.collect()
    assert con.execute("SELECT 7 AS x").fetchall() == [(7,)]


def test_cached_blocks_are_given_back(tmp_path) -> None:
    """The rows and the memory limit stay; with a second connection nothing is touched."""
    held = "SELECT sum(memory_usage_bytes) FROM duckdb_memory() WHERE tag = 'BASE_TABLE'"
    limits = "SELECT current_setting('memory_limit')"
    path = str(tmp_path / "rows.duckdb")
    with sqlml.connect(path) as con:
        con.duckdb.execute(
            "CREATE TABLE t AS SELECT hash(i * 8 + k) / 1e9 AS x FROM range(1000000) r(i), range(8) s(k)"
        )
    with sqlml.connect(path) as con:
        database = con._session.database
        total, limit = database.execute("SELECT sum(hash(x)::HUGEINT) FROM t"), database.execute(limits)
        before = database.execute(held)[0][0]
        with sqlml.connect(path):
            database.release()
            assert database.execute(held)[0][0] == before
        database.release()
        assert database.execute(held)[0][0] < before - 2**24
        assert database.execute(limits) == limit
        assert database.execute("SELECT sum(hash(x)::HUGEINT) FROM t") == total
        database.execute("SET memory_limit = '700MiB'")
        database.execute("SELECT sum(hash(x)::HUGEINT) FROM t")
        database.release()
        assert database.execute(limits) == [("700.0 MiB",)]
