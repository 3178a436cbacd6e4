"""`date + n` and `date - n` where the types are known to DuckDB only.

GoogleSQL adds INT64 to DATE, DuckDB adds only INTEGER. A statement that fails for this is translated again with every
sum whose types are not known as a probe: a call that no function fits, so that DuckDB says the types of its operands
and, by the length of an array type, which sum it is. Operands are bound before what holds them: one probe after the
other is settled, until the statement is bound as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sqlglot import exp

from sqlml.translate.build import call, cast, kind_of, tag

NUMBER = "sqlml_sum"
"""Key in the `meta` of a sum: its number."""

_INTEGER = r"(?:(?:U?(?:TINY|SMALL|BIG|HUGE)INT|U?INTEGER)|INTEGER_LITERAL)"
_FAILED = re.compile(rf"argument types '[+-]\((?:DATE, {_INTEGER}|{_INTEGER}, DATE)\)'")
_PROBE = "bit_count"
_SAID = re.compile(rf"argument types '{_PROBE}\((.*), INTEGER\[(\d+)\]\)'", re.S)
_RIGHT = re.compile(rf"DATE, {_INTEGER}")
_LEFT = re.compile(rf"{_INTEGER}, DATE")


def failed(message: str) -> bool:
    """Whether DuckDB says that it cannot add an integer of this size to a date."""
    return _FAILED.search(message) is not None


@dataclass(slots=True)
class Sums:
    """The sums of one statement. Equal text in one SELECT is one sum, as GROUP BY needs it."""

    numbers: dict[tuple[str, int, int, str], int] = field(default_factory=dict)
    #: "left" or "right": the side that becomes INTEGER; "" for none.
    sides: dict[int, str] = field(default_factory=dict)
    #: Sums that are not settled stay as they are.
    done: bool = False

    def mark(self, root: exp.Expression, sql: str, offset: int) -> None:
        """Number the sums of a query as the user wrote it."""
        selects: dict[int, int] = {}
        for node in root.find_all(exp.Add, exp.Sub):
            scope = node.find_ancestor(exp.Select)
            place = selects.setdefault(id(scope), len(selects))
            key = (sql, offset, place, node.sql())
            node.meta[NUMBER] = self.numbers.setdefault(key, len(self.numbers) + 1)

    def rewritten(self, node: exp.Expression) -> exp.Expression | None:
        """A sum as it is to be bound now, or None to leave it as it is."""
        number = node.meta.get(NUMBER)
        if number is None or None not in (kind_of(node.this), kind_of(node.expression)):
            return None
        if number not in self.sides:
            if self.done:
                return None
            mark = cast(exp.Null(), f"INTEGER[{number}]")
            return call(_PROBE, node.this, node.expression, mark)
        side = {"left": "this", "right": "expression"}.get(self.sides[number])
        if side is None:
            return None
        inner = node.args[side]
        node.set(side, cast(exp.Paren(this=inner) if isinstance(inner, exp.Binary) else inner, "INTEGER"))
        return tag(node, "date")

    def settle(self, message: str) -> bool:
        """Learn from what DuckDB said; whether the statement is worth another try."""
        match = _SAID.search(message)
        if match is None:
            again, self.done = not self.done, True
            return again
        number = int(match[2])
        if number in self.sides or self.done:
            return False
        left = "left" if _LEFT.fullmatch(match[1]) else ""
        self.sides[number] = "right" if _RIGHT.fullmatch(match[1]) else left
        return True
