"""Networks against autograd on explicit one-hot columns, and against closed forms."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sqlml.errors import DataError, InternalError, NotSupportedError, OptionError, TrainingError
from sqlml.kernels.mlp import (
    ACTIVATIONS,
    Frozen,
    Network,
    Rows,
    activate,
    default_hidden,
    initial_weights,
    slope,
)
from sqlml.kernels.mlp_train import Training, train

torch = pytest.importorskip("torch")


def make_rows(n=150, p=3, levels=(4, 5), task="binary", seed=0, missing=False, k=3):
    """Rows with one code column per entry of `levels`, and a learnable target."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(levels)])[:-1] if levels else np.zeros(0, int)
    codes = np.column_stack([rng.integers(0, c, n) + o for c, o in zip(levels, offsets, strict=True)] or [[]] * n)
    codes = codes.reshape(n, len(levels)).astype(np.int32)
    R = int(sum(levels))
    effect = rng.standard_normal(R)
    score = (X[:, 0] - X[:, 1] * X[:, 2] if p >= 3 else np.zeros(n)) + (effect[codes].sum(1) if levels else 0)
    if missing and levels:
        codes[::7, 0] = R
    if task == "binary":
        y = (score > 0).astype(np.float32)
    elif task == "multiclass":
        y = np.digitize(score, np.quantile(score, np.arange(1, k) / k)).astype(np.int32)
    else:
        y = (40 + 7 * score).astype(np.float32)
    return Rows(X, codes, None if task == "autoencoder" else y), R


def outputs_of(task, p, R, k=3):
    return {"regression": 1, "binary": 1, "multiclass": k, "autoencoder": p + R}[task]


def torch_activation(name):
    F = torch.nn.functional
    table = {"RELU": F.relu, "RELU6": F.relu6, "ELU": F.elu, "SELU": F.selu}
    table |= {"SIGMOID": torch.sigmoid, "TANH": torch.tanh}
    return table.get(name, lambda z: torch.cat([F.relu(z), F.relu(-z)], 1))


def reference(network, rows, start, *, epochs, batch, seed, make_optimizer, l1_activation=0.0):
    """The usual script: explicit one-hot input, autograd, torch.optim. Returns (losses, forward)."""
    p, R = network.numeric, network.rows
    dense = torch.from_numpy(Frozen(network, start).one_hot(rows.X, rows.codes)).double()
    W = [torch.from_numpy(np.vstack([start["layer.0.weight"], start["layer.0.table"]])).double()]
    W += [torch.from_numpy(start[f"layer.{i}.weight"]).double() for i in range(1, len(network.layers))]
    b = [torch.from_numpy(start[f"layer.{i}.bias"]).double() for i in range(len(network.layers))]
    wide = torch.zeros(p + R, network.outputs, dtype=torch.float64)
    parameters = [*W, *b, wide] if network.wide else [*W, *b]
    for q in parameters:
        q.requires_grad_(True)
    optimizer = make_optimizer(parameters)
    act = torch_activation(network.activation)
    w = torch.ones(len(rows)) if rows.w is None else torch.from_numpy(rows.w / rows.w.mean())
    y = None if rows.y is None else torch.from_numpy(rows.y)
    scale = 1.0
    if network.task == "regression":
        scale = float(rows.y.astype(np.float64).std())
        y = torch.from_numpy((rows.y - rows.y.astype(np.float64).mean()) / scale)

    def forward(x, hidden=None):
        h = x
        for i in range(len(W)):
            z = h @ W[i] + b[i]
            h = act(z) if i < len(W) - 1 else z
            if hidden is not None and i == network.latent:
                hidden.append(h)
        return h + x @ wide if network.wide else h

    def loss_of(index):
        hidden = []
        out = forward(dense[index], hidden)
        if network.task == "autoencoder":
            each = ((out - dense[index]) ** 2).mean(1) + l1_activation * hidden[0].abs().sum(1)
        elif network.task == "multiclass":
            each = torch.nn.functional.cross_entropy(out, y[index].long(), reduction="none")
        elif network.task == "binary":
            each = torch.nn.functional.binary_cross_entropy_with_logits(out[:, 0], y[index].double(), reduction="none")
        else:
            each = (out[:, 0] - y[index]) ** 2
        return each * w[index]

    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(epochs):
        order, total = torch.randperm(len(rows), generator=generator), 0.0
        for i in range(0, len(rows), batch):
            optimizer.zero_grad()
            each = loss_of(order[i : i + batch])
            each.mean().backward()
            optimizer.step()
            total += each.sum().item()
        losses.append(total / float(w.sum()) * scale**2)
    return losses, W, b, wide


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "autoencoder"])
def test_same_trajectory_as_autograd_on_one_hot_columns(task, activation):
    rows, R = make_rows(task=task, missing=True)
    network = Network(task, 3, R, (6, 4), outputs_of(task, 3, R), activation)
    start = initial_weights(network, np.random.default_rng(5))
    settings = Training(batch_size=32, max_iterations=4, learn_rate=0.02, early_stop=False, seed=3, l1_activation=0.01)
    if task != "autoencoder":
        settings = Training(batch_size=32, max_iterations=4, learn_rate=0.02, early_stop=False, seed=3)
    fit = train(network, rows, settings, start=start | _target(rows, task))
    expected, W, b, _ = reference(
        network,
        rows,
        start,
        epochs=4,
        batch=32,
        seed=3,
        make_optimizer=lambda q: torch.optim.Adam(q, lr=0.02),
        l1_activation=settings.l1_activation,
    )
    np.testing.assert_allclose(fit.losses, expected, rtol=2e-4)
    got = np.vstack([fit.weights["layer.0.weight"], fit.weights["layer.0.table"]])
    np.testing.assert_allclose(got, W[0].detach().numpy(), atol=3e-3)
    np.testing.assert_allclose(fit.weights["layer.2.bias"], b[2].detach().numpy(), atol=3e-3)


