"""Names and shapes of TimesFM's tensors in the packages that write them.

Source: the public packages timesfm (1.3 for version 2.0, 3.0 for version 2.5) and transformers (5.23, both versions).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Outputs per step: the mean and the nine deciles.
OUTPUTS = 10


@dataclass(frozen=True, slots=True)
class Layout:
    """How one package names the tensors of one version.

    Args:
        blocks: our name of a residual block -> its name in the file.
        parts: names of a block's hidden, output and residual layer.
        layer: prefix of layer number {i}.
        names: our name of a layer's tensor, without .weight or .bias -> its name; three names stand for rows of one.
        frequency: name of the table of frequencies, or None.
    """

    version: str
    blocks: Mapping[str, str]
    parts: tuple[str, str, str]
    layer: str
    names: Mapping[str, str | tuple[str, str, str]]
    frequency: str | None = None

    @property
    def mark(self) -> str:
        """A name that only files of this layout hold."""
        return f"{self.blocks['input']}.{self.parts[0]}.weight"


_APART = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_NAMES_20 = {
    "norm": "input_layernorm.weight",
    "out": "self_attn.o_proj",
    "scale": "self_attn.scaling",
    "feed_norm": "mlp.layer_norm",
    "up": "mlp.gate_proj",
    "down": "mlp.down_proj",
}
_NAMES_25 = {
    "norm": "pre_attn_ln.scale",
    "norm_after": "post_attn_ln.scale",
    "feed_norm": "pre_ff_ln.scale",
    "feed_norm_after": "post_ff_ln.scale",
    "out": "attn.out",
    "query_norm": "attn.query_ln.scale",
    "key_norm": "attn.key_ln.scale",
    "scale": "attn.per_dim_scale.per_dim_scale",
    "up": "ff0",
    "down": "ff1",
}
_GOOGLE_25 = {"input": "tokenizer", "point": "output_projection_point", "spread": "output_projection_quantiles"}
_GOOGLE = ("hidden_layer", "output_layer", "residual_layer")
_FACE = ("input_layer", "output_layer", "residual_layer")
LAYOUTS = (
    Layout("2.5", _GOOGLE_25, _GOOGLE, "stacked_xf.{i}.", {**_NAMES_25, "qkv": "attn.qkv_proj"}),
    Layout(
        "2.5",
        _GOOGLE_25,
        _GOOGLE,
        "stacked_xf.{i}.",
        {**_NAMES_25, "qkv": ("attn.query", "attn.key", "attn.value")},
    ),
    Layout(
        "2.5",
        {**_GOOGLE_25, "input": "model.input_ff_layer"},
        _FACE,
        "model.layers.{i}.",
        {
            "norm": "input_layernorm.weight",
            "norm_after": "post_attention_layernorm.weight",
            "feed_norm": "pre_feedforward_layernorm.weight",
            "feed_norm_after": "post_feedforward_layernorm.weight",
            "qkv": _APART,
            "out": "self_attn.o_proj",
            "query_norm": "self_attn.q_norm.weight",
            "key_norm": "self_attn.k_norm.weight",
            "scale": "self_attn.scaling",
            "up": "mlp.fc1",
            "down": "mlp.fc2",
        },
    ),
    Layout(
        "2.0",
        {"input": "decoder.input_ff_layer", "point": "horizon_ff_layer"},
        _FACE,
        "decoder.layers.{i}.",
        {**_NAMES_20, "qkv": _APART},
        "decoder.freq_emb.weight",
    ),
    Layout(
        "2.0",
        {"input": "input_ff_layer", "point": "horizon_ff_layer"},
        ("hidden_layer.0", "output_layer", "residual_layer"),
        "stacked_transformer.layers.{i}.",
        {**_NAMES_20, "qkv": "self_attn.qkv_proj"},
        "freq_emb.weight",
    ),
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a model.

    Attributes:
        layers: number of layers.
        d: width.
        heads: attention heads, each d / heads wide.
        patch: points per input token.
        output: points per pass of the point head, a multiple of patch.
        spread: points of the head of deciles; 0 in version 2.0.
    """

    layers: int
    d: int
    heads: int
    patch: int
    output: int
    spread: int


def tensors(
    layout: Layout, sizes: Sizes, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor that the file must hold, and its shape, in the order of the model.

    Widths of hidden layers are those that the file gives first.
    """
    d, width = sizes.d, sizes.d // sizes.heads
    biased = layout.version == "2.0"

    def rows(tensor: str) -> int:
        return (shapes.get(tensor) or (d,))[0]

    yield from _block(layout, "input", 2 * sizes.patch, d, rows, biased=True)
    if layout.frequency is not None:
        yield layout.frequency, (3, d)
    for i in range(sizes.layers):
        prefix = layout.layer.format(i=i)
        inner = rows(f"{prefix}{layout.names['up']}.weight")
        shape: dict[str, tuple[int, ...]] = {"qkv": (3 * d, d), "out": (d, d), "up": (inner, d), "down": (d, inner)}
        for name, found in layout.names.items():
            if isinstance(found, tuple):
                for part in found:
                    yield from _linear(prefix + part, (d, d), biased=biased)
            elif name in shape:
                yield from _linear(prefix + found, shape[name], biased=biased)
            elif name == "feed_norm" and biased:
                yield from _linear(prefix + found, (d,), biased=True)
            else:
                yield prefix + found, (width,) if name in ("scale", "query_norm", "key_norm") else (d,)
    yield from _block(layout, "point", d, OUTPUTS * sizes.output, rows, biased=biased)
    if sizes.spread:
        yield from _block(layout, "spread", d, OUTPUTS * sizes.spread, rows, biased=biased)


def _linear(name: str, shape: tuple[int, ...], *, biased: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", shape
    if biased:
        yield f"{name}.bias", shape[:1]


def _block(
    layout: Layout, block: str, inputs: int, outputs: int, rows: Any, *, biased: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, out, skip = (f"{layout.blocks[block]}.{part}" for part in layout.parts)
    inner = rows(f"{hidden}.weight")
    yield from _linear(hidden, (inner, inputs), biased=biased)
    yield from _linear(out, (outputs, inner), biased=biased)
    yield from _linear(skip, (outputs, inputs), biased=biased)
