"""Optimisers of the networks, as in-place updates of blocks of weights.

Each rule knows three things: its state, one step with a gradient, and what `k` steps with a zero
gradient do. The last one makes sparse training exact: a row of a category table that no batch
touches is left alone, and catches up in one closed form when it is met again, so the result is
that of the dense optimiser at the price of the rows in the batch.

Sources: Kingma & Ba 2015 (Adam); Duchi, Hazan & Singer 2011 (Adagrad); Hinton 2012 (RMSprop);
McMahan et al. 2013, "Ad click prediction" (FTRL-Proximal, learning rate power -1/2); Duchi & Singer
2009 (the proximal steps for L1 and L2). Penalties: `l1` |w| + `l2` w^2 / 2 for the proximal rules
(SGD, Adagrad), `l1` |w| + `l2` w^2 for FTRL; RMSprop and Adam add `l1` sign(w) + `l2` w to the gradient.

Steps are counted by a tensor on the device of the weights, and nothing is read back from it, so that a
step can be recorded once and replayed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sqlml.kernels.types import F64

if TYPE_CHECKING:
    from torch import Tensor

Name = Literal["ADAGRAD", "ADAM", "FTRL", "RMSPROP", "SGD"]


class Rule(ABC):
    """One optimiser. `w`, `g` and every state tensor have the same shape; rows are along axis 0."""

    slots = 0

    def __init__(self, learn_rate: float, l1: float = 0.0, l2: float = 0.0):
        self.learn_rate = learn_rate
        self.l1 = l1
        self.l2 = l2

    @abstractmethod
    def start(self, w: Tensor) -> list[Tensor]:
        """Fresh state for the weights `w`."""

    @abstractmethod
    def step(self, w: Tensor, g: Tensor, state: list[Tensor], t: Tensor) -> None:
        """Step number `t` (1,), from 1, in place. `g` may be overwritten."""

    def idle(self, w: Tensor, state: list[Tensor], t: Tensor, k: Tensor) -> None:  # noqa: B027
        """The `k` (rows, 1) steps with zero gradient that end with step `t` (1,), in place; `k` may be 0."""

    @property
    def lazy(self) -> bool:
        """Whether `idle` is exact for these settings."""
        return True

    def _penalty(self, w: Tensor, g: Tensor) -> None:
        if self.l1:
            g.add_(w.sign(), alpha=self.l1)
        if self.l2:
            g.add_(w, alpha=self.l2)

    def _shrink(self, w: Tensor, rate: Any, k: Any = 1) -> None:
        """`k` proximal steps of L1 and L2 at a learning rate (a number or a tensor like w)."""
        if not (self.l1 or self.l2):
            return
        c = 1.0 / (1.0 + rate * self.l2)  # one step: |w| -> c max(|w| - rate l1, 0)
        ck = c**k
        total = k if not self.l2 else (1.0 - ck) / (rate * self.l2)  # c + c^2 + ... + c^k
        sign = w.sign()
        w.abs_().mul_(ck).sub_(rate * self.l1 * total).clamp_(min=0.0).mul_(sign)


class Sgd(Rule):
    """w <- prox(w - a g)."""

    def start(self, w: Tensor) -> list[Tensor]:
        return []

    def step(self, w: Tensor, g: Tensor, state: list[Tensor], t: Tensor) -> None:
        w.add_(g, alpha=-self.learn_rate)
        self._shrink(w, self.learn_rate)

    def idle(self, w: Tensor, state: list[Tensor], t: Tensor, k: Tensor) -> None:
        self._shrink(w, self.learn_rate, k.to(w.dtype))


class Adagrad(Rule):
    """n <- n + g^2; w <- prox(w - a g / sqrt(n)), with n = 0.1 at the start."""

    slots = 1

    def start(self, w: Tensor) -> list[Tensor]:
        return [w.new_full(w.shape, 0.1)]

    def step(self, w: Tensor, g: Tensor, state: list[Tensor], t: Tensor) -> None:
        (n,) = state
        n.addcmul_(g, g)
        root = n.sqrt()
        w.addcdiv_(g, root, value=-self.learn_rate)
        if self.l1 or self.l2:
            self._shrink(w, self.learn_rate / root)

    def idle(self, w: Tensor, state: list[Tensor], t: Tensor, k: Tensor) -> None:
        if self.l1 or self.l2:
            self._shrink(w, self.learn_rate / state[0].sqrt(), k.to(w.dtype))


class Ftrl(Rule):
    """FTRL-Proximal per coordinate.

    With G = sum of squared gradients (0.1 at the start) and s = (sqrt(G + g^2) - sqrt(G)) / a:
    z <- z + g - s w;  w <- 0 if |z| <= l1, else -(z - sign(z) l1) / (sqrt(G + g^2) / a + 2 l2).
    A zero gradient changes nothing.
    """

    slots = 2

    def start(self, w: Tensor) -> list[Tensor]:
        n = w.new_full(w.shape, 0.1)
        # z is such that the closed form gives back the starting weights.
        z = -w * (n.sqrt() / self.learn_rate + 2 * self.l2) - w.sign() * self.l1
        return [n, z]

    def step(self, w: Tensor, g: Tensor, state: list[Tensor], t: Tensor) -> None:
        n, z = state
        before = n.sqrt()
        root = n.addcmul_(g, g).sqrt()
        z.add_(g).addcmul_(root - before, w, value=-1.0 / self.learn_rate)
        inner = z.abs().sub_(self.l1).clamp_(min=0.0).mul_(z.sign()).neg_()
        w.copy_(inner.div_(root.mul_(1.0 / self.learn_rate).add_(2 * self.l2)))


class Rmsprop(Rule):
    """v <- 0.9 v + 0.1 g^2; w <- w - a g / (sqrt(v) + 1e-7)."""

    slots = 1
    rho = 0.9

    def start(self, w: Tensor) -> list[Tensor]:
        return [w.new_zeros(w.shape)]

    def step(self, w: Tensor, g: Tensor, state: list[Tensor], t: Tensor) -> None:
        self._penalty(w, g)
        (v,) = state
        v.mul_(self.rho).addcmul_(g, g, value=1 - self.rho)
        w.addcdiv_(g, v.sqrt().add_(1e-7), value=-self.learn_rate)

    def idle(self, w: Tensor, state: list[Tensor], t: Tensor, k: Tensor) -> None:
        state[0].mul_(self.rho ** k.to(w.dtype))

    @property
    def lazy(self) -> bool:
        return not (self.l1 or self.l2)


class Adam(Rule):
    """Adam with the usual constants 0.9, 0.999, 1e-8."""

    slots = 2
    b1, b2, eps = 0.9, 0.999, 1e-8

    def __init__(self, learn_rate: float, l1: float = 0.0, l2: float = 0.0):
        super().__init__(learn_rate, l1, l2)
        self._tables: Tensor | None = None

    def start(self, w: Tensor) -> list[Tensor]:
        if self._tables is None or (self._tables.device, self._tables.dtype) != (w.device, w.dtype):
            self._tables = w.new_tensor(self._by_step())
        return [w.new_zeros(w.shape), w.new_zeros(w.shape)]

    def step(self, w: Tensor, g: Tensor, state: list[Tensor], t: Tensor) -> None:
        self._penalty(w, g)
        m, v = state
        m.lerp_(g, 1 - self.b1)
        v.mul_(self.b2).addcmul_(g, g, value=1 - self.b2)
        _, scale, rate = self._at(t)
        root = v.sqrt().mul_(scale).add_(self.eps)
        w.addcdiv_(m * rate, root)

    def idle(self, w: Tensor, state: list[Tensor], t: Tensor, k: Tensor) -> None:
        """Adam goes on moving without a gradient: its j-th idle step after step a is

        -lr m / sqrt(v) r^j c(a+j), with r = b1 / sqrt(b2) and c(s) = sqrt(1 - b2^s) / (1 - b1^s).
        The sum over j <= k is T(a) - r^k T(a + k) with the tail sums T(a) = sum_j>0 r^j c(a+j).
        (eps is that of the first idle step for all of them.)
        """
        m, v = state
        assert self._tables is not None
        tail = self._tables[0]
        steps = k.to(w.dtype)
        before = tail[(t - k).clamp_(max=len(tail) - 1)]
        total = before - (self.b1 * self.b2**-0.5) ** steps * self._at(t)[0]
        eps = (1 - self.b2 ** (t + 1 - steps)).sqrt_().mul_(self.eps)
        w.addcdiv_(m * total, v.sqrt().add_(eps), value=-self.learn_rate)
        m.mul_(self.b1**steps)
        v.mul_(self.b2**steps)

    def _at(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """T(t), 1 / sqrt(1 - b2^t) and -lr / (1 - b1^t), each (1,)."""
        assert self._tables is not None
        tail, scale, rate = self._tables.index_select(1, t.clamp(max=self._tables.shape[1] - 1))
        return tail, scale, rate

    def _by_step(self, size: int = 32768) -> F64:
        """What `_at` gives for t = 0 .. size: from `size` on, all are the same to 14 digits."""
        r = self.b1 * self.b2**-0.5
        s = np.arange(1, size + 1, dtype=np.float64)
        c = np.sqrt(1 - self.b2**s) / (1 - self.b1**s)
        tails = [r / (1 - r)]
        for value in c[::-1].tolist():
            tails.append(r * (value + tails[-1]))
        scale = [(1 - self.b2**i) ** -0.5 for i in range(1, size + 1)]
        rate = [-self.learn_rate / (1 - self.b1**i) for i in range(1, size + 1)]
        return np.array([tails[::-1], [1.0, *scale], [0.0, *rate]])  # no step has the number 0

    @property
    def lazy(self) -> bool:
        return not (self.l1 or self.l2)


RULES: dict[str, type[Rule]] = {
    "ADAGRAD": Adagrad,
    "ADAM": Adam,
    "FTRL": Ftrl,
    "RMSPROP": Rmsprop,
    "SGD": Sgd,
}


class Dense:
    """Weights that every batch touches: torch's fused update where there is one, else the rule."""

    def __init__(self, rule: Rule, w: list[Tensor], g: list[Tensor]):
        self.rule, self.w, self.g = rule, w, g
        self._state = [rule.start(x) for x in w]
        self._steps = [x.new_zeros(()) for x in w]
        self._fused = _fused_adam(rule, w, g, self._state, self._steps) if isinstance(rule, Adam) else None

    @property
    def tensors(self) -> list[Tensor]:
        """All that a step changes."""
        return [*self.w, *self._steps, *(x for state in self._state for x in state)]

    def step(self, t: Tensor) -> None:
        """Use the gradients in `g` for step number `t` (1,)."""
        if self._fused is not None:
            self._fused()
            return
        for w, g, state in zip(self.w, self.g, self._state, strict=True):
            self.rule.step(w, g, state, t)


