"""TimesFM 2.0 and 2.5, inference only: deciles of the future of many series by a decoder-only transformer.

Source: Das, Kong, Sen & Zhou (2024), "A decoder-only foundation model for time-series forecasting"; names, shapes and
the order of operations follow the public packages (see `timesfm_weights`). A series is cut into patches of 32 points,
each patch is a token, and the last token gives the next 128 points (version 2.5: deciles of the next 1,024 besides).
Longer horizons feed the forecast back. Of the switches of the reference these are on: inputs are normalised, the
forecast of -x is minus that of x (2.5), deciles come from the continuous head (2.5) and do not cross, and series
without negative values get none.

Here the network sees standardised series, only the last token goes through the heads, and series of like length
share a batch; what a series gets does not depend on the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sqlml.errors import OperationalError
from sqlml.kernels.timesfm_decoder import Decoder, Decoder20, Decoder25, uncrossed
from sqlml.kernels.timesfm_layouts import OUTPUTS, Sizes
from sqlml.kernels.timesfm_weights import LONGEST, Checkpoint, read
from sqlml.kernels.types import F32, F64

#: Tokens of a batch, those of mirrored series too, for (the CPU, a GPU); fewer when past tokens are kept.
TOKENS = {"cpu": 2048, "cuda": 32768}
#: A series whose standard deviation is below this part of its largest value is constant.
FLAT = 1e-12


@dataclass(frozen=True, slots=True)
class Deciles:
    """The forecast of one series.

    Attributes:
        z: deciles 0.1 ... 0.9 in standard deviations of the history, ascending along axis 1, shape (h, 9).
        centre, scale: the real values are centre + scale * z.
        low: no value is below; -inf when the history has negative values.
    """

    z: F32
    centre: float
    scale: float
    low: float

    @property
    def values(self) -> F64:
        """Deciles in the unit of the series, shape (h, 9)."""
        found: F64 = np.maximum(self.centre + self.scale * self.z.astype(np.float64), self.low)
        return found


class TimesFM:
    """A network with its weights on a device."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu"):
        """Read the weights. Raises `FormatError`; `OperationalError` when there is too little memory."""
        self.version, self.sizes, self.device = checkpoint.version, checkpoint.sizes, device
        kind = Decoder25 if checkpoint.version == "2.5" else Decoder20
        with _enough_memory(device):
            self.decoder: Decoder = kind(self.sizes, read(checkpoint, device), device)

    def forecast(
        self,
        series: Sequence[F64],
        horizons: Sequence[int],
        *,
        frequencies: Sequence[int] | None = None,
        context: int | None = None,
        tokens: int | None = None,
        report: Callable[[], object] | None = None,
    ) -> Iterator[tuple[int, Deciles]]:
        """Forecasts of many series, in another order.

        Args:
            series: finite values without gaps, each shape (n,), n >= 1.
            horizons: steps of each, >= 1.
            frequencies: of each 0 (up to daily), 1 (weekly, monthly) or 2 (quarterly, yearly); version 2.0 uses them.
            context: latest points that are used; by default all that the version can take.
            tokens: size of a batch; results do not depend on it but for rounding.
            report: called before every layer; what it raises ends the work.

        Yields:
            Number of the series, and its deciles.
        """
        import torch

        longest = min(context or LONGEST[self.version], LONGEST[self.version])
        frequencies = frequencies or [0] * len(series)
        waiting = []
        for i, (y, h) in enumerate(zip(series, horizons, strict=True)):
            steps = -(-h // self.sizes.output)
            kept = y[-self._points(longest, steps) :]
            centre, scale = _moments(kept)
            found = Deciles(np.zeros((h, OUTPUTS - 1), np.float32), centre, scale, 0.0 if kept.min() >= 0 else -np.inf)
            if scale == 0.0:
                yield i, found
            else:
                waiting.append((steps, -(-len(kept) // self.sizes.patch), i, kept, found))
        waiting.sort(key=lambda w: w[:3])
        budget = tokens or TOKENS[self.device]
        with torch.inference_mode():
            for batch in _batches(waiting, self.sizes, budget):
                steps, width = batch[0][0], max(w[1] for w in batch) * self.sizes.patch
                x = np.zeros((len(batch), width), np.float32)
                for row, (_, _, _, kept, found) in zip(x, batch, strict=True):
                    row[width - len(kept) :] = (kept - found.centre) / found.scale
                empty = torch.tensor([width - len(w[3]) for w in batch], device=self.device)
                known = torch.tensor([frequencies[w[2]] for w in batch], device=self.device)
                with _enough_memory(self.device):
                    past = torch.from_numpy(x).to(self.device)
                    out = uncrossed(self.decoder.decode(past, empty, known, steps, longest, report or _nothing))
                    z: F32 = out[..., 1:].cpu().numpy()
                for row, (_, _, i, _, found) in zip(z, batch, strict=True):
                    np.copyto(found.z, row[: len(found.z)])
                    yield i, found

    def _points(self, longest: int, steps: int) -> int:
        """Points of the history that go in: in version 2.5 they share the positions with the forecast."""
        if self.version == "2.0":
            return longest
        return max(self.sizes.patch, min(longest, LONGEST[self.version] - steps * self.sizes.output))


def _nothing() -> None:
    return None


@contextlib.contextmanager
def _enough_memory(device: str) -> Iterator[None]:
    """Say in one sentence that torch could not get memory."""
    try:
        yield
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        where = "the GPU" if device == "cuda" else "this machine"
        hint = "SET sqlml.device = 'cpu'" if device == "cuda" else "use a smaller CONTEXT_WINDOW."
        raise OperationalError(f"{where} has too little memory for TimesFM.", hint=hint) from None


def _moments(y: F64) -> tuple[float, float]:
    """Mean and standard deviation; the latter is 0 for constants."""
    largest = float(np.abs(y).max())
    if largest == 0.0:
        return 0.0, 0.0
    part = y / largest  # squares of large values would overflow
    scale = float(part.std())
    return (largest * float(part.mean()), largest * scale) if scale > FLAT else (float(y[-1]), 0.0)


Waiting = tuple[int, int, int, F64, Deciles]


def _batches(waiting: Sequence[Waiting], sizes: Sizes, tokens: int) -> Iterator[list[Waiting]]:
    """Neighbours with as many passes, so many that their tokens stay within the budget; at least one."""
    batch: list[Waiting] = []
    for item in waiting:
        steps, width = item[0], item[1] + (item[0] - 1) * sizes.output // sizes.patch
        room = tokens // 2 if steps > 1 else tokens  # what is kept for later passes takes room
        if batch and (batch[0][0] != steps or 2 * width * (len(batch) + 1) > room):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
