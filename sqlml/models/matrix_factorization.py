"""MATRIX_FACTORIZATION: users and items as vectors, from explicit or implicit ratings.

Ratings are read once, as three columns; ids may be of any type and are kept as Arrow arrays. What is
learned are small tables (id, vector, bias) that ML.RECOMMEND joins in SQL.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.arrow import codes, singles
from sqlml.errors import DataError, NotSupportedError, OptionError, SchemaError, did_you_mean
from sqlml.kernels.als import Factors, Settings, default_factors, factorize, ratings_of
from sqlml.kernels.ranking import ranking, rating_metrics
from sqlml.kernels.types import F32, F64, I64
from sqlml.models.base import (
    FeatureStatistics,
    Fixed,
    Lookup,
    Model,
    RegistryOptions,
    Score,
    SplitOptions,
    Task,
    Trained,
    TrainingData,
)
from sqlml.models.shared_options import TuningOptions
from sqlml.options import Space, option
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column, Kind, find, quote_literal, quote_name, same_name

EXPLICIT = (
    "mean_absolute_error",
    "mean_squared_error",
    "mean_squared_log_error",
    "median_absolute_error",
    "r2_score",
    "explained_variance",
)
IMPLICIT = (
    "mean_average_precision",
    "mean_squared_error",
    "normalized_discounted_cumulative_gain",
    "average_rank",
)
#: Rows of a batch of a factor table, so that a scan runs on all cores.
BATCH = 122_880


@dataclass(frozen=True)
class FactorOptions(TuningOptions, SplitOptions, RegistryOptions):
    """Options of MATRIX_FACTORIZATION."""

    feedback_type: Literal["EXPLICIT", "IMPLICIT"] = option(
        "EXPLICIT", "Whether ratings are opinions, or counts that speak for a preference."
    )
    num_factors: int | None = option(
        None,
        "Length of the vectors; by default log2 of the number of ratings.",
        low=2,
        high=200,
        tune=Space(2, 20),
    )
    user_col: str = option("user", "The user column.")
    item_col: str = option("item", "The item column.")
    rating_col: str = option("rating", "The rating column.")
    wals_alpha: float = option(
        40.0,
        "Weight of a rating in the confidence 1 + alpha * rating (implicit).",
        above=0.0,
        tune=Space(0.0, 100.0),
    )
    l2_reg: float = option(1.0, "L2 penalty on the vectors.", low=0.0, tune=Space(0.0, 10.0, "LOG"))
    max_iterations: int = option(20, "Upper bound on the number of sweeps.", low=1)
    early_stop: bool = option(True, "Stop when an iteration improves the loss by less than MIN_REL_PROGRESS.")
    min_rel_progress: float = option(0.01, "Smallest relative improvement of the loss needed to go on.", low=0.0)
    data_split_method: Literal["AUTO_SPLIT", "RANDOM", "CUSTOM", "SEQ", "NO_SPLIT"] = option(
        "NO_SPLIT", "How ratings are divided into training and evaluation ratings."
    )


@dataclass(frozen=True, slots=True)
class FactorState:
    """What was learned.

    Args:
        users, items: vectors (U, k), (I, k).
        user_bias, item_bias: (U,), (I,).
        intercept: the mean rating; 0 for implicit feedback.
        user_ids, item_ids: Arrow IPC streams of one column each.
    """

    users: F32
    items: F32
    user_bias: F32
    item_bias: F32
    intercept: float
    user_ids: bytes
    item_ids: bytes

    def factors(self) -> Factors:
        """As the kernel takes them."""
        return Factors(self.users, self.items, self.user_bias, self.item_bias, self.intercept, [], True)


class MatrixFactorization(Model[FactorOptions, FactorState]):
    """Collaborative filtering by alternating least squares."""

    names = ("MATRIX_FACTORIZATION",)
    task = Task.RECOMMENDATION
    options = FactorOptions
    state = FactorState
    doc = (
        "Recommends items to users from ratings. Of implicit feedback with more than a billion pairs of users and"
        " items, the ranking metrics are those of a sample of users."
    )
    transform = False
    encoded = False

    def check(self, options: FactorOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        if "wals_alpha" in given and options.feedback_type != "IMPLICIT":
            raise OptionError("WALS_ALPHA must be given only with FEEDBACK_TYPE='IMPLICIT'.")
        names = (options.user_col, options.item_col, options.rating_col)
        if len({n.casefold() for n in names}) < 3:
            word, *rest = sorted(("USER_COL", "ITEM_COL", "RATING_COL"), key=lambda w: w.lower() not in given)
            raise OptionError(f"{word} must differ from {' and '.join(rest)}. Got {', '.join(names)}.")
        for name, what in zip(names, ("USER_COL", "ITEM_COL", "RATING_COL"), strict=True):
            column = find(columns, name)
            if column is None:
                hint = f"add {what} = '...', or name the column AS {name}."
                if what.lower() in given:
                    hint = did_you_mean(name, [c.name for c in columns]) or hint
                raise SchemaError(f"the training query must have the column {name} of {what}.", hint=hint)
            if what == "RATING_COL" and column.kind is not Kind.NUMERIC:
                raise SchemaError(f"the column {column.name} of RATING_COL must be numeric. Got {column.type.google}.")
            if what != "RATING_COL" and column.kind not in (Kind.NUMERIC, Kind.CATEGORY, Kind.TIMESTAMP):
                raise SchemaError(f"the column {column.name} of {what} must be an id. Got {column.type.google}.")
        if options.data_split_col and any(same_name(options.data_split_col, n) for n in names):
            raise SchemaError(f"DATA_SPLIT_COL must differ from user, item and rating. Got {options.data_split_col}.")
        used = [*names, *([options.data_split_col] if options.data_split_col else [])]
        extra = [c.name for c in columns if not any(same_name(c.name, n) for n in used)]
        if extra:
            raise SchemaError(
                f"the training query must have only the columns {', '.join(names)}. It also has {', '.join(extra)}.",
                hint=f"SELECT {', '.join(names)} FROM ...",
            )

    def train(self, data: TrainingData, options: FactorOptions, run: Run) -> FactorState:
        ids = (_id_sql(data.columns, options.user_col), _id_sql(data.columns, options.item_col))
        table = data.once("ratings", lambda: _read(data.train, options, ids))
        _refuse_nulls(table, options)
        _refuse_infinite(table, options)
        if not table.num_rows:
            raise DataError("the training query must return at least one rating. Got none.")
        user_ids, users = _encode(table.column("u"))
        item_ids, items = _encode(table.column("i"))
        r = np.asarray(table.column("r").to_numpy(), dtype=np.float64)
        ratings = ratings_of(users, items, r, (len(user_ids), len(item_ids)))
        settings = Settings(
            num_factors=options.num_factors or default_factors(len(r)),
            implicit=options.feedback_type == "IMPLICIT",
            alpha=options.wals_alpha,
            l2=options.l2_reg,
            max_iterations=options.max_iterations,
            early_stop=options.early_stop,
            min_rel_progress=options.min_rel_progress,
        )
        held = None
        if data.evaluation is not None:
            held = _coded(_read(data.evaluation, options, ids), user_ids, item_ids)
        found = factorize(
            ratings,
            settings,
            run.generator(),
            evaluation=held,
            report=run.report,
            poll=lambda: run.tell("training"),
        )
        return FactorState(
            found.users,
            found.items,
            found.user_bias,
            found.item_bias,
            found.intercept,
            _stored(user_ids),
            _stored(item_ids),
        )

    def pair_score(self, trained: Trained) -> Score:
        """The score of the user and the item of a row; a side that is not known counts as 0."""
        users, items = factor_tables(trained)
        o = trained.options
        lookups = (
            Lookup("__u", lookup_sql(trained, o.user_col, quote_name(o.user_col)), users),
            Lookup("__i", lookup_sql(trained, o.item_col, quote_name(o.item_col)), items),
        )
        sql = score_sql(trained, "__u_b", "__u_f", "__i_b", "__i_f")
        return Score(("__score",), let=(("__score", sql),), lookups=lookups)

    def usual(self, name: str, rows: int) -> object:
        return default_factors(rows) if name == "num_factors" else None

    def objectives(self, options: FactorOptions) -> tuple[str, ...]:
        if options.feedback_type == "EXPLICIT":
            return ("MEAN_SQUARED_ERROR",)
        return (
            "MEAN_AVERAGE_PRECISION",
            "MEAN_SQUARED_ERROR",
            "NORMALIZED_DISCOUNTED_CUMULATIVE_GAIN",
            "AVERAGE_RANK",
        )

    def active(self, name: str, options: FactorOptions) -> bool:
        """WALS_ALPHA is for implicit feedback."""
        return name != "wals_alpha" or options.feedback_type == "IMPLICIT"

    def metric_names(self, trained: Trained) -> tuple[str, ...]:
        return IMPLICIT if trained.options.feedback_type == "IMPLICIT" else EXPLICIT

    def measure(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        state: FactorState = trained.state
        rating = find(data.columns, trained.options.rating_col)
        if rating is None or rating.kind is not Kind.NUMERIC:
            text = f"the input of ML.EVALUATE must have the numeric column {trained.options.rating_col}."
            raise SchemaError(text)
        o = trained.options
        ids = (lookup_sql(trained, name, quote_name(name)) for name in (o.user_col, o.item_col))
        table = _read(data, o, tuple(ids))
        users, items, r = _coded(table, _ids(state.user_ids), _ids(state.item_ids))
        if not len(r):
            raise DataError("the evaluation must have at least one row with a rating.")
        factors = state.factors()
        if trained.options.feedback_type == "IMPLICIT":
            found = ranking(factors, users, items, r)
            return {name: getattr(found, name) for name in IMPLICIT}
        return dict(zip(EXPLICIT, rating_metrics(r, factors.scores(users, items)), strict=True))

    def reserved(self, options: FactorOptions) -> tuple[str, ...]:
        return (options.rating_col,)

    def feature_statistics(self, trained: Trained) -> tuple[FeatureStatistics, ...]:
        o, s = trained.options, trained.state
        counts = ((o.user_col, len(s.users)), (o.item_col, len(s.items)))
        return tuple(FeatureStatistics(name, category_count=n) for name, n in counts)

    def weights(self, trained: Trained, standardize: bool) -> Fixed:
        """ML.WEIGHTS: a row per user and item, and one for the global intercept."""
        if standardize:
            raise NotSupportedError("STANDARDIZE has no meaning for MATRIX_FACTORIZATION models.")
        state: FactorState = trained.state
        o = trained.options
        sides = (
            (o.user_col, _ids(state.user_ids), state.users, state.user_bias),
            (o.item_col, _ids(state.item_ids), state.items, state.item_bias),
        )
        parts = [_weight_rows(*side) for side in sides]
        last = {
            "processed_input": pa.array([None], pa.string()),
            "feature": pa.array(["global__intercept__"]),
            "factor_weights": pa.array([None], _FACTOR_WEIGHTS),
            "intercept": pa.array([state.intercept], pa.float64()),
        }
        table = pa.concat_tables([*parts, pa.table(last)])
        columns = (
            Column("processed_input", "VARCHAR"),
            Column("feature", "VARCHAR"),
            Column("factor_weights", "STRUCT(factor BIGINT, weight DOUBLE)[]"),
            Column("intercept", "DOUBLE"),
        )
        return Fixed(columns, table)

    def embedding(self, trained: Trained) -> Fixed:
        """The vectors of users and items, the bias as last element."""
        state: FactorState = trained.state
        o = trained.options
        parts = []
        for name, ids, vectors, bias in (
            (o.user_col, state.user_ids, state.users, state.user_bias),
            (o.item_col, state.item_ids, state.items, state.item_bias),
        ):
            values = np.column_stack([vectors, bias]).astype(np.float64)
            found = _ids(ids)
            columns = [_lists(values), pa.array([name] * len(found)), found.cast(pa.string())]
            parts.append(pa.table(columns, names=["embedding", "processed_input", "feature"]))
        columns_ = (
            Column("embedding", "DOUBLE[]"),
            Column("processed_input", "VARCHAR"),
            Column("feature", "VARCHAR"),
        )
        return Fixed(columns_, pa.concat_tables(parts))


def prediction_name(trained: Trained) -> str:
    """The column of ML.RECOMMEND that holds the score."""
    tail = "_confidence" if trained.options.feedback_type == "IMPLICIT" else ""
    return f"predicted_{trained.options.rating_col}{tail}"


def score_sql(trained: Trained, user_bias: str, user: str, item_bias: str, item: str, *, known: bool = False) -> str:
    """SQL of a score from the columns of the factor tables; NULL, where not both are known, stands for a side's 0."""

    def part(sql: str) -> str:
        return f"{sql}::DOUBLE" if known else f"coalesce({sql}::DOUBLE, 0.0)"

    dot = part(f"array_inner_product({user}, {item})")
    if trained.options.feedback_type == "IMPLICIT":
        return dot
    return f"{quote_literal(float(trained.state.intercept))} + {part(user_bias)} + {part(item_bias)} + {dot}"


