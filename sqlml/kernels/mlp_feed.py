"""Encoded rows on their way to the device.

Rows that fit are packed once and stay there. Others come in pieces: on a GPU a piece is written into memory
that the device reads by itself, and copied on a stream of its own while the piece before is trained on. There
are two sets of buffers in turn. A set is written again only when its copy is done, and a copy begins only when
the steps over what it replaces are done. `Lane` is the seam to the device.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sqlml.errors import DataError
from sqlml.kernels.mlp import Network, Rows
from sqlml.kernels.mlp_batch import Packed

if TYPE_CHECKING:
    from torch import Tensor

#: Buffers are made so much larger than the piece that needs them: the next ones differ a little.
_SLACK = 1.125


class Lane(Protocol):
    """Copies to a device beside its work."""

    def host(self, size: int, dtype: Any) -> Tensor:
        """A buffer (size,) that the device can read by itself."""

    def device(self, size: int, dtype: Any) -> Tensor:
        """A buffer (size,) on the device, which copies may write from now on."""

    def copy(self, pairs: list[tuple[Tensor, Tensor]], after: Any) -> Any:
        """Begin to copy pairs of (to, from) once the mark `after` is passed (None: at once); a mark behind it."""

    def follow(self, mark: Any) -> None:
        """Let the work of the calling thread wait for a mark; the thread goes on."""

    def mark(self) -> Any:
        """A mark behind the work that the calling thread has given so far."""

    def wait(self, mark: Any) -> None:
        """Let the calling thread wait for a mark."""


class CudaLane:
    """A stream of copies."""

    def __init__(self) -> None:
        import torch

        self._stream = torch.cuda.Stream()

    def host(self, size: int, dtype: Any) -> Tensor:
        import torch

        try:
            return torch.empty(size, dtype=dtype, pin_memory=True)
        except RuntimeError:  # no more memory may be pinned: a copy out of other memory is done when it returns
            return torch.empty(size, dtype=dtype)

    def device(self, size: int, dtype: Any) -> Tensor:
        import torch

        made = torch.empty(size, dtype=dtype, device="cuda")
        self._stream.wait_stream(torch.cuda.current_stream())  # what had this memory before may be at work
        return made

    def copy(self, pairs: list[tuple[Tensor, Tensor]], after: Any) -> Any:
        import torch

        with torch.cuda.stream(self._stream):
            if after is not None:
                self._stream.wait_event(after)
            for to, source in pairs:
                to.copy_(source, non_blocking=True)
            return self._marked(self._stream)

    def follow(self, mark: Any) -> None:
        import torch

        torch.cuda.current_stream().wait_event(mark)

    def mark(self) -> Any:
        import torch

        return self._marked(torch.cuda.current_stream())

    def wait(self, mark: Any) -> None:
        mark.synchronize()

    @staticmethod
    def _marked(stream: Any) -> Any:
        import torch

        event = torch.cuda.Event()
        event.record(stream)
        return event


def lane_for(device: str) -> Lane | None:
    """Copies to a device; None where rows are where they are wanted."""
    if device != "cuda":
        return None
    try:
        return CudaLane()
    except RuntimeError:  # a torch without CUDA, as in tests: plain copies
        return None


@dataclass(slots=True)
class _Buffer:
    """One array on both sides."""

    host: Tensor
    device: Tensor


@dataclass(slots=True)
class Slot:
    """One set of buffers: what was copied into it, and the work that was done with it."""

    place: int
    buffers: dict[str, _Buffer] = field(default_factory=dict)
    copied: Any = None
    used: Any = None


_PLACES = count()


class Slots:
    """Two sets of buffers in turn. `send` is called by the thread that reads, `done` by the one that trains;
    `done` of a piece comes before the `send` that takes its set again."""

    def __init__(self, lane: Lane):
        self._lane = lane
        self._slots = [Slot(next(_PLACES)), Slot(next(_PLACES))]
        self._next = 0
        self._of: dict[int, Slot] = {}

    def send(self, arrays: dict[str, NDArray[Any]]) -> tuple[dict[str, Tensor], Slot]:
        """Begin to copy 1-d arrays; their tensors on the device, to be read behind the slot's `copied`."""
        import torch

        slot = self._slots[self._next]
        self._next = 1 - self._next
        if slot.copied is not None:
            self._lane.wait(slot.copied)
        pairs, found = [], {}
        for name, array in arrays.items():
            source = torch.from_numpy(array)
            buffer = slot.buffers.get(name)
            if buffer is None or len(buffer.host) < len(source):
                if slot.used is not None:
                    self._lane.wait(slot.used)  # the old buffer is given back
                size = int(len(source) * _SLACK) + 1
                buffer = _Buffer(self._lane.host(size, source.dtype), self._lane.device(size, source.dtype))
                slot.buffers[name] = buffer
                slot.place = next(_PLACES)  # steps that were recorded over the old ones are of no use
            buffer.host[: len(source)].copy_(source)
            pairs.append((buffer.device[: len(source)], buffer.host[: len(source)]))
            found[name] = buffer.device
        slot.copied = self._lane.copy(pairs, slot.used)
        self._of[slot.place] = slot
        return found, slot

    def begin(self, packed: Packed) -> None:
        """The calling thread's work waits until the piece is there."""
        self._lane.follow(packed.ready)

    def done(self, packed: Packed) -> None:
        """The calling thread has given all work over the piece."""
        if packed.place is not None:
            self._of[packed.place].used = self._lane.mark()


