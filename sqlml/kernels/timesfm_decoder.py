"""The networks of TimesFM 2.0 and 2.5 over batches of standardised series; see `timesfm` for the sources."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlml.kernels.timesfm_layouts import OUTPUTS, Sizes
from sqlml.kernels.timesfm_weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

#: The column of the outputs that holds the median; column 0 holds the mean.
MEDIAN = 5
#: A patch whose standard deviation (of a standardised series) is below this is constant.
CONSTANT = 1e-6
#: What the reference adds to mean squares before it divides by their roots.
EPSILON = 1e-6


def uncrossed(x: Tensor) -> Tensor:
    """Outputs (..., 10) whose deciles ascend: from the median outwards none passes the one before it."""
    import torch

    below = x[..., 1 : MEDIAN + 1].flip(-1).cummin(-1).values.flip(-1)
    above = x[..., MEDIAN:].cummax(-1).values
    return torch.cat([x[..., :1], below, above[..., 1:]], -1)


def _block(weights: Weights, name: str, x: Tensor) -> Tensor:
    """A residual block: one hidden layer beside one linear layer."""
    from torch.nn.functional import linear, silu

    w = weights.top
    inner = silu(linear(x, w[f"{name}.hidden.weight"], w.get(f"{name}.hidden.bias")))
    skip = linear(x, w[f"{name}.skip.weight"], w.get(f"{name}.skip.bias"))
    return linear(inner, w[f"{name}.out.weight"], w.get(f"{name}.out.bias")) + skip


class _Past:
    """Keys and values of the tokens so far, per layer, in room for n tokens."""

    def __init__(self, sizes: Sizes, b: int, n: int, device: str):
        import torch

        shape = (sizes.layers, 2, b, sizes.heads, n, sizes.d // sizes.heads)
        self._room = torch.empty(shape, device=device)
        self.count = 0

    def extended(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer when those of new tokens, (b, heads, m, width), are put behind."""
        end = self.count + key.shape[2]
        room = self._room[layer]
        room[0, :, :, self.count : end] = key
        room[1, :, :, self.count : end] = value
        return room[0, :, :, :end], room[1, :, :, :end]


