"""FarmHash Fingerprint64 (version "na"), the hash behind FARM_FINGERPRINT, over many byte strings at once.

Source: G. Pike, FarmHash (github.com/google/farmhash), algorithm `farmhashna::Hash64`. The hash takes
another road for each class of lengths (1-3, 4-7, 8-16, 17-32, 33-64, longer); here each class of the
batch goes its road together, as arrays of unsigned 64-bit numbers that wrap around.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

_K0 = np.uint64(0xC3A5C85C97CB3127)
_K1 = np.uint64(0xB492B66FBE98F273)
_K2 = np.uint64(0x9AE16A3B2F90404F)
_SEED = 81


def fingerprint64(data: NDArray[np.uint8], offsets: I64) -> U64:
    """Fingerprints of byte strings that lie one after the other.

    Args:
        data: all bytes, shape (m,), m >= offsets[-1].
        offsets: where each string begins, shape (n + 1,), ascending; string i is
            data[offsets[i]:offsets[i + 1]].

    Returns:
        The fingerprints, shape (n,), unsigned; `.view(np.int64)` is what FARM_FINGERPRINT returns.
    """
    starts = np.asarray(offsets[:-1], dtype=np.int64)
    sizes = np.diff(offsets).astype(np.int64)
    result: U64 = np.full(len(sizes), _K2, dtype=np.uint64)
    if not len(sizes):
        return result
    bytes_ = _Bytes(data)
    low, high = int(sizes.min()), int(sizes.max())
    for first, last, road in (
        (1, 3, _up_to_3),
        (4, 7, _up_to_7),
        (8, 16, _up_to_16),
        (17, 32, _up_to_32),
        (33, 64, _up_to_64),
        (65, np.iinfo(np.int64).max, _long),
    ):
        if high < first or low > last:
            continue
        if low >= first and high <= last:
            return road(bytes_, starts, sizes)
        rows = np.flatnonzero((sizes >= first) & (sizes <= last))
        if len(rows):
            result[rows] = road(bytes_, starts[rows], sizes[rows])
    return result


class _Bytes:
    """Reads numbers at any byte position; the end is padded so that a read may run over it."""

    def __init__(self, data: NDArray[np.uint8]):
        padded = np.zeros(len(data) + 8, dtype=np.uint8)
        padded[: len(data)] = data
        self.bytes = padded
        self.words: U64 = np.ndarray(shape=(len(data) + 1,), dtype="<u8", buffer=padded, strides=(1,))

    def fetch(self, at: I64) -> U64:
        """The 8 bytes at each position, little endian."""
        return self.words[at]

    def fetch32(self, at: I64) -> U64:
        """The 4 bytes at each position, little endian."""
        return self.words[at] & np.uint64(0xFFFFFFFF)


def _rotate(x: U64, by: int) -> U64:
    return (x >> np.uint64(by)) | (x << np.uint64(64 - by))


def _mix(x: U64) -> U64:
    return x ^ (x >> np.uint64(47))


def _hash16(u: U64, v: U64, mul: U64) -> U64:
    a = _mix((u ^ v) * mul)
    return _mix((v ^ a) * mul) * mul


def _multiplier(sizes: I64) -> U64:
    return _K2 + (sizes.astype(np.uint64) << np.uint64(1))


def _up_to_3(b: _Bytes, s: I64, n: I64) -> U64:
    first = b.bytes[s].astype(np.uint64)
    middle = b.bytes[s + (n >> 1)].astype(np.uint64)
    last = b.bytes[s + n - 1].astype(np.uint64)
    y = first + (middle << np.uint64(8))
    z = n.astype(np.uint64) + (last << np.uint64(2))
    return _mix(y * _K2 ^ z * _K0) * _K2


def _up_to_7(b: _Bytes, s: I64, n: I64) -> U64:
    head = n.astype(np.uint64) + (b.fetch32(s) << np.uint64(3))
    return _hash16(head, b.fetch32(s + n - 4), _multiplier(n))


def _up_to_16(b: _Bytes, s: I64, n: I64) -> U64:
    mul = _multiplier(n)
    head = b.fetch(s) + _K2
    tail = b.fetch(s + n - 8)
    return _hash16(_rotate(tail, 37) * mul + head, (_rotate(head, 25) + tail) * mul, mul)


def _up_to_32(b: _Bytes, s: I64, n: I64) -> U64:
    mul = _multiplier(n)
    p = b.fetch(s) * _K1
    q = b.fetch(s + 8)
    r = b.fetch(s + n - 8) * mul
    t = b.fetch(s + n - 16) * _K2
    return _hash16(_rotate(p + q, 43) + _rotate(r, 30) + t, p + _rotate(q + _K2, 18) + r, mul)


def _up_to_64(b: _Bytes, s: I64, n: I64) -> U64:
    mul = _multiplier(n)
    end = s + n
    p = b.fetch(s) * _K2
    q = b.fetch(s + 8)
    r = b.fetch(end - 8) * mul
    t = b.fetch(end - 16) * _K2
    y = _rotate(p + q, 43) + _rotate(r, 30) + t
    z = _hash16(y, p + _rotate(q + _K2, 18) + r, mul)
    e = b.fetch(s + 16) * mul
    f = b.fetch(s + 24)
    g = (y + b.fetch(end - 32)) * mul
    h = (z + b.fetch(end - 24)) * mul
    return _hash16(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + p, 18) + g, mul)


def _weak(b: _Bytes, s: I64, x: U64, y: U64) -> tuple[U64, U64]:
    """A weak hash of 32 bytes with two seeds."""
    last = b.fetch(s + 24)
    x = x + b.fetch(s)
    y = _rotate(y + x + last, 21)
    before = x
    x = x + b.fetch(s + 8) + b.fetch(s + 16)
    return x + last, y + _rotate(x, 44) + before


@np.errstate(over="ignore")
def _long(b: _Bytes, s: I64, n: I64) -> U64:
    """More than 64 bytes: block by block; strings that are through drop out of the batch."""
    order = np.argsort(-n, kind="stable")
    s, n = s[order], n[order]
    blocks = (n - 1) >> 6
    final = s + n - 64
    count = len(n)
    y0 = np.uint64((_SEED * int(_K1) + 113) & 0xFFFFFFFFFFFFFFFF)
    x: U64 = np.uint64(_SEED) * _K2 + b.fetch(s)
    y: U64 = np.full(count, y0)
    z: U64 = _mix(y * _K2 + np.uint64(113)) * _K2
    v1, v2, w1, w2 = (np.zeros(count, dtype=np.uint64) for _ in range(4))
    for block in range(int(blocks[0])):
        live = int(np.searchsorted(-blocks, -block, side="left"))  # rows are longest first
        at = s[:live] + 64 * block
        state = _step(b, at, x[:live], y[:live], z[:live], v1[:live], v2[:live], w1[:live], w2[:live], _K1, 1)
        x[:live], y[:live], z[:live], v1[:live], v2[:live], w1[:live], w2[:live] = state
    mul = _K1 + ((z & np.uint64(0xFF)) << np.uint64(1))
    w1 = w1 + ((n - 1) & 63).astype(np.uint64)
    v1 = v1 + w1
    w1 = w1 + v1
    x, y, z, v1, v2, w1, w2 = _step(b, final, x, y, z, v1, v2, w1, w2, mul, 9)
    hashed = _hash16(_hash16(v1, w1, mul) + _mix(y) * _K0 + z, _hash16(v2, w2, mul) + x, mul)
    result = np.empty(count, dtype=np.uint64)
    result[order] = hashed
    return result


def _step(
    b: _Bytes,
    s: I64,
    x: U64,
    y: U64,
    z: U64,
    v1: U64,
    v2: U64,
    w1: U64,
    w2: U64,
    mul: U64 | np.uint64,
    weight: int,
) -> tuple[U64, U64, U64, U64, U64, U64, U64]:
    """One block of 64 bytes; the last one has another multiplier and weight."""
    by = np.uint64(weight)
    x = _rotate(x + y + v1 + b.fetch(s + 8), 37) * mul
    y = _rotate(y + v2 + b.fetch(s + 48), 42) * mul
    x = x ^ (w2 * by)
    y = y + v1 * by + b.fetch(s + 40)
    z = _rotate(z + w1, 33) * mul
    v1, v2 = _weak(b, s, v2 * mul, x + w1)
    w1, w2 = _weak(b, s + 32, z + w2, y + b.fetch(s + 16))
    return z, y, x, v1, v2, w1, w2
