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
    "array_type": "SQLAlchemy's tests of arrays are PostgreSQL's",
    "precision_numerics_many_significant_digits": "NUMERIC has 9 decimals",
    "numeric_received_as_decimal_untyped": "a decimal literal is FLOAT64 in GoogleSQL",
    "get_isolation_level_values": "there is one isolation level",
    "isolation_level": "there is one isolation level",
    "mod_operator_as_percent_sign": "the modulus is a function, MOD",
    "ctes_with_values": "GoogleSQL has no VALUES as a table",
    "window_range": "the test expects rows in an order that it does not ask for",
    "window_range_numeric": "the test expects rows in an order that it does not ask for",
    "window_range_non_numeric": "RANGE takes numbers in GoogleSQL",
    "fetch_first": "GoogleSQL has LIMIT alone",
    "fetch_ties": "GoogleSQL has LIMIT alone",
    "fetch_percent": "GoogleSQL has LIMIT alone",
    "identity_columns": "GoogleSQL generates no keys",
    "computed_columns": "GoogleSQL has no computed columns",
    "materialized_views": "there are none on one machine",
    "json_type": "the test's table needs generated keys, and column['key'] is not rendered (JSON_VALUE is the way)",
    "ctes_with_update_delete": "GoogleSQL has no WITH before UPDATE and DELETE",
    "datetime_interval": "an interval may have months, which Python's timedelta has not",
}
PRESENT = (
    "insert_returning update_returning delete_returning"
    " schemas temp_table_reflection table_reflection view_column_reflection view_reflection schema_reflection ctes"
    " ctes_on_dml window_functions intersect except_ nullsordering tuple_in datetime_microseconds datetime_historic"
    " date_historic bound_limit_offset sql_expression_limit_offset uuid_data_type unicode_data"
    " parens_in_union_contained_select_w_limit_offset parens_in_union_contained_select_wo_limit_offset"
    " supports_is_distinct_from fetch_null_from_numeric empty_strings_varchar empty_strings_text text_type"
    " unbounded_varchar datetime_timezone update_from views create_or_replace_view create_table_as create_temp_table_as"
    " temporary_views has_temp_table temp_table_names expression_server_defaults server_defaults schema_create_delete"
    " table_ddl_if_exists regexp_match regexp_replace infinity_floats percent_schema_names order_by_collation"
    " float_or_double_precision_behaves_generically precision_numerics_retains_significant_digits unicode_ddl"
    " supports_bitwise_and supports_bitwise_not supports_bitwise_or supports_bitwise_shift supports_bitwise_xor"
    " table_value_constructor timestamp_microseconds implicit_decimal_binds time_microseconds"
).split()


class Requirements(SuiteRequirements):
    """The answers to SQLAlchemy's questions."""


def _answer(rule: exclusions.compound) -> property:
    return property(lambda self: rule)


for _name, _reason in ABSENT.items():
    setattr(Requirements, _name, _answer(exclusions.skip_if(lambda: True, _reason)))
for _name in PRESENT:
    setattr(Requirements, _name, _answer(exclusions.open()))