def lookup_sql(trained: Trained, name: str, sql: str) -> str:
    """An id as it stands in the factor tables, from SQL of a value; NULL when it cannot be one.

    A text may come for a date and the other way round; whole numbers are compared with whatever number comes.
    """
    column = find(trained.inputs, name)
    assert column is not None
    if column.kind is Kind.NUMERIC and not _as_text(column):
        return sql
    return f"TRY_CAST({sql} AS {column.sql_type}){'::VARCHAR' if _as_text(column) else ''}"


def id_sql(trained: Trained, name: str, sql: str) -> str:
    """An id of a factor table in the type of the training column."""
    column = find(trained.inputs, name)
    assert column is not None
    return f"{sql}::{column.sql_type}" if _as_text(column) else sql


_TABLES: OrderedDict[str, tuple[pa.Table, pa.Table]] = OrderedDict()


def factor_tables(trained: Trained) -> tuple[pa.Table, pa.Table]:
    """Tables (key, f, b) of users and of items; the last few models' are kept."""
    if trained.uid not in _TABLES:
        s: FactorState = trained.state
        _TABLES[trained.uid] = (
            _factor_table(_ids(s.user_ids), s.users, s.user_bias),
            _factor_table(_ids(s.item_ids), s.items, s.item_bias),
        )
        while len(_TABLES) > 4:
            _TABLES.popitem(last=False)
    return _TABLES[trained.uid]