def _target(rows, task):
    if task != "regression":
        return {}
    y = rows.y.astype(np.float64)
    return {"target": np.array([y.mean(), y.std()], np.float32)}


@pytest.mark.parametrize("name", ["SGD", "RMSPROP", "ADAGRAD"])
def test_other_optimizers_have_the_same_trajectory(name):
    rows, R = make_rows(task="binary")
    network = Network("binary", 3, R, (6,), 1)
    start = initial_weights(network, np.random.default_rng(5))
    fit = train(
        network,
        rows,
        Training(batch_size=50, max_iterations=3, learn_rate=0.05, optimizer=name, early_stop=False),
    )
    start = initial_weights(network, np.random.default_rng([0, 1]))
    make = {
        "SGD": lambda q: torch.optim.SGD(q, lr=0.05),
        "RMSPROP": lambda q: torch.optim.RMSprop(q, lr=0.05, alpha=0.9, eps=1e-7),
        "ADAGRAD": lambda q: torch.optim.Adagrad(q, lr=0.05, initial_accumulator_value=0.1, eps=0),
    }[name]
    expected, *_ = reference(network, rows, start, epochs=3, batch=50, seed=0, make_optimizer=make)
    np.testing.assert_allclose(fit.losses, expected, rtol=1e-4)


def test_wide_and_deep_with_one_optimizer_is_the_joint_network():
    rows, R = make_rows(task="binary")
    network = Network("binary", 3, R, (6,), 1, wide=True)
    start = initial_weights(network, np.random.default_rng(5))
    settings = Training(
        batch_size=50, max_iterations=3, learn_rate=0.05, linear_optimizer="ADAM", linear_learn_rate=0.05,
        early_stop=False,
    )  # fmt: skip
    fit = train(network, rows, settings, start=start)
    adam = lambda q: torch.optim.Adam(q, lr=0.05)  # noqa: E731
    expected, _, _, wide = reference(network, rows, start, epochs=3, batch=50, seed=0, make_optimizer=adam)
    np.testing.assert_allclose(fit.losses, expected, rtol=1e-4)
    got = np.vstack([fit.weights["wide.weight"], fit.weights["wide.table"]])
    np.testing.assert_allclose(got, wide.detach().numpy(), atol=1e-3)


