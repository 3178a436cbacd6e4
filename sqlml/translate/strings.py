"""STRING and BYTES functions, regular expressions, hashes."""

from __future__ import annotations

import re

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.translate.build import call, concat, error, integer_of, kind_of, literal, string_of, tag, template
from sqlml.translate.context import Call
from sqlml.translate.expressions import at_least
from sqlml.translate.printf import rewrite_format
from sqlml.translate.rules import Function
from sqlml.translate.types import convert

_DIGESTS = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256"}
_DIGEST = "sqlml_digest"


def _concat(c: Call) -> exp.Expression:
    """NULL in, NULL out (DuckDB's concat skips NULL)."""
    if len(c.args) == 1:
        return c.args[0]
    parts = [a if i or kind_of(a) in ("string", "bytes", None) else convert(a, "VARCHAR") for i, a in enumerate(c.args)]
    return tag(concat(parts), kind_of(c.args[0]) or "string")


def _substr(c: Call) -> exp.Expression:
    """Position 0 means 1; a negative position counts from the end and stops at the start."""
    c.need(2, 3)
    text, start = c.args[0], c.args[1]
    at = integer_of(start)
    if at is not None and at >= 0:
        first: exp.Expression = literal(max(at, 1))
    elif at is not None:
        first = template(f"greatest(length({{0}}) - {-at - 1}, 1)", text.copy())
    else:
        first = template(
            "CASE WHEN {0} > 0 THEN {0} WHEN {0} = 0 THEN 1 ELSE greatest(length({1}) + {0} + 1, 1) END",
            start,
            text.copy(),
        )
    if kind_of(text) == "bytes":
        return tag(call("array_slice", text, first, _slice_end(c, first)), "bytes")
    if len(c.args) == 2:
        return tag(call("substr", text, first), "string")
    count = integer_of(c.args[2])
    if count is not None and count < 0:
        return error(f"the length in {c.name} must not be negative. Got {count}.")
    return tag(call("substr", text, first, c.args[2]), "string")


def _slice_end(c: Call, first: exp.Expression) -> exp.Expression:
    if len(c.args) == 2:
        return template("octet_length({0})", c.args[0].copy())
    return template("{0} + {1} - 1", first.copy(), c.args[2])


def _digest(c: Call) -> exp.Expression:
    """BYTES of a hash; TO_HEX of it is DuckDB's own text form."""
    c.need(1)
    result = call("unhex", call(_DIGESTS[c.name], c.args[0]))
    result.meta[_DIGEST] = True
    return tag(result, "bytes")


def _to_hex(c: Call) -> exp.Expression:
    c.need(1)
    value = c.args[0]
    if value.meta.get(_DIGEST) and isinstance(value, exp.Anonymous):
        return tag(value.expressions[0], "string")
    return tag(template("lower(hex({0}))", value), "string")


def _split(c: Call) -> exp.Expression:
    c.need(1, 2)
    mark = c.args[1] if len(c.args) > 1 else literal(",")
    return tag(at_least(call("string_split", c.args[0], mark), 1), "array")


def capture_group(pattern: exp.Expression) -> int:
    """1 when a written-out pattern has a capturing group, else 0 (the whole match)."""
    text = string_of(pattern)
    if text is None:
        return 0
    bare = re.sub(r"\\Q.*?(\\E|$)", "", text, flags=re.S)
    bare = re.sub(r"\\.", "", bare, flags=re.S)
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "", bare)
    return 1 if re.search(r"\((?!\?)|\(\?P?<[A-Za-z]", bare) else 0


def _tail(c: Call, at: int) -> exp.Expression:
    """The text from position argument `at` on."""
    position = integer_of(c.args[at]) if len(c.args) > at else 1
    if position == 1:
        return c.args[0]
    return call("substr", c.args[0], c.args[at])


def _regexp_extract(c: Call) -> exp.Expression:
    """NULL when nothing matches (DuckDB gives '')."""
    c.need(2, 4)
    pattern, text = c.args[1], _tail(c, 2)
    group = capture_group(pattern)
    if len(c.args) == 4 and integer_of(c.args[3]) != 1:
        found = call("regexp_extract_all", text, pattern, group)
        return tag(call("list_extract", found, c.args[3]), "string")
    return tag(
        template(
            f"CASE WHEN regexp_matches({{0}}, {{1}}) THEN regexp_extract({{0}}, {{1}}, {group}) END",
            text,
            pattern,
        ),
        "string",
    )


def _regexp_extract_all(c: Call) -> exp.Expression:
    c.need(2)
    return tag(call("regexp_extract_all", c.args[0], c.args[1], capture_group(c.args[1])), "array")