def _factor_table(ids: pa.Array, vectors: F32, bias: F32) -> pa.Table:
    f = pa.FixedSizeListArray.from_arrays(singles(vectors.ravel()), vectors.shape[1])
    table = pa.table({"key": ids, "f": f, "b": singles(bias)})
    return pa.Table.from_batches(table.to_batches(max_chunksize=BATCH), table.schema)


_FACTOR_WEIGHTS = pa.list_(pa.struct([("factor", pa.int64()), ("weight", pa.float64())]))


def _weight_rows(name: str, ids: pa.Array, vectors: F32, bias: F32) -> pa.Table:
    n, k = vectors.shape
    factor = pa.array(np.tile(np.arange(1, k + 1), n), pa.int64())
    pairs = pa.StructArray.from_arrays([factor, pa.array(vectors.ravel(), pa.float64())], ["factor", "weight"])
    lists = pa.ListArray.from_arrays(pa.array(np.arange(0, n * k + 1, k), pa.int32()), pairs)
    return pa.table(
        {
            "processed_input": pa.array([name] * n, pa.string()),
            "feature": ids.cast(pa.string()),
            "factor_weights": lists.cast(_FACTOR_WEIGHTS),
            "intercept": pa.array(bias, pa.float64()),
        }
    )


def _lists(values: F64) -> pa.Array:
    n, k = values.shape
    return pa.ListArray.from_arrays(pa.array(np.arange(0, n * k + 1, k), pa.int32()), pa.array(values.ravel()))


