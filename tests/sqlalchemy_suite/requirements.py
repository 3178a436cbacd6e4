"""What GoogleSQL over DuckDB has not, so that the suite leaves that out; everything else is turned on."""

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

_KEYS = "keys and rules of a table (PRIMARY KEY, FOREIGN KEY, UNIQUE, CHECK) are not kept"
_INDEXES = "GoogleSQL has no indexes: tables are made without them"
_LASTROWID = "there are no row ids: keys come back by RETURNING"
_LIMIT = "GoogleSQL has LIMIT alone: no PERCENT and no WITH TIES"
_ORDER = "the test expects rows in an order that it does not ask for"

#: name of a requirement -> why it is not met.
ABSENT = {
    "primary_key_constraint_reflection": _KEYS,
    "foreign_key_constraint_reflection": _KEYS,
    "foreign_keys": _KEYS,
    "reflects_pk_names": _KEYS,
    "self_referential_foreign_keys": _KEYS,
    "cross_schema_fk_reflection": _KEYS,
    "foreign_key_constraint_option_reflection_ondelete": _KEYS,
    "foreign_key_constraint_option_reflection_onupdate": _KEYS,
    "fk_constraint_option_reflection_ondelete_noaction": _KEYS,
    "fk_constraint_option_reflection_ondelete_restrict": _KEYS,
    "fk_constraint_option_reflection_onupdate_restrict": _KEYS,
    "duplicate_key_raises_integrity_error": "keys are not enforced in GoogleSQL",
    "unique_constraint_reflection": _KEYS,
    "check_constraint_reflection": _KEYS,
    "inline_check_constraint_reflection": _KEYS,
    "index_reflection": _INDEXES,
    "index_ddl_if_exists": _INDEXES,
    "indexes_with_ascdesc": _INDEXES,
    "indexes_with_expressions": _INDEXES,
    "indexes_check_column_order": _INDEXES,
    "index_reflects_included_columns": _INDEXES,
    "reflect_indexes_with_ascdesc": _INDEXES,
    "temp_table_reflect_indexes": _INDEXES,
    "unique_index_reflect_as_unique_constraints": _INDEXES,
    "unique_constraints_reflect_as_index": _INDEXES,
    "savepoints": "DuckDB has no savepoints",
    "two_phase_transactions": "DuckDB has no two-phase commit",
    "computed_columns": "GoogleSQL has no computed columns",
    "identity_columns": "an identity is a sequence here, which the column has as its default",
    "materialized_views": "there are none on one machine",
    "materialized_views_reflect_pk": "there are none on one machine",
    "server_side_cursors": "every result is streamed: there is no second kind of cursor to ask for",
    "dbapi_lastrowid": _LASTROWID,
    "implements_get_lastrowid": _LASTROWID,
    "time_timezone": "TIME has no zone in GoogleSQL",
    "fetch_ties": _LIMIT,
    "fetch_percent": _LIMIT,
    "ctes_with_values": "GoogleSQL has no list of columns after the name of a CTE",
    "delete_from": "DELETE takes one table in GoogleSQL",
    "window_range": _ORDER,
    "window_range_numeric": _ORDER,
    "window_range_non_numeric": "RANGE takes numbers in GoogleSQL",
    "supports_distinct_on": "GoogleSQL has no DISTINCT ON",
    "reflect_tables_no_columns": "a table has at least one column",
    "json_deserializer_binary": "JSON comes as text, not as bytes",
    "denormalized_names": "names keep their case",
    "column_collation_reflection": "DuckDB keeps no collation of a column that GoogleSQL would name",
    "update_returning_dialect_not_supported": "UPDATE has RETURNING here",
}


class Requirements(SuiteRequirements):
    """The answers to SQLAlchemy's questions."""

    def get_isolation_levels(self, config):
        """SNAPSHOT is DuckDB's one level."""
        return {"default": "SNAPSHOT", "supported": ["SNAPSHOT", "AUTOCOMMIT"]}

    def get_order_by_collation(self, config):
        """A collation that both GoogleSQL and DuckDB have."""
        return "und:ci"


def _answer(rule: exclusions.compound) -> property:
    return property(lambda self: rule)


for _name in dir(SuiteRequirements):
    if isinstance(getattr(SuiteRequirements, _name), property):
        setattr(Requirements, _name, _answer(exclusions.open()))
for _name, _reason in ABSENT.items():
    if not hasattr(SuiteRequirements, _name):
        raise AttributeError(f"SQLAlchemy has no requirement {_name}.")
    setattr(Requirements, _name, _answer(exclusions.skip_if(lambda: True, _reason)))