class Decoder:
    """What the two versions share: layers over tokens, of which each sees those before it."""

    def __init__(self, sizes: Sizes, weights: Weights, device: str):
        from torch.nn.functional import softplus

        self.sizes, self.weights, self.device = sizes, weights, device
        width = sizes.d // sizes.heads
        # The reference divides a softplus by softplus(0) = log 2, written as 1.442695041.
        self.scales = [softplus(layer["scale"]) * (1.442695041 / math.sqrt(width)) for layer in weights.layers]

    def decode(
        self, x: Tensor, empty: Tensor, frequency: Tensor, steps: int, context: int, report: Callable[[], object]
    ) -> Tensor:
        """Outputs of steps * sizes.output future points.

        Args:
            x: standardised histories at the right end, shape (b, n), n a multiple of sizes.patch.
            empty: points before each history, shape (b,), less than n.
            frequency: 0, 1 or 2, shape (b,).
            context: points that are used at most.

        Returns:
            Mean and deciles, shape (b, steps * sizes.output, 10).
        """
        raise NotImplementedError

    def layers(self, x: Tensor, first: Tensor, past: _Past | None, report: Callable[[], object]) -> Tensor:
        """Tokens (b, m, d) through all layers, behind those of `past`; the first `first` (b,) of all are empty."""
        import torch

        start = past.count if past is not None else 0
        m = x.shape[1]
        at = torch.arange(start, start + m, device=x.device)
        before = torch.arange(start + m, device=x.device)
        mask = None
        if start or bool(first.any()):
            seen = (before[None, :] <= at[:, None])[None] & (before[None, None, :] >= first[:, None, None])
            # An empty token sees itself: its numbers stay finite, and no other token sees it.
            mask = (seen | (before[None, :] == at[:, None])[None])[:, None]
        turn = self.turn(at[None, :] - first[:, None])
        for i in range(self.sizes.layers):
            report()
            x = self.layer(i, x, mask, turn, past)
        if past is not None:
            past.count += m
        return x

    def turn(self, position: Tensor) -> Any:
        """What `attention` needs of the positions (b, m)."""
        return None

    def layer(self, i: int, x: Tensor, mask: Tensor | None, turn: Any, past: _Past | None) -> Tensor:
        """One layer over tokens (b, m, d)."""
        raise NotImplementedError

    def attention(self, i: int, x: Tensor, mask: Tensor | None, turn: Any, past: _Past | None) -> Tensor:
        """Tokens (b, m, d) as sums of what they attend to; queries are scaled per dimension."""
        from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention

        w = self.weights.layers[i]
        b, m, d = x.shape
        width = d // self.sizes.heads
        parts = linear(x, w["qkv.weight"], w.get("qkv.bias")).view(b, m, 3, self.sizes.heads, width)
        query, key, value = (p.transpose(1, 2) for p in parts.unbind(2))
        if turn is not None:
            query, key = _turned(query, turn), _turned(key, turn)
            query = rms_norm(query, (width,), w["query_norm"], EPSILON)
            key = rms_norm(key, (width,), w["key_norm"], EPSILON)
        query = query * self.scales[i]
        if past is not None:
            key, value = past.extended(i, key, value)
        found = scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None, scale=1.0)
        return linear(found.transpose(1, 2).reshape(b, m, d), w["out.weight"], w.get("out.bias"))


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions: the two halves of (b, heads, m, width) turn as pairs."""
    import torch

    cos, sin = turn
    one, two = x.chunk(2, -1)
    return torch.cat([one * cos - two * sin, two * cos + one * sin], -1)


class Decoder25(Decoder):
    """Version 2.5: statistics run along the patches, positions turn, deciles have a head of their own."""

    def decode(
        self, x: Tensor, empty: Tensor, frequency: Tensor, steps: int, context: int, report: Callable[[], object]
    ) -> Tensor:
        import torch

        n = len(x)
        point, spread = self._both(torch.cat([x, -x]), torch.cat([empty, empty]), steps, report)
        point, spread = ((y[:n] - _mirrored(y[n:])) / 2 for y in (point, spread))
        away = spread - spread[..., MEDIAN : MEDIAN + 1]
        length = point.shape[1]
        if length > away.shape[1]:  # beyond the head of deciles they keep their mean distance over its last pass
            last = away[:, -self.sizes.output :].mean(1, keepdim=True)
            away = torch.cat([away, last.expand(-1, length - away.shape[1], -1)], 1)
        out = point[..., MEDIAN : MEDIAN + 1] + away[:, :length]
        out[..., 0] = point[..., 0]
        return out

    def _both(self, x: Tensor, empty: Tensor, steps: int, report: Callable[[], object]) -> tuple[Tensor, Tensor]:
        """Outputs of the point head, (b, steps * output, 10), and of the head of deciles, (b, spread, 10)."""
        import torch

        s = self.sizes
        b, n = x.shape[0], x.shape[1] // s.patch
        first = empty // s.patch
        past = None
        if steps > 1:
            past = _Past(s, b, n + (steps - 1) * s.output // s.patch, self.device)
        points: list[Tensor] = []
        spread = None
        sums = torch.zeros(b, 1, 3, dtype=torch.float64, device=x.device)
        holes = torch.arange(x.shape[1], device=x.device)[None, :] < empty[:, None]
        for _ in range(steps):
            patches, masked = x.view(b, -1, s.patch), holes.view(b, -1, s.patch)
            sums = sums[:, -1:] + _sums(patches, masked).cumsum(1)
            mu, sigma = _running(sums)
            normal = ((patches - mu[..., None]) / torch.where(sigma < CONSTANT, 1.0, sigma)[..., None]).float()
            normal = normal.masked_fill(masked, 0.0)
            token = _block(self.weights, "input", torch.cat([normal, masked.float()], -1))
            last = self.layers(token, first, past, report)[:, -1]
            mu, sigma = mu[:, -1, None, None].float(), sigma[:, -1, None, None].float()
            points.append(_block(self.weights, "point", last).view(b, s.output, OUTPUTS) * sigma + mu)
            if spread is None:
                spread = _block(self.weights, "spread", last).view(b, s.spread, OUTPUTS) * sigma + mu
            x = points[-1][..., MEDIAN]
            holes = torch.zeros_like(x, dtype=torch.bool)
        assert spread is not None
        return torch.cat(points, 1), spread

    def turn(self, position: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        half = self.sizes.d // self.sizes.heads // 2
        speed = 10_000.0 ** (-torch.arange(half, device=position.device) / half)
        angle = position.float()[:, None, :, None] * speed
        return angle.cos(), angle.sin()

    def layer(self, i: int, x: Tensor, mask: Tensor | None, turn: Any, past: _Past | None) -> Tensor:
        from torch.nn.functional import linear, rms_norm, silu

        w, d = self.weights.layers[i], (self.sizes.d,)
        y = self.attention(i, rms_norm(x, d, w["norm"], EPSILON), mask, turn, past)
        x = rms_norm(y, d, w["norm_after"], EPSILON) + x
        y = silu(linear(rms_norm(x, d, w["feed_norm"], EPSILON), w["up.weight"]))
        return rms_norm(linear(y, w["down.weight"]), d, w["feed_norm_after"], EPSILON) + x


def _mirrored(y: Tensor) -> Tensor:
    """Outputs (..., 10) with the order of the deciles turned round."""
    import torch

    return torch.cat([y[..., :1], y[..., 1:].flip(-1)], -1)


def _sums(patches: Tensor, masked: Tensor) -> Tensor:
    """Count, sum and sum of squares of each patch, (b, n, 3), in float64."""
    import torch

    y = patches.double().masked_fill(masked, 0.0)
    return torch.stack([(~masked).sum(-1).double(), y.sum(-1), (y * y).sum(-1)], -1)


def _running(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (b, n) of sums (b, n, 3)."""
    count, total, square = sums.unbind(-1)
    count = count.clamp(min=1.0)
    mu = total / count
    return mu, (square / count - mu * mu).clamp(min=0.0).sqrt()


