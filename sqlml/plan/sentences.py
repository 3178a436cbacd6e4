"""What DuckDB says about a query, in the words of GoogleSQL.

`reworded(message)` gives the sentence, the word of the user's text that it is about, and a hint. Names of
DuckDB's functions and types never reach the user: a function is called as the user wrote it, a type by
its GoogleSQL name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from sqlml.errors import did_you_mean
from sqlml.schema import parse_type
from sqlml.translate.functions import FUNCTIONS

_OPERATORS = {
    "+": "+",
    "-": "-",
    "*": "*",
    "/": "/",
    "//": "DIV",
    "%": "MOD",
    "||": "||",
    "~~": "LIKE",
    "!~~": "NOT LIKE",
}
#: Inside rules that are Python functions; the other ones are read from the table of functions.
_WRITTEN = {
    "datediff": ("DATE_DIFF", "DATETIME_DIFF", "TIMESTAMP_DIFF", "TIME_DIFF"),
    "epoch_us": ("TIMESTAMP_DIFF", "DATETIME_DIFF", "TIME_DIFF", "UNIX_MICROS"),
    "date_trunc": ("DATE_TRUNC", "DATETIME_TRUNC", "TIMESTAMP_TRUNC"),
    "date_part": ("EXTRACT",),
    "sqlml_farm_fingerprint": ("FARM_FINGERPRINT",),
    "regexp_matches": ("REGEXP_CONTAINS", "LIKE"),
    "generate_series": ("GENERATE_ARRAY", "GENERATE_DATE_ARRAY", "GENERATE_TIMESTAMP_ARRAY"),
    "/": ("SAFE_DIVIDE", "IEEE_DIVIDE", "/"),
    "//": ("DIV",),
    "%": ("MOD",),
    "list_contains": ("IN",),
    "stddev": ("STDDEV", "STDDEV_SAMP"),
    "quantile_disc": ("APPROX_QUANTILES",),
}
_PART_FIRST = ("datediff", "date_trunc", "date_part", "date_add", "time_bucket")
_ANALYTIC = (
    "ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE", "LAG", "LEAD", "FIRST_VALUE",
    "LAST_VALUE", "NTH_VALUE",
)  # fmt: skip
#: Names of types that stand in messages only.
_LITERALS = {
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT128"), "INT64"),
    "INTEGER_LITERAL": "INT64",
    "STRING_LITERAL": "STRING",
    "DECIMAL_LITERAL": "FLOAT64",
    '"NULL"': "NULL",
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """What to say: `words` are searched in the user's text in this order, to place the caret.

    `keeps`: the error stays of the class that it had; others are a ProgrammingError.
    """

    text: str
    words: tuple[str, ...] = ()
    hint: str | None = None
    keeps: bool = False


def google_type(text: str) -> str:
    """The GoogleSQL name of a DuckDB type in a message."""
    text = text.strip().strip("'")
    return _LITERALS.get(text) or parse_type(text).google


@functools.cache
def _google_names() -> dict[str, tuple[str, ...]]:
    """DuckDB's function -> the GoogleSQL functions that are written with it."""
    found: dict[str, list[str]] = {}
    for name, rule in FUNCTIONS.items():
        if isinstance(rule, str):
            inner = re.findall(r"\b([a-z_]\w*)\(", rule) if "(" in rule else [rule]
            for word in dict.fromkeys(inner):
                found.setdefault(word.lower(), []).append(name)
    return {**{k: tuple(v) for k, v in found.items()}, **_WRITTEN}


def _no_match(match: re.Match[str], text: str) -> Sentence:
    """No function of that name takes these types."""
    name, types = match[1].strip('"'), [google_type(t) for t in _split(match[2])]
    if name.lower() in _PART_FIRST:
        types = types[1:]
    got = ", ".join(types) or "no argument"
    names = (name.upper(), *_google_names().get(name.lower(), ()))
    written = next((n for n in names if re.search(rf"(?<![\w.]){re.escape(n)}\s*\(", text, re.I)), None)
    if written is not None:
        return Sentence(f"{written} does not take {got}.", (written,), "cast the argument with CAST(x AS type).")
    if name in _OPERATORS or not name.isidentifier():
        sign = _OPERATORS.get(name, name)
        return Sentence(f"the operator {sign} does not take {got}.", (), "cast one side with CAST(x AS type).")
    return Sentence(f"a function here does not take {got}.", (), "cast the argument with CAST(x AS type).")


def _split(text: str) -> list[str]:
    """The types of an argument list: split at commas outside brackets."""
    parts, depth, start = [], 0, 0
    for at, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    last = text[start:].strip()
    return [p.strip() for p in (*parts, last) if p.strip()]


def _missing_column(match: re.Match[str], text: str) -> Sentence:
    name = next(g for g in match.groups()[:-1] if g)
    known = [k.rsplit(".", 1)[-1] for k in re.findall(r'"([^"]+)"', match[match.re.groups] or "")]
    return Sentence(f"the column {name} does not exist.", (name,), did_you_mean(name, known) or _columns(known))


