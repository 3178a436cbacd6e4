"""Tables with known structure, made by DuckDB from hashes of the row number: the same on every run.

The table `t` has ten standard normal columns x0..x9, a category c8 of 8 levels, a category c1000
of 1,000 unevenly frequent levels, a numeric label y, and a label yb of 'no' / 'yes'.
"""

from __future__ import annotations

import os
import pathlib

import duckdb

FEATURES = tuple(f"x{i}" for i in range(10))
CATEGORIES = ("c8", "c1000")
BETA = (1.5, -2.0, 0.75, 0.0, 3.0, -0.5, 0.25, 1.0, -1.25, 0.1)


def _uniform(stream: int) -> str:
    """A number in (0, 1) from the row number `i`; streams are independent of each other."""
    return f"((hash(i * 64 + {stream}) >> 12)::DOUBLE + 0.5) / 4503599627370496.0"


def _normal(stream: int) -> str:
    """A standard normal number (Box and Muller)."""
    return f"sqrt(-2.0 * ln({_uniform(stream)})) * cos(6.283185307179586 * {_uniform(stream + 1)})"


def query(rows: int) -> str:
    """The SELECT that makes the table."""
    numbers = ", ".join(f"{_normal(2 * i)} AS {name}" for i, name in enumerate(FEATURES))
    linear = " + ".join(f"({b}) * {name}" for b, name in zip(BETA, FEATURES, strict=True))
    return f"""
        SELECT {", ".join(FEATURES)}, 'level_' || k8 AS c8, 'item_' || k1000 AS c1000,
               eta + 2.0 * noise AS y,
               CASE WHEN chance < 1.0 / (1.0 + exp(-0.4 * eta)) THEN 'yes' ELSE 'no' END AS yb
        FROM (
            SELECT *, 4.0 + {linear} + ((hash(k8 + 7) % 100)::DOUBLE / 50.0 - 1.0)
                          + ((hash(k1000 + 1007) % 100)::DOUBLE / 50.0 - 1.0) AS eta
            FROM (
                SELECT {numbers}, (hash(i * 64 + 40) % 8)::INTEGER AS k8,
                       floor(1000.0 * pow({_uniform(41)}, 2))::INTEGER AS k1000,
                       {_normal(42)} AS noise, {_uniform(44)} AS chance
                FROM range({rows}) AS r(i)
            )
        )"""


def database(folder: pathlib.Path, rows: int) -> pathlib.Path:
    """A DuckDB file with the table `t`, made on first use."""
    path = folder / f"mixed-{rows}.duckdb"
    if not path.exists():
        part = folder / f"mixed-{rows}-{os.getpid()}.part"
        with duckdb.connect(str(part)) as connection:
            connection.execute(f"CREATE TABLE t AS {query(rows)}")
        part.rename(path)
    return path


def parquet(folder: pathlib.Path, rows: int) -> pathlib.Path:
    """A Parquet file with the same rows, made on first use."""
    path = folder / f"mixed-{rows}.parquet"
    if not path.exists():
        part = folder / f"mixed-{rows}-{os.getpid()}.part"
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({query(rows)}) TO '{part}' (FORMAT parquet)")
        part.rename(path)
    return path
