"""What the neural model types share: options, training, stored weights, attributions.

Weights are stored as safetensors. How rows become the kernel's is said in `network_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from sqlml.encode import Category, Design, Encoding, Number, Set, Sparse, Vector
from sqlml.errors import FormatError, NotSupportedError, OptionError
from sqlml.kernels.mlp import Attribution, Frozen, Network, Rows, default_hidden
from sqlml.kernels.mlp_train import Fit, Training, train
from sqlml.kernels.torch_settings import free_memory, import_torch, resolve_device
from sqlml.kernels.types import F32, F64
from sqlml.models.base import BatchFunction, ExplainRequest, RegistryOptions, Trained, TrainingData
from sqlml.models.blocks import categories, decode, decode_bags, dense_width, expressions
from sqlml.models.network_rows import (
    TrainingRows,
    choose_apart,
    coded,
    fits_in_memory,
    kernel_rows,
    offsets,
    places_of,
)
from sqlml.models.shared_options import ExampleOptions, TuningOptions
from sqlml.options import Space, option
from sqlml.progress import Run
from sqlml.schema import Kind, quote_name

OPTIMIZERS = ("ADAGRAD", "ADAM", "FTRL", "RMSPROP", "SGD")
#: Optimisers with a proximal step for L1 and L2.
PROXIMAL = frozenset({"ADAGRAD", "FTRL", "SGD"})
Optimizer = Literal["ADAGRAD", "ADAM", "FTRL", "RMSPROP", "SGD"]

NETWORK_KINDS = frozenset({Kind.NUMERIC, Kind.CATEGORY, Kind.STRUCT, Kind.VECTOR, Kind.SET, Kind.SPARSE})
_REGULARISED = Space(0.0, 10.0, "LOG")


@dataclass(frozen=True)
class NetworkOptions(TuningOptions, RegistryOptions, ExampleOptions):
    """Options that all networks have."""

    hidden_units: tuple[int, ...] | None = option(
        None,
        "Sizes of the hidden layers; by default one of min(128, rows / (10 * (inputs + outputs))) units.",
        low=1,
        tune=Space(always=False),
    )
    dropout: float = option(
        0.0, "Share of hidden units left out of each step.", low=0.0, below=1.0, tune=Space(0.0, 0.8)
    )
    batch_size: int | None = option(
        None, "Rows per step; at most 32 by default.", low=1, high=8192, tune=Space(16, 1024, "LOG")
    )
    l1_reg: float = option(0.0, "L1 penalty of the optimiser.", low=0.0, tune=_REGULARISED)
    l2_reg: float = option(0.0, "L2 penalty of the optimiser.", low=0.0, tune=_REGULARISED)
    max_iterations: int = option(20, "Upper bound on the number of passes over the rows.", low=1)
    early_stop: bool = option(True, "Stop when an iteration improves the loss by less than MIN_REL_PROGRESS.")
    min_rel_progress: float = option(0.01, "Smallest relative improvement of the loss needed to go on.", low=0.0)
    warm_start: bool = option(False, "Continue the training of the existing model.")
    tf_version: Literal["1.15", "2.8.0", "2.17.0"] | None = option(
        None,
        "Version of the service's training framework.",
        note="networks are trained with torch; the value is recorded and changes nothing.",
    )


@dataclass(frozen=True, slots=True)
class NetworkState:
    """A trained network.

    Args:
        network: its shape.
        weights: the arrays of `kernels.mlp` in safetensors format.
        device: where it was trained.
        errors: autoencoders: order statistics of the rows' reconstruction errors in training, ascending.
        means: autoencoders: the mean of each metric over the training rows.
        apart: places of the features that are bags of codes. None in models stored before there was a choice
            of features: all sets were, or none.
    """

    network: Network
    weights: bytes
    device: str = "cpu"
    errors: F64 | None = None
    means: F64 | None = None
    apart: tuple[int, ...] | None = None


def network_encoding(*, timestamps: bool = False) -> Encoding:
    """Standardised numbers and one-hot categories; time stamps only where the service takes them."""
    kinds = NETWORK_KINDS | {Kind.TIMESTAMP} if timestamps else NETWORK_KINDS
    return Encoding("standardize", "one_hot", frozenset(kinds))


# ---------------------------------------------------------------- training


def apart_of(design: Design, state: NetworkState) -> tuple[int, ...]:
    """Places of the features that are bags of codes in a trained network."""
    if state.apart is not None:
        return state.apart
    return places_of(design, Set) if state.network.numeric != dense_width(design) else ()


def apart_for(data: TrainingData) -> tuple[int, ...]:
    """Places of the features that become bags of codes; a warm start keeps what was."""
    if data.previous is not None:
        found = apart_of(data.previous.design, data.previous.state)
        if set(found) <= set(places_of(data.design, Set, Sparse, Vector)):  # other columns are refused later
            return found
    return choose_apart(data.design, data.rows)


def check_first(options: NetworkOptions, device: str) -> None:
    """Refuse what can be refused before rows are read: no torch, no GPU."""
    import_torch()
    resolve_device(device)


#: A step divides by the learning rate in single precision.
SMALLEST_RATE = 1e-30


def check_rate(*rates: float) -> None:
    """LEARN_RATE must mean something in single precision."""
    if min(rates) < SMALLEST_RATE:
        raise OptionError(f"LEARN_RATE must be at least {SMALLEST_RATE:g}. Got {min(rates):g}.")


def check_layers(options: NetworkOptions) -> None:
    """HIDDEN_UNITS needs a layer."""
    if options.hidden_units is not None and not options.hidden_units:
        raise OptionError("HIDDEN_UNITS must have at least one layer. Got [].", hint="HIDDEN_UNITS=[16]")


def default_batch(rows: int) -> int:
    """Rows per step where BATCH_SIZE is not written."""
    return min(32, max(1, rows))


def settings_of(options: Any, rows: int) -> Training:
    """The kernel's settings that the options of every network give; without seed and device."""
    return Training(
        batch_size=options.batch_size or default_batch(rows),
        max_iterations=options.max_iterations,
        optimizer=options.optimizer,
        learn_rate=options.learn_rate,
        dropout=options.dropout,
        l1=options.l1_reg,
        l2=options.l2_reg,
        early_stop=options.early_stop,
        min_rel_progress=options.min_rel_progress,
    )


