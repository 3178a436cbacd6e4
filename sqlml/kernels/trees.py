"""Gradient-boosted trees and forests by XGBoost: matrices in, one booster (UBJ bytes) out.

Sources: Chen and Guestrin 2016 (boosting, histogram splits), Rashmi and Gilad-Bachrach 2015 (DART),
Breiman 2001 (forests), Lundberg et al. 2018 (Shapley values of trees). Matrices are float32, NaN is a missing
value, as XGBoost itself computes. Rows come in pages whose size depends on the number of
columns alone, so that the model does not depend on how the rows were delivered.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal

import numpy as np

from sqlml.errors import DataError, FormatError, TrainingError
from sqlml.kernels.boosting import Booster, BoosterError, Matrix, streamed
from sqlml.kernels.feed import feed
from sqlml.kernels.types import F32, F64, I64

#: "shares" fits the share of each class by squared error (a forest that votes), the others boost a likelihood.
Objective = Literal["squared", "logistic", "softmax", "shares"]
Importance = Literal["weight", "total_gain", "total_cover"]

_LARGEST = np.finfo(np.float32).max
#: Rows are replayed from memory when they are smaller than this.
MEMORY = 16 * 2**20
_PAGE_CELLS = 2**22
_PAGE_ROWS = 2**20


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows.

    Args:
        X: (n, p); NaN is missing.
        y: (n,): a number, or the index of a class.
        w: (n,) weights, or None when all weigh 1.
    """

    X: F32
    y: F32
    w: F32 | None = None

    def __len__(self) -> int:
        return len(self.y)


def clipped(x: F64) -> F32:
    """float64 -> float32; what lies outside, infinities too, becomes the nearest finite number."""
    return np.clip(x, -_LARGEST, _LARGEST).astype(np.float32)


