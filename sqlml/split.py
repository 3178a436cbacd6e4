"""Which rows train and which are held out, repeatable by the content of the row.

A random split takes the rows whose hash falls below a threshold: the same rows are held out whatever
the order of the table, the number of threads or the time of day. Rows that are equal fall on the same side.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlml.errors import DataError, OptionError, SchemaError
from sqlml.relation import Relation
from sqlml.schema import Column, find, quote_literal, quote_name

#: The hash is cut into this many slices; a threshold is a number of slices.
SLICES = 1_000_000
AUTO_EVAL_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """The split options of a statement.

    Args:
        method: AUTO_SPLIT, RANDOM, CUSTOM, SEQ or NO_SPLIT; COLUMN (AutoML) is CUSTOM or SEQ, by the column's type.
            AUTO_SPLIT with fractions is RANDOM.
        eval_fraction, test_fraction: shares of the rows; None when not written.
        column: DATA_SPLIT_COL, or None.
        tuning: whether a test set is wanted too.
    """

    method: str = "AUTO_SPLIT"
    eval_fraction: float | None = None
    test_fraction: float | None = None
    column: str | None = None
    tuning: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of the training rows. `evaluation` is None when every row trains.

    `test` exists only under tuning; there, evaluation rows choose the trial and test rows judge it. `counts` are
    the rows of (train, evaluation, test), when they were counted.
    """

    train: Relation
    evaluation: Relation | None = None
    test: Relation | None = None
    counts: tuple[int, ...] = ()

    @property
    def held_out(self) -> Relation:
        """The rows that the stored metrics are about."""
        return self.test or self.evaluation or self.train


def check_plan(plan: SplitPlan, columns: tuple[Column, ...]) -> None:
    """Refuse what can be refused before any row is read. Raises `OptionError` or `SchemaError`."""
    if plan.method in ("CUSTOM", "SEQ"):
        if plan.column is None:
            raise OptionError(f"DATA_SPLIT_COL must be given when DATA_SPLIT_METHOD is '{plan.method}'.")
        column = find(columns, plan.column)
        if column is None:
            raise SchemaError(f"the column {plan.column} of DATA_SPLIT_COL must be in the training query.")
        wanted = "VARCHAR" if plan.tuning else "BOOLEAN"
        if plan.method == "CUSTOM" and column.type.name != wanted:
            text = "a STRING column that holds TRAIN, EVAL or TEST" if plan.tuning else "a BOOL column"
            raise SchemaError(
                f"DATA_SPLIT_COL must be {text} for a CUSTOM split. Got {column.name} {column.type.google}."
            )
    elif plan.column is not None and plan.method != "COLUMN":
        raise OptionError("DATA_SPLIT_COL must be given only with DATA_SPLIT_METHOD 'CUSTOM' or 'SEQ'.")
    if plan.eval_fraction is not None and plan.method in ("NO_SPLIT", "CUSTOM"):
        text = "DATA_SPLIT_EVAL_FRACTION must be given only with DATA_SPLIT_METHOD 'RANDOM' or 'SEQ'."
        raise OptionError(f"{text} Got '{plan.method}'.", hint="add DATA_SPLIT_METHOD='RANDOM'.")
    share = (plan.eval_fraction or 0.0) + (plan.test_fraction or 0.0)
    if share >= 1.0:
        names = "DATA_SPLIT_EVAL_FRACTION and DATA_SPLIT_TEST_FRACTION"
        raise OptionError(f"{names} must leave rows to train on. Got {share:g} together.")


