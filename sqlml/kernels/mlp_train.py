"""Training of the networks of `mlp` with torch: one loop, made for tables.

Rows are packed once into a matrix of 4-byte words [numbers | codes | target | weight] which stays
on the device, so a batch is one gather of a slice of a permuted index. The gradient is written out
by hand instead of taped: about 25 kernels per step into buffers that are made once, which on small
batches is several times cheaper than autograd. No step waits for the device: what the host wants to
know of the data (the number of tags of a batch) it counts itself, and the loss is read once per epoch.
On a GPU the step is recorded and replayed (`mlp_graphs`).

Data that does not fit comes as a re-iterable of `Rows`; the next piece is read, and on a GPU copied, while
one is trained on (`mlp_feed`).
"""

from __future__ import annotations

import contextvars
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sqlml.errors import DataError, InternalError, OptionError, TrainingError
from sqlml.kernels.mlp import Frozen, Network, Rows, Weights, initial_weights
from sqlml.kernels.mlp_batch import Packed
from sqlml.kernels.mlp_feed import Source
from sqlml.kernels.mlp_graphs import graphs_for
from sqlml.kernels.mlp_step import Stepper
from sqlml.kernels.threads import cores
from sqlml.kernels.torch_settings import import_torch, precision, resolve_device, threads

Device = Literal["auto", "cpu", "cuda"]
_CHECK = 256  # steps between two looks at the loss and the listener
_BOUND = 1e6  # a mean loss, in standardised units, of which no training comes back


@dataclass(frozen=True, slots=True)
class Training:
    """How to train; the names are those of the SQL options.

    Args:
        linear_optimizer, linear_learn_rate, linear_l1, linear_l2: of the linear half of a wide & deep
            network; `l1` and `l2` are those of the deep half.
        l1_activation: weight of the sum of absolute latent activations per row.
        min_rel_progress: an epoch that lowers the loss by less than this share is the last one
            (when `early_stop`).
        device: 'auto' takes CUDA when torch sees it.
    """

    batch_size: int = 32
    max_iterations: int = 20
    optimizer: str = "ADAM"
    learn_rate: float = 0.001
    linear_optimizer: str = "FTRL"
    linear_learn_rate: float = 0.001
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    linear_l1: float = 0.0
    linear_l2: float = 0.0
    l1_activation: float = 0.0
    early_stop: bool = True
    min_rel_progress: float = 0.01
    seed: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise OptionError(f"DROPOUT must be at least 0 and below 1. Got {self.dropout}.")
        if self.batch_size < 1:
            raise OptionError(f"BATCH_SIZE must be at least 1. Got {self.batch_size}.")


@dataclass(frozen=True, slots=True)
class Fit:
    """A trained network.

    Args:
        weights: see `mlp`.
        losses: mean training loss of every epoch, taken while its batches ran.
        eval_losses: loss over the evaluation rows after every epoch, or None.
        converged: whether early stopping ended the training.
        device: where it ran.
        profile: seconds by stage: "encode" until rows were there and packed, "copy" until they were handed to the
            device, "train" for all passes, of them "queue" until their steps were handed out. Where rows are
            streamed, the first two go on beside the others.
    """

    weights: dict[str, NDArray[np.float32]]
    losses: list[float]
    eval_losses: list[float | None]
    converged: bool
    device: str
    profile: dict[str, float] = field(default_factory=dict)


