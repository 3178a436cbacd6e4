"""Makes the dialect and its requirements known to SQLAlchemy's test plugin, for this folder alone."""

import pathlib
import sys

import pytest
from sqlalchemy.dialects import registry

for name in ("sqlml", "sqlml.sqlml"):
    registry.register(name, "sqlml.sqlalchemy", "SqlmlDialect")
sys.path.insert(0, str(pathlib.Path(__file__).parent))


#: Part of a test's name -> why it does not apply, where SQLAlchemy has no requirement for it.
NOT_HERE = {
    "CompositeKeyReflectionTest": "keys and rules of a table (PRIMARY KEY, FOREIGN KEY, UNIQUE, CHECK) are not kept",
    "BizarroCharacterTest": "it reflects foreign keys: they are not kept",
    "test_long_convention_name[fk": "it reflects the name of a foreign key: they are not kept",
    "test_long_convention_name[ix": "it reflects the name of an index: GoogleSQL has none",
    "NormalizedNameTest": "it is about names that change their case",
    "NameDenormalizeTest": "it is about names that change their case",
    "test_round_trip_same_named_column[dot.s]": "a dot in a column's name divides names in GoogleSQL",
    "test_truediv_divisor[numeric_": "a NUMERIC of 38 digits is FLOAT64 once it is divided",
    "test_truediv_numeric[5.52": "a NUMERIC is FLOAT64 once it is divided",
    "test_string_length_reflection": "DuckDB keeps no length of strings",
    "test_reflect_table_temp_table": "DuckDB keeps no length of strings",
    "test_server_defaults[Integer": "DuckDB writes an expression in its own way: 3 + 5 with spaces and brackets",
    "test_server_defaults[DateTime": "DuckDB writes CURRENT_DATETIME in its own words",
    "test_index_typed_access[_decimal1]": "a number of JSON is FLOAT64 in GoogleSQL: 17 digits",
    "test_index_typed_comparison[_decimal1]": "a number of JSON is FLOAT64 in GoogleSQL: 17 digits",
    "test_path_typed_comparison[_decimal1]": "a number of JSON is FLOAT64 in GoogleSQL: 17 digits",
    "test_dialect_user_setting_is_restored": "it asks for a second isolation level besides AUTOCOMMIT",
    "test_get_columns[True-True": "it asks for views in a second schema that the suite does not make",
}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Skip what does not apply, with the reason."""
    for item in items:
        for part, reason in NOT_HERE.items():
            if part in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_sessionstart(session):
    """The suite's temporary tables and second schemas."""
    from sqlalchemy.testing import provision

    @provision.temp_table_keyword_args.for_db("sqlml")
    def _temporary(cfg, engine):
        return {"prefixes": ["TEMPORARY"]}

    @provision.post_configure_engine.for_db("sqlml")
    def _schemas(url, engine, follower_ident):
        with engine.begin() as connection:
            for schema in ("test_schema", "test_schema_2"):
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")

    @provision.set_default_schema_on_connection.for_db("sqlml")
    def _default_schema(cfg, dbapi_connection, schema_name):
        dbapi_connection.duckdb.execute(f"SET schema = '{schema_name}'")
