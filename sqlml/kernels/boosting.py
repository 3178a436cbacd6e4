"""XGBoost's own library, called directly: matrices, boosters, and nothing of its Python package.

`import xgboost` imports pandas, SciPy's statistics and scikit-learn for classes that are not used here: a second
and 165 MB of memory, a quarter of what trees over three million rows took. The C interface is documented and stable
(https://xgboost.readthedocs.io/en/stable/c.html); an array is handed over as the JSON of its address, shape and type
(NumPy's array interface), which XGBoost reads where it lies.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from sqlml.kernels.types import F32

RESET = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
NEXT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_FLOATS = ctypes.POINTER(ctypes.c_float)
_SIZES = ctypes.POINTER(ctypes.c_uint64)


class BoosterError(Exception):
    """What XGBoost says when a call fails."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """XGBoost's library, whose threads sleep while they wait for each other.

    As OpenMP comes they spin, which on a machine with other work makes trees of many small nodes several times slower;
    alone they are as fast either way. The variable is read while the library is loaded, and only there.
    """
    chosen = "OMP_WAIT_POLICY" in os.environ
    if not chosen:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    try:
        found = ctypes.CDLL(_path())
    finally:
        if not chosen:
            os.environ.pop("OMP_WAIT_POLICY", None)
    found.XGBGetLastError.restype = ctypes.c_char_p
    return found


def _path() -> str:
    """The file of the library, by the package's own rules of where it lies; the package itself is not imported."""
    package = importlib.util.find_spec("xgboost")
    if package is None or package.origin is None:
        raise ImportError("xgboost is not installed.", name="xgboost")
    rules = importlib.util.spec_from_file_location(
        "sqlml_xgboost_libpath", pathlib.Path(package.origin).with_name("libpath.py")
    )
    assert rules is not None and rules.loader is not None
    module = importlib.util.module_from_spec(rules)
    rules.loader.exec_module(module)
    return str(module.find_lib_path()[0])


def check(code: int) -> None:
    """Raise `BoosterError` for the return code of a failed call."""
    if code:
        raise BoosterError(library().XGBGetLastError().decode(errors="replace"))


def settings(**values: Any) -> bytes:
    """The settings of a call; None is left out."""
    return json.dumps({k: v for k, v in values.items() if v is not None}).encode()


def place(values: F32) -> bytes:
    """Where an array lies: it must live until XGBoost has read it."""
    return json.dumps(values.__array_interface__).encode()


def _handles(matrices: Sequence[Matrix]) -> Any:
    return (ctypes.c_void_p * len(matrices))(*[m.handle for m in matrices])


def _texts(values: Sequence[str]) -> Any:
    return (ctypes.c_char_p * len(values))(*[v.encode() for v in values])


class Matrix:
    """Rows as XGBoost keeps them.

    Args:
        handle: what a call of the library has made.
        kinds: per column "q" (a number) or "c" (the code of a category); None when all are numbers.
    """

    def __init__(self, handle: ctypes.c_void_p, kinds: Sequence[str] | None = None):
        self.handle = handle
        self.kinds = kinds

    @classmethod
    def of(cls, X: F32, *, threads: int | None, kinds: Sequence[str] | None = None, **info: F32 | None) -> Matrix:
        """A matrix of (n, p) numbers, NaN is missing; `info`: label, weight."""
        handle = ctypes.c_void_p()
        arguments = settings(missing=math.nan, nthread=-1 if threads is None else threads, data_split_mode=0)
        check(library().XGDMatrixCreateFromDense(place(X), arguments, ctypes.byref(handle)))
        made = cls(handle, kinds)
        made.tell(kinds=kinds, **info)
        return made

    @classmethod
    def proxy(cls) -> Matrix:
        """A matrix that stands for the portion which XGBoost asks for next."""
        handle = ctypes.c_void_p()
        check(library().XGProxyDMatrixCreate(ctypes.byref(handle)))
        return cls(handle)

    def hand_over(self, X: F32, *, kinds: Sequence[str] | None = None, **info: F32 | None) -> None:
        """Let a proxy stand for these rows, which must live until XGBoost asks for the next ones."""
        check(library().XGProxyDMatrixSetDataDense(self.handle, place(X)))
        self.tell(kinds=kinds, **info)

    def tell(self, *, kinds: Sequence[str] | None, **info: F32 | None) -> None:
        """What the rows and columns mean; XGBoost copies it."""
        for name, values in info.items():
            if values is not None:
                given = place(np.ascontiguousarray(values))
                check(library().XGDMatrixSetInfoFromInterface(self.handle, name.encode(), given))
        if kinds is not None:
            size = ctypes.c_uint64(len(kinds))
            check(library().XGDMatrixSetStrFeatureInfo(self.handle, b"feature_type", _texts(kinds), size))

    def labels(self) -> F32:
        """(n,), or (n * k,) of k outputs."""
        size, values = ctypes.c_uint64(), _FLOATS()
        check(library().XGDMatrixGetFloatInfo(self.handle, b"label", ctypes.byref(size), ctypes.byref(values)))
        return _copy(values, size.value)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of the process parts of it are gone
            library().XGDMatrixFree(self.handle)


