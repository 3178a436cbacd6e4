"""GoogleSQL's types and casts in DuckDB.

A cast whose meaning depends on a type that is only known to the binder is written as a CASE over
`typeof(x)`, which DuckDB folds away when it plans the query.
"""

from __future__ import annotations

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.translate.build import attempt, cast, duck_type, kind_of, string_of, tag, template
from sqlml.translate.context import Context
from sqlml.translate.zones import timestamp_literal

_D = exp.DType
NAMES: dict[exp.DType, str] = {
    **dict.fromkeys((_D.TINYINT, _D.SMALLINT, _D.INT, _D.BIGINT), "BIGINT"),
    **dict.fromkeys((_D.FLOAT, _D.DOUBLE), "DOUBLE"),
    **dict.fromkeys((_D.DECIMAL, _D.BIGDECIMAL), "DECIMAL(38, 9)"),
    **dict.fromkeys((_D.TEXT, _D.VARCHAR, _D.CHAR, _D.NAME), "VARCHAR"),
    **dict.fromkeys((_D.BINARY, _D.VARBINARY), "BLOB"),
    **dict.fromkeys((_D.TIMESTAMPTZ, _D.TIMESTAMPLTZ), "TIMESTAMPTZ"),
    **dict.fromkeys((_D.TIMESTAMP, _D.DATETIME), "TIMESTAMP"),
    _D.BOOLEAN: "BOOLEAN",
    _D.DATE: "DATE",
    _D.TIME: "TIME",
    _D.JSON: "JSON",
    _D.INTERVAL: "INTERVAL",
    _D.GEOGRAPHY: "VARCHAR",  # well-known text
}
KINDS = {
    "BIGINT": "int",
    "DOUBLE": "float",
    "VARCHAR": "string",
    "BLOB": "bytes",
    "TIMESTAMPTZ": "timestamp",
    "TIMESTAMP": "datetime",
    "BOOLEAN": "bool",
    "DATE": "date",
    "TIME": "time",
    "JSON": "json",
}

_TO_INTEGER = (
    "CASE WHEN typeof({0}) IN ('DOUBLE', 'FLOAT') THEN CAST(round(TRY_CAST({0} AS DOUBLE)) AS BIGINT)"
    " ELSE CAST({0} AS BIGINT) END"
)
_TO_TEXT = (
    "CASE WHEN typeof({0}) = 'DOUBLE' THEN regexp_replace(CAST({0} AS VARCHAR), '\\.0$', '')"
    " WHEN typeof({0}) = 'BLOB' THEN decode(TRY_CAST({0} AS BLOB)) ELSE CAST({0} AS VARCHAR) END"
)
_TO_BYTES = "CASE WHEN typeof({0}) = 'VARCHAR' THEN encode(CAST({0} AS VARCHAR)) ELSE TRY_CAST({0} AS BLOB) END"
_INTEGER_TEXT = r"^\s*[+-]?(\d+|0[xX][0-9a-fA-F]+)\s*$"


def type_name(node: exp.Expression, context: Context) -> str:
    """The DuckDB name of a GoogleSQL type."""
    kind = node.this
    if isinstance(node, exp.DataType) and kind is _D.USERDEFINED and isinstance(node.args.get("kind"), str):
        return str(node.args["kind"])  # rewritten before, as a field of a STRUCT
    if not isinstance(node, exp.DataType) or not isinstance(kind, exp.DType):
        raise NotSupportedError(f"{node.sql('bigquery')} must be a type that is known here.", span=context.span(node))
    if kind is _D.ARRAY:
        return type_name(node.expressions[0], context) + "[]"
    if kind is _D.STRUCT:
        fields = []
        for at, part in enumerate(node.expressions, 1):
            if isinstance(part, exp.ColumnDef):
                name, inner = part.name, part.args["kind"]
            else:
                name, inner = f"_field_{at}", part
            quoted = '"' + name.replace('"', '""') + '"'
            fields.append(f"{quoted} {type_name(inner, context)}")
        return f"STRUCT({', '.join(fields)})"
    if kind in (_D.DECIMAL, _D.BIGDECIMAL) and node.expressions:
        sizes = [int(p.this.name) for p in node.expressions]
        precision, scale = sizes[0], sizes[1] if len(sizes) > 1 else 0
        return f"DECIMAL({min(precision, 38)}, {min(scale, 38)})"
    if kind not in NAMES:
        raise NotSupportedError(f"the type {node.sql('bigquery')} is not available.", span=context.span(node))
    return NAMES[kind]


