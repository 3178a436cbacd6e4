"""The road of a GPU without one: every operation of a training must stay on the device it began on.

`Pretend` runs torch on the CPU and marks each tensor as being on the device or not. Operations between the
two are refused as CUDA refuses them, and so is the way to numpy; reads of single numbers, which make the
host wait for the device, are counted.
"""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from sqlml.errors import NotSupportedError, TrainingError
from sqlml.kernels import mlp_feed, mlp_train
from sqlml.kernels.bags import of_pairs
from sqlml.kernels.mlp import Network, Rows
from sqlml.kernels.mlp_train import Training, train
from sqlml.kernels.torch_settings import precision, resolve_device, threads

torch = pytest.importorskip("torch")
from torch.overrides import TorchFunctionMode  # noqa: E402

MOVES = {"to", "cpu", "copy_"}
READS = {"item", "tolist", "__float__", "__int__", "__bool__", "nonzero"}


def tensors(values):
    for v in values:
        if isinstance(v, torch.Tensor):
            yield v
        elif isinstance(v, list | tuple):
            yield from tensors(v)


class Pretend(TorchFunctionMode):
    """Tensors made for or moved to 'cuda' carry a mark."""

    def __init__(self):
        super().__init__()
        self.generators, self.reads, self.marked = {}, 0, 0

    def generator(self, device="cpu"):
        made = _GENERATOR()
        self.generators[id(made)] = (made, str(device))
        return made

    def __torch_function__(self, func, types, args=(), kwargs=None):
        named = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        found = list(tensors([*args, *named.values()]))
        there = {hasattr(t, "on_device") for t in found if t.dim() or name in MOVES}
        if name == "__get__" and found and found[0] is args[0]:
            if func == torch.Tensor.device.__get__:
                return torch.device("cuda" if True in there or hasattr(args[0], "on_device") else "cpu")
            if func == torch.Tensor.is_cuda.__get__:
                return hasattr(args[0], "on_device")
        if name not in MOVES:
            assert len(there) < 2, f"{name} mixes the devices"
        on = any(hasattr(t, "on_device") for t in found)
        if name == "copy_":
            on = hasattr(args[0], "on_device")
        target = [str(a) for a in (*args[1:], *named.values()) if isinstance(a, str | torch.device)]
        if name == "cpu" or (name == "to" and target):
            made = args[0].clone()  # a copy, as it is between devices
            return self._mark(made) if target and target[0].startswith("cuda") else made
        if name in READS and on:
            self.reads += 1
        assert not (name == "numpy" and on), "numpy cannot see the device"
        if "device" in named and named["device"] is not None:
            on = str(named["device"]).startswith("cuda")
            named["device"] = "cpu"
        generator = named.get("generator")
        if generator is not None and name != "randperm":
            assert self.generators[id(generator)][1].startswith("cuda") == on, f"{name} has the generator of the other"
        result = func(*args, **named)
        for t in tensors([result]):
            if on:
                self._mark(t)
        return result

    def _mark(self, t):
        t.on_device = True
        self.marked += 1
        return t


_GENERATOR = torch.Generator


class Inline:
    """An executor that works at once: what torch pretends, it pretends in one thread."""

    def __init__(self, workers):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *args):
        future = Future()
        future.set_result(function(*args))
        return future


def rows_of(task, n=90):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, 2)).astype(np.float32)
    codes = rng.integers(0, 6, (n, 2)).astype(np.int32)
    codes[0] = 15
    tags = of_pairs(*(v.astype(np.int64) for v in np.nonzero(rng.random((n, 9)) < 0.3)), n, 9)
    bags = type(tags)(tags.codes + np.int32(6), tags.starts)
    y = {"multiclass": rng.integers(0, 3, n).astype(np.int32), "autoencoder": None}
    return Rows(
        X, codes, y.get(task, (X[:, 0] > 0).astype(np.float32)), rng.uniform(0.5, 2, n).astype(np.float32), bags
    )


@pytest.mark.parametrize("single", [False, True], ids=["whole table", "single rows"])
@pytest.mark.parametrize(
    "task,optimizer",
    [
        ("regression", "ADAM"),
        ("binary", "FTRL"),
        ("multiclass", "RMSPROP"),
        ("autoencoder", "ADAGRAD"),
        ("binary", "SGD"),
        ("binary", "ADAM"),
    ],
)
def test_nothing_leaves_the_device(monkeypatch, task, optimizer, single):
    monkeypatch.setattr("sqlml.kernels.mlp_step.by_rows", lambda *_: single)
    rows = rows_of(task)
    k = {"multiclass": 3, "autoencoder": 17}.get(task, 1)
    network = Network(task, 2, 15, (6, 4, 5), k, "CRELU" if task != "autoencoder" else "SELU", wide=task == "binary")
    settings = Training(
        batch_size=10, max_iterations=2, optimizer=optimizer, learn_rate=0.02, dropout=0.3, early_stop=False,
        l1_activation=0.01 if task == "autoencoder" else 0.0,
    )  # fmt: skip
    here = train(network, rows, settings)
    pretend = Pretend()
    monkeypatch.setattr("sqlml.kernels.mlp_train.resolve_device", lambda _: "cuda")
    monkeypatch.setattr(torch, "Generator", pretend.generator)
    monkeypatch.setattr(mlp_train, "ThreadPoolExecutor", Inline)
    with pretend:
        there = train(network, rows, settings, evaluation=rows)
        streamed = train(network, list(rows.blocks(30)), settings)
    assert pretend.marked > 1000
    # One read per epoch for the loss, in each of the two trainings.
    assert pretend.reads == 2 * settings.max_iterations
    assert np.isfinite(streamed.losses).all()
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-5)
    for name, value in here.weights.items():
        np.testing.assert_allclose(there.weights[name], value, atol=1e-5, err_msg=name)