class Booster:
    """An ensemble of trees.

    Args:
        raw: its UBJ bytes, or None for an empty one.
        matrices: those it is trained with: their predictions are kept from round to round.
        parameters: XGBoost's names and values.

    Raises:
        BoosterError: for bytes that are no booster; wrong parameters are found in the first round.
    """

    def __init__(
        self, raw: bytes | None = None, matrices: Sequence[Matrix] = (), parameters: Mapping[str, Any] | None = None
    ):
        self.handle = ctypes.c_void_p()
        self._matrices = matrices
        count = ctypes.c_uint64(len(matrices))
        check(library().XGBoosterCreate(_handles(matrices), count, ctypes.byref(self.handle)))
        if raw is not None:
            check(library().XGBoosterLoadModelFromBuffer(self.handle, raw, ctypes.c_uint64(len(raw))))
        for name, value in (parameters or {}).items():
            if value is not None:
                self.set(name, value)
        kinds = next((m.kinds for m in matrices if m.kinds is not None), None)
        if kinds is not None:
            size = ctypes.c_uint64(len(kinds))
            check(library().XGBoosterSetStrFeatureInfo(self.handle, b"feature_type", _texts(kinds), size))

    def set(self, name: str, value: object) -> None:
        """One parameter."""
        check(library().XGBoosterSetParam(self.handle, name.encode(), str(value).encode()))

    def update(self, round_: int, rows: Matrix) -> None:
        """Grow the trees of one round."""
        check(library().XGBoosterUpdateOneIter(self.handle, ctypes.c_int(round_), rows.handle))

    def losses(self, round_: int, matrices: Sequence[Matrix]) -> list[float]:
        """The metric over each of the matrices."""
        said = ctypes.c_char_p()
        names = _texts([str(i) for i in range(len(matrices))])
        check(
            library().XGBoosterEvalOneIter(
                self.handle, ctypes.c_int(round_), _handles(matrices), names, ctypes.c_uint64(len(matrices)),
                ctypes.byref(said),
            )
        )  # fmt: skip
        return [float(item.rsplit(":", 1)[1]) for item in (said.value or b"").decode().split()[1:]]

    def save(self) -> bytes:
        """UBJ bytes."""
        size, values = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_char)()
        told = settings(format="ubj")
        check(library().XGBoosterSaveModelToBuffer(self.handle, told, ctypes.byref(size), ctypes.byref(values)))
        return ctypes.string_at(values, size.value)

    def configuration(self) -> dict[str, Any]:
        """All settings, as XGBoost understands them."""
        size, text = ctypes.c_uint64(), ctypes.c_char_p()
        check(library().XGBoosterSaveJsonConfig(self.handle, ctypes.byref(size), ctypes.byref(text)))
        return dict(json.loads(text.value or b"{}"))

    def rounds(self) -> int:
        """Boosting rounds."""
        found = ctypes.c_int()
        check(library().XGBoosterBoostedRounds(self.handle, ctypes.byref(found)))
        return found.value

    def scores(self, kind: str) -> dict[int, float]:
        """Importance of the columns that some tree splits, summed over outputs."""
        count, width = ctypes.c_uint64(), ctypes.c_uint64()
        names, shape, values = ctypes.POINTER(ctypes.c_char_p)(), _SIZES(), _FLOATS()
        told = settings(importance_type=kind, feature_map="")
        written = [ctypes.byref(p) for p in (count, names, width, shape, values)]
        check(library().XGBoosterFeatureScore(self.handle, told, *written))
        found = _copy(values, math.prod(shape[: width.value])).astype(np.float64)
        each = len(found) // max(1, count.value)
        return {int(names[i][1:]): float(found[i * each : (i + 1) * each].sum()) for i in range(count.value)}

    def predict(self, rows: Matrix, kind: int = 0) -> F32:
        """What the trees say of each row; kinds: 0 prediction, 2 contributions, 3 approximate ones, 6 leaves."""
        told = settings(type=kind, training=False, iteration_begin=0, iteration_end=0, strict_shape=False)
        shape, dimensions, values = _SIZES(), ctypes.c_uint64(), _FLOATS()
        written = [ctypes.byref(p) for p in (shape, dimensions, values)]
        check(library().XGBoosterPredictFromDMatrix(self.handle, rows.handle, told, *written))
        size = shape[: dimensions.value]
        return _copy(values, math.prod(size)).reshape(size)

    def score(self, X: F32) -> F32:
        """(n,) or (n, outputs): predictions of a matrix that is read where it lies. DART adds up in another order."""
        if not X.flags.c_contiguous or X.dtype != np.float32:
            X = np.ascontiguousarray(X, np.float32)
        where = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (X.ctypes.data, *X.shape)
        shape, dimensions, values = _SIZES(), ctypes.c_uint64(), _FLOATS()
        written = ctypes.byref(shape), ctypes.byref(dimensions), ctypes.byref(values)
        check(library().XGBoosterPredictFromDense(self.handle, where, _PLAIN, None, *written))
        size = shape[: dimensions.value]
        return _copy(values, math.prod(size)).reshape(size)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of the process parts of it are gone
            library().XGBoosterFree(self.handle)


