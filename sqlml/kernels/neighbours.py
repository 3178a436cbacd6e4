"""Nearest points by brute force: Euclidean distance, or the share of coordinates that differ.

Over the leaves that a row reaches in each tree the latter is one minus the proximity of forests.
Source of the proximity: Breiman 2001, "Random Forests"; manual of the original program.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sqlml.kernels.types import F64, I64

Measure = Literal["euclidean", "share"]
#: Distances that are held in memory at once.
_CELLS = 2**21
#: Distances that are counted together: two bytes each, within the second-level cache.
_CACHED = 2**17
#: Candidates beyond k that are measured again exactly: products of large coordinates round.
_SPARE = 16


def nearest(X: NDArray[Any], E: NDArray[Any], k: int, measure: Measure) -> tuple[I64, F64]:
    """The k nearest points of E (m, d) for each row of X (n, d); of equally near ones the first in E.

    For shares the coordinates are whole numbers, fewer than 65,536 of them.

    Returns:
        Indices into E and distances, both (n, min(k, m)), the nearest first. A share is from 0 to 1.
    """
    m, k = len(E), min(k, len(E))
    size = max(1, _CELLS // max(1, m))
    parts = [_euclidean(X[i : i + size], E, k) if measure == "euclidean" else _shares(X[i : i + size], E, k)
             for i in range(0, len(X), size)]  # fmt: skip
    if not parts:
        return np.zeros((0, k), np.int64), np.zeros((0, k))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _euclidean(X: F64, E: F64, k: int) -> tuple[I64, F64]:
    """Candidates by |e|^2 - 2 x'e of centred points, then their distances as sums of squared differences."""
    middle = E.mean(axis=0)
    near = np.einsum("ij,ij->i", E - middle, E - middle) - 2.0 * ((X - middle) @ (E - middle).T)
    count = min(len(E), k + _SPARE)
    found = np.argpartition(near, count - 1, axis=1)[:, :count]
    found.sort(axis=1)
    difference = E[found] - X[:, None, :]
    distance = np.sqrt(np.einsum("ijk,ijk->ij", difference, difference))
    order = np.argsort(distance, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(distance, order, axis=1)


def _shares(X: NDArray[Any], E: NDArray[Any], k: int) -> tuple[I64, F64]:
    """Coordinates that agree are counted one by one, in blocks that stay in the cache; the index breaks ties."""
    m, d = E.shape
    kind = np.int16 if max(X.max(initial=0), E.max(initial=0)) < 2**15 else np.int32
    X, E = (np.ascontiguousarray(a.T, kind) for a in (X, E))
    rows = max(1, _CACHED // m)
    parts = []
    for i in range(0, X.shape[1], rows):
        block = X[:, i : i + rows]
        agree, same = np.zeros((block.shape[1], m), np.uint16), np.empty((block.shape[1], m), np.bool_)
        for x, e in zip(block, E, strict=True):
            np.equal(x[:, None], e, out=same)
            agree += same.view(np.uint8)
        differ = (d - agree.astype(np.int64)) * m + np.arange(m)
        parts.append(np.sort(np.partition(differ, k - 1, axis=1)[:, :k], axis=1))
    best = np.concatenate(parts)
    return best % m, (best // m) / d