def _fused_adam(
    rule: Adam, w: list[Tensor], g: list[Tensor], state: list[list[Tensor]], steps: list[Tensor]
) -> Callable[[], None] | None:
    """torch's one-pass implementation of the same rule (it counts its steps itself, in `steps`)."""
    if rule.l1 or rule.l2:
        return None
    from torch.optim.adam import adam

    return partial(
        adam,
        w,
        g,
        [m for m, _ in state],
        [v for _, v in state],
        [],
        steps,
        fused=True,
        capturable=w[0].is_cuda,
        amsgrad=False,
        beta1=rule.b1,
        beta2=rule.b2,
        lr=rule.learn_rate,
        weight_decay=0.0,
        eps=rule.eps,
        maximize=False,
    )


class Sparse:
    """A table (rows + 1, width) of which a batch touches few rows.

    The last row stands for "no category": it is always zero. Weights and state lie side by side
    in one tensor, so that a batch costs one gather and one scatter.
    """

    def __init__(self, rule: Rule, w: Tensor):
        import torch

        self.rule = rule
        self.packed = torch.stack([w, *rule.start(w)], dim=1)
        self._grad = torch.zeros_like(w)
        self._last = torch.zeros(len(w), dtype=torch.int64, device=w.device)
        self._idle = rule.slots > 0 or bool(rule.l1 or rule.l2)

    @property
    def tensors(self) -> list[Tensor]:
        """All that a step changes."""
        return [self.packed, self._last, self._grad]

    def gather(self, codes: Tensor, t: Tensor) -> Tensor:
        """Weights (len(codes), width) as they stand after step `t` (1,)."""
        self._block = self.packed.index_select(0, codes)
        w, *state = self._block.unbind(1)
        if self._idle:
            self.rule.idle(w, state, t, (t - self._last.index_select(0, codes)).unsqueeze(1))
        return w

    def step(self, codes: Tensor, g: Tensor, t: Tensor) -> None:
        """Step `t` (1,) for the rows gathered last; `g` (len(codes), width) is summed over equal codes."""
        self._grad.index_add_(0, codes, g)
        self._grad[-1].zero_()  # so the last row has neither momentum nor weight, ever
        # Equal codes carry equal sums, so writing them twice writes the same numbers.
        w, *state = self._block.unbind(1)
        self.rule.step(w, self._grad.index_select(0, codes), state, t)
        self.packed.index_copy_(0, codes, self._block)
        self._last.index_copy_(0, codes, t.expand(len(codes)))
        self._grad.index_fill_(0, codes, 0.0)

    def weights(self, t: Tensor) -> Tensor:
        """All weights (rows + 1, width) after step `t` (1,)."""
        w, *state = self.packed.unbind(1)
        if self._idle:
            self.rule.idle(w, state, t, (t - self._last).unsqueeze(1))
            self._last.copy_(t.expand(len(self._last)))
        return w