class Source:
    """Packed pieces of the training rows, again in every epoch.

    Args:
        rows: all rows, or a re-iterable of pieces.
        target: mean and standard deviation of a regression target.
    """

    def __init__(self, network: Network, rows: Rows | Iterable[Rows], target: tuple[float, float], device: str):
        self._network, self._rows, self._target, self._device = network, rows, target, device
        self._mean_weight: float | None = None
        self._packed: tuple[Packed, float] | None = None
        self.slots: Slots | None = None
        #: Seconds of the reading thread: until rows were there and packed, and until they were handed to the device.
        self.seconds = {"encode": 0.0, "copy": 0.0}
        if isinstance(rows, Rows):
            if not len(rows):
                raise DataError("the training query must return at least one row. Got none.")
            self._packed = self._pack(rows)
        else:
            lane = lane_for(device)
            self.slots = None if lane is None else Slots(lane)

    @property
    def streams(self) -> bool:
        """Whether the rows come in pieces."""
        return self._packed is None

    def __iter__(self) -> Iterator[tuple[Packed, float]]:
        """(packed rows, sum of their weights)."""
        if self._packed is not None:
            yield self._packed
            return
        assert not isinstance(self._rows, Rows)
        start = time.perf_counter()
        for rows in self._rows:
            self.seconds["encode"] += time.perf_counter() - start
            if len(rows):
                yield self._pack(rows)
            start = time.perf_counter()

    def _pack(self, rows: Rows) -> tuple[Packed, float]:
        """The rows on the device, and the sum of their weights."""
        import torch

        start = time.perf_counter()
        words, total = self._words(rows)
        arrays: dict[str, NDArray[Any]] = {"words": words.reshape(-1)}
        lengths = None
        if rows.bags is not None:
            arrays["tags"] = np.array(rows.bags.codes, np.int32)
            arrays["starts"] = np.array(rows.bags.starts, np.int64)
            lengths = torch.from_numpy(np.diff(arrays["starts"]))
            if rows.bags.values is not None:
                arrays["values"] = np.array(rows.bags.values, np.float32)
        packed = time.perf_counter()
        if self.slots is None:
            held = {name: torch.from_numpy(array).to(self._device) for name, array in arrays.items()}
            place, ready = (next(_PLACES) if isinstance(self._rows, Rows) else None), None
        else:
            held, slot = self.slots.send(arrays)
            place, ready = slot.place, slot.copied
        self.seconds["encode"] += packed - start
        self.seconds["copy"] += time.perf_counter() - packed
        width = words.shape[1]
        whole = held["words"][: len(held["words"]) // width * width].view(-1, width)
        tags, starts, values = (held.get(name) for name in ("tags", "starts", "values"))
        return Packed(whole, tags, starts, lengths, values, len(rows), place, ready), total

    def _words(self, rows: Rows) -> tuple[NDArray[np.int32], float]:
        """int32 (n, p + C + 2) of numbers, codes, target, weight; and the sum of the weights."""
        n, p, C = len(rows), rows.X.shape[1], rows.codes.shape[1]
        words = np.empty((n, p + C + 2), np.int32)
        floats = words.view(np.float32)
        floats[:, :p] = rows.X
        words[:, p : p + C] = rows.codes
        w = np.ones(n, np.float32) if rows.w is None else rows.w
        if self._mean_weight is None:
            self._mean_weight = float(w.mean(dtype=np.float64)) or 1.0
        floats[:, p + C + 1] = w / self._mean_weight
        if rows.y is None:
            words[:, p + C] = 0
        elif self._network.task == "multiclass":
            words[:, p + C] = rows.y
        else:
            mean, scale = self._target
            floats[:, p + C] = (rows.y.astype(np.float64) - mean) / scale
        return words, float(w.sum(dtype=np.float64)) / self._mean_weight