class Decoder20(Decoder):
    """Version 2.0: statistics of the first patch, a frequency, no positions; the mean is fed back."""

    def decode(
        self, x: Tensor, empty: Tensor, frequency: Tensor, steps: int, context: int, report: Callable[[], object]
    ) -> Tensor:
        import torch

        s = self.sizes
        context -= context % s.patch
        outputs: list[Tensor] = []
        past: _Past | None = None
        new, first, mu, sigma = x, empty, empty, empty
        for step in range(steps):
            if step == 0 or (past is not None and past.count * s.patch + new.shape[1] > context):
                # The first pass, or the window moved: its first patch is another one, and so are the statistics.
                empty = (empty - max(0, x.shape[1] - context)).clamp(min=0)
                x = x[:, -context:]
                if steps > 1:
                    room = min(context, x.shape[1] + (steps - 1 - step) * s.output) // s.patch
                    past = _Past(s, len(x), room, self.device)
                mu, sigma = _first_patch(x, empty, s.patch)
                new, first = x, empty // s.patch
            token = self._tokens(new, empty if new is x else torch.zeros_like(empty), mu, sigma)
            token = token + self.weights.top["frequency"][frequency][:, None]
            last = self.layers(token, first, past, report)[:, -1]
            out = _block(self.weights, "point", last).view(len(x), s.output, OUTPUTS)
            outputs.append(out * sigma[:, None, None] + mu[:, None, None])
            new = outputs[-1][..., 0]
            x = torch.cat([x, new], 1)
        return torch.cat(outputs, 1)

    def _tokens(self, x: Tensor, empty: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
        import torch

        masked = torch.arange(x.shape[1], device=x.device)[None, :] < empty[:, None]
        normal = ((x - mu[:, None]) / sigma[:, None]).masked_fill(masked, 0.0)
        shape = (len(x), -1, self.sizes.patch)
        return _block(self.weights, "input", torch.cat([normal.view(shape), masked.float().view(shape)], -1))

    def layer(self, i: int, x: Tensor, mask: Tensor | None, turn: Any, past: _Past | None) -> Tensor:
        from torch.nn.functional import layer_norm, linear, relu, rms_norm

        w, d = self.weights.layers[i], (self.sizes.d,)
        x = x + self.attention(i, rms_norm(x, d, w["norm"], EPSILON), mask, turn, past)
        y = layer_norm(x, d, w["feed_norm.weight"], w["feed_norm.bias"], EPSILON)
        y = relu(linear(y, w["up.weight"], w["up.bias"]))
        return x + linear(y, w["down.weight"], w["down.bias"])


def _first_patch(x: Tensor, empty: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (b,) of the first patch with three points; of the last one where none has so many."""
    import torch

    b, n = x.shape
    masked = (torch.arange(n, device=x.device)[None, :] < empty[:, None]).view(b, -1, patch)
    enough = (~masked).sum(-1) >= 3
    at = torch.where(enough.any(1), enough.int().argmax(1), n // patch - 1)
    row = torch.arange(b, device=x.device)
    mu, sigma = _running(_sums(x.view(b, -1, patch)[row, at], masked[row, at])[:, None])
    mu, sigma = mu[:, 0].float(), sigma[:, 0].float()
    return mu, torch.where(sigma < CONSTANT, 1.0, sigma)