def hidden_layers(data: TrainingData, options: Any, outputs: int) -> tuple[int, ...]:
    """Sizes of the hidden layers: as given, those of the model that a warm start goes on from, or by the rows."""
    if data.previous is not None and options.hidden_units is None:
        return tuple(data.previous.state.network.hidden)
    return tuple(options.hidden_units or default_hidden(data.rows, data.design.width, outputs))


def fit_network(data: TrainingData, network: Network, apart: tuple[int, ...], settings: Training, run: Run) -> Fit:
    """Train on the rows of the statement; they are streamed when they do not fit into memory."""
    start = None if data.previous is None else earlier_weights(data, network, apart)
    extra = {}
    if data.label is not None:
        extra["y"] = data.label.code if data.label.classes else data.label.sql
    if data.weight is not None:
        extra["w"] = data.weight
    source = TrainingRows(data.train, data.design, extra, network.task, apart)
    held = None
    if data.evaluation is not None:
        held = data.once("held", TrainingRows(data.evaluation, data.design, extra, network.task, apart).packed)
    return train(
        network,
        data.once("rows", source.packed)
        if fits_in_memory(data.design, data.rows, free_memory(settings.device), apart)
        else source,
        settings,
        evaluation=held if held is not None and len(held) else None,
        start=start,
        report=run.report,
        poll=lambda: run.tell("training"),
    )


