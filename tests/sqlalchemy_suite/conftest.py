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
    "ComponentReflectionTest": "its tables have indexes, keys and comments",
    "NormalizedNameTest": "its tables have foreign keys without types",
    "QuotedNameArgumentTest": "its tables have indexes",
    "BizarroCharacterTest": "it reflects foreign keys",
    "CompositeKeyReflectionTest": "it reflects keys",
    "ReflectionWithKeysTest": "it reflects keys",
    "InsertBehaviorTest": "its table needs generated keys",
    "test_long_convention_name": "it names indexes",
    "test_round_trip_same_named_column": "a dot in a column's name divides names in GoogleSQL",
    "test_truediv": "numbers without a type are FLOAT64 in GoogleSQL",
    "test_string_length_reflection": "DuckDB keeps no length of strings",
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
