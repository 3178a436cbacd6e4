"""EXPORT DATA: a query written to a local file (the service writes to its storage)."""

from __future__ import annotations

from sqlglot import exp

from sqlml.errors import NotSupportedError, OptionError, did_you_mean
from sqlml.translate.build import string_of
from sqlml.translate.context import Context
from sqlml.translate.descriptions import value_of

_FORMATS = {"CSV": "CSV", "PARQUET": "PARQUET", "JSON": "JSON", "NEWLINE_DELIMITED_JSON": "JSON"}
_OPTIONS = ("uri", "format", "overwrite", "header", "field_delimiter", "compression")
_ONE_FILE = "000000000000"
"""What the service puts in the place of `*` in the name of the first file; there is only one here."""


def rewrite_export(node: exp.Expression, context: Context) -> exp.Expression:
    """EXPORT DATA OPTIONS (uri = ..., format = ...) AS query -> COPY."""
    given = _options(node, context)
    uri = string_of(given.get("uri"))
    if uri is None:
        raise OptionError("EXPORT DATA must have the option uri with a string.", span=context.span(node.this))
    if "://" in uri and not uri.startswith("file://"):
        raise NotSupportedError("the uri of EXPORT DATA must be a local path.", span=context.span(node.this))
    kind = (string_of(given.get("format")) or "CSV").upper()
    if kind not in _FORMATS:
        raise NotSupportedError(
            f"the format of EXPORT DATA must be CSV, JSON or PARQUET. Got {kind}.", span=context.span(node.this)
        )
    parameters = [_parameter("FORMAT", exp.var(_FORMATS[kind]))]
    if kind == "CSV":
        parameters.append(_parameter("HEADER", given.get("header") or exp.true()))
        if "field_delimiter" in given:
            parameters.append(_parameter("DELIMITER", given["field_delimiter"]))
    compression = string_of(given.get("compression"))
    if compression is not None and compression.upper() != "NONE":
        parameters.append(_parameter("COMPRESSION", exp.Literal.string(compression.lower())))
    path = uri.removeprefix("file://").replace("*", _ONE_FILE)
    query = node.this if isinstance(node.this, exp.Subquery) else exp.Subquery(this=node.this)
    return exp.Copy(this=query, kind=False, files=[exp.Literal.string(path)], params=parameters)


def _options(node: exp.Expression, context: Context) -> dict[str, exp.Expression]:
    found: dict[str, exp.Expression] = {}
    options = node.args.get("options")
    for item in options.expressions if options is not None else ():
        if isinstance(item, exp.FileFormatProperty):
            found["format"] = item.this
            continue
        name = item.this.name.lower() if isinstance(item, exp.Property) else ""
        if name not in _OPTIONS:
            raise OptionError(
                f"{name or 'this'} is not an option of EXPORT DATA that is known here.",
                span=context.span(item) or context.span(node),
                hint=did_you_mean(name, _OPTIONS),
            )
        found[name] = _settled(item.args["value"], context)
    return found


def _settled(value: exp.Expression, context: Context) -> exp.Expression:
    """A literal in the place of a parameter or script variable: the file must be known before rows are read."""
    known = value_of(value, context)
    if isinstance(known, bool):
        return exp.true() if known else exp.false()
    return exp.Literal.string(known) if isinstance(known, str) else value


def _parameter(name: str, value: exp.Expression) -> exp.Expression:
    return exp.CopyParameter(this=exp.var(name), expression=value)
