"""The SQLAlchemy dialect: engine, reflection, pandas, parameters, and SQLAlchemy's own suite."""

from __future__ import annotations

import datetime
import decimal
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

HERE = pathlib.Path(__file__).parent
PENGUINS = HERE.parent / "sqlml" / "data" / "penguins.csv"
CREATE = """
CREATE MODEL mass OPTIONS (model_type='linear_reg', input_label_cols=['body_mass_g']) AS
SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
"""


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    found = sa.create_engine(f"sqlml:///{tmp_path / 'birds.duckdb'}")
    with found.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE penguins AS SELECT * FROM read_csv('{PENGUINS}')")
    yield found
    found.dispose()


def test_train_and_read_with_pandas(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(CREATE)
    frame = pd.read_sql("SELECT * FROM ML.EVALUATE(MODEL mass)", engine)
    assert frame.mean_absolute_error[0] == pytest.approx(227.012237, rel=1e-6)
    query = sa.text("SELECT COUNT(*) AS n FROM penguins WHERE island = :island")
    assert pd.read_sql(query, engine, params={"island": "Biscoe"}).n[0] == 168


def test_json_comes_back(engine: sa.Engine) -> None:
    table = sa.Table("notes", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("doc", sa.JSON))
    documents: list[Any] = [{"a": [1, 2, {"b": None}], "s": "é"}, [1, 2], None]
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"id": i, "doc": doc} for i, doc in enumerate(documents)])
        assert connection.execute(sa.select(table.c.doc).order_by(table.c.id)).scalars().all() == documents
        value = sa.text("SELECT JSON_VALUE(doc, '$.s') FROM notes WHERE id = 0")
        assert connection.execute(value).scalar() == "é"
        assert isinstance(sa.inspect(connection).get_columns("notes")[1]["type"], sa.JSON)


def test_reflection(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(CREATE)
        connection.exec_driver_sql("CREATE VIEW heavy AS SELECT * FROM penguins WHERE body_mass_g > 5000")
        connection.exec_driver_sql("CREATE SCHEMA shop")
        connection.exec_driver_sql("CREATE TABLE shop.sales (day DATE, tags ARRAY<STRING>, at TIMESTAMP)")
    inspector = sa.inspect(engine)
    assert inspector.get_table_names() == ["penguins"]
    assert inspector.get_view_names() == ["heavy"]
    assert {"main", "shop"} <= set(inspector.get_schema_names())
    assert "sqlml" not in inspector.get_schema_names()
    assert inspector.get_model_names() == ["mass"]
    types = {c["name"]: c["type"] for c in inspector.get_columns("sales", schema="shop")}
    assert isinstance(types["day"], sa.Date)
    assert isinstance(types["tags"], sa.ARRAY)
    assert types["at"].timezone
    table = sa.Table("penguins", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        query = sa.select(table.c.island, sa.func.count().label("n")).group_by(table.c.island).order_by("n")
        assert connection.execute(query).all() == [("Torgersen", 52), ("Dream", 124), ("Biscoe", 168)]


def test_tables_of_the_user(engine: sa.Engine) -> None:
    meta = sa.MetaData()
    table = sa.Table(
        "order",
        meta,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("a name", sa.String(50)),
        sa.Column("price", sa.Numeric(10, 2)),
        sa.Column("day", sa.Date),
        sa.Column("at", sa.DateTime),
        sa.Column("good", sa.Boolean),
        sa.Column("raw", sa.LargeBinary),
        sa.Column("x", sa.Double),
    )
    meta.create_all(engine)
    row = (
        1,
        "it's",
        decimal.Decimal("2.50"),
        datetime.date(2020, 1, 2),
        datetime.datetime(2020, 1, 2, 3),
        True,
        b"\0\1",
        0.5,
    )
    with engine.begin() as connection:
        connection.execute(table.insert(), [dict(zip(table.c.keys(), row, strict=True))])
        connection.execute(table.update().where(table.c.id == 1).values(x=table.c.x + 1))
        assert connection.execute(sa.select(table)).all() == [(*row[:-1], 1.5)]
        connection.execute(table.delete().where(table.c["a name"].like("it%")))
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0


def test_rollback(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INT64)")
        connection.commit()
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.rollback()
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM t").scalar() == 0


def test_errors_are_sqlalchemys(engine: sa.Engine) -> None:
    with engine.connect() as connection, pytest.raises(sa.exc.ProgrammingError, match="no_such"):
        connection.exec_driver_sql("SELECT * FROM no_such")


def test_urls(tmp_path: pathlib.Path) -> None:
    with sa.create_engine("sqlml://").connect() as connection:
        assert connection.scalar(sa.select(sa.literal(1) + 1)) == 2
    with pytest.raises(sa.exc.ArgumentError, match="read_only"):
        sa.create_engine("sqlml:///x.duckdb?nonsense=1").connect()
    path = tmp_path / "kept.duckdb"
    writer = sa.create_engine(f"sqlml:///{path}")
    with writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t AS SELECT 1 AS x")
    writer.dispose()
    engine = sa.create_engine(f"sqlml:///{path}?read_only=true")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT x FROM t").scalar() == 1
    engine.dispose()


def test_regular_expressions(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        text = sa.literal("Adelie penguin")

        def value(expression: sa.ColumnElement[Any]) -> Any:
            return connection.scalar(sa.select(expression))

        assert value(text.regexp_match("^Ade")) is True
        assert value(text.regexp_match("^ade")) is False
        assert value(text.regexp_match("^ade", flags="i")) is True
        assert value(~text.regexp_match("x")) is True
        assert value(text.regexp_replace("[ei]", "_")) == "Ad_l__ p_ngu_n"
        assert value(text.regexp_replace("P", "b", flags="i")) == "Adelie benguin"
        with pytest.raises(sa.exc.DBAPIError):
            value(text.regexp_match("a", flags="'"))


@pytest.mark.slow
def test_sqlalchemys_own_suite(tmp_path: pathlib.Path) -> None:
    """The dialect suite that ships with SQLAlchemy, in a process of its own because it changes pytest."""
    command = [sys.executable, "-m", "pytest", "-c", "suite.ini", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["--dburi", f"sqlml:///{tmp_path / 'suite.duckdb'}", "."]
    folder = HERE / "sqlalchemy_suite"
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 415
