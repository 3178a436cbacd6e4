"""The rows of k-means: read, kept, sampled by their content, and the centers to start from."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from sqlml.arrow import numbers
from sqlml.encode import Category, Design, Number, Set
from sqlml.errors import DataError, OptionError
from sqlml.kernels import kmeans as kernel
from sqlml.kernels.kmeans import Geometry, Packed, Real, Rows
from sqlml.kernels.types import F64, I32
from sqlml.models.base import TrainingData
from sqlml.models.blocks import decode, expressions
from sqlml.models.kmeans_sql import geometry, offset
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import quote_name

#: The encoded rows are kept in memory up to this size, or an eighth of DuckDB's memory limit if that is less.
CACHE_BYTES = 512 * 2**20
#: Rows have double precision while they are smaller than this, single precision beyond.
DOUBLE_BYTES = 64 * 2**20
#: Starting rows are drawn from about so many rows.
SAMPLE = 10_000
#: Draws of RANDOM that are compared.
DRAWS = 4
#: Order statistics of the normalised training distances that are kept, and the rows they are taken from
#: when the rows are not in memory.
KEPT, QUANTILE_ROWS = 10_001, 200_000
_NO_CODES: tuple[I32, ...] = ()


# ---------------------------------------------------------------- reading rows


def training_rows(
    relation: Relation, design: Design, moves: F64, *, trained_rows: bool = True, kind: type = np.float64
) -> Iterator[Rows]:
    """Blocks of rows in the coordinates of training (less the offset)."""
    wanted = expressions(design)
    for i, f in enumerate(design.features):
        if isinstance(f, Number):
            wanted[f"f{i}"] = f.scaled(trained_rows)
    plain, codes = all(isinstance(f, Number) for f in design.features), _NO_CODES
    for batch in relation.batches(wanted, 65_536):
        columns = {name: batch.column(i) for i, name in enumerate(wanted)}
        if plain:
            X = np.empty((len(columns), batch.num_rows), dtype=kind).T
            for i, column in enumerate(columns.values()):
                np.subtract(numbers(column), moves[i], out=X[:, i], casting="same_kind")
        else:
            dense, codes = decode(design, columns)
            X = (dense - moves[: dense.shape[1]]).astype(kind, copy=False)
        yield Rows(X, codes)


def packed(data: TrainingData, geo: Geometry) -> Iterator[Packed]:
    """The training rows block by block, in the precision that their number asks for."""
    kind = np.float64 if 8 * _cells(data, geo) <= DOUBLE_BYTES else np.float32
    for rows in training_rows(data.train, data.design, offset(data.design, geo.cosine), kind=kind):
        yield kernel.packed(rows, geo)


def cached(data: TrainingData, geo: Geometry) -> list[Packed] | None:
    """All rows, when they are small enough to be kept."""
    if 4 * _cells(data, geo) > min(CACHE_BYTES, memory_limit(data.train) // 8):
        return None
    return list(packed(data, geo))


def _cells(data: TrainingData, geo: Geometry) -> int:
    return data.rows * (geo.dense + 2 + geo.cosine + len(geo.levels))


def memory_limit(relation: Relation) -> int:
    """DuckDB's memory limit in bytes, as it prints it ("18.6 GiB")."""
    text = str(relation.table("current_setting('memory_limit') AS bytes").column(0)[0])
    found = re.fullmatch(r"([\d.]+) (bytes|KiB|MiB|GiB|TiB)", text)
    if found is None:
        return CACHE_BYTES * 8
    return int(float(found[1]) * 1024 ** ("bytes", "KiB", "MiB", "GiB", "TiB").index(found[2]))


# ---------------------------------------------------------------- the first centers


def _content(design: Design, seed: int) -> str:
    """SQL of a hash of a row's content."""
    return f"hash({', '.join([*(quote_name(c.name) for c in design.columns), str(seed)])})"


def content_sample(data: TrainingData, rows: int, seed: int = 0) -> Relation:
    """About so many rows, chosen by their content."""
    if data.rows <= rows:
        return data.train
    below = int(2**64 * (rows / data.rows))
    return data.train.where(f"{_content(data.design, seed)} < {below}::UBIGINT")


def quantile_sample(data: TrainingData) -> Relation:
    """Rows whose quantiles stand for all rows': the copied sample where there is one."""
    return content_sample(data, QUANTILE_ROWS) if data.sample is None else data.sample


def default_clusters(rows: int) -> int:
    """The service's default for NUM_CLUSTERS: log10 of the number of rows, from 2 to 100."""
    return max(2, min(100, round(math.log10(rows))))


def first_centers(data: TrainingData, options: Any, run: Run, geo: Geometry) -> F64:
    """(k, width): where the iterations start. Raises `DataError` when there are too few rows."""
    if data.previous is not None:
        return _continued(data, options, geo)
    k = options.num_clusters or default_clusters(data.rows)
    if options.kmeans_init_method == "CUSTOM":
        return _marked(data, options, geo)
    if data.rows < k:
        raise DataError(f"NUM_CLUSTERS must not be larger than the number of rows. Got {k} for {_many(data.rows)}.")
    rows = _sampled(data, run.seed)
    if len(kernel.distinct(rows)) < k:
        rows = _sampled(data, run.seed, k)
        there = len(kernel.distinct(rows))
        if there < k:
            text = "NUM_CLUSTERS must not be larger than the number of different rows."
            raise DataError(f"{text} Got {k}, and {'1 is' if there == 1 else f'{there} are'} different.")
    moves = offset(data.design, geo.cosine)
    rows = Rows(rows.X - moves[: geo.dense], rows.codes)
    if options.kmeans_init_method == "KMEANS++":
        return kernel.plus_plus(rows, k, geo, generator=run.generator()) + moves
    draws = DRAWS if data.fidelity == "best" else 1
    return kernel.random_rows(rows, k, geo, draws=draws, generator=run.generator()) + moves


