"""A whole table, scored ahead of the query in large blocks.

A model's function is called for 2,048 rows at a time, and each call costs 0.2 to 0.3 ms beside the work: DuckDB makes
Arrow arrays, Python makes a matrix, XGBoost looks at every tree. So where a query reads one table from end to end and
scores all of it, the table is read beside the query in blocks of a hundred thousand rows, a thread for each of
DuckDB's scores them, and the query reads rows that have their score already.

DuckDB's own plan says whether it is so: one chain of operators, at its end a scan without a filter, and the model's
function right above it. A filter, a join, a LIMIT, a second model leave the query as it is, for then DuckDB calls
the function for fewer rows. So does what a second connection would not see: a transaction, temporary tables,
parameters. The numbers are the same, for the function is.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from sqlml.database import Aside, Database
from sqlml.errors import Error
from sqlml.functions.base import Ahead
from sqlml.models.base import BatchFunction
from sqlml.schema import quote_literal, quote_name

#: Fewer rows are scored sooner than a second connection pays.
LEAST_ROWS = 250_000
#: Rows and cells (columns, or outputs of the model) of a block that is read; rows of the first and of the largest that
#: is scored.
_ROWS, _CELLS, _FIRST, _LARGEST = 122_880, 4_000_000, 8_192, 65_536
#: Seconds that a block is scored in, or smaller ones follow: as long is an interrupt not heard.
_PATIENCE = 0.3
#: Operators that need every row of their one input.
_THROUGH = frozenset(
    "PROJECTION FILTER UNNEST UNGROUPED_AGGREGATE HASH_GROUP_BY PERFECT_HASH_GROUP_BY ORDER_BY TOP_N"
    " CREATE_TABLE_AS BATCH_CREATE_TABLE_AS".split()
)
#: What DuckDB says of a scan that has neither a filter nor a sample.
_SCAN = frozenset(("Table", "Type", "Projections", "Estimated Cardinality"))
_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_]\w*)'
_WHOLE = re.compile(rf"\(SELECT (?:\*|{_NAME}(?:, {_NAME})*) FROM {_NAME}(?:\.{_NAME}){{0,2}}\)")
#: Types that are the same after they were Arrow's, and of these those whose casts know no settings of a connection.
_PLAIN = re.compile(r"DOUBLE|FLOAT|U?(?:TINY|SMALL|BIG)INT|U?INTEGER|DECIMAL\(\d+,\d+\)|BOOLEAN|VARCHAR")
_CARRIED = re.compile(_PLAIN.pattern + r"|DATE|TIMESTAMP|TIMESTAMP WITH TIME ZONE")


def scored_ahead(
    database: Database, sql: str, parameters: Mapping[str, object], candidates: Sequence[Ahead]
) -> tuple[str, dict[str, pa.RecordBatchReader]]:
    """The statement, and readers to be registered for it: it reads their rows where it called a function."""
    if len(candidates) != 1 or parameters or sql.count(candidates[0].sql) != 1 or sql.count(candidates[0].name) != 1:
        return sql, {}
    [one] = candidates
    if not _WHOLE.fullmatch(one.source) or database.inside:
        return sql, {}
    if "LIMIT" in sql and "ORDER BY" not in sql:  # the plan would say so too, some milliseconds later
        return sql, {}
    found = _table(database, one)
    if found is None or not _sees_all(database):
        return sql, {}
    try:
        wanted = _scan(database.plan(sql), found)
    except Error:  # the statement itself will say so
        return sql, {}
    if wanted is None or not _columns(one, wanted):
        return sql, {}
    name = database.fresh_name("ahead")
    reader = _reader(database, one, ".".join(quote_name(part) for part in found), wanted)
    missing = [c for c in one.columns if c.name not in wanted]
    nulls = "".join(f", NULL::{c.sql_type} AS {quote_name(c.name)}" for c in missing)
    inner = f"(SELECT *{nulls} FROM {name})" if nulls else name
    items = ", ".join(quote_name(c.name) for c in one.columns)
    return sql.replace(one.sql, f"(SELECT {items}, __f FROM {inner})"), {name: reader}


def _parts(dotted: str) -> tuple[str, ...]:
    """The names in SQL, bare."""
    names = re.findall(_NAME, dotted)
    return tuple(n[1:-1].replace('""', '"') if n.startswith('"') else n for n in names)


def _table(database: Database, one: Ahead) -> tuple[str, ...] | None:
    """(catalog, schema, name) of the table of a source, or None where it is small or not one table."""
    bare = _parts(one.source)[-1]
    rows = database.execute(
        "SELECT database_name, schema_name, table_name, temporary OR upper(sql) LIKE '%COLLATE%',"
        " estimated_size FROM duckdb_tables()"
        f" WHERE lower(table_name) = lower({quote_literal(bare)})"
    )
    views = database.execute(
        f"SELECT 1 FROM duckdb_views() WHERE lower(view_name) = lower({quote_literal(bare)}) LIMIT 1"
    )
    # Only where the name is one thing in all schemas, for then the plan's word for it is clear; Arrow knows no orders.
    if len(rows) != 1 or views or rows[0][3] or rows[0][4] < LEAST_ROWS:
        return None
    return tuple(rows[0][:3])


def _sees_all(database: Database) -> bool:
    """Whether another connection sees what this one does: no open transaction, and no order of texts of its own."""
    query = "SELECT txid_current(), current_setting('default_collation')"
    [(one, collation)], [(two, _)] = database.execute(query), database.execute(query)
    return one != two and not collation


def _scan(plan: Sequence[Mapping[str, Any]], table: tuple[str, ...]) -> tuple[str, ...] | None:
    """The columns that are read, where the plan reads the whole table and scores all of it; else None."""
    above: list[Mapping[str, Any]] = []
    nodes = plan
    while len(nodes) == 1 and nodes[0]["name"].strip().upper() in _THROUGH:
        above.append(nodes[0])
        nodes = nodes[0]["children"]
    if not above or "__f" not in _listed(above[-1]["extra_info"].get("Projections", [])):
        return None
    if len(nodes) != 1 or nodes[0]["name"].strip().upper() != "SEQ_SCAN":
        return None
    info = nodes[0]["extra_info"]
    if set(info) != _SCAN or info["Type"] != "Sequential Scan" or _parts(info["Table"]) != table:
        return None
    return _listed(info["Projections"])


def _listed(items: Any) -> tuple[str, ...]:
    return (items,) if isinstance(items, str) else tuple(items)


def _columns(one: Ahead, wanted: Sequence[str]) -> bool:
    """Whether the columns that are read are the source's and Arrow's too, and those of the model of plain types."""
    known = {c.name: c for c in one.columns}
    if not set(wanted) <= set(known) or any(name.startswith("__") for name in known):
        return False
    if not all(_CARRIED.fullmatch(known[w].sql_type) for w in wanted):
        return False
    text = " ".join(e for e, _ in one.function.arguments)
    used = [known[w] for w in wanted if quote_name(w) in text]
    return all(_PLAIN.fullmatch(c.sql_type) for c in used)


def _reader(database: Database, one: Ahead, table: str, wanted: Sequence[str]) -> pa.RecordBatchReader:
    """The rows of a table, each with the model's answer as the column `__f`."""
    items = [quote_name(w) for w in wanted]
    types = {quote_name(c.name): c.sql_type for c in one.columns}
    places = []
    for i, (expression, kind) in enumerate(one.function.arguments):
        if expression in items and types[expression] == kind:
            places.append(items.index(expression))
        else:
            places.append(len(items))
            items.append(f"({expression})::{kind} AS __a{i}")
    rows = max(2048, min(_ROWS, _CELLS // max(len(items), one.outputs)))
    rows_aside = database.aside(f"SELECT {', '.join(items)} FROM {table}", rows)
    threads = int(database.execute("SELECT current_setting('threads')")[0][0])
    kind = pa.list_(pa.float64()) if one.function.result == "DOUBLE[]" else pa.float32()
    schema = pa.schema([*list(rows_aside.schema)[: len(wanted)], pa.field("__f", kind)])
    return pa.RecordBatchReader.from_batches(schema, _blocks(rows_aside, one.function, places, schema, threads))


def _blocks(
    rows: Aside, function: BatchFunction, places: Sequence[int], schema: pa.Schema, threads: int
) -> Iterator[pa.RecordBatch]:
    """The rows with their scores, in order: as many blocks are scored at a time as there are threads.

    The first blocks are small, for who reads the first rows only does not wait for more; and those of a model that
    takes long stay so.
    """
    size = _FIRST

    def scored(block: pa.RecordBatch) -> pa.RecordBatch:
        nonlocal size
        start = time.perf_counter()
        found = function.call(*(block.column(i) for i in places))
        pace = (time.perf_counter() - start) / block.num_rows
        size = max(2048, min(2 * size, _LARGEST, int(_PATIENCE / max(pace, 1e-9))))
        columns = [*block.columns[: len(schema) - 1], found.cast(schema[-1].type)]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def parts(block: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        at = 0
        while at < block.num_rows:
            part = block.slice(at, size)
            at += part.num_rows
            yield part

    waiting: deque[Future[pa.RecordBatch]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="sqlml-score")
    try:
        for block in rows:
            for part in parts(block):
                waiting.append(pool.submit(scored, part))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        rows.close()
