"""The road of a GPU without one: every operation of a training must stay on the device it began on.

`Pretend` runs torch on the CPU and marks each tensor as being on the device or not. Operations between the
two are refused as CUDA refuses them, and so is the way to numpy; reads of single numbers, which make the
host wait for the device, are counted.
"""

from __future__ import annotations

import numpy as np
import pytest

from sqlml.kernels.bags import of_pairs
from sqlml.kernels.mlp import Network, Rows
from sqlml.kernels.mlp_train import Training, train

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


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    rows = rows_of("binary")
    train(Network("binary", 2, 15, (4,), 1), rows, Training(max_iterations=1, dropout=0.5))
    assert torch.equal(torch.rand(3), wanted)


def test_settings_of_torch_are_given_back():
    from sqlml.kernels.mlp_train import _precision

    before = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    with _precision("cuda"):
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.are_deterministic_algorithms_enabled()
    assert before == (torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled())
