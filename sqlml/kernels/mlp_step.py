"""One training step of a network: forward, backward and update, over buffers made once.

`Stepper` owns the weights as torch tensors. The dense layers lie in one flat tensor, so that the
optimiser runs once over all of them. Category tables are updated row by row when a batch touches
few of their rows (`optimizers.Sparse`), else as a whole; both give the numbers of the dense optimiser.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sqlml.kernels.mlp import SELU_ALPHA, SELU_SCALE, Network, Weights
from sqlml.kernels.mlp_batch import Active, Packed
from sqlml.kernels.mlp_graphs import Graphs, Recorder
from sqlml.kernels.optimizers import RULES, Dense, Rule, Sparse

if TYPE_CHECKING:
    from torch import Tensor


#: Numbers that the gradients of a batch's tags may take at once.
_SPREAD = 2**22


def by_rows(rows: int, width: int, touched: int) -> bool:
    """Whether updating `touched` rows of a table costs less than updating all of them.

    Measured on a CPU: about 0.4 ns a number for the whole table, 10 ns for single rows, which also
    cost some 20 more kernel launches.
    """
    return rows * width > 800_000 + 25 * touched * width


class Settings(Protocol):
    """What a step needs to know of `mlp_train.Training`."""

    @property
    def batch_size(self) -> int: ...
    @property
    def optimizer(self) -> str: ...
    @property
    def learn_rate(self) -> float: ...
    @property
    def linear_optimizer(self) -> str: ...
    @property
    def linear_learn_rate(self) -> float: ...
    @property
    def dropout(self) -> float: ...
    @property
    def l1(self) -> float: ...
    @property
    def l2(self) -> float: ...
    @property
    def linear_l1(self) -> float: ...
    @property
    def linear_l2(self) -> float: ...
    @property
    def l1_activation(self) -> float: ...
    @property
    def seed(self) -> int: ...


class Half:
    """The weights of one half of the network with their optimiser: flat dense layers and one table."""

    def __init__(self, rule: Rule, parts: dict[str, NDArray[np.float32]], table: str | None, device: str):
        import torch

        self.rule = rule
        sizes = {name: -(-value.size // 16) * 16 for name, value in parts.items()}  # 64-byte steps
        self.flat = torch.zeros(max(16, sum(sizes.values())), device=device)
        self.flat_grad = torch.zeros_like(self.flat)
        self.w: dict[str, Tensor] = {}
        self.g: dict[str, Tensor] = {}
        offset = 0
        for name, value in parts.items():
            stop = offset + value.size
            self.w[name] = self.flat[offset:stop].view(value.shape)
            self.g[name] = self.flat_grad[offset:stop].view(value.shape)
            self.w[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
            offset += sizes[name]
        self.table_name = table
        self.sparse: Sparse | None = None
        self.table: Tensor | None = None
        self.table_grad: Tensor | None = None

    def set_table(self, value: NDArray[np.float32], touched: int) -> None:
        """Take the category table (R, h); `touched` is the number of codes in a batch."""
        import torch

        w = torch.zeros(len(value) + 1, value.shape[1], device=self.flat.device)
        w[:-1].copy_(torch.from_numpy(np.ascontiguousarray(value)))
        if self.rule.lazy and by_rows(value.shape[0], value.shape[1], touched):
            self.sparse = Sparse(self.rule, w)
        else:
            self.table, self.table_grad = w, torch.zeros_like(w)

    def ready(self) -> None:
        """Make the optimiser of the dense weights."""
        w, g = [self.flat], [self.flat_grad]
        if self.table is not None and self.table_grad is not None:
            w.append(self.table)
            g.append(self.table_grad)
        self.dense = Dense(self.rule, w, g)

    @property
    def tensors(self) -> list[Tensor]:
        """All that a step changes."""
        table = [] if self.table_grad is None else [self.table_grad]
        return [*self.dense.tensors, *table, *([] if self.sparse is None else self.sparse.tensors)]

    def lookup(self, active: Active, t: Tensor) -> Tensor:
        """Sum of the table rows of each row's codes, times the values: (b, h). `t` (1,) steps are done."""
        from torch.nn.functional import embedding_bag

        b, C = active.codes.shape
        total: Tensor
        if self.sparse is not None:
            found = self.sparse.gather(active.flat(), t)
            total = found[: b * C].view(b, C, found.shape[1]).sum(1)
            if active.owner is None:
                return total
            rest = found[b * C :]
            return total.index_add_(
                0, active.owner, rest if active.values is None else rest * active.values.unsqueeze(1)
            )
        assert self.table is not None
        if active.tags is None:
            return embedding_bag(active.codes, self.table, mode="sum")
        total = embedding_bag(active.tags, self.table, active.first, mode="sum", per_sample_weights=active.values)
        return total.add_(embedding_bag(active.codes, self.table, mode="sum")) if C else total

    def table_backward(self, active: Active, d: Tensor, t: Tensor) -> None:
        """Gradient d (b, h) of the looked-up sum; a sparse table takes its step `t` at once."""
        if self.sparse is not None:
            self.sparse.step(active.flat(), active.spread(d), t)
            return
        assert self.table_grad is not None
        for code in active.codes.unbind(1):
            self.table_grad.index_add_(0, code, d)
        if active.tags is not None:
            piece = max(1, _SPREAD // d.shape[1])
            for i in range(0, len(active.tags), piece):
                part = slice(i, i + piece)
                self.table_grad.index_add_(0, active.tags[part], active.spread_tags(d, part))
        self.table_grad[-1].zero_()

    def step(self, active: Active, t: Tensor) -> None:
        """Step `t` of all weights that have not had it; the table's gradients are 0 again afterwards."""
        self.dense.step(t)
        if self.table_grad is None:
            return
        codes = active.flat()
        if self.rule.lazy and 4 * len(codes) < len(self.table_grad):
            self.table_grad.index_fill_(0, codes, 0.0)
        else:
            self.table_grad.zero_()

    def weights(self, t: Tensor) -> dict[str, NDArray[np.float32]]:
        """Everything as numpy arrays (on the CPU they share memory)."""
        out = {name: value.cpu().numpy() for name, value in self.w.items()}
        table = self.sparse.weights(t) if self.sparse is not None else self.table
        if table is not None and self.table_name is not None:
            out[self.table_name] = table[:-1].cpu().numpy()
        return out


class Stepper:
    """Runs training steps over packed rows."""

    def __init__(
        self, network: Network, weights: Weights, settings: Settings, device: str, graphs: Graphs | None = None
    ):
        import torch

        self.network, self.settings, self.device = network, settings, device
        self.t = torch.zeros(1, dtype=torch.int64, device=device)
        self._depth = len(network.layers)
        self._target = np.array(weights["target"])
        rule = RULES[settings.optimizer](settings.learn_rate, settings.l1, settings.l2)
        self.deep = self._half("layer.", rule, weights)
        self.linear: Half | None = None
        if network.wide:
            linear = RULES[settings.linear_optimizer]
            rule = linear(settings.linear_learn_rate, settings.linear_l1, settings.linear_l2)
            self.linear = self._half("wide.", rule, weights)
        self._act, self._slope = _ACTIVATION[network.activation]
        self._total = torch.zeros((), dtype=torch.float64, device=device)
        self._generator = torch.Generator(device=device).manual_seed(settings.seed + 1)
        self._rows = Packed(torch.zeros(0))
        self._index = torch.zeros(settings.batch_size, dtype=torch.int64, device=device)
        self._rooms: dict[int, int] = {}
        self._recorder = Recorder(graphs, lambda: self.tensors, self._generator)
        self._tables_set = False
        self._initial = {k: np.array(v) for k, v in weights.items() if k.endswith(".table")}

    def _half(self, prefix: str, rule: Rule, weights: Weights) -> Half:
        parts = {k: v for k, v in weights.items() if k.startswith(prefix) and not k.endswith(".table")}
        table = next((k for k in weights if k.startswith(prefix) and k.endswith(".table")), None)
        return Half(rule, parts, table, self.device)

    def load(self, packed: Packed, most: int = 0) -> None:
        """Take the rows that the next steps are about; `most` tags are in one of their batches."""
        self._rows = packed
        if packed.place is not None:
            # Batches of later passes differ a little; one that has more is not replayed.
            self._rooms.setdefault(packed.place, most + most // 8)
        if not self._tables_set:
            columns = packed.words.shape[1] - self.network.numeric - 2
            tags = packed.mean_tags
            for half in (self.deep, self.linear):
                if half is not None:
                    if (columns or packed.tags is not None) and half.table_name is not None:
                        touched = (columns + tags) * self.settings.batch_size
                        half.set_table(self._initial[half.table_name], touched)
                    half.ready()
            self._tables_set = True

    @property
    def tensors(self) -> list[Tensor]:
        """All that a step changes, once rows are loaded."""
        halves = [self.deep] if self.linear is None else [self.deep, self.linear]
        return [self.t, self._total, *(x for half in halves for x in half.tensors)]

    def step(self, index: Tensor, tags: int = 0) -> None:
        """One batch: the rows named by `index`, which have so many tags. Whole batches are replayed on a GPU."""
        rows, b = self._rows, len(index)
        if (
            not self._recorder.on
            or b < self.settings.batch_size
            or rows.place is None
            or tags > self._rooms[rows.place]
        ):
            self._run(rows, index, tags, padded=False)
            return
        self._index.copy_(index)
        step = partial(self._run, rows, self._index, self._rooms[rows.place], padded=True)
        self._recorder.play((rows.place, b), step)

    def close(self) -> None:
        """Free what was recorded."""
        self._recorder.close()

    def _run(self, rows: Packed, index: Tensor, tags: int, *, padded: bool) -> None:
        """The step: nothing in it depends on what the tensors hold, and nothing is read back from the device.

        Args:
            index: rows of the batch (b,).
            tags: how many tags they have, or room for as many (`padded`).
        """
        import torch

        with torch.no_grad():
            words = rows.words.index_select(0, index)
            codes = words[:, self.network.numeric : -2].long()
            self._step(words, rows.active(codes, index, tags, self.network.rows, padded=padded))

    def _step(self, words: Tensor, codes: Active) -> None:
        import torch

        p = self.network.numeric
        floats = words.view(torch.float32)
        x, weight = floats[:, :p], floats[:, -1]
        hidden, masks, out = self._forward(x, codes)
        d = self._loss(out, x, codes, words[:, -2], weight)
        self.t.add_(1)
        if self.linear is not None:
            self._inner_backward(self.linear, "wide", x, codes, d)
        self._backward(x, codes, hidden, masks, d)
        self.deep.step(codes, self.t)
        if self.linear is not None:
            self.linear.step(codes, self.t)

    def _inner(self, half: Half, name: str, x: Tensor, codes: Active, bias: Tensor | None) -> Tensor:
        import torch

        w = half.w[f"{name}.weight"]
        z = torch.mm(x, w) if bias is None else torch.addmm(bias, x, w)
        return z if codes.none else z.add_(half.lookup(codes, self.t))

    def _inner_backward(self, half: Half, name: str, x: Tensor, codes: Active, d: Tensor) -> None:
        import torch

        torch.mm(x.t(), d, out=half.g[f"{name}.weight"])
        if not codes.none:
            half.table_backward(codes, d, self.t)

    def _forward(self, x: Tensor, codes: Active) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
        """Hidden activations before dropout, dropout masks, raw output (b, k)."""
        import torch

        w, drop = self.deep.w, self.settings.dropout
        hidden: list[Tensor] = []
        masks: list[Tensor | None] = []
        z = self._inner(self.deep, "layer.0", x, codes, w["layer.0.bias"])
        for i in range(1, self._depth):
            h = self._act(z)
            hidden.append(h)
            masks.append(None)
            if drop:
                mask = torch.empty_like(h).bernoulli_(1 - drop, generator=self._generator).div_(1 - drop)
                masks[-1] = mask
                h = h * mask
            z = torch.addmm(w[f"layer.{i}.bias"], h, w[f"layer.{i}.weight"])
        if self.linear is not None:
            z.add_(self._inner(self.linear, "wide", x, codes, None))
        return hidden, masks, z

    def _loss(self, out: Tensor, x: Tensor, codes: Active, target: Tensor, weight: Tensor) -> Tensor:
        """Add the batch's loss to the total; returns dL/d(out) of the mean over the batch (may reuse out)."""
        import torch
        from torch.nn import functional

        b, task = len(out), self.network.task
        if task == "multiclass":
            labels = target.long()
            logs = functional.log_softmax(out, 1)
            self._total.sub_((logs.gather(1, labels.unsqueeze(1)).squeeze(1) * weight).sum())
            d = logs.exp_()
            d.scatter_add_(1, labels.unsqueeze(1), torch.full_like(d[:, :1], -1.0))
            return d.mul_((weight / b).unsqueeze(1))
        if task == "autoencoder":
            p, R = self.network.numeric, self.network.rows
            out[:, :p].sub_(x)
            if codes.codes.shape[1]:
                known = codes.codes < R  # the code R names no column
                out[:, p:].scatter_add_(1, codes.codes.clamp(max=R - 1), known.to(out.dtype).neg_())
            if codes.tags is not None and codes.owner is not None:
                known = codes.tags < R
                amount = known.to(out.dtype) if codes.values is None else codes.values * known
                out.index_put_((codes.owner, p + codes.tags.clamp(max=R - 1)), amount.neg_(), accumulate=True)
            self._total.add_((out.square().sum(1) * weight).sum(), alpha=1 / (p + R))
            return out.mul_((weight * (2.0 / (b * (p + R)))).unsqueeze(1))
        y = target.view(torch.float32)
        z = out.squeeze(1)
        if task == "binary":
            self._total.add_(functional.binary_cross_entropy_with_logits(z, y, weight=weight, reduction="sum"))
            d = z.sigmoid_().sub_(y).mul_(weight).div_(b)
        else:
            d = z.sub_(y)
            self._total.add_((d.square() * weight).sum())
            d.mul_(weight).mul_(2.0 / b)
        return d.unsqueeze(1)

    def _backward(self, x: Tensor, codes: Active, hidden: list[Tensor], masks: list[Tensor | None], d: Tensor) -> None:
        import torch

        w, g = self.deep.w, self.deep.g
        sparsity, latent = self.settings.l1_activation, self.network.latent
        for i in range(self._depth - 1, 0, -1):
            h, mask = hidden[i - 1], masks[i - 1]
            torch.mm((h if mask is None else h * mask).t(), d, out=g[f"layer.{i}.weight"])
            torch.sum(d, 0, out=g[f"layer.{i}.bias"])
            d = torch.mm(d, w[f"layer.{i}.weight"].t())
            if mask is not None:
                d.mul_(mask)
            if sparsity and i - 1 == latent:
                d.add_(h.sign(), alpha=sparsity / len(h))
                self._total.add_(h.abs().sum(), alpha=sparsity)
            d = self._slope(h, d)
        torch.sum(d, 0, out=g["layer.0.bias"])
        self._inner_backward(self.deep, "layer.0", x, codes, d)

    def total(self) -> float:
        """Sum of the weighted losses since `take_total`."""
        return float(self._total)

    def take_total(self) -> float:
        """The sum, set back to 0."""
        total = float(self._total)
        self._total.zero_()
        return total

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights now, as numpy arrays that later steps may change."""
        out = {**self._initial, **self.deep.weights(self.t)}
        if self.linear is not None:
            out.update(self.linear.weights(self.t))
        return {**out, "target": self._target}


def _relu_slope(h: Any, d: Any) -> Any:
    return d.mul_(h.sign())  # 0 or 1; a comparison would have to be converted to numbers


def _crelu(z: Any) -> Any:
    import torch

    return torch.cat([z.clamp(min=0), (-z).clamp(min=0)], 1)


def _crelu_slope(h: Any, d: Any) -> Any:
    half = h.shape[1] // 2
    return d[:, :half] * h[:, :half].sign() - d[:, half:] * h[:, half:].sign()


def _elu(z: Any) -> Any:
    import torch

    return torch.nn.functional.elu(z)


def _selu(z: Any) -> Any:
    import torch

    return torch.nn.functional.selu(z)


def _selu_slope(h: Any, d: Any) -> Any:
    return d.mul_(h.gt(0).mul(SELU_SCALE) + h.clamp(max=0).add_(SELU_SCALE * SELU_ALPHA).mul_(h <= 0))


# activation (may overwrite z) and derivative (h = act(z), d; may overwrite d)
_ACTIVATION: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "RELU": (lambda z: z.clamp_(min=0), _relu_slope),
    "RELU6": (lambda z: z.clamp_(0, 6), lambda h, d: d.mul_((h > 0) & (h < 6))),
    "CRELU": (_crelu, _crelu_slope),
    "ELU": (_elu, lambda h, d: d.mul_(h.clamp(max=0).add_(1))),
    "SELU": (_selu, _selu_slope),
    "SIGMOID": (lambda z: z.sigmoid_(), lambda h, d: d.mul_(h * (1 - h))),
    "TANH": (lambda z: z.tanh_(), lambda h, d: d.mul_(1 - h * h)),
}
