"""Steps that are recorded once and replayed: on a GPU a step of small kernels costs more to launch than to compute.

`Recorder` decides: it tries a step out, records it, and compares the first replay with the step itself from
the same state. Where recording fails or a replay gives other numbers, the step is run as it is, and a notice
says so. `Graphs` is the seam to the device: `CudaGraphs`, or in tests something that remembers functions.

A step that is to be recorded works on tensors that stay where they are, reads nothing back, and takes its
random numbers from the generator that is handed to the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol

from sqlml.errors import notice

if TYPE_CHECKING:
    from torch import Generator, Tensor

Step = Callable[[], None]

#: Steps before a recording: libraries choose their algorithms and make their workspaces in the first ones.
_WARM_UP = 3
#: How far a replay may be from the step, in the length of the step's change and of what it changed.
_OF_CHANGE, _OF_VALUE = 1e-2, 1e-6


class Graphs(Protocol):
    """What a device can do with a step."""

    def aside(self, step: Step) -> None:
        """Run it beside the stream of the caller, which goes on behind it."""

    def record(self, step: Step, generator: Generator) -> Step:
        """What replays it from now on; the step is not run. Raises RuntimeError where it cannot be recorded."""

    def close(self) -> None:
        """Free all recordings."""


class CudaGraphs:
    """Recordings of CUDA, which share one pool of memory: no result of one outlives its replay.

    Raises:
        RuntimeError: this torch has no CUDA.
    """

    def __init__(self) -> None:
        import torch

        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()
        self._made: list[Any] = []

    def aside(self, step: Step) -> None:
        import torch

        caller = torch.cuda.current_stream()
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            step()
        caller.wait_stream(self._stream)

    def record(self, step: Step, generator: Generator) -> Step:
        import torch

        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(generator)
        self._made.append(graph)
        # The outer context puts the caller's stream back, which a failed recording leaves behind. Other threads
        # may go on with the device meanwhile.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
        ):
            step()
        replay: Step = graph.replay
        return replay

    def close(self) -> None:
        import torch

        torch.cuda.synchronize()
        for graph in self._made:
            graph.reset()
        self._made.clear()


def graphs_for(device: str) -> Graphs | None:
    """Recordings of a device; None where steps are run as they are."""
    if device != "cuda":
        return None
    try:
        return CudaGraphs()
    except (AttributeError, RuntimeError) as error:
        notice(_not_recorded(error))
        return None


class Recorder:
    """Steps by key: recorded when they are met first, replayed from then on.

    Args:
        graphs: the device's recordings, or None: steps are run as they are.
        state: gives the tensors that a step changes.
        generator: where a step takes its random numbers from.
    """

    def __init__(self, graphs: Graphs | None, state: Callable[[], list[Tensor]], generator: Generator):
        self._graphs, self._state, self._generator = graphs, state, generator
        self._replays: dict[Hashable, Step] = {}

    @property
    def on(self) -> bool:
        """Whether steps are recorded."""
        return self._graphs is not None

    def play(self, key: Hashable, step: Step) -> None:
        """Take the step, whose tensors are the same as in earlier calls with this key."""
        replay = self._replays.get(key)
        if replay is not None:
            replay()
        elif self._graphs is None:
            step()
        else:
            self._first(self._graphs, key, step)

    def close(self) -> None:
        """Free the recordings; later steps are run as they are."""
        graphs, self._graphs = self._graphs, None
        self._replays.clear()
        if graphs is not None:
            graphs.close()

    def _first(self, graphs: Graphs, key: Hashable, step: Step) -> None:
        """Record the step and take it once."""
        before = None
        try:
            before = _Moment(self._state(), self._generator)
            graphs.aside(lambda: _repeat(step, _WARM_UP))
            before.restore()
            step()
            wanted = _Moment(self._state(), self._generator)
            before.restore()
            replay = graphs.record(step, self._generator)
            before.restore()
            replay()
            if wanted.reached_from(before):
                self._replays[key] = replay
                return
            trouble: Any = "a replay gave other numbers than the step"
        except RuntimeError as error:
            trouble = error
        notice(_not_recorded(trouble))
        self.close()
        if before is not None:
            before.restore()
        step()


def _repeat(step: Step, times: int) -> None:
    for _ in range(times):
        step()


def _not_recorded(trouble: Any) -> str:
    reason = str(trouble).strip().split("\n", 1)[0].rstrip(".")
    return f"the steps of this training are run one kernel at a time on the GPU, which is slower: {reason}."


class _Moment:
    """The state of a training at one moment."""

    def __init__(self, tensors: list[Tensor], generator: Generator):
        self._tensors, self._generator = tensors, generator
        self._values = [x.clone() for x in tensors]
        self._random = generator.get_state()

    def restore(self) -> None:
        """Go back to it."""
        for x, value in zip(self._tensors, self._values, strict=True):
            x.copy_(value)
        self._generator.set_state(self._random)

    def reached_from(self, before: _Moment) -> bool:
        """Whether the tensors are now as they were at this moment, given where they came from."""
        import torch

        good = []
        for now, then, first in zip(self._tensors, self._values, before._values, strict=True):
            far, changed, size = (_length(x) for x in (now - then, then - first, then))
            good.append(far <= _OF_CHANGE * changed + _OF_VALUE * size if now.is_floating_point() else far == 0)
        return bool(torch.stack(good).all())


def _length(x: Tensor) -> Tensor:
    """Euclidean length, as a tensor."""
    import torch

    return torch.linalg.vector_norm(x if x.is_floating_point() else x.double(), dtype=torch.float64)