def _regexp_instr(c: Call) -> exp.Expression:
    """Position of the first match at or after `position` (0 when there is none), or of its end."""
    c.need(2, 5)
    if len(c.args) > 3 and integer_of(c.args[3]) != 1:
        raise _unsupported(c, "an occurrence other than 1")
    after = len(c.args) > 4 and integer_of(c.args[4]) == 1
    shift = literal(0) if len(c.args) < 3 else template("{0} - 1", c.args[2])
    end = " + length(regexp_extract({0}, {1}))" if after else ""
    return template(
        "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL WHEN NOT regexp_matches({0}, {1}) THEN 0"
        f" ELSE length(string_split_regex({{0}}, {{1}})[1]) + 1{end} + {{2}} END",
        _tail(c, 2),
        c.args[1],
        shift,
    )


def _unsupported(c: Call, what: str) -> NotSupportedError:
    return NotSupportedError(f"{c.name} with {what} is not available.", span=c.span)


def _regexp_replace(c: Call) -> exp.Expression:
    c.need(3)
    return tag(call("regexp_replace", c.args[0], c.args[1], c.args[2], "g"), "string")


def _instr(c: Call) -> exp.Expression:
    """INSTR(value, part[, position[, occurrence]]); occurrences may overlap; < 0 searches back."""
    c.need(2, 4)
    if len(c.args) == 2:
        return call("strpos", *c.args)
    position, nth = c.args[2], c.args[3] if len(c.args) == 4 else literal(1)
    at, n = integer_of(position), integer_of(nth)
    if at is not None and at > 0 and n == 1:
        return template(
            f"CASE WHEN strpos(substr({{0}}, {at}), {{1}}) = 0 THEN 0"
            f" ELSE strpos(substr({{0}}, {at}), {{1}}) + {at - 1} END",
            *c.args[:2],
        )
    hits = template(
        "list_filter(range(1, length({0}) + 1), lambda p: substr({0}, p, length({1})) = {1} AND"
        " CASE WHEN {2} > 0 THEN p >= {2} ELSE p <= length({0}) + {2} + 1 END)",
        c.args[0], c.args[1], position.copy(),
    )  # fmt: skip
    ordered = template("CASE WHEN {1} > 0 THEN {0} ELSE list_reverse({0}) END", hits, position)
    return template(
        "CASE WHEN {2} IS NULL OR {3} IS NULL THEN NULL ELSE coalesce(list_extract({0}, {1}), 0) END",
        ordered, nth, c.args[0].copy(), c.args[1].copy(),
    )  # fmt: skip


def _pad(c: Call) -> exp.Expression:
    c.need(2, 3)
    fill = c.args[2] if len(c.args) == 3 else literal(" ")
    return tag(call(c.name.lower(), c.args[0], template("CAST({0} AS INTEGER)", c.args[1]), fill), "string")


def _normalize(c: Call) -> exp.Expression:
    c.need(1, 2)
    form = c.args[1].name.upper() if len(c.args) == 2 else "NFC"
    if form != "NFC":
        raise _unsupported(c, form)
    text = call("nfc_normalize", c.args[0])
    return tag(call("lower", text) if c.name.endswith("CASEFOLD") else text, "string")


def _byte_length(c: Call) -> exp.Expression:
    c.need(1)
    if kind_of(c.args[0]) == "bytes":
        return call("octet_length", c.args[0])
    return template(
        "CASE WHEN typeof({0}) = 'BLOB' THEN octet_length(TRY_CAST({0} AS BLOB)) ELSE strlen(CAST({0} AS VARCHAR)) END",
        c.args[0],
    )


def _length(c: Call) -> exp.Expression:
    c.need(1)
    if kind_of(c.args[0]) == "bytes":
        return call("octet_length", c.args[0])
    if kind_of(c.args[0]) == "string":
        return call("length", c.args[0])
    return template(
        "CASE WHEN typeof({0}) = 'BLOB' THEN octet_length(TRY_CAST({0} AS BLOB)) ELSE length(CAST({0} AS VARCHAR)) END",
        c.args[0],
    )


def _contains(c: Call) -> exp.Expression:
    c.need(2, 3)
    return template("contains(lower(CAST({0} AS VARCHAR)), lower({1}))", *c.args[:2])


def _initcap(c: Call) -> exp.Expression:
    """Upper-case after every delimiter, lower-case elsewhere."""
    c.need(1, 2)
    marks = '[][(){}/|<>!?@"^#$&~_,.:;*%+\\s-]'
    if len(c.args) == 2:
        given = c.text(1, "delimiters")
        marks = "[" + re.sub(r"([\\\]\[^-])", r"\\\1", given) + "]"
    quoted = marks.replace("'", "''")
    return tag(
        template(
            "array_to_string(list_transform(range(1, length({0}) + 1), lambda p: CASE WHEN p = 1 OR"
            f" regexp_matches(substr({{0}}, p - 1, 1), '{quoted}') THEN upper(substr({{0}}, p, 1))"
            " ELSE lower(substr({0}, p, 1)) END), '')",
            c.args[0],
        ),
        "string",
    )


def _farm_fingerprint(c: Call) -> exp.Expression:
    c.need(1)
    ending = "_bytes" if kind_of(c.args[0]) == "bytes" else ""
    return call(f"sqlml_farm_fingerprint{ending}", c.args[0])