# ---------------------------------------------------------------- reading ratings


def _read(rows: Relation, options: FactorOptions, ids: tuple[str, ...]) -> pa.Table:
    """Columns u, i (ids, from their SQL) and r (DOUBLE)."""
    wanted = {
        "u": ids[0],
        "i": ids[1],
        "r": f"{quote_name(options.rating_col)}::DOUBLE",
    }
    batches = list(rows.batches(wanted))
    if not batches:
        return pa.table(
            {"u": pa.array([], pa.string()), "i": pa.array([], pa.string()), "r": pa.array([], pa.float64())}
        )
    return pa.Table.from_batches(batches)


def _id_sql(columns: Sequence[Column], name: str) -> str:
    column = find(columns, name)
    assert column is not None
    return quote_name(column.name) + ("::VARCHAR" if _as_text(column) else "")


def _as_text(column: Column) -> bool:
    """Whether ids of this type are kept as text: Arrow has no exact equal."""
    return column.type.name not in _PLAIN


_PLAIN = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP"})


def _refuse_nulls(table: pa.Table, options: FactorOptions) -> None:
    for key, name in (("u", options.user_col), ("i", options.item_col), ("r", options.rating_col)):
        missing = table.column(key).null_count
        if missing:
            rows = "1 row has" if missing == 1 else f"{missing} rows have"
            hint = f"add WHERE {name} IS NOT NULL."
            raise DataError(f"the column {name} must not be NULL. {rows} no value.", hint=hint)


