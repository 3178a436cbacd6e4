"""Files of TimesFM weights: which version they hold, of which sizes, and every tensor's name, type and shape.

Only safetensors files are read: they hold numbers and nothing that runs. Sizes are those of the tensors, so models
with fewer or narrower layers of the same make can be read too.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlml.errors import Error, FormatError, NotSupportedError, OptionError
from sqlml.kernels.timesfm_layouts import LAYOUTS, OUTPUTS, Layout, Sizes, tensors

if TYPE_CHECKING:
    from torch import Tensor

#: Most points that go in and come out together, by version; more are left out at the front.
LONGEST = {"2.0": 2048, "2.5": 16384}
FILE = "model.safetensors"
PICKLES = (".ckpt", ".bin", ".pt", ".pth", ".pkl", ".pickle")
TYPES = ("F32", "F16", "BF16")
#: Constants that some writers store beside the weights.
NO_WEIGHTS = ("rotary_emb.inv_freq",)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file whose header was checked.

    Attributes:
        version: "2.0" or "2.5".
        stamp: time of change and size, to tell when the file was replaced.
    """

    path: Path
    version: str
    layout: Layout
    sizes: Sizes
    stamp: tuple[int, int]

    @property
    def name(self) -> str:
        """The name of the model, "TimesFM 2.5"."""
        return f"TimesFM {self.version}"


def find(path: str) -> Path:
    """The file of weights that a path means: itself, or model.safetensors in a folder.

    Raises:
        OptionError: nothing there, or no such file in the folder.
        NotSupportedError: a pickle.
    """
    found = Path(path).expanduser().absolute()
    if found.is_dir():
        inside = found / FILE
        if inside.is_file():
            return inside
        pickles = sorted(p.name for p in found.iterdir() if p.suffix.lower() in PICKLES)
        if pickles:
            raise _pickle(found / pickles[0])
        text = f"a folder of weights must hold the file {FILE}. Got '{path}', which does not."
        raise OptionError(text, hint=f"download {FILE} and config.json of the model into that folder.")
    if found.suffix.lower() in PICKLES:
        raise _pickle(found)
    if not found.is_file():
        text = f"the path of weights must be a {FILE} or a folder that holds one. Got '{path}', which does not exist."
        raise OptionError(text)
    return found


def _pickle(path: Path) -> NotSupportedError:
    text = f"weights are read from safetensors files only: a pickle could run code. Got '{path.name}'."
    return NotSupportedError(text, hint=f"download {FILE} of the same model, and give its path.")


def check(path: str) -> Checkpoint:
    """Find a file of weights and check its header; no weight is read.

    Raises:
        OptionError, NotSupportedError: see `find`; safetensors is not installed.
        FormatError: no safetensors file, another model, or a tensor that is missing or has another type or shape.
    """
    file = find(path)
    try:
        with _opened(file, "np") as source:
            shapes = {k: tuple(source.get_slice(k).get_shape()) for k in source.keys()}  # noqa: SIM118 - no mapping
            types = {k: str(source.get_slice(k).get_dtype()) for k in shapes}
    except Error:
        raise
    except Exception as error:  # noqa: BLE001 - the library's own error type, which is not public
        raise FormatError(f"{file} must be a safetensors file. It cannot be read: {error}.") from None
    layout = _layout(file, shapes)
    sizes = _sizes(file, layout, shapes)
    known = set()
    for tensor, shape in tensors(layout, sizes, shapes):
        known.add(tensor)
        if tensor not in shapes:
            raise FormatError(f"the weights in {file} must hold the tensor {tensor}, which is missing.")
        if shapes[tensor] != shape:
            raise _shape(file, tensor, str(shape), shapes[tensor])
        if types[tensor] not in TYPES:
            text = f"the tensor {tensor} in {file} must be one of {', '.join(TYPES)}. Got {types[tensor]}."
            raise FormatError(text)
    for tensor in shapes:
        if tensor not in known and not tensor.endswith(NO_WEIGHTS):
            text = f"the weights in {file} must hold the tensors of TimesFM {layout.version} only. Got {tensor}."
            raise FormatError(text)
    _check_config(file, layout, sizes)
    state = file.stat()
    return Checkpoint(file, layout.version, layout, sizes, (state.st_mtime_ns, state.st_size))


