"""What GoogleSQL over DuckDB has, and what it has not, so that the suite leaves that out."""

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

#: name of a requirement -> why it is not met.
ABSENT = {
    "autoincrement_insert": "GoogleSQL generates no keys",
    "autoincrement_without_sequence": "GoogleSQL generates no keys",
    "empty_inserts": "GoogleSQL has no DEFAULT VALUES",
    "primary_key_constraint_reflection": "keys are not enforced in GoogleSQL and are not kept",
    "foreign_key_constraint_reflection": "keys are not enforced in GoogleSQL and are not kept",
    "foreign_keys": "keys are not enforced in GoogleSQL and are not kept",
    "unique_constraint_reflection": "GoogleSQL has no UNIQUE",
    "check_constraint_reflection": "GoogleSQL has no CHECK",
    "duplicate_key_raises_integrity_error": "keys are not enforced in GoogleSQL",
    "index_reflection": "GoogleSQL has no indexes",
    "index_ddl_if_exists": "GoogleSQL has no indexes",
    "temp_table_reflect_indexes": "GoogleSQL has no indexes",
    "comment_reflection": "comments are options of a table in GoogleSQL",
    "reflects_pk_names": "keys are not kept",
    "dbapi_lastrowid": "there are no row ids",
    "implements_get_lastrowid": "there are no row ids",
    "savepoints": "DuckDB has no savepoints",
    "two_phase_transactions": "DuckDB has no two-phase commit",
    "server_side_cursors": "results are streamed anyway",
    "time_timezone": "TIME has no zone in GoogleSQL",
    "unicode_ddl": "names of columns follow BigQuery's rules",
    "array_type": "SQLAlchemy's tests of arrays are PostgreSQL's",
    "precision_numerics_many_significant_digits": "NUMERIC has 9 decimals",
    "numeric_received_as_decimal_untyped": "a decimal literal is FLOAT64 in GoogleSQL",
    "get_isolation_level_values": "there is one isolation level",
    "isolation_level": "there is one isolation level",
    "mod_operator_as_percent_sign": "the modulus is a function, MOD",
    "order_by_collation": "collations are DuckDB's, not those of the tests",
    "views": "the suite makes its views over keys that reflection does not show",
}
PRESENT = (
    "insert_returning update_returning delete_returning"
    " schemas temp_table_reflection table_reflection view_column_reflection view_reflection schema_reflection ctes"
    " ctes_on_dml window_functions intersect except_ nullsordering tuple_in datetime_microseconds datetime_historic"
    " date_historic bound_limit_offset sql_expression_limit_offset uuid_data_type unicode_data"
    " parens_in_union_contained_select_w_limit_offset parens_in_union_contained_select_wo_limit_offset"
    " supports_is_distinct_from fetch_null_from_numeric empty_strings_varchar empty_strings_text text_type"
    " unbounded_varchar datetime_timezone update_from"
).split()


class Requirements(SuiteRequirements):
    """The answers to SQLAlchemy's questions."""


def _answer(rule: exclusions.compound) -> property:
    return property(lambda self: rule)


for _name, _reason in ABSENT.items():
    setattr(Requirements, _name, _answer(exclusions.skip_if(lambda: True, _reason)))
for _name in PRESENT:
    setattr(Requirements, _name, _answer(exclusions.open()))
