"""The SQLAlchemy dialect: engine, reflection, pandas, parameters, and SQLAlchemy's own suite."""

from __future__ import annotations

import collections
import datetime
import decimal
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

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


class Base(orm.DeclarativeBase):
    """Classes as people write them: nothing in them is about this dialect."""


class Penguin(Base):
    __tablename__ = "penguin list"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(30), index=True, unique=True, comment='its "name"')
    mass: orm.Mapped[decimal.Decimal | None] = orm.mapped_column(sa.Numeric(10, 2))
    doc: orm.Mapped[dict[str, Any]] = orm.mapped_column(sa.JSON, default=dict)
    tags: orm.Mapped[list[str]] = orm.mapped_column(sa.ARRAY(sa.String), default=list)
    visits: orm.Mapped[list[Visit]] = orm.relationship(cascade="all, delete-orphan")


class Visit(Base):
    __tablename__ = "visit"
    id: orm.Mapped[int] = orm.mapped_column(sa.Identity(start=100), primary_key=True)
    penguin_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey(Penguin.id))
    stay: orm.Mapped[datetime.timedelta]


def test_a_session_with_mapped_classes(engine: sa.Engine) -> None:
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)
    stay = datetime.timedelta(days=2, seconds=3)
    with orm.Session(engine) as session:
        session.add_all(Penguin(name=f"p{i}", mass=decimal.Decimal("3.5"), visits=[Visit(stay=stay)]) for i in range(3))
        session.commit()
        first = session.get_one(Penguin, 1)
        assert (first.name, first.mass, first.doc, first.tags) == ("p0", decimal.Decimal("3.50"), {}, [])
        assert [(visit.id, visit.stay) for visit in first.visits] == [(100, stay)]
        first.name = "it's"
        session.delete(session.get_one(Penguin, 2))
        session.commit()
        assert session.scalars(sa.select(Penguin.name).order_by(Penguin.id)).all() == ["it's", "p2"]
        assert session.scalars(sa.select(Visit.penguin_id).order_by(Visit.id)).all() == [1, 3]
        rows: list[dict[str, Any]] = [{"name": f"more{i}"} for i in range(3)]
        kept = session.scalars(sa.insert(Penguin).returning(Penguin.id, sort_by_parameter_order=True), rows)
        assert kept.all() == [4, 5, 6]
        session.rollback()
    inspector = sa.inspect(engine)
    assert {c["name"]: c["comment"] for c in inspector.get_columns("penguin list")}["name"] == 'its "name"'
    Base.metadata.drop_all(engine)
    assert inspector.get_sequence_names() == []


def test_json_paths_and_array_elements(engine: sa.Engine) -> None:
    table = sa.Table(
        "notes",
        sa.MetaData(),
        sa.Column("doc", sa.JSON),
        sa.Column("tags", sa.ARRAY(sa.String)),
        sa.Column("n", sa.INT),
    )
    document = {"a b": {'c"d': [1.5, "7", True]}, "price": "2.25"}
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert().values(doc=document, tags=["x", "y"], n=2))

        def value(expression: sa.ColumnElement[Any]) -> Any:
            return connection.scalar(sa.select(expression))

        items = table.c.doc["a b"]['c"d']
        assert value(items) == [1.5, "7", True]
        assert value(items[0].as_float()) == 1.5
        assert value(items[1].as_string()) == "7"
        assert value(items[1].as_integer()) == 7
        assert value(items[2].as_boolean()) is True
        assert value(table.c.doc["price"].as_numeric(10, 2)) == decimal.Decimal("2.25")
        assert value(table.c.doc[("a b", 'c"d', 1)].as_string()) == "7"
        assert value(table.c.doc["none"].as_string()) is None
        assert value(table.c.tags[table.c.n]) == "y"
        assert value(table.c.tags[3]) is None
        literal = (
            sa.select(sa.func.count())
            .where(items[1].as_integer() == 7)
            .compile(engine, compile_kwargs={"literal_binds": True})
        )
        assert connection.exec_driver_sql(str(literal)).scalar() == 1


