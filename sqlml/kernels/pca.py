"""Principal components from a cross-product matrix.

The components are the eigenvectors of X'X / (n - 1) for the largest eigenvalues. Numbers in X are centred
already; one-hot columns are not, as in BigQuery ML. `full` solves the dense symmetric eigenproblem;
`randomized` needs only products with X'X: a random subspace, iterated until its Ritz values stand still
(Halko, Martinsson and Tropp 2011, section 5). Signs: the entry of largest absolute value of every component
is positive (the first of equals).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sqlml.kernels.threads import one_blas_thread
from sqlml.kernels.types import F64

#: Columns beyond the wanted ones that make the random subspace converge faster.
OVERSAMPLING = 10
ITERATIONS = 100
#: The subspace stands still when no wanted Ritz value changes by more than this share of the largest.
TOLERANCE = 1e-11


@dataclass(frozen=True, slots=True)
class Components:
    """Components in order of descending eigenvalue.

    Args:
        vectors: (k, width), orthonormal rows.
        values: (k,), not negative.
    """

    vectors: F64
    values: F64

    def __len__(self) -> int:
        return len(self.values)

    def first(self, k: int) -> Components:
        """The first k."""
        return Components(self.vectors[:k], self.values[:k])


def signed(vectors: F64) -> F64:
    """The rows with the sign that makes their entry of largest absolute value positive."""
    # Entries that are equal but for rounding must not decide by the rounding.
    size = np.round(np.abs(vectors), 9)
    largest = vectors[np.arange(len(vectors)), np.argmax(size, axis=1)]
    return vectors * np.where(largest < 0.0, -1.0, 1.0)[:, None]


def full(matrix: F64) -> Components:
    """All components of a symmetric positive semi-definite matrix (width, width)."""
    # Up to the widths this is used for, the many small products of the solver are slower on several threads.
    with one_blas_thread():
        values, vectors = np.linalg.eigh(matrix)
    return Components(signed(vectors[:, ::-1].T), np.maximum(values[::-1], 0.0))


def randomized(apply: Callable[[F64], F64], width: int, k: int, *, generator: np.random.Generator) -> Components:
    """The k leading components of an operator.

    Args:
        apply: (width, m) -> (width, m): products with the matrix.
        width: its size.
        k: components, at most `width`.
        generator: of the first subspace.
    """
    size = min(width, k + OVERSAMPLING)
    basis, _ = np.linalg.qr(generator.standard_normal((width, size)))
    before = np.zeros(k)
    for _ in range(ITERATIONS):
        image = apply(basis)
        values, turn = np.linalg.eigh(basis.T @ image)
        now = values[::-1][:k]
        if np.max(np.abs(now - before)) <= TOLERANCE * max(float(now[0]), 1e-300):
            break
        before = now
        basis, _ = np.linalg.qr(image)
    else:
        image = apply(basis)
        values, turn = np.linalg.eigh(basis.T @ image)
    vectors = (basis @ turn[:, ::-1][:, :k]).T
    return Components(signed(vectors), np.maximum(values[::-1][:k], 0.0))


def enough(values: F64, total: float, ratio: float) -> int:
    """The smallest number of components whose eigenvalues reach this share of the total; all if none does."""
    reached = np.cumsum(values) >= ratio * total * (1.0 - 1e-12)
    return int(np.argmax(reached)) + 1 if reached.any() else len(values)