def test_halves_have_their_own_optimizers():
    rows, R = make_rows(n=400, task="binary")
    network = Network("binary", 3, R, (6,), 1, wide=True)
    base = Training(batch_size=50, max_iterations=3, learn_rate=0.01, linear_learn_rate=0.5, early_stop=False)
    slow = Training(batch_size=50, max_iterations=3, learn_rate=0.01, linear_learn_rate=1e-6, early_stop=False)
    wide = train(network, rows, base).weights["wide.table"]
    still = train(network, rows, slow).weights["wide.table"]
    assert np.abs(wide).max() > 0.1
    assert np.abs(still).max() < 1e-3


def test_row_weights_are_repeated_rows():
    rows, R = make_rows(n=60, task="multiclass")
    weights = np.random.default_rng(1).integers(1, 4, 60)
    again = np.repeat(np.arange(60), weights)
    network = Network("multiclass", 3, R, (5,), 3)
    # One batch holds everything, so the order does not matter.
    settings = Training(batch_size=1000, max_iterations=30, learn_rate=0.5, optimizer="SGD", early_stop=False)
    a = train(network, Rows(rows.X, rows.codes, rows.y, weights.astype(np.float32)), settings)
    b = train(network, Rows(rows.X[again], rows.codes[again], rows.y[again]), settings)
    np.testing.assert_allclose(a.losses, b.losses, rtol=1e-4)
    np.testing.assert_allclose(a.weights["layer.0.table"], b.weights["layer.0.table"], atol=1e-3)


def test_numpy_prediction_is_the_trained_network():
    rows, R = make_rows(n=300, task="multiclass", missing=True)
    network = Network("multiclass", 3, R, (8, 4), 3, "SELU")
    fit = train(network, rows, Training(max_iterations=40, learn_rate=0.02, early_stop=False))
    frozen = Frozen(network, fit.weights)
    probabilities = frozen.predict(rows.X, rows.codes)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert (probabilities.argmax(1) == rows.y).mean() > 0.9
    log_loss = -np.log(probabilities[np.arange(300), rows.y]).mean()
    assert frozen.loss(rows) == pytest.approx(log_loss, rel=1e-4)


@pytest.mark.parametrize("columns", [0, 3])
def test_only_numbers_or_only_categories(columns):
    rows, R = make_rows(n=400, p=3 - columns, levels=(3,) * columns, task="regression")
    network = Network("regression", 3 - columns, R, (16,), 1)
    fit = train(network, rows, Training(batch_size=20, max_iterations=60, learn_rate=0.01, early_stop=False))
    predicted = Frozen(network, fit.weights).predict(rows.X, rows.codes)
    assert 1 - np.mean((predicted - rows.y) ** 2) / rows.y.var() > 0.9