def _columns(known: list[str]) -> str | None:
    return f"the nearest names are {', '.join(dict.fromkeys(known))}." if known else None


def _field(match: re.Match[str], text: str) -> Sentence:
    known = re.findall(r'"([^"]+)"', match[2])
    hint = did_you_mean(match[1], known) or (f"the fields are {', '.join(known)}." if known else None)
    return Sentence(f"the field {match[1]} does not exist.", (match[1],), hint)


def _ambiguous(match: re.Match[str], text: str) -> Sentence:
    choices = " or ".join(re.findall(r"'([^']+)'", match[2])) or "it with the name of its table"
    return Sentence(f"the column {match[1]} is in more than one table.", (match[1],), f"write {choices}.")


def _twice(match: re.Match[str], text: str) -> Sentence:
    name = match[1].rsplit(".", 1)[-1]
    hint = f"give each its own alias, such as {name} AS a."
    return Sentence(f"the table {name} is named more than once in FROM.", (name,), hint)


def _exists(match: re.Match[str], text: str) -> Sentence:
    kind = match[1].lower() if match[1].lower() in ("table", "view") else "dataset"
    word = {"dataset": "SCHEMA"}.get(kind, kind.upper())
    name = match[2]
    hint = f"write CREATE {word} IF NOT EXISTS" + ("." if kind == "dataset" else f", or CREATE OR REPLACE {word}.")
    return Sentence(f"the {kind} {name} already exists.", (name,), hint)


def _not_grouped(match: re.Match[str], text: str) -> Sentence:
    name = match[1]
    hint = f"add {name} to GROUP BY, or write ANY_VALUE({name})."
    return Sentence(f"the column {name} must be in GROUP BY or inside an aggregate function.", (name,), hint)


def _conversion(match: re.Match[str], text: str) -> Sentence:
    value, kind, column = match[1], google_type(match[2]), match[3]
    source = f" of the column {column}" if column else ""
    words = tuple(w for w in (f"'{value}'", f'"{value}"', column) if w)
    return Sentence(f"Could not convert the string {value!r}{source} to {kind}.", words, keeps=True)


def _uncastable(match: re.Match[str], text: str) -> Sentence:
    value = match[2]
    sentence = f"{value} must not stand here: its type is {google_type(match[1])}"
    wanted = f", where {google_type(match[3])} is wanted." if match[3] != "TUPLE" else "."
    return Sentence(sentence + wanted, (value,), keeps=True)


def _too_large(match: re.Match[str], text: str) -> Sentence:
    kind = google_type(match[2])
    return Sentence(f"the value {match[1]} is out of range for {kind}.", (match[1],), keeps=True)


def _no_over(match: re.Match[str], text: str) -> Sentence:
    """An analytic function without OVER, or where none can stand."""
    found = re.search(rf"\b({'|'.join(_ANALYTIC)})\s*\([^()]*\)(?!\s*(?:OVER|RESPECT|IGNORE)\b)", text, re.I)
    if found is None:
        return Sentence("an analytic function must not stand here.")
    name = found[1].upper()
    return Sentence(f"{name} must have an OVER clause.", (name,), f"write {name}(...) OVER (ORDER BY ...)")


def _types(words: str) -> Callable[[re.Match[str], str], Sentence]:
    """A sentence with two types in it."""

    def build(match: re.Match[str], text: str) -> Sentence:
        kinds = [google_type(g) for g in match.groups()[-2:]]
        hint = "cast one side with CAST(x AS type)."
        operator = match[1] if match.re.groups > 2 else ""
        return Sentence(words.format(*kinds, operator=operator), (operator,) if operator else (), hint)

    return build


def _fixed(sentence: str, word: str = "", hint: str | None = None) -> Callable[[re.Match[str], str], Sentence]:
    """A sentence over the groups of the match."""

    def build(match: re.Match[str], text: str) -> Sentence:
        return Sentence(sentence.format(*match.groups()), (word.format(*match.groups()),) if word else (), hint)

    return build


