"""Arrays as rows with hashes: what is read back, and what counts as damage."""

from __future__ import annotations

import hashlib
import itertools
import math
import weakref
from collections import deque
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sqlml.arrays import PIECE, ROW, Damaged, Incoming, Outgoing, pieces, raw, take


def rows(key: str, value: Any, size: int) -> list[dict[str, Any]]:
    data, dtype, shape = raw(value)
    ends = [*range(0, len(data), size), len(data)]
    parts = [bytes(data[a:b]) for a, b in itertools.pairwise(ends)]
    places = [f" {i}/{len(parts)}" for i in range(len(parts))] if len(parts) > 1 else [""]
    return [
        {"key": key, "dtype": dtype + place, "shape": shape, "data": d, "sha256": hashlib.sha256(d).hexdigest()}
        for d, place in zip(parts, places, strict=True)
    ]


def read(found: list[dict[str, Any]], kind: pa.DataType | None = None) -> dict[str, Any]:
    arrays: dict[str, Incoming] = {}
    for at in range(0, len(found), 3):  # several batches
        piece = found[at : at + 3]
        columns = {name: [r[name] for r in piece] for name in ("key", "dtype", "shape", "data", "sha256")}
        columns["data"] = pa.array(columns["data"], kind or pa.binary())
        take(pa.RecordBatch.from_pydict(columns), arrays)
    return {key: array.value() for key, array in arrays.items()}


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<i8", "|b1", "<u2"])
def test_pieces_in_any_order(dtype: str, kind: pa.DataType) -> None:
    value = np.random.default_rng(1).integers(0, 2, (7, 11)).astype(dtype)
    found = rows("a", value, 16) + rows("b", b"some bytes", 4) + rows("c", np.zeros((1, 3)), 100)
    for order in (range(len(found)), range(len(found) - 1, -1, -1), np.random.default_rng(2).permutation(len(found))):
        back = read([found[int(i)] for i in order], kind)
        np.testing.assert_array_equal(back["a"], value)
        assert back["a"].dtype == value.dtype and back["a"].flags.writeable
        assert back["b"] == b"some bytes" and back["c"].shape == (1, 3)


def test_nothing_is_a_value() -> None:
    empty = [{"key": k, "dtype": d, "shape": s, "data": b"", "sha256": hashlib.sha256(b"").hexdigest()}
             for k, d, s in (("a", "bytes", [0]), ("b", "<f4", [0, 5]))]  # fmt: skip
    back = read(empty)
    assert back["a"] == b"" and back["b"].shape == (0, 5)


def _changed(change: dict[str, Any], at: int = 1) -> list[dict[str, Any]]:
    found = rows("a", np.arange(20.0), 48)
    found[at] = {**found[at], **change}
    if "data" in change:
        found[at]["sha256"] = hashlib.sha256(change["data"]).hexdigest()
    return found


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (_changed({"sha256": "0" * 64}), "the array a does not match its hash"),
        (_changed({"data": b"x" * 40}), "the array a has a wrong type or shape"),
        (_changed({"data": b"x" * 40}, 3), "the array a has a wrong type or shape"),
        (_changed({"dtype": "<f8 0/4"}), "the array a has a wrong type or shape"),
        (_changed({"dtype": "<f8 4/4"}), "the array a has a wrong type or shape"),
        (_changed({"dtype": "<f8 x/4"}), "the array a has a wrong type or shape"),
        (_changed({"dtype": "|O8 0/4"}, 0), "the array a has a wrong type or shape"),
        (_changed({"shape": [2**60, 2**60]}, 0), "the array a has a wrong type or shape"),
        (_changed({"shape": [-1]}, 0), "the array a has a wrong type or shape"),
        (_changed({"shape": [200]}, 0), "the array a has a wrong type or shape"),
        (rows("a", np.arange(20.0), 48)[:-1], "pieces of the array a are missing"),
        (rows("a", np.arange(20.0), 48)[1:], "pieces of the array a are missing"),
    ],
)
def test_damage_is_told(found: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(Damaged) as caught:
        read(found)
    assert str(caught.value) == text


def test_pieces_are_written_and_read_back() -> None:
    rng = np.random.default_rng(2)
    values = {"a": rng.normal(size=(700, 333)), "b": rng.bytes(5 * PIECE), "c": rng.normal(size=100).astype(np.float32)}
    waiting = deque(
        Outgoing(key, dtype, shape, data) for key, value in values.items() for data, dtype, shape in [raw(value)]
    )
    batches = list(pieces(waiting))
    assert not waiting and all(b.schema == ROW for b in batches)
    assert sum(b.num_rows for b in batches) == math.ceil(700 * 333 * 8 / PIECE) + 5 + 1
    arrays: dict[str, Incoming] = {}
    for batch in reversed(batches):
        take(batch, arrays)
    for key, value in values.items():
        found = arrays[key].value()
        assert (
            found == value if isinstance(value, bytes) else np.array_equal(found, value) and found.dtype == value.dtype
        )


def test_an_array_that_is_written_is_let_go() -> None:
    first, second = np.ones(300_000), np.ones(200_000)
    there = weakref.ref(first)
    waiting = deque(Outgoing(k, "<f8", [len(v)], v.view(np.uint8).data) for k, v in (("a", first), ("b", second)))
    del first
    found = pieces(waiting)
    keys = [next(found).column(0)[0].as_py() == "a" for _ in range(1)]
    assert keys == [True] and there() is not None
    for batch in found:
        if batch.column(0)[0].as_py() == "b":
            assert there() is None
            break
    else:
        pytest.fail("the second array did not come")
