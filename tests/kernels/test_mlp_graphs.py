"""Recorded steps and streamed copies, on the CPU.

`Tape` records a step as CUDA does: the operations with the very tensors they were called with. A replay calls
the operations again and no line of Python between them, so whatever a step would take from Python anew (a
counter, a size, a tensor of another batch) is found out here.
"""

from __future__ import annotations

import inspect
import pathlib

import numpy as np
import pytest

from sqlml.errors import Warning as Notice
from sqlml.errors import notices
from sqlml.kernels import mlp_feed, mlp_train
from sqlml.kernels.bags import of_pairs
from sqlml.kernels.mlp import Network, Rows
from sqlml.kernels.mlp_graphs import Recorder, graphs_for
from sqlml.kernels.mlp_train import Training, train

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402


class Tape:
    """Recordings on the CPU."""

    def __init__(self, broken=None):
        self.broken = broken
        self.tried = self.recorded = self.replayed = self.closed = 0

    def aside(self, step):
        self.tried += 1
        step()
        if self.broken == "warm-up":
            raise RuntimeError("out of luck.\nsecond line")

    def record(self, step, generator):
        self.recorded += 1
        operations = []

        class Record(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                name = func._schema.name
                if name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal"):
                    raise RuntimeError(f"{name} is not permitted while a stream is capturing")
                out = func(*args, **(kwargs or {}))
                aliases = [r.alias_info for r in func._schema.returns]
                if not any(a is not None and not a.is_write for a in aliases):  # views go on being views
                    operations.append((func, args, kwargs or {}, out, any(a is not None for a in aliases)))
                return out

        with Record():
            step()
        if self.broken == "record":
            raise RuntimeError("operation not permitted when stream is capturing")

        def replay():
            self.replayed += 1
            for func, args, kwargs, out, in_place in operations:
                made = func(*args, **kwargs)
                if not in_place:
                    for to, value in zip(flat(out), flat(made), strict=True):
                        to.copy_(value)
            if self.broken == "replay":
                operations[-1][3].add_(1)

        return replay

    def close(self):
        self.closed += 1


def flat(value):
    return [value] if isinstance(value, torch.Tensor) else [x for x in (value or ()) if isinstance(x, torch.Tensor)]


def rows_of(task, n=95, tags=True, values=False, seed=2):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2)).astype(np.float32)
    codes = rng.integers(0, 6, (n, 2)).astype(np.int32)
    codes[0] = 15
    bags = None
    if tags:
        hot = rng.random((n, 9)) < 0.3
        hot[20:40] = False
        hot[40:41] = True
        hot[-1] = False
        at = tuple(v.astype(np.int64) for v in np.nonzero(hot))
        bags = of_pairs(*at, n, 9, rng.standard_normal(len(at[0])) if values else None).behind(6)
    y = {"multiclass": rng.integers(0, 3, n).astype(np.int32), "autoencoder": None}
    target = y.get(task, (X[:, 0] > 0).astype(np.float32))
    return Rows(X, codes, target, rng.uniform(0.5, 2, n).astype(np.float32), bags)


def network_of(task):
    k = {"multiclass": 3, "autoencoder": 17}.get(task, 1)
    act = "SELU" if task == "autoencoder" else "CRELU"
    return Network(task, 2, 15, (6, 4, 5), k, act, wide=task in ("binary", "regression"))


def settings_of(optimizer="ADAM", **more):
    return Training(
        **{"batch_size": 10, "max_iterations": 3, "optimizer": optimizer, "learn_rate": 0.02, "dropout": 0.3}
        | {"early_stop": False, "device": "cpu", "linear_l1": 0.001}
        | more
    )


def with_tape(monkeypatch, tape):
    monkeypatch.setattr(mlp_train, "graphs_for", lambda _: tape)
    return tape


def told(function):
    """(result, notices)."""
    collected: list[Notice] = []
    token = notices.set(collected)
    try:
        return function(), [str(n) for n in collected]
    finally:
        notices.reset(token)


def same(a, b, exact=True):
    compare = np.testing.assert_array_equal if exact else lambda x, y: np.testing.assert_allclose(x, y, atol=2e-5)
    compare(a.losses, b.losses)
    for name, value in a.weights.items():
        compare(b.weights[name], value)