def test_many_rows(engine: sa.Engine) -> None:
    days = pd.date_range("2020-01-01", periods=1234, freq="h")
    frame = pd.DataFrame({"a b": range(1234), "s": [None, "it's"] * 617, "day": days, "raw": [b"\0"] * 1234})
    assert frame.to_sql("frame", engine, index=False) == 1234
    assert frame.to_sql("frame", engine, index=False, if_exists="append", method="multi", chunksize=500) == 1234
    back = pd.read_sql_table("frame", engine)
    assert len(back) == 2468
    assert back["day"].iloc[1233] == days[-1]
    assert list(back["s"].iloc[:2].fillna("-")) == ["-", "it's"]
    table = sa.Table("frame", sa.MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        done = connection.execute(table.update().where(table.c.s == sa.bindparam("old")), [{"old": "it's", "s": "x"}])
        assert done.rowcount == 1234
        with pytest.raises(sa.exc.DBAPIError, match="abc"):
            connection.execute(table.insert(), [{"a b": 1}, {"a b": "abc"}])


def test_transactions(engine: sa.Engine) -> None:
    alone = engine.execution_options(isolation_level="AUTOCOMMIT")
    with alone.connect() as connection:
        assert connection.get_isolation_level() == "AUTOCOMMIT"
        connection.exec_driver_sql("CREATE TABLE kept AS SELECT 1 AS x")
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "SNAPSHOT"
        assert connection.exec_driver_sql("SELECT x FROM kept").scalar() == 1
        with pytest.raises(sa.exc.CompileError, match="savepoints"), connection.begin_nested():
            pass
    with pytest.raises(sa.exc.ArgumentError, match="SERIALIZABLE"):
        engine.connect().execution_options(isolation_level="SERIALIZABLE")
    other = sa.create_engine(engine.url)
    with engine.connect() as one, other.connect() as two:
        counts = [c.exec_driver_sql("SELECT COUNT(*) FROM kept").scalar() for c in (one, two)]
    other.dispose()
    assert counts == [1, 1]


def test_what_has_no_counterpart(engine: sa.Engine) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("x", sa.Integer), sa.Column("tags", sa.ARRAY(sa.Integer)))
    sums = sa.Table("sums", sa.MetaData(), sa.Column("y", sa.Integer, sa.Computed("x + 1")))
    with engine.connect() as connection:
        with pytest.raises(sa.exc.CompileError, match="with_ties"):
            connection.execute(sa.select(table).fetch(1, with_ties=True))
        with pytest.raises(sa.exc.CompileError, match="make a view"):
            sums.create(connection)
        with pytest.raises(sa.exc.CompileError, match="slices"):
            connection.execute(sa.select(table.c.tags[1:2]))
        with pytest.raises(sa.exc.CompileError, match="one table"):
            connection.execute(sa.delete(table).where(table.c.x == sums.c.y))
        found = connection.execute(sa.select(sa.literal(1)).fetch(1).with_for_update())
        assert found.scalar() == 1


def test_results_are_streamed(engine: sa.Engine) -> None:
    """The first rows of very many come without the others."""
    with engine.connect().execution_options(yield_per=10) as connection:
        result = connection.exec_driver_sql("SELECT * FROM range(10000000000000)")
        assert result.fetchmany(3) == [(0,), (1,), (2,)]
        result.close()


@pytest.mark.slow
def test_sqlalchemys_own_suite(tmp_path: pathlib.Path) -> None:
    """The dialect suite that ships with SQLAlchemy, in a process of its own because it changes pytest."""
    command = [sys.executable, "-m", "pytest", "-c", "suite.ini", "-p", "no:cacheprovider", "-p", "no:xdist", "-rs"]
    memory = pathlib.Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as place:
        command += ["--dburi", f"sqlml:///{place}/suite.duckdb", "."]
        folder = HERE / "sqlalchemy_suite"
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 1050
    skipped: collections.Counter[str] = collections.Counter()
    for count, line in re.findall(r"^SKIPPED \[(\d+)\] (.*)", done.stdout, re.MULTILINE):
        skipped[re.sub(r"^.*\(call\)' : |^\S+?:(\d+:)? ", "", line)] += int(count)
    page = (HERE.parent / "docs" / "sqlalchemy.md").read_text(encoding="utf-8")
    told = {reason: int(count) for count, reason in re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE)}
    assert set(skipped) == set(told)
    if f"SQLAlchemy {sa.__version__}" in page:
        # Where two reasons hold for one test, SQLAlchemy tells either: the sum is what can be compared.
        assert skipped.total() == sum(told.values())
        assert f"{passed[1]} pass" in page