def test_autoencoder_reconstructs_and_has_a_latent_layer():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((500, 2))
    X = (Z @ rng.standard_normal((2, 6))).astype(np.float32)
    codes = (Z[:, :1] > 0).astype(np.int32)
    network = Network("autoencoder", 6, 2, (12, 2, 12), 8, "TANH")
    fit = train(network, Rows(X, codes), Training(max_iterations=150, learn_rate=0.01, early_stop=False))
    frozen = Frozen(network, fit.weights)
    errors = frozen.reconstruction_errors(X, codes)
    made, target = frozen.predict(X, codes), frozen.one_hot(X, codes)
    np.testing.assert_allclose(errors[:, 1], ((made - target) ** 2).mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(errors[:, 0], np.abs(made - target).mean(1), rtol=1e-4, atol=1e-6)
    logs = np.log1p(np.maximum(made, 0)) - np.log1p(np.maximum(target, 0))
    np.testing.assert_allclose(errors[:, 2], (logs**2).mean(1), rtol=1e-4, atol=1e-6)
    assert errors[:, 1].mean() < 0.15 * target.var(axis=0).mean()
    assert frozen.latent(X, codes).shape == (500, 2)


def test_sparse_activations():
    rows, R = make_rows(n=300, task="autoencoder")
    network = Network("autoencoder", 3, R, (8,), 3 + R)
    settings = {"max_iterations": 30, "learn_rate": 0.01, "early_stop": False}
    free = train(network, rows, Training(**settings))
    held = train(network, rows, Training(**settings, l1_activation=0.5))
    size = [np.abs(Frozen(network, f.weights).latent(rows.X, rows.codes)).mean() for f in (free, held)]
    assert size[1] < 0.1 * size[0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slope_is_the_derivative(activation):
    z = np.linspace(-3, 7.1, 40, dtype=np.float64).reshape(10, 4) + 1e-3
    h = activate(activation, z)
    d = np.random.default_rng(0).standard_normal(h.shape)
    e = 1e-6
    change = (activate(activation, z + e) - activate(activation, z - e)) / (2 * e)
    expected = change * d if activation != "CRELU" else change[:, :4] * d[:, :4] + change[:, 4:] * d[:, 4:]
    np.testing.assert_allclose(slope(activation, h, d), expected, atol=1e-5)


@pytest.mark.parametrize("wide", [False, True])
def test_attributions_add_up(wide):
    rows, R = make_rows(n=200, task="multiclass", missing=True)
    network = Network("multiclass", 3, R, (8, 5), 3, "TANH", wide=wide)
    settings = Training(max_iterations=20, learn_rate=0.02, linear_learn_rate=0.1, early_stop=False)
    frozen = Frozen(network, train(network, rows, settings).weights)
    which = np.arange(200) % 3
    a = frozen.attributions(rows.X, rows.codes, output=which, steps=50)
    np.testing.assert_allclose(a.value, frozen.outputs(rows.X, rows.codes)[np.arange(200), which], rtol=1e-5)
    np.testing.assert_allclose(a.baseline + a.numbers.sum(1) + a.categories.sum(1), a.value, atol=5e-3)
    assert np.all(a.categories[rows.codes == R] == 0)  # no category, no attribution


def test_attributions_of_a_linear_network_are_weight_times_value():
    network = Network("regression", 2, 3, (1,), 1)
    weights = initial_weights(network, np.random.default_rng(0))
    weights["layer.0.weight"] = np.array([[2.0], [-1.0]], np.float32)
    weights["layer.0.table"] = np.array([[1.0], [2.0], [3.0]], np.float32)
    weights["layer.0.bias"] = np.array([100.0], np.float32)  # far inside the linear part of RELU
    weights["layer.1.weight"] = np.array([[0.5]], np.float32)
    X, codes = np.array([[3.0, 4.0]], np.float32), np.array([[1]], np.int32)
    a = Frozen(network, weights).attributions(X, codes, steps=3)
    np.testing.assert_allclose(a.numbers, [[3.0, -2.0]], rtol=1e-5)
    np.testing.assert_allclose(a.categories, [[1.0]], rtol=1e-5)
    np.testing.assert_allclose(a.baseline, [50.0])


def test_same_seed_same_weights_with_dropout():
    rows, R = make_rows(task="binary")
    network = Network("binary", 3, R, (8,), 1)
    settings = Training(max_iterations=3, dropout=0.5, seed=11)
    a, b = train(network, rows, settings), train(network, rows, settings)
    c = train(network, rows, Training(max_iterations=3, dropout=0.5, seed=12))
    for name in a.weights:
        np.testing.assert_array_equal(a.weights[name], b.weights[name])
    assert not np.array_equal(a.weights["layer.0.weight"], c.weights["layer.0.weight"])


def test_pieces_give_the_result_of_the_whole():
    rows, R = make_rows(n=200, task="regression")
    network = Network("regression", 3, R, (8,), 1)
    settings = Training(batch_size=200, max_iterations=5, early_stop=False, optimizer="SGD", learn_rate=0.1)
    whole = train(network, rows, settings)
    streamed = train(network, [rows], settings)
    np.testing.assert_allclose(whole.losses, streamed.losses, rtol=1e-6)
    many = train(network, list(rows.blocks(37)), settings)
    assert many.losses[-1] < many.losses[0]
    np.testing.assert_allclose(many.weights["target"], whole.weights["target"], rtol=1e-5)


def test_an_error_in_a_piece_reaches_the_caller():
    class Broken:
        def __iter__(self):
            yield make_rows(n=50, task="binary")[0]
            raise DataError("row 51 is damaged.")

    network = Network("binary", 3, 9, (4,), 1)
    with pytest.raises(DataError, match="row 51"):
        train(network, Broken(), Training(max_iterations=2))


def test_warm_start_goes_on():
    rows, R = make_rows(n=300, task="binary")
    network = Network("binary", 3, R, (8,), 1)
    settings = Training(max_iterations=5, learn_rate=0.01, early_stop=False)
    first = train(network, rows, settings)
    second = train(network, rows, settings, start=first.weights)
    assert second.losses[0] < first.losses[-1]
    with pytest.raises(InternalError):
        train(Network("binary", 3, R, (9,), 1), rows, settings, start=first.weights)


def test_early_stop_and_reports():
    rows, R = make_rows(n=300, task="regression")
    held, _ = make_rows(n=50, task="regression", seed=1)
    network = Network("regression", 3, R, (8,), 1)
    seen = []
    fit = train(
        network, rows, Training(max_iterations=500, learn_rate=0.01, min_rel_progress=0.02), evaluation=held,
        report=lambda i, loss, **k: seen.append((i, loss, k["eval_loss"], k["learning_rate"])),
    )  # fmt: skip
    assert fit.converged
    assert len(fit.losses) == len(seen) < 500
    assert (fit.losses[-2] - fit.losses[-1]) / fit.losses[-2] < 0.02
    assert seen[-1][2] == pytest.approx(Frozen(network, fit.weights).loss(held), rel=1e-5)
    assert [s[0] for s in seen] == list(range(len(seen)))


def test_report_can_cancel():
    class Stop(Exception):
        pass

    def stop(*_, **__):
        raise Stop

    rows, R = make_rows(task="binary")
    with pytest.raises(Stop):
        train(Network("binary", 3, R, (8,), 1), rows, Training(), report=stop)


@pytest.mark.parametrize("task", ["regression", "binary", "autoencoder"])
def test_divergence_names_the_option(task):
    rows, R = make_rows(task=task)
    network = Network(task, 3, R, (8, 8), outputs_of(task, 3, R))
    with pytest.raises(TrainingError, match=r"LEARN_RATE must be smaller.*Got 10000.0") as caught:
        train(network, rows, Training(learn_rate=1e4, optimizer="SGD", early_stop=False))
    assert caught.value.hint == "learn_rate=1000"


def test_bad_settings_are_sentences():
    with pytest.raises(OptionError, match=r"HIDDEN_UNITS .* Got \[0\]"):
        Network("binary", 3, 0, (0,), 1)
    with pytest.raises(OptionError, match="ACTIVATION_FN"):
        Network("binary", 3, 0, (4,), 1, "GELU")
    with pytest.raises(OptionError, match="DROPOUT"):
        Training(dropout=1.0)
    rows, R = make_rows(task="binary")
    empty = Rows(rows.X[:0], rows.codes[:0], rows.y[:0])
    with pytest.raises(DataError, match="at least one row"):
        train(Network("binary", 3, R, (4,), 1), empty, Training())


def test_no_gpu_and_no_torch(monkeypatch):
    rows, R = make_rows(task="binary")
    network = Network("binary", 3, R, (4,), 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NotSupportedError, match="'auto' or 'cpu'"):
        train(network, rows, Training(device="cuda"))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(NotSupportedError, match="not installed") as caught:
        train(network, rows, Training())
    assert caught.value.hint == 'pip install "sqlml[torch]"'


def test_default_hidden_units():
    assert default_hidden(10_000, 15, 5) == (50,)
    assert default_hidden(10, 15, 5) == (1,)
    assert default_hidden(10**7, 15, 5) == (128,)


@pytest.mark.parametrize("optimizer", ["ADAM", "ADAGRAD", "FTRL", "RMSPROP", "SGD"])
@pytest.mark.parametrize("wide", [False, True])
def test_updating_single_rows_of_a_table_changes_nothing(monkeypatch, optimizer, wide):
    rows, R = make_rows(n=200, levels=(40, 3), task="binary", missing=True)
    network = Network("binary", 3, R, (6,), 1, "TANH", wide=wide)
    settings = Training(batch_size=8, max_iterations=3, learn_rate=0.02, optimizer=optimizer, early_stop=False)
    results = []
    for answer in (False, True):
        monkeypatch.setattr("sqlml.kernels.mlp_step.by_rows", lambda *_, a=answer: a)
        results.append(train(network, rows, settings))
    for name, value in results[0].weights.items():
        np.testing.assert_allclose(results[1].weights[name], value, atol=2e-4, err_msg=name)
    np.testing.assert_allclose(results[1].losses, results[0].losses, rtol=1e-3)
