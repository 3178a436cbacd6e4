"""Hierarchies of series: sums of series along id columns, and forecasts that add up.

A node is a tuple of ids with the rolled-up ones left out; its children are the bottom series under it.
Reconciliation is
bottom-up: the forecast of a parent is the sum of its children's, so every level adds up exactly
(Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., section 11.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlml.kernels.types import F64, I64


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The rolled-up nodes over m bottom series.

    Attributes:
        keys: one tuple of ids per node; None stands for a rolled-up id.
        members: positions of the bottom series under each node, concatenated.
        offsets: where each node's members begin, shape (nodes + 1,).
    """

    keys: tuple[tuple[object, ...], ...]
    members: I64
    offsets: I64

    def __len__(self) -> int:
        return len(self.keys)

    def of(self, node: int) -> I64:
        """Positions of the bottom series under a node."""
        return self.members[self.offsets[node] : self.offsets[node + 1]]


def hierarchy(ids: Sequence[tuple[object, ...]], levels: Sequence[int]) -> Hierarchy:
    """The aggregated nodes of a hierarchy.

    Args:
        ids: the ids of each bottom series, one tuple per series.
        levels: positions in the tuple of the hierarchy's columns, parent first. The last column is rolled up
        first,
            then the one before it, up to the total; columns outside the hierarchy always stay.
    """
    # By level, too: an id that is NULL in the data is not one that is rolled up.
    nodes: dict[tuple[int, tuple[object, ...]], list[int]] = {}
    for kept in range(len(levels) - 1, -1, -1):
        rolled = set(levels[kept:])
        for position, key in enumerate(ids):
            node = tuple(None if i in rolled else part for i, part in enumerate(key))
            nodes.setdefault((kept, node), []).append(position)
    offsets = np.cumsum([0, *(len(v) for v in nodes.values())])
    members = [i for v in nodes.values() for i in v]
    return Hierarchy(tuple(node for _, node in nodes), np.array(members, np.int64), np.asarray(offsets, np.int64))


def bottom_up(tree: Hierarchy, values: F64) -> F64:
    """Sums of the bottom rows under each node: (m, h) to (nodes, h)."""
    if len(tree) == 0:
        return np.zeros((0, values.shape[1]))
    total: F64 = np.add.reduceat(values[tree.members], tree.offsets[:-1], axis=0)
    return total