def _edit_distance(c: Call) -> exp.Expression:
    c.need(2, 3)
    found = call("levenshtein", *c.args[:2])
    if len(c.args) == 2:
        return found
    most = c.args[2].expression if isinstance(c.args[2], exp.Kwarg) else c.args[2]
    return template("CASE WHEN {0} > {1} THEN {1} ELSE {0} END", found, most)


def _string(c: Call) -> exp.Expression:
    """STRING(timestamp[, zone]), STRING(date), STRING(json)."""
    c.need(1, 2)
    value = c.args[0]
    if len(c.args) == 2:
        from sqlml.translate.formats import timestamp_text

        return tag(timestamp_text(value, c.args[1]), "string")
    if kind_of(value) == "json":
        return tag(template("{0} ->> '$'", value), "string")
    return convert(value, "VARCHAR")


FUNCTIONS: dict[str, Function] = {
    "CONCAT": _concat,
    "SUBSTR": _substr,
    "SUBSTRING": _substr,
    "LEFT": "left",
    "RIGHT": "right",
    "LOWER": "lower",
    "UPPER": "upper",
    "LENGTH": _length,
    "CHAR_LENGTH": _length,
    "CHARACTER_LENGTH": _length,
    "BYTE_LENGTH": _byte_length,
    "OCTET_LENGTH": _byte_length,
    "TRIM": "trim",
    "LTRIM": "ltrim",
    "RTRIM": "rtrim",
    "LPAD": _pad,
    "RPAD": _pad,
    "REPEAT": "repeat",
    "REPLACE": "replace",
    "REVERSE": "reverse",
    "INITCAP": _initcap,
    "TRANSLATE": "translate",
    "STARTS_WITH": "starts_with",
    "ENDS_WITH": "ends_with",
    "CONTAINS_SUBSTR": _contains,
    "STRPOS": "strpos",
    "INSTR": _instr,
    "SPLIT": _split,
    "EDIT_DISTANCE": _edit_distance,
    "ASCII": "ascii",
    "UNICODE": "CASE WHEN {0} = '' THEN 0 ELSE unicode({0}) END",
    "CHR": "chr(CAST({0} AS INTEGER))",
    "TO_CODE_POINTS": "list_transform(string_split({0}, ''), lambda ch: CAST(unicode(ch) AS BIGINT))",
    "CODE_POINTS_TO_STRING": "array_to_string(list_transform({0}, lambda p: chr(CAST(p AS INTEGER))), '')",
    "CODE_POINTS_TO_BYTES": "unhex(array_to_string(list_transform({0}, lambda p: printf('%02x', p)), ''))",
    "REGEXP_CONTAINS": "regexp_matches({0}, {1})",
    "REGEXP_EXTRACT": _regexp_extract,
    "REGEXP_SUBSTR": _regexp_extract,
    "REGEXP_EXTRACT_ALL": _regexp_extract_all,
    "REGEXP_REPLACE": _regexp_replace,
    "REGEXP_INSTR": _regexp_instr,
    "NORMALIZE": _normalize,
    "NORMALIZE_AND_CASEFOLD": _normalize,
    "FORMAT": rewrite_format,
    "MD5": _digest,
    "SHA1": _digest,
    "SHA256": _digest,
    "TO_HEX": _to_hex,
    "FROM_HEX": "unhex(CASE WHEN length({0}) % 2 = 1 THEN '0' || {0} ELSE {0} END)",
    "TO_BASE64": "base64({0})",
    "FROM_BASE64": "from_base64({0})",
    "SAFE_CONVERT_BYTES_TO_STRING": "TRY(decode({0}))",
    "FARM_FINGERPRINT": _farm_fingerprint,
    "GENERATE_UUID": "CAST(uuid() AS VARCHAR)",
    "STRING": _string,
}
TEXT_ONLY = frozenset("LEFT RIGHT LPAD RPAD REVERSE TRIM LTRIM RTRIM REPLACE REPEAT SPLIT TO_CODE_POINTS".split())
"""Functions that DuckDB has for STRING and not for BYTES."""
KINDS: dict[str, str] = {
    **dict.fromkeys(
        "LOWER UPPER TRIM LTRIM RTRIM LEFT RIGHT REPEAT REPLACE REVERSE TRANSLATE CHR"
        " CODE_POINTS_TO_STRING FORMAT TO_HEX TO_BASE64 SAFE_CONVERT_BYTES_TO_STRING GENERATE_UUID".split(),
        "string",
    ),
    **dict.fromkeys("FROM_HEX FROM_BASE64 CODE_POINTS_TO_BYTES".split(), "bytes"),
    **dict.fromkeys(
        "LENGTH CHAR_LENGTH CHARACTER_LENGTH BYTE_LENGTH OCTET_LENGTH STRPOS INSTR FARM_FINGERPRINT".split(),
        "int",
    ),
    **dict.fromkeys("STARTS_WITH ENDS_WITH CONTAINS_SUBSTR REGEXP_CONTAINS".split(), "bool"),
}