def need_torch() -> None:
    """Raise `NotSupportedError` when torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise NotSupportedError(
            "weights of TimesFM need the package torch, which is not installed.", hint='pip install "sqlml[torch]"'
        )


def _opened(file: Path, framework: str) -> Any:
    try:
        from safetensors import safe_open
    except ImportError:
        raise NotSupportedError(
            "weights of TimesFM need the package safetensors, which is not installed.",
            hint='pip install "sqlml[torch]"',
        ) from None
    try:
        return safe_open(str(file), framework=framework)
    except Exception as error:  # noqa: BLE001 - the library's own error type, which is not public
        raise FormatError(f"{file} must be a safetensors file. It cannot be read: {error}.") from None


def _layout(file: Path, shapes: Mapping[str, object]) -> Layout:
    fitting = [x for x in LAYOUTS if x.mark in shapes]
    if not fitting:
        first = next(iter(sorted(shapes)), "no tensor")
        text = f"{file} must hold the weights of TimesFM 2.0 or TimesFM 2.5. Its first tensor is {first}."
        raise FormatError(text)
    # Two layouts of version 2.5 differ in one name.
    return next((x for x in fitting if all(n in shapes for n in _weights(x, "qkv", 0))), fitting[0])


def _weights(layout: Layout, name: str, i: int) -> list[str]:
    found = layout.names[name]
    prefix = layout.layer.format(i=i)
    return [f"{prefix}{x}.weight" for x in ((found,) if isinstance(found, str) else found)]


def _shape(file: Path, tensor: str, wanted: str, got: tuple[int, ...]) -> FormatError:
    return FormatError(f"the tensor {tensor} in {file} must have the shape {wanted}. Got {got}.")


def _sizes(file: Path, layout: Layout, shapes: Mapping[str, tuple[int, ...]]) -> Sizes:
    """The sizes by the tensors that tell them; whether all others agree is checked afterwards."""

    def shape(tensor: str, rank: int) -> tuple[int, ...]:
        if tensor not in shapes:
            raise FormatError(f"the weights in {file} must hold the tensor {tensor}, which is missing.")
        if len(shapes[tensor]) != rank or 0 in shapes[tensor]:
            raise _shape(file, tensor, f"of {rank} numbers above 0", shapes[tensor])
        return shapes[tensor]

    def steps(block: str, unit: int, rule: str) -> int:
        tensor = f"{layout.blocks[block]}.{layout.parts[2]}.weight"
        rows = shape(tensor, 2)[0]
        if rows % (OUTPUTS * unit):
            raise _shape(file, tensor, rule, shapes[tensor])
        return rows // OUTPUTS

    first = layout.layer.format(i=0)
    skip = f"{layout.blocks['input']}.{layout.parts[2]}.weight"
    d, inputs = shape(skip, 2)
    if inputs % 2:
        raise _shape(file, skip, "of rows and an even number of columns", shapes[skip])
    scale = f"{first}{layout.names['scale']}"
    width = shape(scale, 1)[0]
    if d % width or (layout.version == "2.5" and width % 2):
        raise _shape(file, scale, f"of a divisor of {d}, the width of the model", shapes[scale])
    patch = inputs // 2
    prefix = layout.layer.split("{", maxsplit=1)[0]
    numbers = (t.removeprefix(prefix).split(".", 1)[0] for t in shapes if t.startswith(prefix))
    layers = 1 + max(int(n) for n in numbers if n.isdecimal())
    rule = f"of rows in multiples of {OUTPUTS * patch}, and {d} columns"
    output = steps("point", patch, rule)
    spread = steps("spread", output, rule.replace(str(patch), str(output))) if "spread" in layout.blocks else 0
    if layout.version == "2.0" and (layers, d) == (20, 1280):
        raise FormatError(f"{file} must hold the weights of TimesFM 2.0 or TimesFM 2.5. It holds those of TimesFM 1.0.")
    return Sizes(layers, d, d // width, patch, output, spread)


def _check_config(file: Path, layout: Layout, sizes: Sizes) -> None:
    """Refuse a config.json beside the weights that asks for what the tensors do not show."""
    path = file.parent / "config.json"
    if not path.is_file():
        return
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise FormatError(f"{path} must be JSON.") from None
    if not isinstance(config, dict):
        return
    expected = {
        "num_attention_heads": sizes.heads,
        "use_positional_embedding": False,
        "quantiles": [k / 10 for k in range(1, OUTPUTS)],
    }
    for key, value in expected.items():
        if key in config and config[key] != value:
            text = f"{key} in {path} must be {json.dumps(value)} for these weights of TimesFM {layout.version}."
            raise FormatError(f"{text} Got {json.dumps(config[key])}.")


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors by our names, in float32.

    Attributes:
        top: "input.hidden.weight", ..., "frequency".
        layers: of each layer "qkv.weight", "qkv.bias", "norm", ...
    """

    top: Mapping[str, Tensor]
    layers: tuple[Mapping[str, Tensor], ...]


def read(checkpoint: Checkpoint, device: str) -> Weights:
    """Read the weights. Raises `FormatError` when a number is not finite, `NotSupportedError` without torch."""
    import torch

    layout = checkpoint.layout
    with _opened(checkpoint.path, "pt") as source:
        there = set(source.keys())

        def take(*names: str) -> Tensor:
            parts = [source.get_tensor(n).to(torch.float32) for n in names]
            for name, part in zip(names, parts, strict=True):
                if not bool(torch.isfinite(part).all()):
                    raise FormatError(f"the tensor {name} in {checkpoint.path} must hold finite numbers only.")
            return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(device)

        top: dict[str, Tensor] = {}
        for block, base in layout.blocks.items():
            for part, name in zip(("hidden", "out", "skip"), layout.parts, strict=True):
                for kind in ("weight", "bias"):
                    if f"{base}.{name}.{kind}" in there:
                        top[f"{block}.{part}.{kind}"] = take(f"{base}.{name}.{kind}")
        if layout.frequency is not None:
            top["frequency"] = take(layout.frequency)
        layers = []
        for i in range(checkpoint.sizes.layers):
            prefix, layer = layout.layer.format(i=i), {}
            for name, found in layout.names.items():
                bases = [prefix + x for x in ((found,) if isinstance(found, str) else found)]
                if bases[0] in there:
                    layer[name] = take(bases[0])
                for kind in ("weight", "bias"):
                    if f"{bases[0]}.{kind}" in there:
                        layer[f"{name}.{kind}"] = take(*(f"{b}.{kind}" for b in bases))
            layers.append(layer)
    return Weights(top, tuple(layers))
