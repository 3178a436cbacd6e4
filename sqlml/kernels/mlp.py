"""Multi-layer perceptrons over tables: the network, its predictions and attributions, in numpy.

The input of a row is a block of numbers and a few category codes. A code stands for a one-hot
column, so the first layer over it is the sum of the rows of a table that the codes name: the
one-hot vector is never written down. Neither is that of a set of codes, nor a sparse vector, which is
a set of codes with values (`bags`). Training is in
`mlp_train` (torch); this module needs numpy only, so that predictions do not wait for torch to be
imported.

Weights are a dict of arrays:
    layer.0.weight (p, h1)   layer.0.table (R, h1)   layer.0.bias (h1,)
    layer.i.weight (a, h)    layer.i.bias (h,)       a is 2 h of the layer before with CRELU
    wide.weight (p, k)       wide.table (R, k)       the linear half of a wide & deep network
    target (2,)              mean and standard deviation of the regression target in training
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sqlml.errors import InternalError, OptionError
from sqlml.kernels.bags import Bags
from sqlml.kernels.threads import one_blas_thread

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
Weights = Mapping[str, NDArray[np.float32]]
Task = Literal["regression", "binary", "multiclass", "autoencoder"]

ACTIVATIONS = ("RELU", "RELU6", "CRELU", "ELU", "SELU", "SIGMOID", "TANH")
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_BLOCK = 8192  # rows per step of a prediction: the activations stay in the cache


@dataclass(frozen=True, slots=True)
class Network:
    """The shape of a network.

    Args:
        task: what the output is and which loss it has.
        numeric: number of numeric inputs, p.
        rows: number of columns over all codes of categories, sets and sparse vectors, R. Code R means "none of them".
        hidden: units of the hidden layers. The middle one of an autoencoder is its latent layer.
        outputs: 1 for regression and binary, the number of classes, or p + R for an autoencoder.
        activation: one of ACTIVATIONS, after every hidden layer.
        wide: whether a linear model of the inputs is added to the output.
    """

    task: Task
    numeric: int
    rows: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str = "RELU"
    wide: bool = False

    def __post_init__(self) -> None:
        if not self.hidden or min(self.hidden) < 1:
            raise OptionError(f"HIDDEN_UNITS must be a list of layer sizes of at least 1. Got {list(self.hidden)}.")
        if self.activation not in ACTIVATIONS:
            raise OptionError(f"ACTIVATION_FN must be one of {', '.join(ACTIVATIONS)}. Got {self.activation}.")
        if self.numeric + self.rows < 1:
            raise InternalError("a network needs at least one input")

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of every dense layer; the first counts the numeric inputs only."""
        factor = 2 if self.activation == "CRELU" else 1
        sizes = [self.numeric, *(h * factor for h in self.hidden)]
        return list(zip(sizes, [*self.hidden, self.outputs], strict=True))

    @property
    def latent(self) -> int:
        """Index of the latent layer among the hidden ones."""
        return len(self.hidden) // 2


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded rows.

    Args:
        X: numeric inputs, float32 (n, p).
        codes: category codes, int32 (n, columns) in [0, R]; R means none.
        y: target (n,): numbers, 0/1, or class indices; None for an autoencoder.
        w: row weights (n,), or None for all 1.
        bags: further codes in [0, R), a set per row, with or without values, or None.
    """

    X: F32
    codes: I32
    y: NDArray[np.float32] | NDArray[np.int32] | None = None
    w: F32 | None = None
    bags: Bags | None = None

    def __len__(self) -> int:
        return len(self.X)

    def active(self, R: int) -> Iterator[tuple[NDArray[np.int64], I32, F64]]:
        """Rows, codes and values of the coded columns that are not 0, in pieces."""
        for code in self.codes.T:
            at = np.flatnonzero(code < R)
            yield at, code[at], np.ones(len(at))
        if self.bags is not None:
            yield self.bags.owners(), self.bags.codes, self.bags.amounts(np.float64)  # type: ignore[misc]

    def blocks(self, size: int = _BLOCK) -> Iterator[Rows]:
        """Consecutive pieces of at most `size` rows."""
        for i in range(0, len(self), size):
            s = slice(i, i + size)
            yield Rows(
                self.X[s],
                self.codes[s],
                None if self.y is None else self.y[s],
                None if self.w is None else self.w[s],
                None if self.bags is None else self.bags.piece(s),
            )


def default_hidden(rows: int, inputs: int, outputs: int) -> tuple[int, ...]:
    """The service's default for HIDDEN_UNITS: one layer of min(128, rows / (10 (inputs + outputs)))."""
    return (max(1, min(128, rows // (10 * max(1, inputs + outputs)))),)


def initial_weights(network: Network, generator: np.random.Generator) -> dict[str, F32]:
    """Glorot-uniform matrices (Glorot & Bengio 2010), zero biases, a zero linear half."""
    weights: dict[str, F32] = {}
    for i, (inputs, outputs) in enumerate(network.layers):
        total = inputs + (network.rows if i == 0 else 0)
        limit = (6.0 / (total + outputs)) ** 0.5
        draw = generator.uniform(-limit, limit, (total, outputs)).astype(np.float32)
        weights[f"layer.{i}.weight"] = draw[:inputs]
        if i == 0:
            weights["layer.0.table"] = draw[inputs:]
        weights[f"layer.{i}.bias"] = np.zeros(outputs, np.float32)
    if network.wide:
        weights["wide.weight"] = np.zeros((network.numeric, network.outputs), np.float32)
        weights["wide.table"] = np.zeros((network.rows, network.outputs), np.float32)
    weights["target"] = np.array([0.0, 1.0], np.float32)
    return weights


def activate(name: str, z: F32) -> F32:
    """The activation of z (n, h): (n, h), or (n, 2h) for CRELU."""
    if name == "RELU":
        return np.maximum(z, 0)
    if name == "RELU6":
        return np.clip(z, 0, 6)
    if name == "CRELU":
        return np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=1)
    if name == "ELU":
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))
    if name == "SELU":
        return np.where(z > 0, SELU_SCALE * z, SELU_SCALE * SELU_ALPHA * np.expm1(np.minimum(z, 0))).astype(z.dtype)
    return sigmoid(z) if name == "SIGMOID" else np.tanh(z)