_T = r"(\w[\w ]*(?:\([^()]*\))?(?:\[\d*\])*)"
_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], Sentence]], ...] = tuple(
    (re.compile(pattern, re.S), build)
    for pattern, build in (
        (r"No function matches the given name and argument types '(.+?)\((.*?)\)'\.", _no_match),
        (r"Could not choose a best candidate function for the function call \"(.+?)\((.*?)\)\"\.", _no_match),
        (
            r'(?:Column "([^"]+)" in (?:EXCLUDE|REPLACE) list not found|have a column (?:with name|named) "([^"]+)"'
            r"|Referenced update column (\S+) not found"
            r"|Column \"([^\"]+)\" does not exist on (?:left|right) side of join"
            r"|Column with name (\S+) does not exist)(.*)",
            _missing_column,
        ),
        (r'Ambiguous reference to column name "([^"]+)" \(use: (.*)\)', _ambiguous),
        (r'Ambiguous reference to table "([^"]+)"', _twice),
        (r'(Table|View|Schema) with name "?([^"\s]+)"? already exists', _exists),
        (r'column "([^"]+)" must appear in the GROUP BY clause', _not_grouped),
        (r'Could not find key "([^"]+)" in struct(.*)', _field),
        (
            r"Cannot extract field '([^']+)' from expression \"([^\"]+)\"",
            _fixed("{1} must be a STRUCT to have the field {0}.", "{0}"),
        ),
        (
            rf"UNNEST\(\) can only be applied to lists, structs and NULL, not {_T}",
            lambda m, _: Sentence(f"UNNEST must be given an ARRAY. Got {google_type(m[1])}.", ("UNNEST",)),
        ),
        (
            r"(WHERE|GROUP BY) clause cannot contain aggregates",
            _fixed("{0} must not hold an aggregate function.", "{0}", "filter groups with HAVING."),
        ),
        (
            r"(WHERE|GROUP BY|HAVING) clause cannot contain window functions",
            _fixed("{0} must not hold an analytic function.", "{0}", "filter its values with QUALIFY."),
        ),
        (r"aggregate function calls cannot be nested", _fixed("an aggregate function must not hold another one.")),
        (
            r"Set operations can only apply to expressions with the same number of result columns",
            _fixed("both sides of UNION, INTERSECT or EXCEPT must have the same number of columns.", "UNION"),
        ),
        (rf"Cannot compare values of type {_T} and type {_T} -", _types("{0} and {1} must not be compared.")),
        (rf"Cannot compare values of type {_T} and {_T} in", _types("{0} and {1} must not be compared.")),
        (
            rf"Cannot mix values of type {_T} and {_T} in (\w+)",
            lambda m, _: Sentence(
                f"the values of {m[3]} must have one type. Got {google_type(m[1])} and {google_type(m[2])}.",
                (m[3],),
                "cast one of them with CAST(x AS type).",
            ),
        ),
        (
            rf"Cannot deduce template type .*? - '{_T}', from first occurrence - '{_T}'",
            _types("{0} and {1} must not be compared."),
        ),
        (r"Type with name \"?([^\s\"]+)\"? does not exist", _fixed("{0} is not a type that is known here.", "{0}")),
        (
            r"table \"([^\"]+)\" has (\d+) columns but (\d+) values were supplied",
            _fixed("the table {0} has {1} columns. Got {2} values.", "{0}"),
        ),
        (
            r"Subquery returns (\d+) columns - expected 1",
            _fixed("a subquery used as a value must have one column. Got {0}."),
        ),
        (
            r"^Could not convert string ['\"](.*)['\"] to ([\w() ,]+?)(?: when casting from source column (\S+?))?\.$",
            _conversion,
        ),
        (r"^Type (.+?) with value (.*) can't be cast to the destination type (.+?)\.?$", _uncastable),
        (
            r"with value (\S+) can't be cast because the value is out of range for the destination type (\w+)",
            _too_large,
        ),
        (
            rf"Cannot concatenate lists of types {_T} and {_T} -",
            _types("{0} and {1} must not be joined to one array."),
        ),
        (r"Window functions are not supported here", _no_over),
        (
            r"ORDER term out of range - should be between 1 and (\d+)",
            _fixed("a number in ORDER BY must be that of a column, from 1 to {0}.", "ORDER BY"),
        ),
        (r"the blob contained invalid UTF8 characters", _fixed("the BYTES must be UTF-8 to become a STRING.", "CAST")),
        (
            r"QUANTILE can only take parameters in the range",
            _fixed("a percentile must be from 0 to 1.", "PERCENTILE_CONT"),
        ),
        (
            r"More than one row returned by a subquery",
            _fixed(
                "a subquery used as a value must give at most one row.", "", "add LIMIT 1, or an aggregate function."
            ),
        ),
        (r"LIMIT/OFFSET cannot be negative", _fixed("LIMIT and OFFSET must not be negative.", "LIMIT")),
        (
            r"^(missing|unexpected|invalid|no argument for|bad) ([\w ]*[^:]*): (.*)\.$",
            _fixed("the pattern is not valid: {0} {1}."),
        ),
    )
)


def reworded(message: str, text: str) -> Sentence | None:
    """The sentence for one of DuckDB's messages about the statement `text`; None where there is none."""
    for pattern, build in _RULES:
        match = pattern.search(message)
        if match is not None:
            return build(match, text)
    return None


def near_function(name: str) -> str | None:
    """A hint with the GoogleSQL function nearest to a name that is not known."""
    last = name.rsplit(".", 1)[-1].upper()
    return did_you_mean(last, [n for n in FUNCTIONS if "." not in n])
