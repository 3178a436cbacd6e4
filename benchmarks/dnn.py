"""A network [128, 64] on 20 numeric and 5 categorical columns of 1,000 levels: four passes in batches of 1,024.

Against the usual torch script (fetch, encode, TensorDataset, DataLoader, autograd) and scikit-learn's
MLPClassifier on sparse one-hot columns. All sides start from the table and end with a trained network.

Of our side the shares of the time from the statement to the trained network are told: `encode` until rows were
read and packed, `copy` until they were on the device, `step` in its steps, and on a GPU `python`, the rest of the
passes, in which the device had nothing to do. A CPU has one share for steps and the Python between them.
"""

from __future__ import annotations

import pathlib
from typing import Any

from benchmarks.harness import Benchmark, Median, Side, Target, Task

NUMBERS = tuple(f"x{i}" for i in range(20))
CATEGORIES = tuple(f"c{i}" for i in range(5))
EPOCHS, BATCH, RATE = 4, 1024, 0.001
CREATE = f"""
CREATE OR REPLACE MODEL net
OPTIONS (model_type = 'dnn_classifier', input_label_cols = ['y'], hidden_units = [128, 64], batch_size = {BATCH},
         learn_rate = {RATE}, max_iterations = {EPOCHS}, early_stop = FALSE, data_split_method = 'NO_SPLIT') AS
SELECT * FROM t"""
LOSS = """
SELECT AVG(-LN(GREATEST(p.prob, 1e-15)))
FROM ML.PREDICT(MODEL net, (SELECT * FROM t LIMIT 200000)), UNNEST(predicted_y_probs) AS p
WHERE p.label = y"""


def table(rows: int) -> str:
    """The SELECT that makes the rows: hashes of the row number, a label with products and level effects."""
    uniform = "((hash(i * 64 + {0}) >> 12)::DOUBLE + 0.5) / 4503599627370496.0"
    normal = f"sqrt(-2.0 * ln({uniform.format('{0}')})) * cos(6.283185307179586 * {uniform.format('{1}')})"
    numbers = ", ".join(f"{normal.format(2 * j, 2 * j + 1)} AS {name}" for j, name in enumerate(NUMBERS))
    levels = ", ".join(f"(hash(i * 64 + {50 + j}) % 1000)::INTEGER AS k{j}" for j in range(5))
    effects = " + ".join(f"((hash(k{j} + {1000 * j}) % 100)::DOUBLE / 50.0 - 1.0)" for j in range(5))
    texts = ", ".join(f"'item_' || k{j} AS c{j}" for j in range(5))
    return f"""
        SELECT {", ".join(NUMBERS)}, {texts},
               (chance < 1.0 / (1.0 + exp(-(x0 * x1 + sin(2 * x2) + x3 + {effects}))))::BIGINT AS y
        FROM (SELECT {numbers}, {levels}, {uniform.format(60)} AS chance FROM range({rows}) AS r(i))"""


def database(folder: pathlib.Path, rows: int) -> pathlib.Path:
    """A DuckDB file with the table `t`, made on first use."""
    import duckdb

    path = folder / f"network-{rows}.duckdb"
    if not path.exists():
        with duckdb.connect(str(path)) as connection:
            connection.execute(f"CREATE TABLE t AS {table(rows)}")
    return path


def prepare(task: Task) -> None:
    """The database file."""
    database(task.folder, task.rows)


def setup_sqlml(task: Task) -> Any:
    """A connection to the file, and the import of torch."""
    import torch  # noqa: F401

    import sqlml

    return sqlml.connect(str(database(task.folder, task.rows)))


def run_sqlml(con: Any) -> dict[str, float]:
    """One statement; the seconds of its stages."""
    import time
    from unittest import mock

    from sqlml.models import networks

    seen: dict[str, float] = {}
    train = networks.train

    def watched(*args: Any, **named: Any) -> Any:
        seen["called"] = time.perf_counter()
        fit = train(*args, **named)
        seen.update(fit.profile, returned=time.perf_counter(), cuda=float(fit.device == "cuda"))
        return fit

    begin = time.perf_counter()
    with mock.patch.object(networks, "train", watched):
        con.execute(CREATE)
    return {**seen, "encode": seen["encode"] + seen["called"] - begin, "all": seen["returned"] - begin}


