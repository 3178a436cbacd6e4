"""What may stand at the cursor: a function of the text and of what can be named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlml.console.script import Token, tokens
from sqlml.shell.names import KEYWORDS, Names, Vocabulary

LIMIT = 300
_PREFIX = re.compile(r"((?:(?:[\w$-]+|`[^`]*`)\s*\.\s*)*)(`?[\w$]*)$")
_MODEL_TYPE = re.compile(r"model_type\s*=\s*['\"](\w+)", re.IGNORECASE)
_OPENING = re.compile(r"^[rRbB]{0,2}(?:\"{3}|'{3}|['\"])")
_BEFORE_TABLE = frozenset({"FROM", "JOIN", "TABLE", "INTO", "UPDATE", "DESCRIBE"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text to insert in place of the `length` characters before the cursor, and what it is."""

    text: str
    kind: str
    length: int


@dataclass(frozen=True, slots=True)
class _Place:
    """The statement around the cursor."""

    whole: str  # the statement's full text, behind the cursor too
    path: str  # `dataset.` before the word
    word: str  # the word before the cursor
    before: tuple[Token, ...]  # tokens before path and word, without blanks and comments
    calls: tuple[str, ...]  # upper-case words before the brackets that are still open


def candidates(text: str, cursor: int, names: Names, vocabulary: Vocabulary) -> list[Candidate]:
    """Candidates at a position of a script, the likeliest first."""
    start = max((t.start + 1 for t in tokens(text[:cursor]) if t.kind == "end"), default=0)
    end = next((t.start for t in tokens(text[cursor:]) if t.kind == "end"), len(text) - cursor) + cursor
    place = _place(text[start:cursor], text[start:end])
    found: list[Candidate] = []
    seen: set[str] = set()
    for kind, options in _sources(place, names, vocabulary):
        for option in options:
            if _fits(option, place.word) and option.lower() not in seen:
                seen.add(option.lower())
                found.append(Candidate(_cased(option, place.word, kind), kind, len(place.word)))
                if len(found) >= LIMIT:
                    return found
    return found


def _place(before: str, whole: str) -> _Place:
    parts = [t for t in tokens(before) if t.kind not in ("blank", "comment")]
    if parts and parts[-1].kind == "string" and not _closed(parts[-1].text):
        return _Place(whole, "", _OPENING.sub("", parts[-1].text), tuple(parts), _open_calls(parts[:-1]))
    match = _PREFIX.search(before)
    assert match is not None
    kept = tuple(t for t in parts if t.start < match.start())
    return _Place(whole, re.sub(r"\s", "", match[1]), match[2], kept, _open_calls(kept))


def _closed(text: str) -> bool:
    body = re.sub("^[rRbB]{1,2}(?=['\"])", "", text)
    return len(body) > 1 and body[-1] == body[0]


def _open_calls(parts: Iterable[Token]) -> tuple[str, ...]:
    stack: list[str] = []
    word = ""
    for token in parts:
        if token.text == "(":
            stack.append(word)
        elif token.text == ")" and stack:
            stack.pop()
        if token.kind == "word":
            word = token.text.upper()
        elif token.text not in (".", "("):
            word = ""
    return tuple(stack)


def _fits(option: str, word: str) -> bool:
    return option.lower().lstrip("`'").startswith(word.lower().lstrip("`'"))


def _cased(option: str, word: str, kind: str) -> str:
    """Keywords, options and functions follow the case in which the user types."""
    if kind in ("keyword", "option", "function") and word:
        return option.lower() if word.islower() else option.upper() if word.isupper() else option
    return option


def _sources(place: _Place, names: Names, vocabulary: Vocabulary) -> Iterator[tuple[str, Iterable[str]]]:
    """(kind, names) in the order in which they are offered."""
    last = place.before[-1].text.upper() if place.before else ""
    if place.before and place.before[-1].kind == "string" and not _closed(place.before[-1].text):
        yield from _inside_string(place, names, vocabulary)
        return
    if place.calls and place.calls[-1] == "OPTIONS":
        yield from _inside_options(place, last, vocabulary)
        return
    if place.path.upper() in ("ML.", "AI."):
        yield "function", _functions(place.path.upper(), names, vocabulary)
        return
    if last == "MODEL":
        yield "model", _models(place, names, vocabulary)
        return
    if last == "." or place.path:
        yield from _after_dot(place, names)
        return
    if last in _BEFORE_TABLE or (last == "," and _in_from(place)):
        yield "table", names.tables.values()
        yield "dataset", (f"{schema}." for schema in names.schemas)
        if last != "TABLE":
            yield "function", (f"ML.{name[3:]}" for name in vocabulary.functions if name.startswith("ML."))
        return
    yield "column", _columns(place, names)
    yield "keyword", KEYWORDS
    yield "table", names.tables.values()
    yield "column", (column for columns in names.columns.values() for column in columns)
    yield "function", vocabulary.functions