@pytest.mark.parametrize("single", [False, True], ids=["whole table", "single rows"])
@pytest.mark.parametrize("optimizer", ["ADAM", "FTRL", "ADAGRAD", "RMSPROP", "SGD"])
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "autoencoder"])
def test_replays_are_the_steps(monkeypatch, task, optimizer, single):
    monkeypatch.setattr("sqlml.kernels.mlp_step.by_rows", lambda *_: single)
    penalty = 0.002 if optimizer in ("FTRL", "ADAGRAD", "SGD") else 0.0
    settings = settings_of(optimizer, l1=penalty, l2=penalty, l1_activation=0.01 if task == "autoencoder" else 0.0)
    for values in (False, True):
        rows = rows_of(task, values=values)
        plain = train(network_of(task), rows, settings, evaluation=rows)
        tape = with_tape(monkeypatch, Tape())
        replayed, said = told(lambda r=rows: train(network_of(task), r, settings, evaluation=r))
        monkeypatch.setattr(mlp_train, "graphs_for", lambda _: None)
        assert not said
        same(plain, replayed)
        # 9 whole batches and one of 5 rows per pass; one recording, given back in the end.
        assert (tape.tried, tape.recorded, tape.closed) == (1, 1, 1)
        assert 18 <= tape.replayed <= 27


def test_whole_batches_are_replayed_and_the_last_short_one_is_not(monkeypatch):
    tape = with_tape(monkeypatch, Tape())
    train(network_of("binary"), rows_of("binary", tags=False), settings_of())
    assert tape.replayed == 3 * 9
    short = with_tape(monkeypatch, Tape())
    train(network_of("binary"), rows_of("binary", 9), settings_of())
    assert short.recorded == 0 and short.closed == 1


def test_a_batch_with_more_tags_than_there_is_room_for_is_not_replayed(monkeypatch):
    rows = rows_of("binary", 100)
    plain = train(network_of("binary"), rows, settings_of())
    tape = with_tape(monkeypatch, Tape())
    load = mlp_train.Stepper.load
    monkeypatch.setattr(mlp_train.Stepper, "load", lambda self, packed, most=0: load(self, packed, 20))
    replayed = train(network_of("binary"), rows, settings_of())
    assert 0 < tape.replayed < 30
    same(plain, replayed)


@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize(
    "broken,reason",
    [
        ("warm-up", "out of luck."),
        ("record", "operation not permitted when stream is capturing."),
        ("replay", "a replay gave other numbers than the step."),
    ],
)
def test_steps_go_on_without_a_recording_that_fails(monkeypatch, broken, reason, tags):
    rows = rows_of("multiclass", tags=tags)
    settings = settings_of("SGD")
    plain = train(network_of("multiclass"), rows, settings)
    tape = with_tape(monkeypatch, Tape(broken))
    found, said = told(lambda: train(network_of("multiclass"), rows, settings))
    same(plain, found)
    assert said == [f"the steps of this training are run one kernel at a time on the GPU, which is slower: {reason}"]
    assert tape.tried == 1 and tape.closed == 1 and tape.replayed == (broken == "replay")


def test_what_a_step_reads_back_is_found_out(monkeypatch):
    """The tape refuses what a GPU refuses."""
    with_tape(monkeypatch, Tape())
    run = mlp_train.Stepper._run

    def reads(self, *args, **named):
        run(self, *args, **named)
        float(self._total)

    monkeypatch.setattr(mlp_train.Stepper, "_run", reads)
    _, said = told(lambda: train(network_of("binary"), rows_of("binary"), settings_of()))
    assert len(said) == 1 and "_local_scalar_dense is not permitted" in said[0]


def test_a_step_that_counts_in_python_is_found_out(monkeypatch):
    with_tape(monkeypatch, Tape())
    run = mlp_train.Stepper._run
    count = [0]

    def counts(self, *args, **named):
        run(self, *args, **named)
        count[0] += 1
        self.deep.flat.add_(0.01 if count[0] % 2 else -0.01)

    monkeypatch.setattr(mlp_train.Stepper, "_run", counts)
    _, said = told(lambda: train(network_of("binary"), rows_of("binary"), settings_of(learn_rate=1e-4)))
    assert len(said) == 1 and "other numbers than the step" in said[0]