_PLAIN = settings(
    type=0, training=False, iteration_begin=0, iteration_end=0, cache_id=0, missing=math.nan, strict_shape=False
)


def _copy(values: Any, count: int) -> F32:
    """XGBoost's memory is this thread's, until its next call."""
    return np.frombuffer(ctypes.string_at(values, 4 * count) if count else b"", np.float32)


def streamed(
    proxy: Matrix, reset: Any, next_: Any, *, quantised: bool, ref: Matrix | None, cache: str | None,
    threads: int | None, bins: int, kinds: Sequence[str] | None,
) -> Matrix:  # fmt: skip
    """A matrix of rows that XGBoost asks for, several times over.

    Args:
        proxy: stands for the portion that `next_` has last handed over.
        reset, next_: `RESET` and `NEXT`, called in this thread.
        quantised: keep bins of the values, not the values.
        ref: a quantised matrix whose bins are used.
        cache: the beginning of the names of files to keep it in, or None.
        threads, bins: XGBoost's nthread and max_bin.
        kinds: as for `Matrix`.
    """
    told: dict[str, Any] = {"missing": math.nan, "nthread": -1 if threads is None else threads}
    if cache is not None or not quantised:
        told |= {"cache_prefix": cache or "", "on_host": True}
    if quantised:
        told["max_bin"] = bins
    handle = ctypes.c_void_p()
    rest: Iterable[Any] = (reset, next_, settings(**told), ctypes.byref(handle))
    if not quantised:
        check(library().XGDMatrixCreateFromCallback(None, proxy.handle, *rest))
    else:
        name = "XGQuantileDMatrixCreateFromCallback" if cache is None else "XGExtMemQuantileDMatrixCreateFromCallback"
        check(library()[name](None, proxy.handle, None if ref is None else ref.handle, *rest))
    return Matrix(handle, kinds)