def _inside_string(place: _Place, names: Names, vocabulary: Vocabulary) -> Iterator[tuple[str, Iterable[str]]]:
    """`model_type = '...`, `option = '...`, `input_label_cols = ['...`."""
    if "OPTIONS" not in place.calls:
        return
    words = [t.text for t in place.before[:-1] if t.kind == "word"]
    option = words[-1].lower() if words else ""
    if option == "model_type":
        yield "model type", vocabulary.model_types
    elif option.endswith(("_col", "_cols", "_columns")):
        yield "column", _columns(place, names) or sorted({c for cs in names.columns.values() for c in cs})
    else:
        yield "value", _options_of(place, vocabulary).get(option, ())


def _inside_options(place: _Place, last: str, vocabulary: Vocabulary) -> Iterator[tuple[str, Iterable[str]]]:
    options = _options_of(place, vocabulary)
    if last in ("(", ","):
        used = {t.text.lower() for t in place.before if t.kind == "word"}
        first = () if _MODEL_TYPE.search(place.whole) else ("model_type",)
        yield "option", [*first, *(name for name in options if name not in used)]
    elif last == "=":
        option = next((t.text.lower() for t in reversed(place.before) if t.kind == "word"), "")
        words = vocabulary.model_types if option == "model_type" else options.get(option, ())
        yield "value", [word if word in ("TRUE", "FALSE") else f"'{word}'" for word in words]


def _options_of(place: _Place, vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """The options of the model type being written; of every type before it is known."""
    match = _MODEL_TYPE.search(place.whole)
    if match and match[1].upper() in vocabulary.options:
        return vocabulary.options[match[1].upper()]
    everything: dict[str, tuple[str, ...]] = {}
    for options in vocabulary.options.values():
        everything.update(options)
    return everything


def _functions(prefix: str, names: Names, vocabulary: Vocabulary) -> list[str]:
    """The functions that an existing model answers come first."""
    types = {kind.upper() for kind in names.models.values()}
    functions = [name for name in vocabulary.functions if name.startswith(prefix)]
    useful = [name for name in functions if name not in vocabulary.answers or vocabulary.answers[name] & types]
    return [name[3:] for name in [*useful, *(name for name in functions if name not in useful)]]


def _models(place: _Place, names: Names, vocabulary: Vocabulary) -> list[str]:
    """Inside a function's brackets only models that answer it."""
    function = f"ML.{place.calls[-1]}" if place.calls else ""
    wanted = vocabulary.answers.get(function)
    return [name for name, kind in names.models.items() if wanted is None or kind.upper() in wanted]


def _in_from(place: _Place) -> bool:
    words = [t.text.upper() for t in place.before if t.kind == "word"]
    clauses = [w for w in words if w in ("SELECT", "FROM", "WHERE", "GROUP", "ORDER", "BY", "ON", "HAVING")]
    return bool(clauses) and clauses[-1] == "FROM"


def _relations(place: _Place, names: Names) -> dict[str, str]:
    """Aliases and names of the tables that the statement mentions -> key of the table."""
    parts = [t for t in tokens(place.whole) if t.kind not in ("blank", "comment")]
    found: dict[str, str] = {}
    for i, token in enumerate(parts):
        if token.text.upper() not in _BEFORE_TABLE:
            continue
        j, path = i + 1, ""
        while j < len(parts) and (parts[j].kind in ("word", "name") or parts[j].text in (".", "-")):
            if path and not path.endswith((".", "-")) and parts[j].text not in (".", "-"):
                break
            path += parts[j].text
            j += 1
        key = path.lower()
        if key not in names.tables:
            continue
        found[key.rsplit(".", 1)[-1]] = key
        if j < len(parts) and parts[j].text.upper() == "AS":
            j += 1
        if j < len(parts) and parts[j].kind in ("word", "name") and parts[j].text.upper() not in KEYWORDS:
            found[parts[j].text.lower()] = key
    return found


def _columns(place: _Place, names: Names) -> list[str]:
    keys = dict.fromkeys(_relations(place, names).values())
    return [column for key in keys for column in names.columns.get(key, ())]


def _after_dot(place: _Place, names: Names) -> Iterator[tuple[str, Iterable[str]]]:
    owner = place.path.rstrip(".").lower()
    relations = _relations(place, names)
    key = relations.get(owner, owner)
    if key in names.columns:
        yield "column", names.columns[key]
    prefix = owner + "."
    yield "table", (name[len(prefix) :] for key, name in names.tables.items() if key.startswith(prefix))
    yield "model", (name[len(prefix) :] for name in names.models if name.lower().startswith(prefix))