class Remembers:
    """Recordings that are functions."""

    def aside(self, step):
        step()

    def record(self, step, generator):
        return step

    def close(self):
        pass


@pytest.mark.parametrize("task", ["binary", "autoencoder"])
def test_a_recorded_training_reads_once_per_pass(monkeypatch, task):
    rows, network = rows_of(task), Network(task, 2, 15, (6, 4, 5), 17 if task == "autoencoder" else 1)
    settings = Training(batch_size=10, max_iterations=3, learn_rate=0.02, dropout=0.3, early_stop=False)
    here = train(network, rows, settings)
    pretend = Pretend()
    monkeypatch.setattr("sqlml.kernels.mlp_train.resolve_device", lambda _: "cuda")
    monkeypatch.setattr("sqlml.kernels.mlp_train.graphs_for", lambda _: Remembers())
    monkeypatch.setattr(torch, "Generator", pretend.generator)
    with pretend:
        there = train(network, rows, settings)
    # The losses of three passes, and the comparison of the first replay with the step.
    assert pretend.reads == 3 + 1
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-5)


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    rows = rows_of("binary")
    train(Network("binary", 2, 15, (4,), 1), rows, Training(max_iterations=1, dropout=0.5))
    assert torch.equal(torch.rand(3), wanted)


def test_settings_of_torch_are_given_back():
    before = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    with precision("cuda"):
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.are_deterministic_algorithms_enabled()
    assert before == (torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled())


def test_settings_of_torch_are_given_back_by_the_last_of_several_trainings():
    before = torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    first, second = [threads(1), precision("cuda")], [threads(3), precision("cuda")]
    for context in (*first, *second):
        context.__enter__()
    for context in first:
        context.__exit__(None, None, None)
    assert torch.are_deterministic_algorithms_enabled()
    for context in second:
        context.__exit__(None, None, None)
    after = torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    assert before == after


def test_a_precision_chosen_by_newer_settings_stays():
    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("this torch has no such setting")
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with precision("cuda"):
            assert matmul.fp32_precision == "tf32" and torch.are_deterministic_algorithms_enabled()
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        matmul.fp32_precision = before


def test_a_gpu_that_does_not_work_is_no_gpu(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with ...")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", broken)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(NotSupportedError, match=r"a CUDA GPU that works: CUDA error: no kernel image .* device\. Got"):
        resolve_device("cuda")


def test_full_memory_of_a_gpu(monkeypatch):
    rows, network = rows_of("binary"), Network("binary", 2, 15, (4,), 1)
    settings = Training(max_iterations=3, early_stop=False)
    here = train(network, rows, settings)
    monkeypatch.setattr(mlp_train, "resolve_device", lambda _: "cuda")
    pack = mlp_feed.Source._pack

    def full(self, rows):
        if self._device == "cuda":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return pack(self, rows)

    monkeypatch.setattr(mlp_feed.Source, "_pack", full)
    seen = []
    there = train(network, rows, settings, report=lambda i, loss, **_: seen.append(i))
    assert there.device == "cpu" and there.losses == here.losses and seen == [0, 1, 2]
    with pytest.raises(TrainingError, match="BATCH_SIZE must be smaller for this GPU"):
        train(network, rows, Training(device="cuda"))


def test_full_memory_after_an_epoch_is_an_error(monkeypatch):
    run = mlp_train._Passes.run

    def later(self, number):
        if number == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return run(self, number)

    monkeypatch.setattr(mlp_train._Passes, "run", later)
    with pytest.raises(TrainingError, match=r"whose memory is full\. Got 32"):
        train(Network("binary", 2, 15, (4,), 1), rows_of("binary"), Training())


@pytest.mark.parametrize("task,k", [("regression", 1), ("binary", 1), ("autoencoder", 17)])
def test_a_loss_that_is_huge_from_the_start_is_no_model(task, k):
    network = Network(task, 2, 15, (6, 4, 5), k)
    settings = Training(learn_rate=1e9, max_iterations=2, batch_size=10)
    with pytest.raises(TrainingError, match="LEARN_RATE must be smaller"):
        train(network, rows_of(task), settings)
    assert train(network, rows_of(task), Training(l1_activation=1e6, max_iterations=1)).losses