def split(relation: Relation, plan: SplitPlan, rows: int, columns: tuple[Column, ...]) -> Split:
    """Split the rows. `columns` are those whose content is hashed."""
    if plan.method == "NO_SPLIT" or rows == 0:
        return Split(relation)
    if plan.method == "CUSTOM":
        return _custom(relation, plan)
    if plan.method == "SEQ":
        return _sequential(relation, plan, rows)
    if plan.method == "COLUMN":
        column = find(columns, plan.column or "")
        words = column is not None and column.type.name == "VARCHAR"
        return _custom(relation, plan) if words else _sequential(relation, plan, rows)
    evaluation, test = _shares(plan, rows)
    if evaluation + test == 0.0:
        return Split(relation)
    if rows < 2:
        return Split(relation)
    names = sorted((c.name for c in columns), key=str.casefold)
    slice_ = f"(hash({', '.join(quote_name(n) for n in names)}) % {SLICES})"
    first, second = round(evaluation * SLICES), round((evaluation + test) * SLICES)
    middle = f"{slice_} >= {first} AND {slice_} < {second}" if plan.tuning else None
    return _nonempty(relation, f"{slice_} >= {second}", f"{slice_} < {first}", middle)


def _shares(plan: SplitPlan, rows: int) -> tuple[float, float]:
    """(evaluation, test) shares of a random split."""
    fractions = (plan.eval_fraction, plan.test_fraction)
    if fractions != (None, None):
        return round(plan.eval_fraction or 0.0, 2), round(plan.test_fraction or 0.0, 2)
    if rows < 500:
        return 0.0, 0.0
    if plan.tuning:
        return 0.1, 0.1
    return (0.2, 0.0) if rows <= 50_000 else (AUTO_EVAL_ROWS / rows, 0.0)


def _nonempty(whole: Relation, train: str, evaluation: str, test: str | None = None) -> Split:
    """The parts that satisfy conditions. Equal rows may all fall on one side: then every row trains."""
    counts = whole.aggregate([f"count_if({c})" for c in (train, evaluation, test) if c is not None])
    if counts[0] == 0 or counts[1] == 0:
        return Split(whole)
    held = whole.where(evaluation)
    third = whole.where(test) if test is not None and counts[2] else None
    return Split(whole.where(train), held, third, tuple(int(c) for c in counts))


def _custom(relation: Relation, plan: SplitPlan) -> Split:
    assert plan.column is not None
    column = quote_name(plan.column)
    if plan.tuning:
        word = f"upper({column})"
        # AutoML has words of its own.
        rest, held = ("TRAIN', 'UNASSIGNED", "VALIDATE") if plan.method == "COLUMN" else ("TRAIN", "EVAL")
        train = relation.where(f"{word} IN ('{rest}')")
        evaluation, test = relation.where(f"{word} = '{held}'"), relation.where(f"{word} = 'TEST'")
        if train.count() == 0 or evaluation.count() == 0:
            raise DataError(f"the column {plan.column} must hold both TRAIN and {held}.")
        return Split(train, evaluation, test if test.count() else None)
    train, evaluation = relation.where(f"NOT {column}"), relation.where(f"{column} IS NOT FALSE")
    if train.count() == 0:
        raise DataError(f"the column {plan.column} must be FALSE in some row: those are the rows to train on.")
    return Split(train, evaluation if evaluation.count() else None)


def _sequential(relation: Relation, plan: SplitPlan, rows: int) -> Split:
    """The last rows in the order of the split column are held out; NULLs train."""
    assert plan.column is not None
    column = quote_name(plan.column)
    evaluation = 0.2 if plan.eval_fraction is None else round(plan.eval_fraction, 2)
    test = round(plan.test_fraction or 0.0, 2)
    cuts = []
    for share in (evaluation + test, test):
        if share > 0.0:
            value = relation.aggregate([f"quantile_disc({column}, {quote_literal(1.0 - share)})"])[0]
            cuts.append(quote_literal(value))
    if not cuts or cuts[0] == "NULL":
        return Split(relation)
    train = f"{column} <= {cuts[0]} OR {column} IS NULL"
    if test > 0.0:
        middle = f"{column} > {cuts[0]} AND {column} <= {cuts[1]}"
        return _nonempty(relation, train, middle, f"{column} > {cuts[1]}")
    return _nonempty(relation, train, f"{column} > {cuts[0]}")