def test_random_numbers_go_on_where_they_were():
    generator, x = torch.Generator().manual_seed(1), torch.zeros(4)
    wanted = torch.rand(5, 4, generator=torch.Generator().manual_seed(1))
    recorder = Recorder(Tape(), lambda: [x], generator)
    for row in wanted:
        recorder.play("a", lambda: x.uniform_(generator=generator))
        assert torch.equal(x, row)


def test_recordings_by_key():
    x, y = torch.zeros(2), torch.ones(2)
    tape = Tape()
    recorder = Recorder(tape, lambda: [x], torch.Generator())
    for _ in range(3):
        recorder.play("a", lambda: x.add_(y))
        recorder.play("b", lambda: x.mul_(2))
    assert x.tolist() == [14.0, 14.0] and (tape.recorded, tape.replayed) == (2, 6)
    recorder.close()
    recorder.play("a", lambda: x.sub_(y))
    assert x.tolist() == [13.0, 13.0] and tape.replayed == 6


class Cuda:
    """The names of torch.cuda that are used, as a protocol of their calls."""

    def __init__(self):
        self.calls = []

    def note(self, *call):
        self.calls.append(call)
        return call

    def install(self, monkeypatch):
        outer = self

        class Stream:
            def wait_stream(self, other):
                outer.note("wait_stream", self, other)

            def wait_event(self, event):
                outer.note("wait_event", event)

        self.caller = self.current = Stream()

        class Event:
            def record(self, stream):
                outer.note("record", self, stream)

            def synchronize(self):
                outer.note("synchronize", self)

        class Within:
            def __init__(self, stream):
                self.stream = stream

            def __enter__(self):
                self.before, outer.current = outer.current, self.stream

            def __exit__(self, *_):
                outer.current = self.before

        class CUDAGraph:
            def register_generator_state(self, generator):
                outer.note("register", generator)

            def replay(self):
                outer.note("replay")

            def reset(self):
                outer.note("reset")

        class Capture:
            def __init__(self, graph, pool=None, stream=None, capture_error_mode="global"):
                outer.note("capture", pool, capture_error_mode)
                self.stream = stream

            def __enter__(self):
                outer.current = self.stream

            def __exit__(self, kind, *_):
                if kind is not None:
                    raise RuntimeError("operation failed due to a previous error during capture")  # the stream stays
                outer.current = outer.caller

        fakes = {"Stream": Stream, "Event": Event, "stream": Within, "CUDAGraph": CUDAGraph, "graph": Capture}
        fakes |= {"graph_pool_handle": lambda: "pool", "current_stream": lambda: outer.current}
        fakes["synchronize"] = lambda: outer.note("synchronize")
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)
        return self


def test_names_of_cuda_are_those_of_this_torch():
    parameters = inspect.signature(torch.cuda.graph.__init__).parameters
    assert {"pool", "stream", "capture_error_mode"} <= set(parameters)
    stub = (pathlib.Path(torch.__file__).parent / "_C" / "__init__.pyi").read_text(encoding="utf-8")
    body = stub[stub.index("class _CUDAGraph") :][:1500]
    assert all(f"def {name}(" in body for name in ("register_generator_state", "replay", "reset"))


def test_cuda_records_on_a_stream_of_its_own(monkeypatch):
    cuda = Cuda().install(monkeypatch)
    graphs = graphs_for("cuda")
    seen = []
    graphs.aside(lambda: seen.append(cuda.current))
    replay = graphs.record(lambda: seen.append(cuda.current), "generator")
    assert len(set(seen)) == 1 and seen[0] is not cuda.caller and cuda.current is cuda.caller
    replay()
    graphs.close()
    # The side stream waits for the caller's before it begins, and the caller's for it.
    assert cuda.calls[:2] == [("wait_stream", seen[0], cuda.caller), ("wait_stream", cuda.caller, seen[0])]
    assert [c[0] for c in cuda.calls if c[0] != "wait_stream"][:2] == ["register", "capture"]
    assert ("capture", "pool", "thread_local") in cuda.calls
    assert [c[0] for c in cuda.calls[-3:]] == ["replay", "synchronize", "reset"]


