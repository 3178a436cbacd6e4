"""FarmHash against the reference implementation and the published examples."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlml.kernels.hashing import fingerprint64
from sqlml.translate.udfs import farm_fingerprint

farmhash = pytest.importorskip("farmhash")


def reference(values: list[bytes]) -> list[int]:
    return [farmhash.fingerprint64(v) for v in values]


def ours(values: list[bytes]) -> list[int]:
    data = np.frombuffer(b"".join(values), dtype=np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(v) for v in values])]).astype(np.int64)
    return [int(x) for x in fingerprint64(data, offsets)]


def test_every_length_up_to_300() -> None:
    rng = np.random.default_rng(11)
    values = [rng.integers(0, 256, size=n % 301, dtype=np.uint8).tobytes() for n in range(301 * 4)]
    assert ours(values) == reference(values)


@pytest.mark.parametrize("low, high", [(1, 3), (4, 7), (8, 16), (17, 32), (33, 64), (65, 128), (600, 2000)])
def test_batches_of_one_class_of_lengths(low: int, high: int) -> None:
    rng = np.random.default_rng(low)
    values = [rng.integers(0, 256, size=int(n), dtype=np.uint8).tobytes() for n in rng.integers(low, high + 1, 50)]
    assert ours(values) == reference(values)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=30))
def test_any_mixture(values: list[bytes]) -> None:
    assert ours(values) == reference(values)


def test_published_examples() -> None:
    values = pa.array(["1footrue", "2applefalse", "3true"])
    assert farm_fingerprint(values).to_pylist() == [
        -1541654101129638711,
        2794438866806483259,
        -4880158226897771312,
    ]


def test_nulls_slices_and_chunks() -> None:
    values = pa.array(["skipped", "a", None, "", "ünïcode", "x" * 100])[1:]
    expected = [
        None if v is None else int(np.uint64(farmhash.fingerprint64(v)).astype(np.int64)) for v in values.to_pylist()
    ]
    assert farm_fingerprint(values).to_pylist() == expected
    chunked = pa.chunked_array([values.slice(0, 2), values.slice(2)])
    assert farm_fingerprint(chunked).to_pylist() == expected
    assert farm_fingerprint(values.cast(pa.large_string())).to_pylist() == expected
    assert farm_fingerprint(values.cast(pa.binary())).to_pylist() == expected
    assert farm_fingerprint(pa.array([], type=pa.string())).to_pylist() == []
    assert farm_fingerprint(pa.array([None, None], type=pa.string())).to_pylist() == [None, None]