def train(
    network: Network,
    rows: Rows | Iterable[Rows],
    training: Training,
    *,
    evaluation: Rows | None = None,
    start: Weights | None = None,
    target: tuple[float, float] | None = None,
    report: Callable[..., None] | None = None,
    poll: Callable[[], None] | None = None,
) -> Fit:
    """Fit a network by mini-batch descent.

    Args:
        rows: all rows at once, or a re-iterable of pieces when they do not fit into memory.
            Row weights are divided by their mean.
        evaluation: rows for the evaluation loss.
        start: weights to go on from (of the same shape); else random ones.
        target: mean and standard deviation of a regression target, when known. The network
            learns the standardised target; losses are in the target's own units.
        report: called as report(iteration, loss, eval_loss=..., learning_rate=...) per epoch.
        poll: called about every second; may raise to cancel.

    Raises:
        NotSupportedError: torch is missing, or device is 'cuda' without a GPU.
        TrainingError: the loss grew without bound, or the GPU's memory is full ('auto' goes on without it if that
            is found out before the first epoch is over).
        DataError: there are no rows.
    """
    torch = import_torch()
    device = resolve_device(training.device)
    told: list[int] = []

    def tell(iteration: int, loss: float, **more: Any) -> None:
        told.append(iteration)
        if report is not None:
            report(iteration, loss, **more)

    def fit(device: str) -> Fit:
        weights = _start(network, training, start)
        scale = _target(network, rows, target, weights, fresh=start is None)
        source = Source(network, rows, scale, device)
        bound = math.inf if start is not None else _BOUND * (1 + training.l1_activation) * scale[1] ** 2
        stepper = Stepper(network, weights, training, device, graphs_for(device))
        try:
            return _fit(source, stepper, training, scale, bound, evaluation, tell, poll)
        finally:
            stepper.close()

    try:
        return fit(device)
    except torch.cuda.OutOfMemoryError:
        if training.device != "auto" or told:
            raise TrainingError(
                f"BATCH_SIZE must be smaller for this GPU, whose memory is full. Got {training.batch_size}.",
                hint="SET sqlml.device = 'cpu'",
            ) from None
    finally:
        if device == "cuda" and torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # other processes may want it
    return fit("cpu")


def _fit(
    source: Source,
    stepper: Stepper,
    training: Training,
    scale: tuple[float, float],
    bound: float,
    evaluation: Rows | None,
    report: Callable[..., None],
    poll: Callable[[], None] | None,
) -> Fit:
    """Epochs until the loss stalls; one above `bound` is an error."""
    torch = import_torch()
    network, device = stepper.network, stepper.device
    losses: list[float] = []
    evals: list[float | None] = []
    converged = False
    passes = _Passes(source, stepper, training, torch.Generator().manual_seed(training.seed), poll)
    with threads(_thread_count(network, training.batch_size)), precision(device):
        for epoch in range(training.max_iterations):
            loss = passes.run(epoch) * scale[1] ** 2
            _check(loss, losses, bound, training, epoch)
            losses.append(loss)
            evals.append(None if evaluation is None else Frozen(network, stepper.weights()).loss(evaluation))
            report(epoch, loss, eval_loss=evals[-1], learning_rate=training.learn_rate)
            if training.early_stop and epoch and _stalled(losses, training.min_rel_progress):
                converged = True
                break
    final = {name: value.copy() for name, value in stepper.weights().items()}
    if not all(np.isfinite(value).all() for value in final.values()):
        raise _diverged(training, len(losses) - 1)
    return Fit(final, losses, evals, converged, device, {**source.seconds, **passes.seconds})


def _start(network: Network, training: Training, start: Weights | None) -> dict[str, NDArray[np.float32]]:
    fresh = initial_weights(network, np.random.default_rng([training.seed, 1]))
    if start is None:
        return fresh
    if {k: v.shape for k, v in fresh.items()} != {k: v.shape for k, v in start.items()}:
        raise InternalError("the weights to start from have another shape than the network")
    return {k: np.array(v, np.float32) for k, v in start.items()}


def _target(
    network: Network,
    rows: Rows | Iterable[Rows],
    known: tuple[float, float] | None,
    weights: dict[str, NDArray[np.float32]],
    *,
    fresh: bool,
) -> tuple[float, float]:
    """Mean and standard deviation of a regression target; those of the start weights stay."""
    if network.task == "regression" and fresh:
        mean, sd = known if known is not None else _moments(rows)
        weights["target"] = np.array([mean, sd if sd > 0 and math.isfinite(sd) else 1.0], np.float32)
    return float(weights["target"][0]), float(weights["target"][1])


def _moments(rows: Rows | Iterable[Rows]) -> tuple[float, float]:
    n, mean, square = 0, 0.0, 0.0  # Chan, Golub & LeVeque's update over the pieces
    for piece in [rows] if isinstance(rows, Rows) else rows:
        if piece.y is None or not len(piece):
            continue
        y = piece.y.astype(np.float64)
        delta, total = y.mean() - mean, n + len(y)
        square += float(((y - y.mean()) ** 2).sum()) + delta**2 * n * len(y) / total
        mean += float(delta) * len(y) / total
        n = total
    return mean, math.sqrt(square / n) if n else 1.0