def _refuse_infinite(table: pa.Table, options: FactorOptions) -> None:
    if table.num_rows and not pc.all(pc.is_finite(table.column("r"))).as_py():
        raise DataError(f"the column {options.rating_col} must be finite. Some row has NaN or an infinite value.")


def _encode(column: pa.ChunkedArray) -> tuple[pa.Array, I64]:
    """The distinct ids in ascending order, and the position of each row's id among them."""
    ids = pc.unique(column)
    ids = ids.take(pc.sort_indices(ids))
    return ids, _positions(column, ids)


def _positions(column: pa.ChunkedArray, ids: pa.Array) -> I64:
    found = pc.index_in(column, value_set=ids)
    parts = [codes(chunk) for chunk in found.chunks]
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)


def _known(column: pa.ChunkedArray, ids: pa.Array) -> I64:
    """Positions of ids that may be of another type than in training (INT64 for INT32, say)."""
    if column.type != ids.type:
        column, ids = column.cast(pa.string()), ids.cast(pa.string())
    return _positions(column, ids)


def _coded(table: pa.Table, user_ids: pa.Array, item_ids: pa.Array) -> tuple[I64, I64, F64]:
    """Codes (-1 for unknown ids) and ratings of the rows that have a rating."""
    table = table.filter(pc.is_valid(table.column("r")))
    users = _known(table.column("u"), user_ids)
    items = _known(table.column("i"), item_ids)
    return users, items, np.asarray(table.column("r").to_numpy(), dtype=np.float64)


def _stored(ids: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([ids], names=["id"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _ids(stored: bytes) -> pa.Array:
    [batch] = pa.ipc.open_stream(stored)  # views of the bytes, not a copy
    return batch.column("id")