def test_a_recording_that_fails_gives_the_stream_back(monkeypatch):
    cuda = Cuda().install(monkeypatch)
    graphs = graphs_for("cuda")

    def refused():
        raise RuntimeError("not permitted")

    with pytest.raises(RuntimeError, match="previous error during capture"):
        graphs.record(refused, "generator")
    assert cuda.current is cuda.caller


def test_cuda_copies_on_a_stream_of_its_own(monkeypatch):
    cuda = Cuda().install(monkeypatch)
    lane = mlp_feed.lane_for("cuda")
    source, to = torch.ones(3), torch.zeros(3)
    first = lane.copy([(to, source)], None)
    assert to.tolist() == [1, 1, 1] and cuda.calls[-1][:2] == ("record", first)
    lane.copy([(to, source)], first)
    assert ("wait_event", first) in cuda.calls
    lane.wait(first)
    assert cuda.calls[-1] == ("synchronize", first)
    assert cuda.current is cuda.caller


def test_a_torch_without_cuda_records_nothing():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert graphs_for("cpu") is None
    found, said = told(lambda: graphs_for("cuda"))
    assert found is None and len(said) == 1 and "one kernel at a time" in said[0]


class Copies:
    """Copies that happen as late as they may: when someone waits for them.

    A host buffer that is written too early sends what it should not, and a buffer on the device that is
    replaced while work over it is not marked as done is refused.
    """

    def __init__(self):
        self.pending, self.marks, self.made = {}, 0, 0
        self.working: set[int] = set()
        self.done: dict[int, int] = {}

    def host(self, size, dtype):
        return torch.full((size,), -1, dtype=dtype)

    def device(self, size, dtype):
        self.made += 1
        made = torch.full((size,), 77, dtype=dtype)
        self.done.pop(made.data_ptr(), None)  # new memory may lie where freed memory lay
        self.working.discard(made.data_ptr())
        return made

    def copy(self, pairs, after):
        self.marks += 1
        for to, _ in pairs:
            assert to.data_ptr() not in self.working, "work over the buffer is not done"
            assert self.done.get(to.data_ptr()) in (None, after)
        self.pending[self.marks] = pairs
        return self.marks

    def follow(self, mark):
        self.wait(mark)

    def begin(self, pairs):
        self.working |= {to.data_ptr() for to, _ in pairs}

    def mark(self):
        self.marks += 1
        self.done |= dict.fromkeys(self.working, self.marks)
        self.working.clear()
        return self.marks

    def wait(self, mark):
        pairs = self.pending.pop(mark, [])
        for to, source in pairs:
            to.copy_(source)
        self.begin(pairs)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("task,values", [("binary", True), ("multiclass", False), ("autoencoder", True)])
def test_streamed_pieces_are_copied_in_turn(monkeypatch, task, values, recorded):
    rows = rows_of(task, 170, values=values)
    pieces = [*rows.blocks(37), *rows_of(task, 60, values=values, seed=9).blocks(60)]  # the last one is larger
    plain = train(network_of(task), pieces, settings_of())
    lane = Copies()
    monkeypatch.setattr(mlp_feed, "lane_for", lambda _: lane)
    tape = with_tape(monkeypatch, Tape() if recorded else None)
    found, said = told(lambda: train(network_of(task), pieces, settings_of()))
    assert not said
    same(plain, found)
    # Two sets of four or three buffers, and one that grows.
    assert lane.made <= 4 * (3 if values else 2) + 6
    if recorded:
        assert 2 <= tape.recorded <= 8 and tape.replayed > 30 and tape.closed == 1


def test_notices_of_streamed_trainings_arrive(monkeypatch):
    monkeypatch.setattr(mlp_feed, "lane_for", lambda _: Copies())
    with_tape(monkeypatch, Tape("record"))
    pieces = list(rows_of("binary").blocks(40))
    _, said = told(lambda: train(network_of("binary"), pieces, settings_of()))
    assert len(said) == 1


def test_stages_have_their_seconds():
    rows = rows_of("binary")
    for given in (rows, list(rows.blocks(40))):
        seconds = train(network_of("binary"), given, settings_of()).profile
        assert set(seconds) == {"encode", "copy", "train", "queue"}
        assert all(s >= 0 for s in seconds.values()) and seconds["train"] >= seconds["queue"] > 0