class _Passes:
    """Passes over all rows, each in a new order."""

    def __init__(
        self, source: Source, stepper: Stepper, training: Training, generator: Any, poll: Callable[[], None] | None
    ):
        self._source, self._stepper, self._training = source, stepper, training
        self._generator, self._poll = generator, poll
        self._drawn: tuple[Any, list[int]] | None = None
        self.seconds = {"train": 0.0, "queue": 0.0}

    def run(self, epoch: int) -> float:
        """One pass; returns the weighted mean loss."""
        start = time.perf_counter()
        weight = self._streamed(epoch) if self._source.streams else self._held(epoch)
        total = self._stepper.take_total()
        self.seconds["train"] += time.perf_counter() - start
        if not weight:
            raise DataError("the training query must return at least one row with a positive weight. Got none.")
        return total / weight

    def _held(self, epoch: int) -> float:
        """All rows are on the device."""
        (packed, weight), *_ = self._source
        self._steps(packed, epoch, self._poll)
        if self._stepper.device != "cpu" and epoch + 1 < self._training.max_iterations:
            self._drawn = self._draw(packed)  # while the device is at work
        return weight

    def _streamed(self, epoch: int) -> float:
        """Pieces are read in the calling thread (a database may insist on it), while the piece before is
        trained on in another."""
        weight = 0.0
        with ThreadPoolExecutor(1) as pool:
            running: Future[None] | None = None
            for packed, sum_of_weights in self._source:
                if running is not None:
                    running.result()
                running = pool.submit(contextvars.copy_context().run, self._piece, packed, epoch)
                weight += sum_of_weights
                if self._poll is not None:
                    self._poll()
            if running is not None:
                running.result()
        return weight

    def _piece(self, packed: Packed, epoch: int) -> None:
        slots = self._source.slots
        if slots is not None:
            slots.begin(packed)
        self._steps(packed, epoch, None)
        if slots is not None:
            slots.done(packed)

    def _draw(self, packed: Packed) -> tuple[Any, list[int]]:
        """An order of the rows, and the numbers of tags of its batches."""
        order = import_torch().randperm(len(packed), generator=self._generator)
        return order, packed.sizes(order, self._training.batch_size)

    def _steps(self, packed: Packed, epoch: int, poll: Callable[[], None] | None) -> None:
        start = time.perf_counter()
        stepper, size = self._stepper, self._training.batch_size
        order, tags = self._drawn or self._draw(packed)
        self._drawn = None
        stepper.load(packed, max(tags, default=0))
        order = order.to(packed.words.device)
        for count, number in enumerate(tags, start=1):
            stepper.step(order[(count - 1) * size : count * size], number)
            if count % _CHECK == 0:
                # A look at the loss would make a GPU wait: there it is taken after the pass.
                if stepper.device == "cpu" and not math.isfinite(stepper.total()):
                    raise _diverged(self._training, epoch)
                if poll is not None:
                    poll()
        self.seconds["queue"] += time.perf_counter() - start


def _check(loss: float, before: list[float], bound: float, training: Training, epoch: int) -> None:
    if not math.isfinite(loss) or loss > bound or (before and loss > 1e3 * before[0] and loss > 1e3 * min(before)):
        raise _diverged(training, epoch)


def _diverged(training: Training, epoch: int) -> TrainingError:
    return TrainingError(
        f"LEARN_RATE must be smaller for these data: the loss grew without bound in iteration {epoch + 1}."
        f" Got {training.learn_rate}.",
        hint=f"learn_rate={training.learn_rate / 10:g}",
    )


def _stalled(losses: list[float], min_rel_progress: float) -> bool:
    before, now = losses[-2], losses[-1]
    return before - now < min_rel_progress * abs(before)


def _thread_count(network: Network, batch_size: int) -> int:
    """One thread for small steps, where waking another costs more than it computes."""
    work = batch_size * sum(a * b for a, b in network.layers)
    return 1 if work < 2**24 else max(1, min(cores(), work // 2**23))
