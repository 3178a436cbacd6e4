"""Rows on the device, and the coded columns of a batch of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows on the device.

    Args:
        words: int32 (at least n, p + C + 2): numbers, codes, target, weight.
        tags: codes of the rows' sets, end to end: int32 (at least m,); None without sets.
        starts: where each row's begin: int64 (at least n + 1,).
        lengths: the same as counts (n,), on the CPU, where they give the size of a batch without waiting.
        values: of the tags, float32 (at least m,); None for all 1.
        rows: n where the tensors are larger.
        place: number of the buffers that hold the rows: rows of the same place lie at the same addresses.
            None where they will not come back.
        ready: when the buffers are filled, for `mlp_feed.Lane.follow`; None at once.
    """

    words: Tensor
    tags: Tensor | None = None
    starts: Tensor | None = None
    lengths: Tensor | None = None
    values: Tensor | None = None
    rows: int | None = None
    place: int | None = None
    ready: Any = None

    def __len__(self) -> int:
        return len(self.words) if self.rows is None else self.rows

    @property
    def mean_tags(self) -> int:
        """Tags of a row on average, rounded up."""
        return 0 if self.lengths is None else -(-int(self.lengths.sum()) // max(1, len(self)))

    def sizes(self, order: Tensor, batch: int) -> list[int]:
        """Number of tags in every batch of rows taken in an order (n,), which is on the CPU."""
        import torch

        batches = -(-len(order) // batch)
        if self.lengths is None:
            return [0] * batches
        owner = torch.arange(len(order)).div_(batch, rounding_mode="floor")
        found: list[int] = torch.zeros(batches, dtype=torch.int64).index_add_(0, owner, self.lengths[order]).tolist()
        return found

    def active(self, codes: Tensor, index: Tensor, size: int, R: int, *, padded: bool) -> Active:
        """The coded columns of the rows `index` (b,).

        Args:
            codes: those of the category columns, (b, C).
            size: how many tags the rows have. A step that is recorded has room for so many at most
                (`padded`): the rest of the room names no column.
        """
        import torch

        if self.tags is None or self.starts is None:
            return Active(codes)
        start = self.starts.index_select(0, index)
        length = self.starts.index_select(0, index + 1) - start
        end = length.cumsum(0)
        first = end - length
        # One more than the rows that begin at or before each place: the last of them owns the place.
        begins = torch.zeros(size + 1, dtype=torch.int64, device=index.device)
        begins.index_add_(0, first, torch.ones_like(first))
        owner = begins[:size].cumsum(0).sub_(1)
        at = torch.arange(size, device=index.device)
        place = at + (start - first).index_select(0, owner)
        values = None
        if padded:
            beyond = at >= end[-1]
            place.clamp_(max=len(self.tags) - 1)
            tags = self.tags.index_select(0, place).long().masked_fill_(beyond, R)
            if self.values is not None:
                values = self.values.index_select(0, place).masked_fill_(beyond, 0.0)
        else:
            tags = self.tags.index_select(0, place).long()
            if self.values is not None:
                values = self.values.index_select(0, place)
        return Active(codes, tags, owner, first, values)


@dataclass(frozen=True, slots=True)
class Active:
    """The coded columns of a batch that are not 0.

    Args:
        codes: (b, C), int64; R names no column.
        tags: further ones (m,), in the order of the rows, or None.
        owner: the row of each of them (m,).
        first: where each row's begin (b,).
        values: of the tags (m,), or None for all 1; those of `codes` are 1.
    """

    codes: Tensor
    tags: Tensor | None = None
    owner: Tensor | None = None
    first: Tensor | None = None
    values: Tensor | None = None

    @property
    def none(self) -> bool:
        """Whether there are no such columns."""
        return self.codes.shape[1] == 0 and self.tags is None

    def flat(self) -> Tensor:
        """All codes, those of the columns first."""
        import torch

        codes = self.codes.reshape(-1)
        return codes if self.tags is None else torch.cat([codes, self.tags])

    def spread(self, d: Tensor) -> Tensor:
        """Rows of d (b, h) for every code of `flat`, times the values."""
        import torch

        b, C = self.codes.shape
        wide = d.unsqueeze(1).expand(b, C, -1).reshape(b * C, d.shape[1])
        return wide if self.owner is None else torch.cat([wide, self.spread_tags(d, slice(None))])

    def spread_tags(self, d: Tensor, part: slice) -> Tensor:
        """Rows of d (b, h) for some of the tags, times their values."""
        assert self.owner is not None
        rows = d.index_select(0, self.owner[part])
        return rows if self.values is None else rows.mul_(self.values[part].unsqueeze(1))
