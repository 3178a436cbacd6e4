"""DuckDB's errors, put at the place in the user's own text, with the nearest name as a hint."""

from __future__ import annotations

import re

from sqlml.errors import DatabaseError, Error, ParseError, ProgrammingError, Span, did_you_mean
from sqlml.guards import guard_error
from sqlml.plan.sentences import near_function, reworded
from sqlml.plan.session import Session
from sqlml.translate.misplaced import empty_clause

_COLUMN = re.compile(r'Referenced column "([^"]+)" (?:not found|was not found)|does not have a column named "([^"]+)"')
_TABLE = re.compile(r"Table with name (\S+) does not exist|Referenced table \"([^\"]+)\" not found")
_SCHEMA = re.compile(r"Schema with name (\S+) does not exist|schema \"?([\w.]+)\"? does not exist", re.I)
_FUNCTION = re.compile(r"(?:Scalar|Aggregate|Table|Macro)?[ \w]*Function with name (\S+) does not exist", re.I)
_NEAR = re.compile(
    r"syntax error at or near \"([^\"]+)\"|syntax error at end of input|SELECT clause without selection list"
)
_BARE_QUERY = re.compile(r"\b(?:FROM|JOIN)\s+(SELECT|WITH)\b", re.I)
_CANDIDATES = re.compile(r"Candidate (?:bindings|functions):?\s*(.*)", re.S)


def locate(error: Error, text: str, span: Span, session: Session) -> Error:
    """The error to raise for one that DuckDB raised for the statement at `span` of `text`."""
    if error.span is not None or not isinstance(error, DatabaseError):
        return error
    marked = guard_error(error.message)
    if marked is not None:
        return marked
    message = error.message
    if sentence := reworded(message, text[span.start : span.end]):
        kind = type(error) if sentence.keeps else ProgrammingError
        found: Error = kind(sentence.text, hint=sentence.hint)
        found.said = message
        places = (find_word(text, word, span) for word in sentence.words)
        found.span = next((p for p in places if p is not None), span)
        return found
    if match := _COLUMN.search(message):
        name = match[1] or match[2]
        known = re.findall(r'"([^"]+)"', candidates[1]) if (candidates := _CANDIDATES.search(message)) else []
        known = [k for k in known if "__" not in k]
        hint = did_you_mean(name, [k.rsplit(".", 1)[-1] for k in known])
        if hint is None and known:
            hint = f"the nearest names are {', '.join(dict.fromkeys(known))}."
        return _named(error, f"the column {name} does not exist.", name, text, span, hint)
    if match := _TABLE.search(message):
        name = (match[1] or match[2]).strip('"!')
        schemas = {s.casefold() for _, s in session.database.schemas()}
        dataset = name.rsplit(".", 2)[-2] if "." in name else ""
        if dataset and dataset.casefold() not in schemas:
            hint = f"CREATE SCHEMA {dataset}"
            return _named(error, f"the dataset {dataset} does not exist.", name, text, span, hint)
        return _named(error, f"the table {name} does not exist.", name, text, span, _near_table(name, session))
    if match := _SCHEMA.search(message):
        name = (match[1] or match[2]).strip('"!.').rsplit(".", 1)[-1]
        return _named(error, f"the dataset {name} does not exist.", name, text, span, f"CREATE SCHEMA {name}")
    if match := _FUNCTION.search(message):
        name = match[1].strip('"!')
        return _named(error, f"the function {name} does not exist.", name, text, span, near_function(name))
    if match := _NEAR.search(message):
        if empty := empty_clause(_without_asides(text[span.start : span.end])):
            place = Span(span.start + empty[1], span.start + empty[2])
            return ParseError(empty[0], span=place)
        if bare := _BARE_QUERY.search(_without_asides(text[span.start : span.end])):
            place = Span(span.start + bare.start(1), span.start + bare.end(1))
            return ParseError("a query must stand in parentheses here.", span=place)
        setting = text[span.start : span.start + 4].upper() == "SET "
        said = "SET must be written SET name = value." if setting else "the statement is not valid SQL."
        return _named(error, said, match[1] or "", text, span, None)
    error.span = span
    return error


def _near_table(name: str, session: Session) -> str | None:
    """The table meant, with its dataset where the same name lies in another one."""
    last = name.rsplit(".", 1)[-1]
    tables = [(s, t) for _, s, t in session.database.tables() if s != "sqlml"]
    elsewhere = [f"{s}.{t}" for s, t in tables if t.casefold() == last.casefold()]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    return did_you_mean(name, [t for _, t in tables] + [f"{s}.{t}" for s, t in tables])


def _named(error: Error, message: str, name: str, text: str, span: Span, hint: str | None) -> Error:
    found = type(error)(message, hint=hint)
    found.span = find_word(text, name, span) or find_word(text, name, _clauses_before(text, span)) or span
    return found


def _clauses_before(text: str, span: Span) -> Span:
    """What stands before a range in its statement: the WITH clauses that an argument of a function may refer to."""
    return Span(_without_asides(text[: span.start]).rfind(";") + 1, span.start)


_OF_COLUMN = re.compile(r"the column (\S+) |the arrays of (\S+) |as a feature: (\S+) \(|must differ\. Got (\S+) twice")


def find_column(message: str, text: str, span: Span) -> Span | None:
    """Where the column stands in a range of the text that a sentence is about."""
    said = _OF_COLUMN.search(message)
    return None if said is None else find_word(text, next(g for g in said.groups() if g), span)


_ASIDE = re.compile(r"/\*.*?\*/|(?:--|#)[^\n]*|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"", re.S)


def _without_asides(text: str) -> str:
    """Blanks in place of comments, and quotes in place of quoted texts."""
    return _ASIDE.sub(lambda m: ("'" if m[0][0] in "'\"" else " ") * len(m[0]), text)


def find_word(text: str, word: str, span: Span) -> Span | None:
    """Where a name stands in a range of the text, in any case and quoting; the last part of a dotted name too.

    Comments and quoted texts count only where the name stands nowhere else.
    """
    for searched in (_without_asides(text[span.start : span.end]), text[span.start : span.end]):
        for candidate in (word, word.rsplit(".", 1)[-1]):
            if not candidate:
                continue
            pattern = re.compile(rf"(?<![\w.]){re.escape(candidate)}(?!\w)|\b{re.escape(candidate)}\b", re.I)
            match = pattern.search(searched)
            if match:
                return Span(span.start + match.start(), span.start + match.end())
    return None