def quality_sqlml(con: Any, result: dict[str, float]) -> dict[str, float]:
    """Log loss over the first rows, what the passes alone took, and the shares of the stages."""
    spent = con.execute("SELECT SUM(duration_ms) / 1000 FROM ML.TRAINING_INFO(MODEL net)").fetchone()[0]
    found = {"log_loss": con.execute(LOSS).fetchone()[0], "seconds_per_epoch": spent / EPOCHS}
    rows = con.execute("SELECT COUNT(*) FROM t").fetchone()[0]
    return found | shares(result, EPOCHS * -(-rows // BATCH))


def shares(seconds: dict[str, float], steps: int) -> dict[str, float]:
    """Shares of the time until the network was trained, in which so many steps were taken."""
    parts = {"encode": seconds["encode"], "copy": seconds["copy"], "step": seconds["train"]}
    if seconds["cuda"]:
        parts["step"] = min(seconds["train"], steps * device_step_seconds())
        parts["python"] = seconds["train"] - parts["step"]
    return {f"share_{name}": value / seconds["all"] for name, value in parts.items()}


def device_step_seconds(steps: int = 100) -> float:
    """What one step of this network takes on the GPU when the next one is already waiting."""
    import numpy as np
    import torch

    from sqlml.kernels.mlp import Network, Rows, initial_weights
    from sqlml.kernels.mlp_feed import Source
    from sqlml.kernels.mlp_graphs import graphs_for
    from sqlml.kernels.mlp_step import Stepper
    from sqlml.kernels.mlp_train import Training
    from sqlml.kernels.torch_settings import precision

    generator = np.random.default_rng(0)
    n = 64 * BATCH
    codes = generator.integers(0, 1000, (n, 5)) + 1000 * np.arange(5)
    X = generator.standard_normal((n, 20)).astype(np.float32)
    rows = Rows(X, codes.astype(np.int32), (X[:, 0] > 0).astype(np.float32))
    network = Network("binary", 20, 5000, (128, 64), 1)
    with precision("cuda"):
        ((packed, _),) = Source(network, rows, (0.0, 1.0), "cuda")
        settings = Training(batch_size=BATCH, learn_rate=RATE, device="cuda")
        stepper = Stepper(network, initial_weights(network, generator), settings, "cuda", graphs_for("cuda"))
        stepper.load(packed)
        order = torch.randperm(n, device="cuda")[:BATCH]
        for _ in range(10):
            stepper.step(order)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(10**9)  # the device is busy while the steps are handed out
        start.record()
        for _ in range(steps):
            stepper.step(order)
        end.record()
        end.synchronize()
        stepper.close()
    return float(start.elapsed_time(end)) / 1000 / steps


def setup_other(task: Task) -> Any:
    """The imports and a connection to the file."""
    import duckdb
    import pandas  # noqa: F401
    import scipy.sparse  # noqa: F401
    import sklearn.neural_network
    import sklearn.preprocessing  # noqa: F401
    import torch  # noqa: F401

    return duckdb.connect(str(database(task.folder, task.rows)), read_only=True)


def fetched(con: Any) -> tuple[Any, Any, Any]:
    """Standardised numbers, level codes and labels as numpy arrays."""
    import numpy as np

    frame = con.execute("SELECT * FROM t").df()
    X = frame[list(NUMBERS)].to_numpy(np.float32)
    X = (X - X.mean(0)) / X.std(0)
    codes = np.column_stack([frame[c].astype("category").cat.codes for c in CATEGORIES]).astype(np.int64)
    return X, codes, frame["y"].to_numpy()


def run_torch(con: Any) -> Any:
    """The script of the tutorials: a Dataset of rows, a DataLoader, autograd, Adam."""
    import time

    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tables = nn.ModuleList([nn.Embedding(1000, 128) for _ in CATEGORIES])
            for t in self.tables:
                nn.init.uniform_(t.weight, -0.03, 0.03)
            self.first, self.second, self.last = nn.Linear(20, 128), nn.Linear(128, 64), nn.Linear(64, 1)

        def forward(self, x: Any, codes: Any) -> Any:
            z = self.first(x)
            for j, t in enumerate(self.tables):
                z = z + t(codes[:, j])
            return self.last(torch.relu(self.second(torch.relu(z)))).squeeze(1)

    X, codes, y = fetched(con)
    torch.manual_seed(0)
    net, rows = Net(), TensorDataset(*(torch.from_numpy(a) for a in (X, codes, y.astype("float32"))))
    optimizer, loss = torch.optim.Adam(net.parameters(), lr=RATE), nn.BCEWithLogitsLoss()
    start = time.perf_counter()
    for _ in range(EPOCHS):
        for x_, c_, y_ in DataLoader(rows, batch_size=BATCH, shuffle=True):
            optimizer.zero_grad()
            loss(net(x_, c_), y_).backward()
            optimizer.step()
    spent = time.perf_counter() - start
    with torch.no_grad():
        found = loss(net(*(t[:200_000] for t in rows.tensors[:2])), rows.tensors[2][:200_000])
    return float(found), spent / EPOCHS


def run_sklearn(con: Any) -> Any:
    """MLPClassifier on sparse one-hot columns."""
    import time
    import warnings

    import numpy as np
    from scipy import sparse
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    X, codes, y = fetched(con)
    n = len(X)
    at = (codes + np.arange(5) * 1000).ravel()
    hot = sparse.csr_matrix((np.ones(5 * n, np.float32), at, np.arange(0, 5 * n + 1, 5)), shape=(n, 5000))
    rows = sparse.hstack([sparse.csr_matrix(X), hot], format="csr")
    model = MLPClassifier(
        (128, 64), batch_size=BATCH, learning_rate_init=RATE, max_iter=EPOCHS, alpha=0.0, random_state=0
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows, y)
    spent = time.perf_counter() - start
    return log_loss(y[:200_000], model.predict_proba(rows[:200_000])), spent / EPOCHS


def quality_other(con: Any, result: Any) -> dict[str, float]:
    """The same two numbers."""
    return {"log_loss": result[0], "seconds_per_epoch": result[1]}


def per_epoch(medians: dict[str, Median]) -> float:
    """How many times faster a pass is than the DataLoader's."""
    epoch = "seconds_per_epoch"
    return medians["torch DataLoader"].quality[epoch] / medians["sqlml"].quality[epoch]


def whole(medians: dict[str, Median]) -> float:
    """How many times faster the whole is than scikit-learn."""
    return medians["scikit-learn"].seconds / medians["sqlml"].seconds


def worse(medians: dict[str, Median]) -> float:
    """Relative difference of our log loss to the better of the others."""
    best = min(medians[s].quality["log_loss"] for s in ("torch DataLoader", "scikit-learn"))
    return (medians["sqlml"].quality["log_loss"] - best) / best


BENCHMARK = Benchmark(
    title="network [128, 64]: 20 numeric columns, 5 categories of 1,000 levels, four passes of batches of 1,024",
    rows=1_000_000,
    sides=lambda rows: (
        Side("sqlml", setup_sqlml, run_sqlml, quality_sqlml),
        Side("torch DataLoader", setup_other, run_torch, quality_other),
        Side("scikit-learn", setup_other, run_sklearn, quality_other),
    ),
    prepare=prepare,
    targets=(
        Target("a pass at least 3 times faster than a DataLoader's", per_epoch, lambda v: v >= 3),
        Target("at least 2 times faster than scikit-learn", whole, lambda v: v >= 2),
        Target("log loss no worse (5% relative)", worse, lambda v: v <= 0.05),
    ),
    repeat=1,
)
