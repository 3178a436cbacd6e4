"""What the public packages forecast with the small models of the tests: writes tests/data/timesfm.json.

The packages are no dependency of sqlml and exclude each other, so each part runs in an environment of its own, with
numpy, torch, safetensors and sqlml beside the package, and puts its numbers into the file:

    python -m benchmarks.timesfm_reference timesfm        # with timesfm 3.0.2: version 2.5
    python -m benchmarks.timesfm_reference transformers   # with transformers 5.23.0: one pass of both versions
    python -m benchmarks.timesfm_reference timesfm1       # with timesfm 1.3.0: version 2.0

Speed with 200 million random weights, one side after the other (SIDE is timesfm, with timesfm 3.0.2, or sqlml):

    python -m benchmarks.timesfm_reference speed SIDE folder 1000 512

The series are standardised before, as both versions' packages do on request.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import pathlib
import resource
import sys
import time
from typing import Any

import numpy as np

from sqlml.kernels.timesfm import TimesFM
from sqlml.kernels.timesfm_layouts import Sizes
from sqlml.kernels.timesfm_weights import check
from tests import timesfm_models as models

FILE = pathlib.Path(__file__).resolve().parents[1] / "tests" / "data" / "timesfm.json"
#: Steps that are kept of the forecasts, from 0; passes of the small models give 16 each.
STEPS = (0, 1, 15, 16, 40, 63)
FULL = Sizes(layers=20, d=1280, heads=16, patch=32, output=128, spread=1024)


def standardised() -> list[np.ndarray]:
    """The series of the tests; constants become zeros."""
    return [(y - y.mean()) / (y.std() or 1.0) for y in models.series()]


def keep(name: str, package: str, found: dict[int, np.ndarray], steps: tuple[int, ...]) -> None:
    """Put deciles (h, 9) of some series into the file."""
    whole = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    rows = {str(i): np.round(y[list(steps)].astype(np.float64), 5).tolist() for i, y in found.items()}
    made = f"{package} {importlib.metadata.version(package)}, torch {importlib.metadata.version('torch')}"
    whole[name] = {"made with": made, "steps": list(steps), "deciles": rows}
    parts = [f'"{k}": {json.dumps(v)}'.replace("]], ", "]],\n  ") for k, v in sorted(whole.items())]
    FILE.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


def tensors_of(name: str, sizes: Sizes | None = None) -> dict[str, Any]:
    """The weights as the packages take them."""
    import torch

    return {k: torch.from_numpy(v) for k, v in models.weights(name, sizes).items()}


def reference_25(
    sizes: Sizes, weights: dict[str, Any], context: int, horizon: int, batch: int, *, positive: bool
) -> Any:
    """Version 2.5 in the package timesfm, with the switches that sqlml has on.

    Args:
        positive: no forecast of values above 0 is below.
    """
    import timesfm
    from timesfm.timesfm_2p5 import timesfm_2p5_torch as package

    module = package.TimesFM_2p5_200M_torch_module
    whole, d = module.config, sizes.d
    layer = dataclasses.replace(
        whole.stacked_transformers.transformer, model_dims=d, hidden_dims=d, num_heads=sizes.heads
    )
    block = {"hidden_dims": d}
    module.config = dataclasses.replace(
        whole,
        input_patch_len=sizes.patch,
        output_patch_len=sizes.output,
        output_quantile_len=sizes.spread,
        tokenizer=dataclasses.replace(whole.tokenizer, input_dims=2 * sizes.patch, output_dims=d, **block),
        stacked_transformers=dataclasses.replace(
            whole.stacked_transformers, num_layers=sizes.layers, transformer=layer
        ),
        output_projection_point=dataclasses.replace(
            whole.output_projection_point, input_dims=d, output_dims=10 * sizes.output, **block
        ),
        output_projection_quantiles=dataclasses.replace(
            whole.output_projection_quantiles, input_dims=d, output_dims=10 * sizes.spread, **block
        ),
    )
    model = timesfm.TimesFM_2p5_200M_torch(torch_compile=False)
    model.model.load_state_dict(weights, strict=True)
    model.model.eval()
    model.compile(
        timesfm.ForecastConfig(
            max_context=context,
            max_horizon=horizon,
            normalize_inputs=True,
            per_core_batch_size=batch,
            use_continuous_quantile_head=True,
            force_flip_invariance=True,
            infer_is_positive=positive,
            fix_quantile_crossing=True,
        )
    )
    return model


def by_timesfm() -> None:
    """Version 2.5: uneven lengths, four passes."""
    model = reference_25(models.SMALL["2.5"], tensors_of("timesfm-2.5"), 152, 64, 3, positive=False)
    _, out = model.forecast(64, [y.astype(np.float32) for y in standardised()])
    keep("timesfm-2.5", "timesfm", {i: out[i, :, 1:] for i in range(len(standardised()))}, STEPS)


def by_transformers() -> None:
    """One pass of both versions. It takes the statistics of padding too, so each series comes alone."""
    import torch
    import transformers

    shared = {"num_attention_heads": 2, "head_dim": 16, "hidden_size": 32, "intermediate_size": 32}
    shared |= {"num_hidden_layers": 2, "patch_length": 8, "horizon_length": 16}
    config = transformers.TimesFm2_5Config(
        **shared, num_key_value_heads=2, output_quantile_len=64, infer_is_positive=False
    )
    model = transformers.TimesFm2_5ModelForPrediction(config).eval()
    model.load_state_dict(tensors_of("transformers-2.5"), strict=True)
    old = transformers.TimesFmModelForPrediction(transformers.TimesFmConfig(**shared)).eval()
    old.load_state_dict(tensors_of("transformers-2.0"), strict=True)
    found: dict[str, dict[int, np.ndarray]] = {"transformers-2.5": {}, "transformers-2.0": {}}
    with torch.no_grad():
        for i, y in enumerate(standardised()):
            past = [torch.tensor(y, dtype=torch.float32)]
            out = model(past_values=past, forecast_context_len=152).full_predictions[0]
            found["transformers-2.5"][i] = crossed_to_sorted(out.numpy()[:, 1:])
            if y.any() and i != 5:  # its first patch is constant, where the packages disagree
                old.context_len = 152
                out = old(past_values=past, freq=[i % 3]).full_predictions[0]
                found["transformers-2.0"][i] = crossed_to_sorted(out.numpy()[:, 1:])
    for name, rows in found.items():
        keep(name, "transformers", rows, (0, 1, 15))


def by_timesfm1() -> None:
    """Version 2.0 in four passes: with room for all points, and with a window that moves."""
    import torch
    from timesfm.pytorch_patched_decoder import PatchedTimeSeriesDecoder, TimesFMConfig

    config = TimesFMConfig(
        num_layers=2,
        num_heads=2,
        num_kv_heads=2,
        hidden_size=32,
        intermediate_size=32,
        head_dim=16,
        patch_len=8,
        horizon_len=16,
        use_positional_embedding=False,
    )
    model = PatchedTimeSeriesDecoder(config).eval()
    model.load_state_dict(tensors_of("timesfm-2.0"), strict=True)
    for context in (48, 160, 2048):
        found = {}
        for i, y in enumerate(standardised()):
            if not y.any() or (i, context) == (5, 48):
                continue  # a constant first patch, whose variance this package takes for rounding errors
            part = models.series()[i][-context:]
            part = (part - part.mean()) / part.std()
            empty = context - len(part)
            x = torch.tensor(np.concatenate([np.zeros(empty), part]), dtype=torch.float32)[None]
            pads = torch.tensor(np.concatenate([np.ones(empty), np.zeros(len(part) + 64)]), dtype=torch.float32)[None]
            with torch.no_grad():
                out = model.decode(x, pads, torch.tensor([[i % 3]]), 64, max_len=context)[1][0]
            found[i] = crossed_to_sorted(out.numpy()[:, 1:])
        keep(f"timesfm-2.0 of {context}", "timesfm", found, STEPS)


def crossed_to_sorted(deciles: np.ndarray) -> np.ndarray:
    """Deciles (h, 9) that ascend from the median outwards, which these packages leave to the caller."""
    out = deciles.copy()
    for k in range(3, -1, -1):
        out[:, k] = np.minimum(out[:, k], out[:, k + 1])
    for k in range(5, 9):
        out[:, k] = np.maximum(out[:, k], out[:, k - 1])
    return out


def speed(side: str, folder: str, count: int, points: int, horizon: int = 128) -> None:
    """Seconds and peak memory of one side with 200 million random weights, kept in a folder with the forecasts."""
    place = pathlib.Path(folder)
    if not (place / "model.safetensors").exists():
        models.write(place, "timesfm-2.5", sizes=FULL)
    rng = np.random.default_rng(0)
    t = np.arange(points)
    series = [100 + 10 * np.sin(2 * np.pi * (t + i) / 24) + rng.standard_normal(points) for i in range(count)]
    begin = time.perf_counter()
    if side == "timesfm":
        from safetensors.torch import load_file

        model = reference_25(FULL, load_file(place / "model.safetensors"), points, horizon, 32, positive=True)
        middle, cpu = time.perf_counter(), time.process_time()
        _, out = model.forecast(horizon, [y.astype(np.float32) for y in series])
        out = out[..., 1:]
    else:
        ours = TimesFM(check(folder))
        middle, cpu = time.perf_counter(), time.process_time()
        done = dict(ours.forecast(series, [horizon] * count))
        out = np.stack([done[i].values for i in range(count)])
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    cpu = time.process_time() - cpu
    seconds = f"load {middle - begin:.1f} s, forecast {end - middle:.1f} s, its CPU time {cpu:.0f} s"
    print(f"{side}: {count} series of {points} points: {seconds}, peak memory {peak:.2f} GiB")
    np.save(place / f"{side}.npy", out)
    other = place / f"{'sqlml' if side == 'timesfm' else 'timesfm'}.npy"
    if other.exists() and (theirs := np.load(other)).shape == out.shape:
        print(f"largest difference {np.abs(theirs - out).max():.2g} of values up to {np.abs(out).max():.4g}")


if __name__ == "__main__":
    work = {"timesfm": by_timesfm, "transformers": by_transformers, "timesfm1": by_timesfm1}
    if sys.argv[1] == "speed":
        speed(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        work[sys.argv[1]]()
