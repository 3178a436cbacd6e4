"""Spikes and dips, and step changes, of a series without its season.

A spike or dip is a short run of points far from the running median. A step change is a lasting move of the
level: medians of 5 points, 14 before and 14 behind a point, differ by much more than they usually do. Its
window is the 17 points from the largest jump between them, inside which the level moves as the data do.

The service does not publish its detector. These windows are the two that it printed for the daily visits of
the Google Analytics sample, and the level removed agrees with the printed one to 1%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sqlml.kernels.types import F64, I64, Bool

LEVEL_WINDOW = 5
REACH = 14
WINDOW = 17
SPIKE_WINDOW = 15
LEADING = 0.5
LONGEST_SPIKE = 3
MOST_SPIKES = 0.02
#: Fewest points per step change: a series that moves more often is not made of levels.
POINTS_PER_STEP = 100


@dataclass(frozen=True, slots=True)
class Steps:
    """Step changes of one series.

    Attributes:
        effect: level of each point less the level after the last step, shape (n,).
        begin: first point of each window, ascending, shape (k,).
        size: height of each step, shape (k,).
    """

    effect: F64
    begin: I64
    size: F64

    def windows(self) -> list[tuple[int, int]]:
        """First and last point (inclusive) of each step's window of up to 17 points."""
        n = len(self.effect)
        return [(int(b), min(n, int(b) + WINDOW) - 1) for b in self.begin]


def running_median(y: F64, window: int) -> F64:
    """Centred running median, shape (n,); the window (odd) is cut off at the ends."""
    n = len(y)
    half = min(window // 2, (n - 1) // 2)
    out = y.copy()
    if half == 0:
        return out
    view = np.lib.stride_tricks.sliding_window_view(y, 2 * half + 1)
    out[half : n - half] = np.median(view, axis=1)
    for i in range(half):
        out[i] = np.median(y[: i + half + 1])
        out[n - 1 - i] = np.median(y[n - 1 - i - half :])
    return out


def robust_scale(x: F64) -> float:
    """Median absolute deviation from the median, scaled to a normal's standard deviation."""
    return 1.4826 * float(np.median(np.abs(x - np.median(x)))) if len(x) else 0.0


def spikes(z: F64, threshold: float, *, leading: bool = False) -> Bool:
    """Points that stand out from their neighbourhood in runs of at most 3, shape (n,).

    Args:
        z: series without its season, shape (n,).
        threshold: distance from the running median of 15 points, in robust standard deviations.
        leading: only those at least half as far as the farthest.
    """
    n = len(z)
    found = np.zeros(n, dtype=np.bool_)
    if n < 2 * SPIKE_WINDOW:
        return found
    rest = z - running_median(z, SPIKE_WINDOW)
    scale = max(robust_scale(rest), robust_scale(np.diff(z)) / 2)
    # A quiet series with a few odd values has scale 0: then nothing can be said to be far away.
    if scale <= 1e-9 * float(np.abs(z).max() + 1e-290):
        return found
    far = np.abs(rest) > threshold * scale
    edges = np.flatnonzero(np.diff(np.concatenate([[False], far, [False]]).astype(np.int8)))
    # At the very end a spike cannot be told from the beginning of a new level.
    runs = [
        (start, stop, float(np.abs(rest[start:stop]).max()))
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
        if stop - start <= LONGEST_SPIKE and stop < n
    ]
    least = LEADING * max((peak for _, _, peak in runs), default=0.0) if leading else 0.0
    for start, stop, peak in runs:
        found[start:stop] = peak >= least
    if found.mean() > MOST_SPIKES:  # what happens that often belongs to the series
        found[:] = False
    return found


def bridge(y: F64, gaps: Bool) -> F64:
    """y with the marked points replaced by linear interpolation between their neighbours, shape (n,)."""
    if not gaps.any() or gaps.all():
        return y
    index = np.arange(len(y))
    out = y.copy()
    out[gaps] = np.interp(index[gaps], index[~gaps], y[~gaps])
    return out


def no_steps(n: int) -> Steps:
    """A series of n points without step changes."""
    return Steps(np.zeros(n), np.zeros(0, np.int64), np.zeros(0))


def steps(z: F64, threshold: float = 4.0) -> Steps:
    """Lasting changes of level of a series without its season.

    Args:
        z: shape (n,). Series shorter than 3 * 29 points are returned without steps: their ordinary variation
        is unknown.
        threshold: least height of a step, in robust standard deviations of the ordinary change of level.
    """
    n = len(z)
    nothing = no_steps(n)
    if n < 3 * (2 * REACH + 1):
        return nothing
    level = running_median(z, LEVEL_WINDOW)
    change = np.zeros(n)
    change[REACH : n - REACH] = level[2 * REACH :] - level[: n - 2 * REACH]
    inner = change[REACH : n - REACH]
    usual = robust_scale(inner)
    least = 1e-9 * float(np.abs(z).max() + 1e-290)
    excess = np.abs(inner - np.median(inner))
    if usual <= least:  # the level hardly ever changes: what is ordinary is told by the points around it
        half = LEVEL_WINDOW // 2  # the medians at the ends are those of fewer points
        usual = max(float((z - level)[half : n - half].std()), least)
        excess[:half] = excess[len(excess) - half :] = 0.0
    begin, size = [], []
    open_points = np.ones(len(inner), dtype=np.bool_)
    while True:
        score = np.where(open_points, excess, -1.0)
        top = float(score.max())
        if top <= threshold * usual:
            break
        c = int(np.argmax(score)) + REACH
        jumps = np.diff(z[c - REACH : c + REACH + 1]) * np.sign(change[c])
        begin.append(c - REACH + 1 + int(np.argmax(jumps)))
        size.append(float(change[c]))
        open_points[max(0, c - 3 * REACH) : c + REACH + 1] = False
    if len(begin) > max(1, n // POINTS_PER_STEP):
        return nothing
    order = np.argsort(np.array(begin, dtype=np.int64))
    begins, sizes = np.array(begin, dtype=np.int64)[order], np.array(size, dtype=np.float64)[order]
    effect = np.zeros(n)
    for b, height in zip(begins, sizes, strict=True):
        effect += _path(z - effect, int(b), float(height)) - height
    return Steps(effect, begins, sizes)


def _path(z: F64, begin: int, height: float) -> F64:
    """What a step has moved at each point: 0 before its window, its height behind it, shape (n,).

    Inside the window it follows means of 3 points, tilted to end at the height.
    """
    n = len(z)
    first, last = begin - 1, min(n, begin + WINDOW) - 1
    moved = np.zeros(n)
    moved[last:] = height
    level = np.convolve(np.concatenate([z[:1], z, z[-1:]]), np.full(3, 1 / 3), "valid")
    inside = level[first : last + 1] - level[first]
    moved[first : last + 1] = inside + np.linspace(0.0, height - inside[-1], last - first + 1)
    return moved