def _many(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows"


def _sampled(data: TrainingData, seed: int, different: int | None = None) -> Rows:
    """Rows in the order of their hash: a sample, or so many different ones of all."""
    content = _content(data.design, seed)
    wanted = expressions(data.design)
    items = ", ".join(f"{sql} AS {name}" for name, sql in wanted.items())
    if different is None:
        table = content_sample(data, SAMPLE, seed).table(f"{items}, {content} AS h FROM {{rows}}")
    else:
        tail = f"GROUP BY ALL ORDER BY h LIMIT {different}"
        table = data.train.table(f"{items}, min({content}) AS h FROM {{rows}} {tail}")
    X, codes = decode(data.design, {name: table.column(name) for name in wanted})
    rows = Rows(X, codes)
    order = np.lexsort([*reversed([*X.T, *codes]), table.column("h").to_numpy()])
    return rows.take(order.astype(np.int64))


def _marked(data: TrainingData, options: Any, geo: Geometry) -> F64:
    assert options.kmeans_init_col is not None
    marked = data.train.where(quote_name(options.kmeans_init_col))
    n, wanted = marked.count(), options.num_clusters
    if n != (wanted or n) or not 2 <= n <= 100:
        asked = f"NUM_CLUSTERS ({wanted})" if wanted else "2 to 100"
        raise DataError(f"KMEANS_INIT_COL must be TRUE in {asked} rows. It is TRUE in {n}.")
    blocks = list(training_rows(marked, data.design, np.zeros(geo.width)))
    X = np.concatenate([b.X for b in blocks])
    rows = Rows(X, tuple(np.concatenate([b.codes[i] for b in blocks]) for i in range(len(geo.levels))))
    return kernel.dense_matrix(rows.take(kernel.order_of(rows)), geo)


def _continued(data: TrainingData, options: Any, geo: Geometry) -> F64:
    """The centers of the earlier model in the coordinates of the new rows."""
    old = data.previous
    if old.options.distance_type != options.distance_type:
        raise OptionError("DISTANCE_TYPE must stay what it was under WARM_START.")
    if "num_clusters" in data.given and options.num_clusters not in (None, len(old.state.centers)):
        raise OptionError(f"NUM_CLUSTERS must stay {len(old.state.centers)} under WARM_START.")
    same = [(type(f), f.name, f.width if not isinstance(f, (Category, Set)) else 0) for f in data.design.features]
    if same != [(type(f), f.name, f.width if not isinstance(f, (Category, Set)) else 0) for f in old.design.features]:
        raise OptionError("WARM_START must keep the columns of the first training.")
    out = np.zeros((len(old.state.means), geo.width))
    before = slices(old.design)
    for f, at in slices(data.design).items():
        was, values = next((g, old.state.means[:, s]) for g, s in before.items() if g.name == f.name)
        if isinstance(f, Number) and isinstance(was, Number):
            out[:, at] = (values * was.scale + was.shift - f.shift) / f.scale
        elif isinstance(f, (Category, Set)) and isinstance(was, (Category, Set)):
            place = {level: i for i, level in enumerate(was.levels)}
            for i, level in enumerate(f.levels):
                if level in place:
                    out[:, at.start + i] = values[:, place[level]]
        else:
            out[:, at] = values
    return out


def slices(design: Design) -> dict[Any, slice]:
    """Feature -> its matrix columns, in the order of the features."""
    geo = geometry(design, cosine=False)
    found, at, starts = {}, 0, iter(geo.starts())
    for f in design.features:
        if isinstance(f, Category):
            begin = next(starts)
        else:
            begin, at = at, at + f.width
        found[f] = slice(begin, begin + (len(f.levels) if isinstance(f, Category) else f.width))
    return found


def share_of(rows: Rows, one_in: int) -> Rows:
    """About one in so many rows, chosen by their content."""
    return rows if one_in == 1 else rows.take(kernel.share(rows, one_in))


def order_statistics(sample: Iterable[Real], everything: Callable[[], Iterable[Real]] | None = None) -> F64:
    """Evenly spaced order statistics of numbers that come in parts, ascending: all of few.

    Args:
        sample: the numbers of rows chosen by their content, or of all rows.
        everything: those of all rows, read when the sample shows few different ones (rows that repeat are
            chosen or left out together); equal numbers are counted, not kept.
    """
    values = np.sort(np.concatenate([np.zeros(0), *sample]))
    if everything is not None and np.count_nonzero(np.diff(values)) < KEPT:
        values, counts = np.zeros(0), np.zeros(0, dtype=np.int64)
        for part in everything():
            # Equal rows may differ in their last digits.
            new, n = np.unique(np.round(part.astype(np.float64), 10), return_counts=True)
            values, place = np.unique(np.concatenate([values, new]), return_inverse=True)
            counts = np.bincount(place, np.concatenate([counts, n])).astype(np.int64)
        last = np.cumsum(counts)
        at = np.linspace(0, last[-1] - 1, KEPT) if len(last) else np.zeros(0)
        values = values[np.searchsorted(last, np.round(at), side="right")]
    elif len(values) > KEPT:
        values = values[np.round(np.linspace(0, len(values) - 1, KEPT)).astype(np.int64)]
    return values if len(values) else np.zeros(1)


def cut_of(quantiles: F64, contamination: float) -> float:
    """The number that a share of the training rows exceeds; the last digits depend on who computes them."""
    return float(np.quantile(quantiles, 1.0 - contamination)) * (1.0 + 1e-9)
