"""What the tests of tree models share: statements, the stored model, two tables."""

from __future__ import annotations

KINDS = ("BOOSTED_TREE_CLASSIFIER", "BOOSTED_TREE_REGRESSOR", "RANDOM_FOREST_CLASSIFIER", "RANDOM_FOREST_REGRESSOR")
BT, BTR, RF, RFR = KINDS


def rows(con, sql):
    return con.execute(sql).fetchall()


def create(con, kind, *, name="m", label=None, source="SELECT * FROM known", transform="", **options):
    label = label or ("body_mass_g" if kind.endswith("REGRESSOR") else "species")
    written = [f"model_type='{kind}'", f"input_label_cols=['{label}']"]
    written += [f"{k}={v}" for k, v in options.items()]
    con.execute(f"CREATE OR REPLACE MODEL {name} {transform} OPTIONS({', '.join(written)}) AS {source}")


def load(con, name="m"):
    """The stored model."""
    session = con._session
    catalog, dataset = session.current()
    return session.catalog(catalog).load(dataset, name)


def with_known(con):
    """The penguins whose mass is known, as `known`."""
    con.duckdb.execute("CREATE TABLE known AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL").fetchall()
    return con


def with_big(con):
    """`big`, 4,000 rows: numbers with gaps, 40 cities, a binary and a numeric label."""
    con.duckdb.execute(
        "CREATE TABLE big AS SELECT CASE WHEN i % 17 = 0 THEN NULL ELSE (hash(i) % 1000) / 10.0 END AS a,"
        " (hash(i + 7) % 1000)::INT AS b, 'city ' || (hash(i + 99) % 40) AS city,"
        " CASE WHEN hash(i + 3) % 9 = 0 THEN NULL ELSE 'k' || (hash(i + 3) % 4) END AS k,"
        " (hash(i + 99) % 40) * 3.0 + (hash(i) % 1000) / 20.0 + (hash(i + 5) % 100) / 25.0 AS y,"
        " CASE WHEN (hash(i + 99) % 40) * 3.0 + (hash(i) % 1000) / 20.0 > 80 THEN 'yes' ELSE 'no' END AS yb"
        " FROM range(4000) r(i)"
    ).fetchall()
    return con