def page_rows(p: int) -> int:
    """Rows of a page of p columns."""
    return max(1024, min(_PAGE_ROWS, _PAGE_CELLS // max(1, p)))


class Spool:
    """Pages that are read once and replayed many times: from memory, or from a temporary file when they are large.

    Args:
        pages: rows in any portions; all of p columns, all with or all without weights.
        memory: bytes that are kept in memory.
    """

    def __init__(self, pages: Iterable[Page], p: int, *, memory: int = MEMORY, rows: int | None = None):
        self.p, self.rows = p, 0
        self.weighted = False
        self._kept: list[Page] = []
        self._sizes: list[int] = []
        self._file: Any = None
        #: Matrices made of these rows, while they are used again and again.
        self.matrices: dict[Any, Any] = {}
        self._memory = memory
        size = page_rows(p) if rows is None else rows
        try:
            self._fill(pages, size)
        except BaseException:
            self.close()
            raise

    def _fill(self, pages: Iterable[Page], size: int) -> None:
        waiting: list[Page] = []
        count = 0
        for page in pages:
            at = 0
            while at < len(page):
                part = min(len(page) - at, size - count)
                w = None if page.w is None else page.w[at : at + part]
                waiting.append(Page(page.X[at : at + part], page.y[at : at + part], w))
                at, count = at + part, count + part
                if count == size:
                    self._add(waiting)
                    waiting, count = [], 0
        if waiting:
            self._add(waiting)

    def _add(self, parts: list[Page]) -> None:
        """One page, of its parts; what goes to the file is never joined in memory."""
        n = sum(len(q) for q in parts)
        self.rows += n
        self.weighted = parts[0].w is not None
        cells = self.p + 1 + self.weighted
        self._memory -= 4 * n * cells
        if self._file is None and self._memory >= 0:
            self._kept.append(_joined(parts))
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="sqlml-trees-")  # noqa: SIM115 - closed in `close`
        self._sizes.append(n)
        for values in ([q.X for q in parts], [q.y for q in parts], [q.w for q in parts if q.w is not None]):
            for part in values:
                raw: Any = np.ascontiguousarray(part, np.float32)
                self._file.write(memoryview(raw).cast("B"))

    def __iter__(self) -> Iterator[Page]:
        yield from self._kept
        if self._file is not None:
            self._file.seek(0)
            for n in self._sizes:
                X = self._read(n * self.p).reshape(n, self.p)
                y = self._read(n)
                yield Page(X, y, self._read(n) if self.weighted else None)

    def _read(self, count: int) -> F32:
        found: Any = np.empty(count, np.float32)
        if count and self._file.readinto(memoryview(found).cast("B")) != 4 * count:
            raise OSError("a temporary file of the training rows is shorter than it was")
        return found

    def whole(self) -> Page:
        """All rows at once."""
        return _joined(list(self), self.p)

    def close(self) -> None:
        """Give memory and disk back."""
        self._kept.clear()
        self.matrices.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _joined(pages: list[Page], p: int = 0) -> Page:
    """One page of several, in memory of its own."""
    if not pages:
        return Page(np.zeros((0, p), np.float32), np.zeros(0, np.float32))
    w = None if pages[0].w is None else np.concatenate([q.w for q in pages if q.w is not None])
    return Page(np.concatenate([q.X for q in pages]), np.concatenate([q.y for q in pages]), w)


# ---------------------------------------------------------------- training


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Args:
        objective: the loss.
        classes: number of classes; 0 for regression.
        rounds: upper bound on the boosting rounds.
        parameters: XGBoost's own names and values (max_depth, eta, seed, nthread ...).
        progress: stop after the first round whose loss falls by less than this share; None never.
        external: keep the quantised matrix on disk.
        categorical: per column whether it holds codes of a category that XGBoost splits itself.
    """

    objective: Objective
    classes: int
    rounds: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    progress: float | None = None
    external: bool = False
    categorical: tuple[bool, ...] = ()


Report = Callable[[int, float, "float | None"], None]

_NAMES = {
    "squared": ("reg:squarederror", "rmse"),
    "logistic": ("binary:logistic", "logloss"),
    "softmax": ("multi:softprob", "mlogloss"),
    "shares": ("reg:squarederror", "rmse"),
}


def train(
    rows: Spool,
    held: Spool | None,
    settings: Settings,
    report: Report,
    *,
    start: bytes | None = None,
    check: Callable[[], object] = lambda: None,
) -> bytes:
    """Fit, and give the booster as UBJ bytes.

    Args:
        rows, held: training rows, and the rows of the evaluation loss or None.
        report: called after each round with (round from 0, loss, evaluation loss): the root of the mean squared
            error, or the mean negative log likelihood; what it raises ends the training.
        start: a booster to which the rounds are added.
        check: called before each portion of the rows that XGBoost asks for; what it raises ends the training.

    Raises:
        TrainingError: XGBoost refuses the data or runs out of memory.
    """
    name, metric = _NAMES[settings.objective]
    parameters = {"objective": name, "eval_metric": metric, "verbosity": 0, **settings.parameters}
    if settings.objective == "softmax":
        parameters["num_class"] = settings.classes
    with _matrices(rows, held, settings, check) as (matrix, held_matrix), _told():
        matrices = [matrix] + ([held_matrix] if held_matrix is not None else [])
        later = settings.objective == "shares"
        booster = Booster(start, [matrix] if later else matrices, {**parameters, "validate_parameters": True})
        before = math.nan
        for i in range(settings.rounds):
            booster.update(i, matrix)
            if later:
                continue
            loss, held_loss = [*booster.losses(i, matrices), None][:2]
            assert loss is not None
            report(i, loss, held_loss)
            watched = loss if held_loss is None else held_loss
            if settings.progress is not None and stalled(before, watched, settings.progress):
                break
            before = watched
        if later:
            losses = [share_loss(booster.predict(m), m.labels(), settings.classes) for m in matrices]
            report(0, losses[0], losses[1] if len(losses) > 1 else None)
        return booster.save()


def stalled(before: float, loss: float, progress: float) -> bool:
    """Whether the loss fell by less than the share `progress`; False at the first iteration (`before` is NaN)."""
    if math.isnan(before):
        return False
    return before <= 0.0 or (before - loss) / before < progress


def share_loss(found: F32, labels: F32, classes: int) -> float:
    """Mean negative log likelihood of the shares of a voting forest; `labels` are (n,) or (n, classes) indicators."""
    p = shares(found)
    n = len(p)
    y = labels.reshape(n, -1).argmax(axis=1) if classes > 2 else labels.astype(np.int64)
    own = p[np.arange(n), y] if p.ndim == 2 else np.where(y == 1, p, 1.0 - p)
    return float(-np.log(np.maximum(own, 1e-15)).mean())


def shares(found: F32) -> F64:
    """Probabilities of the raw output of a voting forest: (n,) of the second class, or (n, classes)."""
    p = np.clip(found.astype(np.float64), 0.0, 1.0)
    if p.ndim == 1:
        return p
    p = np.maximum(p, 1e-9)
    return np.asarray(p / p.sum(axis=1, keepdims=True))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """XGBoost's own errors as a sentence, without its C++ stack."""
    try:
        yield
    except BoosterError as error:
        if "base_score" in str(error):  # the mean label is 0, 1 or no number
            text = "the rows to train on must have at least two labels of a weight above 0. All others are held out."
            raise DataError(text) from None
        lines = [line for line in str(error).splitlines() if line.strip()]
        what = lines[0].split("Check failed:", 1)[-1].split("] ", 1)[-1].strip() if lines else "unknown reason"
        raise TrainingError(f"the trees cannot be trained: {what}") from None


# ---------------------------------------------------------------- matrices


@contextlib.contextmanager
def _matrices(
    rows: Spool, held: Spool | None, settings: Settings, check: Callable[[], object]
) -> Iterator[tuple[Matrix, Matrix | None]]:
    with contextlib.ExitStack() as stack:
        folder = None
        if settings.external:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sqlml-trees-")))
        method, bins = settings.parameters.get("tree_method", "hist"), settings.parameters.get("max_bin")
        # One thread, one matrix: XGBoost promises nothing about trainings that share one at the same time.
        key = (threading.get_ident(), method, bins, settings.objective, settings.categorical)
        if key not in rows.matrices:
            with _told():
                matrix = _matrix(rows, settings, folder, None, check)
                other = _matrix(held, settings, folder, matrix, check) if held is not None and held.rows else None
            if folder is not None:
                yield matrix, other
                return
            rows.matrices[key] = matrix, other
        yield rows.matrices[key]


def _matrix(
    rows: Spool, settings: Settings, folder: pathlib.Path | None, ref: Matrix | None, check: Callable[[], object]
) -> Matrix:
    """The quantised rows; exact and approximate splits need the numbers themselves."""
    method, threads = settings.parameters.get("tree_method", "hist"), settings.parameters.get("nthread")
    kinds = feature_types(settings.categorical)

    def portions() -> Iterator[dict[str, Any]]:
        for page in rows:
            check()
            yield {"X": page.X, "kinds": kinds, "label": _labels(page.y, settings), "weight": page.w}

    if method == "hist" or (folder is not None and method == "approx"):
        cache = None if folder is None else str(folder / ("rows" if ref is None else "held"))
        bins = settings.parameters.get("max_bin", 256)
        with feed(portions) as source:
            quantised = method == "hist"
            return streamed(*source, quantised=quantised, ref=ref, cache=cache, threads=threads, bins=bins, kinds=kinds)
    page = rows.whole()
    return Matrix.of(page.X, threads=threads, kinds=kinds, label=_labels(page.y, settings), weight=page.w)


def feature_types(categorical: tuple[bool, ...]) -> list[str] | None:
    """XGBoost's names of the kinds of the columns."""
    return ["c" if c else "q" for c in categorical] if any(categorical) else None


def _labels(y: F32, settings: Settings) -> F32:
    if settings.objective == "shares" and settings.classes > 2:
        found = np.zeros((len(y), settings.classes), np.float32)
        found[np.arange(len(y)), y.astype(np.int64)] = 1.0
        return found
    return y


# ---------------------------------------------------------------- a trained booster


@lru_cache(maxsize=16)
def load(raw: bytes) -> Booster:
    """The booster, ready for prediction on one thread per caller. Raises `FormatError` when the bytes are damaged."""
    try:
        booster = Booster(raw)
    except BoosterError:
        raise FormatError("the stored trees cannot be read: their bytes are damaged or of another format.") from None
    # DuckDB runs several callers at once; more threads for 2,048 rows cost four times the work.
    booster.set("nthread", 1)
    return booster


@lru_cache(maxsize=16)
def _drops(raw: bytes) -> bool:
    """Whether the booster is DART."""
    return bool(load(raw).configuration()["learner"]["gradient_booster"]["name"] == "dart")


def outputs(raw: bytes, X: F32) -> F32:
    """(n,) or (n, classes): what `Booster.predict` gives, without its 100 microseconds of Python per call."""
    booster = load(raw)
    if not len(X):
        return np.zeros(0, np.float32)
    if _drops(raw):  # weighs trees, and adds them up in another order when it reads the rows in place
        return booster.predict(Matrix.of(X, threads=1))
    return booster.score(X)


def predict(raw: bytes, X: F32, objective: Objective) -> F64:
    """(n,) numbers or probabilities of the second class, or (n, classes): the float32 of `Booster.predict`."""
    found = outputs(raw, X)
    return shares(found) if objective == "shares" else np.asarray(found, np.float64)


def rounds(raw: bytes) -> int:
    """Boosting rounds of a booster."""
    return load(raw).rounds()


@lru_cache(maxsize=4)
def _threaded(raw: bytes) -> Booster:
    """The booster on all cores: contributions of 2,048 rows are work enough, and DuckDB asks for them one by one."""
    load(raw)  # refuses damaged bytes
    return Booster(raw)


def contributions(raw: bytes, X: F32, *, approximate: bool = False, categorical: tuple[bool, ...] = ()) -> F64:
    """(n, outputs, p + 1): what each column adds to the raw output (log odds, logit, number); the baseline last."""
    matrix = Matrix.of(X, threads=1, kinds=feature_types(categorical))
    found = _threaded(raw).predict(matrix, 3 if approximate else 2)
    return np.asarray(found, np.float64).reshape(len(X), -1, X.shape[1] + 1)


def leaves(raw: bytes, X: F32, categorical: tuple[bool, ...] = ()) -> I64:
    """(n, trees): number of the leaf that each row reaches in each tree."""
    found = load(raw).predict(Matrix.of(X, threads=1, kinds=feature_types(categorical)), 6)
    return np.asarray(found, np.int64).reshape(len(X), -1)


def importance(raw: bytes, p: int, kind: Importance) -> F64:
    """(p,) number of splits of each column, or their total gain or cover."""
    found = np.zeros(p)
    for column, value in load(raw).scores(kind).items():
        found[column] = value
    return found