def slope(name: str, h: F32, d: F32) -> F32:
    """The derivative times d, from the activation h = activate(name, z) and d = dL/dh."""
    if name == "RELU":
        return d * (h > 0)
    if name == "RELU6":
        return d * ((h > 0) & (h < 6))
    if name == "CRELU":
        half = h.shape[1] // 2
        return d[:, :half] * (h[:, :half] > 0) - d[:, half:] * (h[:, half:] > 0)
    if name == "ELU":
        return d * np.where(h > 0, 1, h + 1)
    if name == "SELU":
        return (d * np.where(h > 0, SELU_SCALE, h + SELU_SCALE * SELU_ALPHA)).astype(h.dtype)
    return d * (h * (1 - h) if name == "SIGMOID" else 1 - h * h)


def sigmoid(z: F32) -> F32:
    """1 / (1 + exp(-z)) without overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e)).astype(z.dtype)


def softmax(z: F32) -> F32:
    """Rows of probabilities."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=z.dtype)


class Frozen:
    """A network with its weights, ready for prediction."""

    def __init__(self, network: Network, weights: Weights):
        self.network = network
        self.weights = weights
        self._tables = {
            name: np.vstack([weights[name], np.zeros((1, weights[name].shape[1]), np.float32)])
            for name in ("layer.0.table", "wide.table")
            if name in weights
        }

    def outputs(self, X: F32, codes: I32, bags: Bags | None = None) -> F32:
        """Raw outputs (n, k): standardised targets, logits, or the reconstruction."""
        with one_blas_thread():
            parts = [self._forward(r)[1] for r in Rows(X, codes, bags=bags).blocks()]
        return np.concatenate(parts) if parts else np.zeros((0, self.network.outputs), np.float32)

    def predict(self, X: F32, codes: I32, bags: Bags | None = None) -> F64:
        """Predicted numbers (n,), probability of class 1 (n,), probabilities (n, k), or rows (n, p + R)."""
        raw = self.outputs(X, codes, bags).astype(np.float64)
        task = self.network.task
        if task == "regression":
            mean, scale = self.weights["target"].astype(np.float64)
            return np.asarray(raw[:, 0] * scale + mean)
        if task == "binary":
            return np.asarray(sigmoid(raw[:, 0]))  # type: ignore[arg-type]
        return np.asarray(softmax(raw)) if task == "multiclass" else raw  # type: ignore[arg-type]

    def latent(self, X: F32, codes: I32, bags: Bags | None = None) -> F64:
        """Activations of the latent layer (n, units); CRELU gives the difference of its halves."""
        return self._hidden(X, codes, bags, self.network.latent)

    def last(self, X: F32, codes: I32, bags: Bags | None = None) -> F64:
        """Activations of the last hidden layer, like `latent`."""
        return self._hidden(X, codes, bags, len(self.network.hidden) - 1)

    @one_blas_thread()
    def _hidden(self, X: F32, codes: I32, bags: Bags | None, last: int) -> F64:
        parts = []
        for r in Rows(X, codes, bags=bags).blocks():
            h = self._forward(r, stop=last + 1)[0][last]
            if self.network.activation == "CRELU":
                h = h[:, : h.shape[1] // 2] - h[:, h.shape[1] // 2 :]
            parts.append(h.astype(np.float64))
        return np.concatenate(parts) if parts else np.zeros((0, self.network.hidden[last]))

    @one_blas_thread()
    def reconstruction_errors(self, X: F32, codes: I32, bags: Bags | None = None) -> F64:
        """Per row the mean absolute, squared and squared-log error over the p + R encoded inputs: (n, 3).

        The logarithm is that of 1 + value, of values below 0 taken as 0.
        """
        size = min(1024, max(32, 2**24 // self.network.outputs))
        parts = [self._errors(r) for r in Rows(X, codes, bags=bags).blocks(size)]
        return np.concatenate(parts) if parts else np.zeros((0, 3))

    def _errors(self, r: Rows) -> F64:
        """The sums over all coded columns are those of a target of zeros, put right where it is not."""
        p, R = self.network.numeric, self.network.rows
        made = self._forward(r)[1]
        numbers, hot = made[:, :p].astype(np.float64), made[:, p:]
        e = numbers - r.X
        logs = np.log1p(np.maximum(numbers, 0)) - np.log1p(np.maximum(r.X, 0))
        hot_logs = np.log1p(np.maximum(hot, 0))
        total = np.column_stack(
            [
                np.abs(e).sum(1) + np.abs(hot).sum(1, dtype=np.float64),
                (e * e).sum(1) + np.einsum("ij,ij->i", hot, hot),
                (logs * logs).sum(1) + np.einsum("ij,ij->i", hot_logs, hot_logs),
            ]
        )
        for at, code, v in r.active(R):
            o = hot[at, code].astype(np.float64)
            log = hot_logs[at, code].astype(np.float64)
            target = np.log1p(np.maximum(v, 0))
            change = (np.abs(o - v) - np.abs(o), (o - v) ** 2 - o**2, (log - target) ** 2 - log**2)
            for j, amount in enumerate(change):
                total[:, j] += np.bincount(at, amount, minlength=len(r))
        return total / (p + R)

    def one_hot(self, X: F32, codes: I32, bags: Bags | None = None) -> F32:
        """The encoded input written out (n, p + R). For small pieces only."""
        p, R = self.network.numeric, self.network.rows
        dense = np.zeros((len(X), p + R + 1), np.float32)
        dense[:, :p] = X
        for at, code, value in Rows(X, codes, bags=bags).active(R):
            np.add.at(dense, (at, p + code), value)
        return dense[:, : p + R]

    @one_blas_thread()
    def loss(self, rows: Rows) -> float:
        """Weighted mean loss: squared error in units of the target, log loss, or reconstruction error."""
        total = weight = 0.0
        for r in rows.blocks():
            losses = self._losses(r)
            w = np.ones(len(r)) if r.w is None else r.w.astype(np.float64)
            total += float(losses @ w)
            weight += float(w.sum())
        return total / weight if weight else float("nan")

    def _losses(self, r: Rows) -> F64:
        if self.network.task == "autoencoder":
            return self.reconstruction_errors(r.X, r.codes, r.bags)[:, 1]
        assert r.y is not None
        raw = self._forward(r)[1].astype(np.float64)
        if self.network.task == "regression":
            mean, scale = self.weights["target"].astype(np.float64)
            return np.asarray((raw[:, 0] * scale + mean - r.y) ** 2)
        if self.network.task == "binary":
            z = raw[:, 0]
            return np.asarray(np.logaddexp(0, z) - r.y * z)
        top = raw.max(axis=1, keepdims=True)
        logs = top[:, 0] + np.log(np.exp(raw - top).sum(axis=1))
        return np.asarray(logs - raw[np.arange(len(r)), r.y.astype(np.int64)])

    def _inner(self, name: str, r: Rows) -> F32:
        z = r.X @ self.weights[f"{name}.weight"]
        table = self._tables[f"{name}.table"]
        for code in r.codes.T:
            z += table[code]
        if r.bags is not None:
            z += r.bags.sums(table)
        return z

    def _upper(self, z: F32, stop: int | None = None) -> tuple[list[F32], F32]:
        """Hidden activations and the last pre-activation, from that of the first layer."""
        hidden: list[F32] = []
        w = self.weights
        for i in range(1, len(self.network.layers)):
            hidden.append(activate(self.network.activation, z))
            if stop is not None and len(hidden) >= stop:
                break
            z = hidden[-1] @ w[f"layer.{i}.weight"] + w[f"layer.{i}.bias"]
        return hidden, z

    @np.errstate(over="ignore", invalid="ignore")  # infinite inputs are answered by infinity or NaN
    def _forward(self, r: Rows, stop: int | None = None) -> tuple[list[F32], F32]:
        hidden, z = self._upper(self._inner("layer.0", r) + self.weights["layer.0.bias"], stop)
        if self.network.wide and stop is None:
            z = z + self._inner("wide", r)
        return hidden, z

    def _first_delta(self, hidden: list[F32], d: F32) -> F32:
        """dF/dz of the first layer (n, h1) from dF/d(output) (n, k)."""
        for i in range(len(self.network.layers) - 1, 0, -1):
            d = slope(self.network.activation, hidden[i - 1], d @ self.weights[f"layer.{i}.weight"].T)
        return d

    @one_blas_thread()
    def attributions(
        self,
        X: F32,
        codes: I32,
        bags: Bags | None = None,
        *,
        output: int | NDArray[np.int64] = 0,
        steps: int = 15,
        report: Callable[[], None] | None = None,
    ) -> Attribution:
        """Integrated gradients (Sundararajan, Taly & Yan 2017) from the mean row to each row.

        The baseline has numbers 0 (the training mean, after standardising) and no category. The
        path integral is the midpoint rule with `steps` points; for one-hot inputs the path goes
        through fractional codes, which is exact on this first layer because it is a sum.

        Args:
            X, codes, bags: as in `Rows`.
            output: which raw output to explain, one for all rows or one per row (n,).
            steps: number of points; the error of the sum falls with 1 / steps^2.
            report: called after every block of rows.

        Returns:
            Attributions of raw outputs (standardised targets or logits).
        """
        n, C = codes.shape
        which = np.broadcast_to(np.asarray(output, np.int64), (n,))
        numbers = np.zeros((n, self.network.numeric))
        categories = np.zeros((n, C))
        tags = np.zeros(0 if bags is None else len(bags.codes))
        value, base = np.zeros(n), np.zeros(n)
        nothing = Rows(np.zeros((1, X.shape[1]), np.float32), np.full((1, C), self.network.rows, np.int32))
        zero = self._forward(nothing)[1][0]
        at = 0
        for r in Rows(X, codes, bags=bags).blocks():
            s = slice(at, at + len(r))
            found = tags[:0] if bags is None else tags[bags.starts[at] : bags.starts[at + len(r)]]
            self._attribute(r, which[s], steps, numbers[s], categories[s], found)
            value[s] = self._forward(r)[1][np.arange(len(r)), which[s]]
            base[s] = zero[which[s]]
            at += len(r)
            if report is not None:
                report()
        return Attribution(numbers, categories, base, value, tags)

    def _attribute(self, r: Rows, which: NDArray[np.int64], steps: int, numbers: F64, cats: F64, tags: F64) -> None:
        X, codes, w = r.X, r.codes, self.weights
        inner = self._inner("layer.0", r)
        seed = np.zeros((len(X), self.network.outputs), np.float32)
        seed[np.arange(len(X)), which] = 1.0
        delta = np.zeros((len(X), self.network.hidden[0]))
        for k in range(steps):
            hidden, _ = self._upper((k + 0.5) / steps * inner + w["layer.0.bias"])
            delta += self._first_delta(hidden, seed)
        delta /= steps
        numbers += X * (delta @ w["layer.0.weight"].T)
        for j in range(codes.shape[1]):
            cats[:, j] += np.einsum("ij,ij->i", self._tables["layer.0.table"][codes[:, j]], delta)
        if self.network.wide:
            numbers += X * w["wide.weight"].T[which]
            for j in range(codes.shape[1]):
                cats[:, j] += self._tables["wide.table"][codes[:, j], which]
        if r.bags is not None:
            own = r.bags.owners()
            for i in range(0, len(own), _BLOCK):
                s = slice(i, i + _BLOCK)
                tags[s] = np.einsum("ij,ij->i", self._tables["layer.0.table"][r.bags.codes[s]], delta[own[s]])
            if self.network.wide:
                tags += self._tables["wide.table"][r.bags.codes, which[own]]
            if r.bags.values is not None:
                tags *= r.bags.values


@dataclass(frozen=True, slots=True)
class Attribution:
    """How much each input moved a raw output away from the baseline's.

    Args:
        numbers: (n, p).
        categories: (n, columns).
        baseline: raw output at the baseline (n,).
        value: raw output at the row (n,). baseline + sums is close to it.
        tags: (m,), of the codes of the bags.
    """

    numbers: F64
    categories: F64
    baseline: F64
    value: F64
    tags: F64
