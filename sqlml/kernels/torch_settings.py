"""torch, imported when it is needed; the device of a setting; and settings of the process that trainings share."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from sqlml.errors import NotSupportedError


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
def threads(count: int) -> Iterator[None]:
    """So many threads for torch's operations."""
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
def precision(device: str) -> Iterator[None]:
    """On a GPU: TF32 products (10 bits of mantissa in the factors, float32 sums), and sums in a fixed order.

    Adding rows to a table by atomic operations would give other last bits in every run. bfloat16 (7 bits) is
    left out: with factors
    rounded like that (emulated on a CPU: 60,000 rows of 20 numbers and 5 categories, layers [128, 64]) losses
    after six passes are off by 0.9% (binary) and 2.0% (regression), with TF32 by 0.02% and 0.8%, and layers of
    this size wait for memory and launches, not for products.
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