def rewrite_cast(node: exp.Expression, context: Context) -> exp.Expression:
    """CAST and SAFE_CAST with GoogleSQL's rounding and text forms."""
    safe = isinstance(node, exp.TryCast) or bool(node.args.get("safe"))
    if node.args.get("format"):
        from sqlml.translate.formats import cast_with_format

        result = cast_with_format(node.this, node.args["to"], node.args["format"], context)
        return attempt(result) if safe else result
    return convert(node.this, type_name(node.args["to"], context), safe=safe)


def convert(value: exp.Expression, name: str, *, safe: bool = False) -> exp.Expression:
    """`value` cast to a DuckDB type as GoogleSQL would."""
    kind = kind_of(value)
    result: exp.Expression
    if name == "BIGINT":
        result = _to_integer(value, kind)
    elif name == "VARCHAR":
        result = to_text(value)
    elif name == "BLOB":
        if kind == "string":
            result = template("encode({0})", value)
        else:
            result = value if kind == "bytes" else template(_TO_BYTES, value)
    elif name == "TIMESTAMPTZ" and string_of(value) is not None:
        result = timestamp_literal(string_of(value) or "")
    elif name.startswith("STRUCT("):
        result = cast(positional(value, nested=name.endswith("[]")), name)
    elif name.startswith("DECIMAL") and kind == "float" and isinstance(value, exp.Literal):
        result = cast(exp.Literal.number(value.this.removesuffix("e0")), name)
    else:
        result = cast(value, name)
    if safe and isinstance(result, exp.Cast):
        result = exp.TryCast(this=result.this, to=result.args["to"])
    elif safe:
        result = attempt(result)
    return tag(result, "array" if name.endswith("[]") else KINDS.get(name, name))


def _to_integer(value: exp.Expression, kind: str | None) -> exp.Expression:
    if kind in ("int", "bool"):
        return cast(value, "BIGINT")
    if kind == "float":
        return template("CAST(round({0}) AS BIGINT)", value)
    if kind == "string":
        return template(
            f"CASE WHEN {{0}} IS NULL OR regexp_matches({{0}}, '{_INTEGER_TEXT}') THEN CAST({{0}} AS BIGINT)"
            " ELSE CAST('not a whole number: ' || {0} AS BIGINT) END",
            value,
        )
    return template(_TO_INTEGER, value)


def to_text(value: exp.Expression) -> exp.Expression:
    """`value` as GoogleSQL's CAST(... AS STRING) writes it."""
    kind = kind_of(value)
    if kind == "string":
        return tag(cast(value, "VARCHAR") if not isinstance(value, exp.Literal) else value, "string")
    if kind == "float":
        return tag(template("regexp_replace(CAST({0} AS VARCHAR), '\\.0$', '')", value), "string")
    if kind == "bytes":
        return tag(template("decode({0})", value), "string")
    if kind is not None:
        return tag(cast(value, "VARCHAR"), "string")
    return tag(template(_TO_TEXT, value), "string")


def positional(value: exp.Expression, *, nested: bool = False) -> exp.Expression:
    """STRUCT(...) as row(...), so that a cast to a named struct goes by position."""
    if isinstance(value, exp.Paren):
        return positional(value.this, nested=nested)
    if nested and isinstance(value, exp.Array):
        return exp.Array(expressions=[positional(item) for item in value.expressions])
    if isinstance(value, exp.Tuple):
        return exp.Anonymous(this="row", expressions=value.expressions)
    if isinstance(value, exp.Struct):
        return exp.Anonymous(
            this="row",
            expressions=[e.expression if isinstance(e, exp.PropertyEQ) else e for e in value.expressions],
        )
    return value


def rewrite_type_definition(node: exp.Expression, context: Context) -> exp.Expression:
    """The type of a column definition."""
    kind = node.args.get("kind")
    if isinstance(kind, exp.DataType) and kind.this is not _D.USERDEFINED:
        node.set("kind", duck_type(type_name(kind, context)))
    return node
