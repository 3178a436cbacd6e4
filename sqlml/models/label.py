"""The label of a supervised model: its classes, and what they weigh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlml.errors import OptionError
from sqlml.schema import quote_literal, quote_name


@dataclass(frozen=True, slots=True)
class Label:
    """The label column of a supervised model.

    Args:
        name, sql_type: the column and its DuckDB type.
        classes: for classifiers the labels as text, in ascending order of their own type; else ().
        counts: training rows of each class.
    """

    name: str
    sql_type: str
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def sql(self) -> str:
        """The number that a regression fits."""
        return f"{quote_name(self.name)}::DOUBLE"

    @property
    def code(self) -> str:
        """SQL of the class index, from 0; NULL for a label that training did not have."""
        texts = [quote_literal(c) for c in self.classes]
        text = f"{quote_name(self.name)}::VARCHAR"
        if len(texts) <= 12:
            whens = " ".join(f"WHEN {t} THEN {i}" for i, t in enumerate(texts))
            return f"(CASE {text} {whens} END)"
        return f"(list_position([{', '.join(texts)}], {text}) - 1)"

    def value(self, code: str) -> str:
        """SQL of the label of a class index (SQL, from 0), in the type of the label column."""
        if len(self.classes) == 2:
            low, high = (f"CAST({quote_literal(c)} AS {self.sql_type})" for c in self.classes)
            return f"(CASE WHEN {code} = 1 THEN {high} WHEN {code} = 0 THEN {low} END)"
        texts = ", ".join(quote_literal(c) for c in self.classes)
        return f"(CAST([{texts}] AS {self.sql_type}[]))[{code} + 1]"


def check_weights(options: Any) -> None:
    """Weights of classes are given once. Raises `OptionError`."""
    written = getattr(options, "class_weights", None)
    if written is None:
        return
    if options.auto_class_weights:
        raise OptionError("CLASS_WEIGHTS must not be given together with AUTO_CLASS_WEIGHTS = TRUE.")
    names = [name for name, _ in written]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None or not names:
        what = f"It names {twice} twice" if names else "Got []"
        raise OptionError(f"CLASS_WEIGHTS must have one entry for every class. {what}.")


def class_weight(options: Any, label: Label | None) -> str | None:
    """SQL of a row's weight by its class, or None."""
    if label is None or not label.classes:
        return None
    if getattr(options, "auto_class_weights", False):
        n, k = sum(label.counts), len(label.classes)
        weights = [n / (k * c) for c in label.counts]
    elif getattr(options, "class_weights", None):
        table = dict(options.class_weights)
        missing, extra = set(label.classes) - set(table), set(table) - set(label.classes)
        if missing or extra:
            what = f"lacks {', '.join(sorted(missing))}" if missing else f"names {', '.join(sorted(extra))}"
            raise OptionError(f"CLASS_WEIGHTS must have one entry for every class. It {what}.")
        weights = [table[c] for c in label.classes]
        if min(weights) < 0 or max(weights) == 0:
            rule = "be at least 0 each, one of them more"
            raise OptionError(f"CLASS_WEIGHTS must {rule}. Got {', '.join(f'{w:g}' for w in weights)}.")
    else:
        return None
    whens = " ".join(f"WHEN {i} THEN {quote_literal(float(w))}" for i, w in enumerate(weights))
    return f"(CASE {label.code} {whens} END)"