def earlier_weights(data: TrainingData, network: Network, apart: Sequence[int]) -> dict[str, F32]:
    """The weights of the model that WARM_START continues, for the new statistics of the columns.

    Numbers are standardised anew and levels may have come or gone, so the first layer (and the last
    of an autoencoder) is rewritten such that the network computes what it did before.
    """
    old: NetworkState = data.previous.state
    if old.network.hidden != network.hidden:
        raise OptionError(f"HIDDEN_UNITS must stay {list(old.network.hidden)} under WARM_START.")
    doubled = [n.activation for n in (old.network, network) if n.activation == "CRELU"]
    if len(doubled) == 1:
        raise OptionError(f"ACTIVATION_FN must stay {old.network.activation} under WARM_START: CRELU doubles a layer.")
    was, now = data.previous.design, data.design
    same = [(f.name, type(f)) for f in was.features] == [(f.name, type(f)) for f in now.features]
    widths = [dense_width(d, apart) for d in (was, now)]
    if not same or widths[0] != widths[1] or old.network.task != network.task:
        raise OptionError("WARM_START must keep the columns and labels of the first training.")
    if data.label is not None and data.label.classes != data.previous.label.classes:
        raise OptionError("WARM_START must keep the columns and labels of the first training.")
    w: dict[str, Any] = {k: np.array(v) for k, v in frozen(old).weights.items()}
    ratio, shift = _rescaling(was, now, apart)
    rows = _matching_columns(was, now, apart)
    for name in ("layer.0", "wide"):
        if f"{name}.weight" not in w:
            continue
        bias = "layer.0.bias" if name == "layer.0" else f"layer.{len(network.hidden)}.bias"
        w[bias] = w[bias] + shift @ w[f"{name}.weight"]
        w[f"{name}.weight"] = w[f"{name}.weight"] * ratio[:, None]
        table = np.vstack([w[f"{name}.table"], np.zeros((1, w[f"{name}.table"].shape[1]), np.float32)])
        w[f"{name}.table"] = table[rows]
    if network.task == "autoencoder":
        last = f"layer.{len(network.hidden)}"
        keep = np.concatenate([np.arange(len(ratio)), len(ratio) + rows])
        scale = np.concatenate([1.0 / ratio, np.ones(len(rows))])
        move = np.concatenate([-shift / ratio, np.zeros(len(rows))])
        weight, bias_ = w[f"{last}.weight"], w[f"{last}.bias"]
        w[f"{last}.weight"] = np.column_stack([weight, np.zeros(len(weight))])[:, keep] * scale
        w[f"{last}.bias"] = np.append(bias_, 0.0)[keep] * scale + move
    return {k: np.ascontiguousarray(v, np.float32) for k, v in w.items()}


def _rescaling(was: Design, now: Design, apart: Sequence[int]) -> tuple[F64, F64]:
    """old value = ratio * new value + shift, per numeric input."""
    ratio, shift = (np.full(dense_width(now, apart), v) for v in (1.0, 0.0))
    at = 0
    for i, (a, b) in enumerate(zip(was.features, now.features, strict=True)):
        if isinstance(b, Category) or i in apart:
            continue
        if isinstance(a, Number) and isinstance(b, Number):
            ratio[at] = b.scale / a.scale
            shift[at] = (b.shift - a.shift) / a.scale
        at += b.width
    return ratio, shift


def _matching_columns(was: Design, now: Design, apart: Sequence[int]) -> Any:
    """Per row of the new table the old one; the number of old ones where there was none."""
    found: list[int] = []
    at = offsets(was, apart)
    for j, (a, b) in enumerate(zip(coded(was, apart), coded(now, apart), strict=True)):
        if isinstance(a, (Category, Set)) and isinstance(b, (Category, Set)):
            known = {level: at[j] + i for i, level in enumerate(a.levels)}
            found += [known.get(level, at[-1]) for level in b.levels]
        else:
            found += [at[j] + i if i < a.width else at[-1] for i in range(b.width)]
    return np.array(found, dtype=np.int64)


# ---------------------------------------------------------------- weights


def pack_weights(weights: Mapping[str, Any]) -> bytes:
    """Arrays in safetensors format."""
    save = _safetensors().save
    return bytes(save({k: np.ascontiguousarray(v, np.float32) for k, v in weights.items()}))


def frozen(state: NetworkState) -> Frozen:
    """The network, ready for prediction."""
    return _frozen(state.network, state.weights)


@lru_cache(maxsize=8)
def _frozen(network: Network, weights: bytes) -> Frozen:
    module = _safetensors()
    try:
        arrays = module.load(weights)
    except Exception as error:  # noqa: BLE001 - the library's own error type, which is not public
        raise FormatError(f"the weights of a network cannot be read: {error}.") from None
    return Frozen(network, arrays)


def _safetensors() -> Any:
    try:
        import safetensors.numpy as module
    except ImportError:
        raise NotSupportedError(
            "neural networks need the package safetensors, which is not installed.",
            hint='pip install "sqlml[torch]"',
        ) from None
    return module


# ---------------------------------------------------------------- scoring and explaining


