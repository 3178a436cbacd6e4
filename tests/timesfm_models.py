"""Small models in the layouts of TimesFM's packages, with weights of a fixed seed, and series to forecast."""

from __future__ import annotations

import pathlib
import zlib
from collections.abc import Iterator

import numpy as np
from safetensors.numpy import save_file

from sqlml.kernels.timesfm_layouts import LAYOUTS, Layout, Sizes, tensors

#: By the name of the package, then of the version.
BY_NAME: dict[str, Layout] = dict(
    zip(
        ("timesfm-2.5", "timesfm-2.5-apart", "transformers-2.5", "transformers-2.0", "timesfm-2.0"),
        LAYOUTS,
        strict=True,
    )
)
SMALL = {
    "2.5": Sizes(layers=2, d=32, heads=2, patch=8, output=16, spread=64),
    "2.0": Sizes(layers=2, d=32, heads=2, patch=8, output=16, spread=0),
}


def weights(name: str, sizes: Sizes | None = None) -> dict[str, np.ndarray]:
    """Tensors of a model: the same numbers in every layout of a version.

    Hidden layers are as wide as the model, as the packages want it where they have one number for both.
    """
    layout = BY_NAME[name]
    shapes = dict(tensors(layout, sizes or SMALL[layout.version], {}))
    found: dict[str, np.ndarray] = {}
    for ours, names in _names(layout, sizes or SMALL[layout.version]):
        if names[0] not in shapes:
            continue
        rows = sum(shapes[n][0] for n in names)
        found |= dict(zip(names, np.split(_numbers(ours, (rows, *shapes[names[0]][1:])), len(names)), strict=True))
    assert found.keys() == shapes.keys()
    return found


def _names(layout: Layout, sizes: Sizes) -> Iterator[tuple[str, list[str]]]:
    """Our name of every tensor that there may be, and the names of its parts in the file."""
    if layout.frequency is not None:
        yield "frequency", [layout.frequency]
    for kind in (".weight", ".bias", ""):
        for block, base in layout.blocks.items():
            for part, name in zip(("hidden", "out", "skip"), layout.parts, strict=True):
                yield f"{block}.{part}{kind}", [f"{base}.{name}{kind}"]
        for i in range(sizes.layers):
            for ours, names in layout.names.items():
                each = (names,) if isinstance(names, str) else names
                yield f"{i}.{ours}{kind}", [f"{layout.layer.format(i=i)}{n}{kind}" for n in each]


def _numbers(ours: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(ours.encode()))
    if len(shape) == 2:
        found = rng.standard_normal(shape) / np.sqrt(shape[1])
    elif ours.endswith((".bias", "scale")):
        found = 0.3 * rng.standard_normal(shape)
    else:
        found = 1 + 0.3 * rng.standard_normal(shape)
    return found.astype(np.float32)


def write(folder: pathlib.Path, name: str, changes: dict[str, np.ndarray | None] | None = None, **keywords) -> str:
    """model.safetensors in a folder; `changes` replaces tensors, None leaves one out."""
    found = weights(name, **keywords) | (changes or {})
    folder.mkdir(parents=True, exist_ok=True)
    kept = {k: np.ascontiguousarray(v) for k, v in found.items() if v is not None}
    save_file(kept, folder / "model.safetensors")
    return str(folder)


def series() -> list[np.ndarray]:
    """Uneven lengths; with level, season and trend; counts; one point; a constant; a start of zeros."""
    t = np.arange(150.0)
    rng = np.random.default_rng(3)
    return [
        1000 + 50 * np.sin(t / 5) + t + 3 * rng.standard_normal(150),
        rng.poisson(2.0, 41).astype(np.float64),
        -5 + rng.standard_normal(64).cumsum(),
        np.array([3.0]),
        np.full(20, 12.5),
        np.concatenate([np.zeros(30), 5 * rng.random(33)]),
        1e9 + rng.standard_normal(17),
        0.001 * np.arange(9.0),
    ]
