"""Training of the networks of `mlp` with torch: one loop, made for tables.

Rows are packed once into a matrix of 4-byte words [numbers | codes | target | weight] which stays
on the device, so a batch is one gather of a slice of a permuted index. The gradient is written out
by hand instead of taped: about 25 kernels per step into buffers that are made once, which on small
batches is several times cheaper than autograd. No step waits for the device: what the host wants to
know of the data (the number of tags of a batch) it counts itself, and the loss is read once in a while.

Data that does not fit comes as a re-iterable of `Rows`; the next piece is read while one is trained on.
"""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sqlml.errors import DataError, InternalError, NotSupportedError, OptionError, TrainingError
from sqlml.kernels.mlp import Frozen, Network, Rows, Weights, initial_weights
from sqlml.kernels.mlp_batch import Packed
from sqlml.kernels.mlp_step import Stepper
from sqlml.kernels.threads import cores

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
        profile: seconds by stage: "pack", "train".
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
        source = _Source(network, rows, scale, device)
        bound = math.inf if start is not None else _BOUND * (1 + training.l1_activation) * scale[1] ** 2
        return _fit(source, Stepper(network, weights, training, device), training, scale, bound, evaluation, tell, poll)

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
    source: _Source,
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
    with _threads(_thread_count(network, training.batch_size)), _precision(device):
        generator = torch.Generator().manual_seed(training.seed)
        for epoch in range(training.max_iterations):
            loss = _epoch(source, stepper, training, generator, epoch, poll) * scale[1] ** 2
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
    return Fit(final, losses, evals, converged, device)


def import_torch() -> Any:
    """The torch module, or one sentence on how to get it."""
    try:
        import torch
    except ImportError:
        raise NotSupportedError(
            "neural networks need the package torch, which is not installed.",
            hint='pip install "sqlml[torch]"',
        ) from None
    return torch


def resolve_device(device: str) -> str:
    """'cuda' or 'cpu' for a device setting."""
    torch = import_torch()
    if device == "cpu":
        return "cpu"
    trouble = "torch sees none" if not torch.cuda.is_available() else _trouble()
    if device == "cuda" and trouble:
        raise NotSupportedError(
            f"DEVICE must be 'auto' or 'cpu' without a CUDA GPU that works: {trouble}. Got 'cuda'.",
            hint="SET sqlml.device = 'auto'",
        )
    return "cpu" if trouble else "cuda"


def _trouble() -> str:
    """Why the GPU cannot be used, though torch sees it: too old for this torch, taken by another; "" if it can."""
    torch = import_torch()
    try:
        torch.zeros(1, device="cuda").add_(1).item()
    except (AssertionError, RuntimeError) as error:
        return str(error).strip().split("\n", 1)[0].rstrip(".")
    return ""


def free_memory(device: str) -> int | None:
    """Bytes that are free on the device that a setting means; None where that is the machine's own memory."""
    if resolve_device(device) == "cpu":
        return None
    cuda = import_torch().cuda
    # What torch keeps for later tensors of this process is free to it.
    return int(cuda.mem_get_info()[0] + cuda.memory_reserved() - cuda.memory_allocated())


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


def _epoch(
    source: _Source,
    stepper: Stepper,
    training: Training,
    generator: Any,
    epoch: int,
    poll: Callable[[], None] | None,
) -> float:
    """One pass over all rows in a new order; returns the weighted mean loss.

    Pieces are read in the calling thread (a database may insist on it), while the piece before is
    trained on in another.
    """
    weight = 0.0

    def steps(packed: Packed) -> None:
        _steps(stepper, packed, training, generator, epoch, None if source.streams else poll)

    if not source.streams:
        for packed, sum_of_weights in source:
            steps(packed)
            weight += sum_of_weights
    else:
        with ThreadPoolExecutor(1) as pool:
            running: Future[None] | None = None
            for packed, sum_of_weights in source:
                if running is not None:
                    running.result()
                running = pool.submit(steps, packed)
                weight += sum_of_weights
                if poll is not None:
                    poll()
            if running is not None:
                running.result()
    total = stepper.take_total()
    if not weight:
        raise DataError("the training query must return at least one row with a positive weight. Got none.")
    return total / weight