def arguments(design: Design) -> tuple[tuple[str, str], ...]:
    """(SQL, DuckDB type) of what `decode` needs of each feature."""
    found = []
    for f, sql in zip(design.features, expressions(design).values(), strict=True):
        if isinstance(f, Number):
            kind = "DOUBLE"
        elif isinstance(f, Category):
            kind = "VARCHAR"
        elif isinstance(f, Set):
            kind = "VARCHAR[]"
        elif isinstance(f, Vector):
            kind = "DOUBLE[]"
        else:
            kind = f"STRUCT({quote_name(f.index_field)} BIGINT, {quote_name(f.value_field)} DOUBLE)[]"
        found.append((sql, kind))
    return tuple(found)


def rows_of_arrays(design: Design, apart: Sequence[int], arrays: Sequence[pa.Array]) -> Rows:
    """The kernel's rows of Arrow arrays in the order of `arguments`."""
    columns = {f"f{i}": a for i, a in enumerate(arrays)}
    dense, codes = decode(design, columns, apart)
    return kernel_rows(design, dense, codes, apart, decode_bags(design, columns, apart) if apart else None)


def list_array(values: F64) -> pa.Array:
    """(n, k) as an Arrow list array."""
    n, k = values.shape
    ends = np.arange(0, (n + 1) * k, k, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values.ravel(), pa.float64()))


#: Infinite inputs have infinite answers, or NaN; numpy's warnings would be lines on the user's screen.
quiet = np.errstate(over="ignore", invalid="ignore")


def vector_function(trained: Trained, name: str, method: str) -> BatchFunction:
    """A method of `Frozen` that gives (n, k), as a function with result DOUBLE[]."""
    design = trained.design
    call = getattr(frozen(trained.state), method)
    apart = apart_of(design, trained.state)

    @quiet
    def run(*arrays: pa.Array) -> pa.Array:
        rows = rows_of_arrays(design, apart, arrays)
        return list_array(np.asarray(call(rows.X, rows.codes, rows.bags), np.float64))

    return BatchFunction(run, arguments(design), "DOUBLE[]", name)


def feature_attributions(design: Design, apart: Sequence[int], rows: Rows, found: Attribution) -> F64:
    """Attributions summed over the columns of each feature: (n, features)."""
    out = np.zeros((len(found.value), len(design.features)))
    bags = rows.bags
    first = offsets(design, apart)
    dense, category, tags = 0, 0, len(categories(design))
    for i, f in enumerate(design.features):
        if isinstance(f, Category):
            out[:, i] = found.categories[:, category]
            category += 1
        elif i in apart and bags is not None:
            own = (bags.codes >= first[tags]) & (bags.codes < first[tags + 1])
            out[:, i] = np.bincount(bags.owners()[own], found.tags[own], minlength=len(out))
            tags += 1
        else:
            out[:, i] = found.numbers[:, dense : dense + f.width].sum(axis=1)
            dense += f.width
    return out


def explanation_function(trained: Trained, request: ExplainRequest, steps: int) -> BatchFunction:
    """Rows -> [prediction or probabilities, one attribution per feature, baseline, value] as DOUBLE[].

    What is explained is the output that `request` names: a number in the units of the label, the log odds of
    the larger of two classes, or the logit of a class (of the most probable one when none is named).
    """
    state: NetworkState = trained.state
    ready, design = frozen(state), trained.design
    shift, scale = (float(v) for v in ready.weights["target"]) if state.network.task == "regression" else (0.0, 1.0)
    many = state.network.task == "multiclass"
    apart = apart_of(design, state)

    @quiet
    def run(*arrays: pa.Array) -> pa.Array:
        rows = rows_of_arrays(design, apart, arrays)
        predicted = np.asarray(ready.predict(rows.X, rows.codes, rows.bags), np.float64).reshape(len(rows), -1)
        output: Any = 0
        if many:
            output = predicted.argmax(axis=1) if request.output is None else request.output
        found = ready.attributions(rows.X, rows.codes, rows.bags, output=output, steps=steps)
        ends = np.column_stack([found.baseline, found.value]) * scale + shift
        return list_array(np.hstack([predicted, feature_attributions(design, apart, rows, found) * scale, ends]))

    return BatchFunction(run, arguments(design), "DOUBLE[]", f"explain_{request.output}_{steps}")
