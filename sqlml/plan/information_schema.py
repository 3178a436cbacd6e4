"""INFORMATION_SCHEMA as BigQuery shows it: of one dataset, with GoogleSQL's names of types."""

from __future__ import annotations

from collections.abc import Sequence

from sqlml.plan.session import Session
from sqlml.schema import parse_type, quote_literal, same_name

#: sqlml's own tables and DuckDB's are not the user's.
_HIDDEN = (
    "table_schema NOT IN ('sqlml', 'information_schema', 'pg_catalog') AND NOT starts_with(table_name, '__sqlml_')"
)


def information_schema(session: Session, view: str, dataset: Sequence[str]) -> str | None:
    """SQL of a view, or None for one that is DuckDB's own.

    Args:
        dataset: the names before INFORMATION_SCHEMA; without them, or with a region, all datasets are shown.
    """
    if dataset and dataset[-1].lower().startswith("region-"):
        dataset = ()
    if view == "MODELS":
        return _models(session, dataset)
    if session.settings.dialect != "BIGQUERY":
        return None
    here = _database(session, dataset)
    where = f"table_catalog = {quote_literal(here)} AND {_HIDDEN}"
    if dataset:
        where += f" AND lower(table_schema) = lower({quote_literal(dataset[-1])})"
    if view == "TABLES":
        return (
            "(SELECT table_catalog, table_schema, table_name,"
            " CASE table_type WHEN 'LOCAL TEMPORARY' THEN 'BASE TABLE' ELSE table_type END AS table_type,"
            f" is_insertable_into FROM information_schema.tables WHERE {where})"
        )
    if view == "COLUMNS":
        return (
            "(SELECT table_catalog, table_schema, table_name, column_name, ordinal_position, is_nullable,"
            f" {_google(session)} AS data_type, column_default FROM information_schema.columns WHERE {where})"
        )
    if view == "TABLE_OPTIONS":
        return _table_options(where.replace("table_catalog", "database_name").replace("table_schema", "schema_name"))
    if view == "COLUMN_FIELD_PATHS":
        return (
            "(SELECT c.table_catalog, c.table_schema, c.table_name, c.column_name, c.column_name AS field_path,"
            f" {_google(session)} AS data_type, d.comment AS description FROM information_schema.columns AS c"
            " JOIN (SELECT database_name, schema_name, table_name, column_name, comment FROM duckdb_columns()) AS d"
            " ON d.database_name = c.table_catalog AND d.schema_name = c.table_schema"
            " AND d.table_name = c.table_name AND d.column_name = c.column_name"
            f" WHERE {where.replace('table_', 'c.table_')})"
        )
    if view == "SCHEMATA":
        return (
            "(SELECT catalog_name, schema_name FROM information_schema.schemata"
            f" WHERE catalog_name = {quote_literal(here)}"
            " AND schema_name NOT IN ('sqlml', 'information_schema', 'pg_catalog'))"
        )
    return None


def _table_options(where: str) -> str:
    """The descriptions of tables and views, written as BigQuery writes them: literals of GoogleSQL."""
    both = (
        "SELECT database_name, schema_name, table_name, comment, internal FROM duckdb_tables() UNION ALL"
        " SELECT database_name, schema_name, view_name, comment, internal FROM duckdb_views()"
    )
    return (
        "(SELECT database_name AS table_catalog, schema_name AS table_schema, table_name,"
        " 'description' AS option_name, 'STRING' AS option_type, to_json(comment)::VARCHAR AS option_value"
        f" FROM ({both}) WHERE comment IS NOT NULL AND NOT internal AND {where})"
    )


def _database(session: Session, dataset: Sequence[str]) -> str:
    """The attached database that the names before INFORMATION_SCHEMA begin with, else the current one."""
    attached = session.attached() if len(dataset) > 1 else []
    return next((a for a in attached if same_name(a, dataset[0])), session.current()[0])


def _google(session: Session) -> str:
    """SQL of the GoogleSQL name of `data_type`."""
    types = [str(r[0]) for r in session.database.execute("SELECT DISTINCT data_type FROM information_schema.columns")]
    whens = "".join(f" WHEN {quote_literal(t)} THEN {quote_literal(parse_type(t).google)}" for t in sorted(types))
    return f"CASE data_type{whens} ELSE data_type END" if whens else "data_type"


def _models(session: Session, dataset: Sequence[str]) -> str:
    here = _database(session, dataset)
    catalog = session.catalog(here)
    columns = (
        "model_catalog VARCHAR, model_schema VARCHAR, model_name VARCHAR, model_type VARCHAR,"
        " creation_time TIMESTAMPTZ, last_modified_time TIMESTAMPTZ, description VARCHAR, training_query VARCHAR"
    )
    if not catalog.exists():
        nulls = ", ".join(f"NULL::{c.split()[1]} AS {c.split()[0]}" for c in columns.split(", "))
        return f"(SELECT {nulls} WHERE FALSE)"
    where = f" WHERE lower(dataset) = lower({quote_literal(dataset[-1])})" if dataset else ""
    return (
        f"(SELECT {quote_literal(here)} AS model_catalog, dataset AS model_schema, name AS model_name, model_type,"
        " created AS creation_time, modified AS last_modified_time,"
        " json_extract_string(settings, '$.description') AS description,"
        f" json_extract_string(document, '$.query') AS training_query FROM {catalog.table('models')}{where})"
    )