def _steps(
    stepper: Stepper,
    packed: Packed,
    training: Training,
    generator: Any,
    epoch: int,
    poll: Callable[[], None] | None,
) -> None:
    torch = import_torch()
    stepper.load(packed)
    order = torch.randperm(len(packed), generator=generator)
    sizes = packed.sizes(order, training.batch_size)
    order = order.to(packed.words.device)
    for count, tags in enumerate(sizes, start=1):
        stepper.step(order[(count - 1) * training.batch_size : count * training.batch_size], tags)
        if count % _CHECK == 0:
            if not math.isfinite(stepper.total()):
                raise _diverged(training, epoch)
            if poll is not None:
                poll()


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


class _Source:
    """Packed pieces of the training rows, again in every epoch."""

    def __init__(self, network: Network, rows: Rows | Iterable[Rows], target: tuple[float, float], device: str):
        self._network, self._rows, self._target, self._device = network, rows, target, device
        self._mean_weight: float | None = None
        self._packed: tuple[Packed, float] | None = None
        if isinstance(rows, Rows):
            if not len(rows):
                raise DataError("the training query must return at least one row. Got none.")
            self._packed = self._pack(rows)

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
        for rows in self._rows:
            if len(rows):
                yield self._pack(rows)

    def _pack(self, rows: Rows) -> tuple[Packed, float]:
        """The rows on the device, and the sum of their weights."""
        torch = import_torch()
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
        total = float(w.sum(dtype=np.float64)) / self._mean_weight
        held = torch.from_numpy(words).to(self._device)
        if rows.bags is None:
            return Packed(held), total
        tags = torch.from_numpy(np.array(rows.bags.codes, np.int32)).to(self._device)
        starts = torch.from_numpy(np.array(rows.bags.starts, np.int64))
        values = rows.bags.values
        known = None if values is None else torch.from_numpy(np.array(values, np.float32)).to(self._device)
        return Packed(held, tags, starts.to(self._device), starts.diff(), known), total


def _thread_count(network: Network, batch_size: int) -> int:
    """One thread for small steps, where waking another costs more than it computes."""
    work = batch_size * sum(a * b for a, b in network.layers)
    return 1 if work < 2**24 else max(1, min(cores(), work // 2**23))


class _Turns:
    """A setting of torch's that several trainings change at once: the last one puts back what the first one found."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self.before: Any = None

    def enter(self, change: Callable[[], Any]) -> None:
        """`change` gives what is put back; it is called by the first one."""
        with self._lock:
            if not self._inside:
                self.before = change()
            self._inside += 1

    def leave(self, put_back: Callable[[Any], None]) -> None:
        """`put_back` is called by the last one."""
        with self._lock:
            self._inside -= 1
            if not self._inside:
                put_back(self.before)


_THREADS, _PRECISION = _Turns(), _Turns()


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    torch = import_torch()
    _THREADS.enter(torch.get_num_threads)
    before = _THREADS.before
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)  # the number belongs to the thread, and to those that start later
        _THREADS.leave(torch.set_num_threads)


@contextlib.contextmanager
def _precision(device: str) -> Iterator[None]:
    """On a GPU: TF32 products (10 bits of mantissa in the factors, float32 sums), and sums in a fixed order.

    Adding rows to a table by atomic operations would give other last bits in every run.
    """
    if device != "cuda":
        yield
        return
    _PRECISION.enter(_exact_and_fast)
    try:
        yield
    finally:
        _PRECISION.leave(lambda put_back: put_back())


def _exact_and_fast() -> Callable[[], None]:
    """Set torch so; returns what undoes it."""
    torch = import_torch()
    mode = torch.get_deterministic_debug_mode()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    precision = None
    with contextlib.suppress(RuntimeError):  # the process has chosen a precision by torch's newer settings: it stays
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
    filters = warnings.catch_warnings()
    filters.__enter__()
    # Products differ only between streams, and there is one.
    warnings.filterwarnings("ignore", message=".*[Dd]eterministic.*")
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False

    def put_back() -> None:
        filters.__exit__(None, None, None)
        if precision is not None:
            torch.set_float32_matmul_precision(precision)
        torch.set_deterministic_debug_mode(mode)
        torch.utils.deterministic.fill_uninitialized_memory = fill

    return put_back
