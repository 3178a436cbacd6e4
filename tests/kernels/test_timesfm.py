"""TimesFM against what the public packages forecast with the same small weights (tests/data/timesfm.json).

The expected numbers were made by `benchmarks/timesfm_reference.py`, which names the packages.
"""

from __future__ import annotations

import json
import pathlib
import struct
import sys

import numpy as np
import pytest

from sqlml.errors import Error, FormatError, NotSupportedError, OperationalError, OptionError
from sqlml.kernels.timesfm_weights import check
from tests import timesfm_models as models

torch = pytest.importorskip("torch")

from sqlml.kernels.timesfm import TimesFM  # noqa: E402 - after torch was found
from sqlml.kernels.timesfm_decoder import uncrossed  # noqa: E402

EXPECTED = json.loads((pathlib.Path(__file__).parents[1] / "data" / "timesfm.json").read_text(encoding="utf-8"))
SERIES = models.series()
FREQUENCIES = [i % 3 for i in range(len(SERIES))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder of each small model by the name of its layout."""
    root = tmp_path_factory.mktemp("timesfm")
    return {name: models.write(root / name, name) for name in models.BY_NAME}


def forecast(folder, series=None, h=64, **keywords):
    model = TimesFM(check(folder))
    series = SERIES if series is None else series
    found = dict(model.forecast(series, [h] * len(series), **keywords))
    assert sorted(found) == list(range(len(series)))
    return [found[i] for i in range(len(series))]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_packages_forecasts(folders, name):
    layout, _, context = name.partition(" of ")
    found = forecast(folders[layout], frequencies=FREQUENCIES, context=int(context) if context else None)
    rows = EXPECTED[name]["deciles"]
    assert len(rows) >= 5
    for i, expected in rows.items():
        np.testing.assert_allclose(found[int(i)].z[EXPECTED[name]["steps"]], expected, atol=3e-5, err_msg=i)


@pytest.mark.parametrize("name", models.BY_NAME)
def test_layouts_of_one_version_forecast_the_same(folders, name):
    first = "timesfm-2.5" if "2.5" in name else "timesfm-2.0"
    for a, b in zip(forecast(folders[name]), forecast(folders[first]), strict=True):
        np.testing.assert_array_equal(a.z, b.z)


@pytest.mark.parametrize("name", ["timesfm-2.5", "timesfm-2.0"])
def test_neither_the_batch_nor_the_others_matter(folders, name):
    together = forecast(folders[name])
    one_by_one = forecast(folders[name], tokens=1)
    alone = [forecast(folders[name], [y])[0] for y in SERIES]
    for a, b, c in zip(together, one_by_one, alone, strict=True):
        np.testing.assert_allclose(a.z, b.z, atol=2e-5)
        np.testing.assert_allclose(a.z, c.z, atol=2e-5)


@pytest.mark.parametrize("name", ["timesfm-2.5", "timesfm-2.0"])
@pytest.mark.parametrize(("factor", "shift"), [(1e-9, 0.0), (1e12, 0.0), (1.0, 1e6), (1e300, 0.0)])
def test_scale_and_level_pass_through(folders, name, factor, shift):
    a, b = forecast(folders[name], [SERIES[0], SERIES[0] * factor + shift])
    np.testing.assert_allclose(b.values, a.values * factor + shift, rtol=1e-4)


def test_the_mirror_image_of_a_series_gets_that_of_its_forecast(folders):
    a, b = forecast(folders["timesfm-2.5"], [SERIES[2], -SERIES[2]])
    np.testing.assert_allclose(a.z, -b.z[:, ::-1], atol=2e-5)


@pytest.mark.parametrize("name", ["timesfm-2.5", "timesfm-2.0"])
@pytest.mark.parametrize("y", [[3.0], [0.0, 0.0], [0.1] * 11, [-2.5] * 300])
def test_constants_stay(folders, name, y):
    (found,) = forecast(folders[name], [np.array(y)], 20)
    np.testing.assert_array_equal(found.values, np.full((20, 9), y[0]))


def test_deciles_ascend_and_stay_above_zero(folders):
    for name in ("timesfm-2.5", "timesfm-2.0"):
        for y, found in zip(SERIES, forecast(folders[name]), strict=True):
            assert (np.diff(found.values, axis=1) >= 0).all()
            assert (found.values >= 0).all() == (y.min() >= 0)


def test_deciles_beyond_their_head_keep_their_distance(folders):
    (found,) = forecast(folders["timesfm-2.5"], SERIES[:1], 100)  # the head gives 64
    away = found.z - found.z[:, 4:5]
    np.testing.assert_allclose(away[64:], np.tile(away[64], (36, 1)), atol=1e-5)
    (short,) = forecast(folders["timesfm-2.5"], SERIES[:1], 64)
    np.testing.assert_allclose(found.z[:64], short.z, atol=1e-5)
    assert len(np.unique(found.z[64:, 4])) == 36


def test_each_series_has_a_horizon(folders):
    model = TimesFM(check(folders["timesfm-2.5"]))
    found = dict(model.forecast(SERIES[:3], [1, 17, 40]))
    for i, whole in enumerate(forecast(folders["timesfm-2.5"])[:3]):
        assert len(found[i].z) == (1, 17, 40)[i]
        np.testing.assert_allclose(found[i].z, whole.z[: len(found[i].z)], atol=2e-5)


@pytest.mark.parametrize("name", ["timesfm-2.5", "timesfm-2.0"])
def test_context_is_the_end(folders, name):
    a = forecast(folders[name], [SERIES[0]], context=64)[0]
    b = forecast(folders[name], [SERIES[0][-64:]], context=64)[0]
    np.testing.assert_array_equal(a.values, b.values)


def test_a_long_horizon_leaves_positions_for_itself(folders):
    model = TimesFM(check(folders["timesfm-2.5"]))
    assert model._points(15360, 64) == 15360
    assert model._points(15360, 600) == 16384 - 600 * 16
    assert model._points(15360, 2000) == 8


def test_frequencies_matter_to_version_20_alone(folders):
    for name, same in (("timesfm-2.0", False), ("timesfm-2.5", True)):
        a, b = (forecast(folders[name], SERIES[:1], frequencies=[f])[0].z for f in (0, 2))
        assert np.allclose(a, b) == same


def test_the_caller_can_end_the_work(folders):
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 3:
            raise KeyError("enough")

    with pytest.raises(KeyError):
        forecast(folders["timesfm-2.5"], tokens=1, report=stop)
    assert len(calls) == 3


@pytest.mark.parametrize("error", ["CUDA out of memory. Tried to allocate 2 GiB", "can't allocate memory: you tried"])
def test_too_little_memory_is_said(folders, monkeypatch, error):
    model = TimesFM(check(folders["timesfm-2.5"]))

    def decode(*arguments):
        raise RuntimeError(error)

    monkeypatch.setattr(model.decoder, "decode", decode)
    with pytest.raises(OperationalError, match="too little memory"):
        list(model.forecast(SERIES, [3] * len(SERIES)))


def test_uncrossed():
    x = torch.tensor([[0.0, 3, 1, 2, 2.5, 2, 1.5, 4, 3, 5]])
    assert uncrossed(x).tolist() == [[0.0, 1, 1, 2, 2, 2, 2, 4, 4, 5]]


# ---------------------------------------------------------------- files

A, B = "stacked_xf.1.ff0.weight", "output_projection_point.hidden_layer.weight"


@pytest.mark.parametrize(
    ("name", "tensor", "value", "message"),
    [
        ("timesfm-2.5", A, None, "must hold the tensor stacked_xf.1.ff0.weight, which is missing"),
        ("timesfm-2.5", A, np.zeros((32, 31), np.float32), r"stacked_xf.1.ff0.weight .* shape \(32, 32\). Got \(32, 31\)"),
        ("timesfm-2.5", A, np.zeros((32, 32)), "stacked_xf.1.ff0.weight .* one of F32, F16, BF16. Got F64"),
        ("timesfm-2.5", B, np.zeros((32,), np.float32), r"output_projection_point.hidden_layer.weight .* Got \(32,\)"),
        ("timesfm-2.5", "adapter.weight", np.zeros(3, np.float32), "TimesFM 2.5 only. Got adapter.weight"),
        ("timesfm-2.5", "stacked_xf.0.attn.per_dim_scale.per_dim_scale", np.zeros(7, np.float32), "divisor of 32"),
        ("timesfm-2.5", "stacked_xf.1.attn.per_dim_scale.per_dim_scale", None, "1.attn.per_dim_scale.*which is missing"),
        ("timesfm-2.5", "stacked_xf.7.ff0.weight", np.zeros((1, 1), np.float32), "stacked_xf.2.pre_attn_ln.scale, which"),
        ("timesfm-2.5", "stacked_xf.0.attn.qkv_proj.weight", None, "stacked_xf.0.attn.qkv_proj.weight, which is miss"),
        ("transformers-2.0", "decoder.freq_emb.weight", None, "decoder.freq_emb.weight, which is missing"),
        ("transformers-2.0", "decoder.layers.1.self_attn.k_proj.bias", None, "layers.1.self_attn.k_proj.bias"),
        ("transformers-2.0", "horizon_ff_layer.residual_layer.weight", np.zeros((9, 32), np.float32), "multiples of 80"),
    ],
)  # fmt: skip
def test_the_first_wrong_tensor_is_named(tmp_path, name, tensor, value, message):
    folder = models.write(tmp_path, name, {tensor: value})
    with pytest.raises(FormatError, match=message):
        check(folder)


def test_sizes_come_from_the_tensors(tmp_path):
    sizes = models.Sizes(layers=3, d=48, heads=4, patch=4, output=8, spread=24)
    folder = models.write(tmp_path, "transformers-2.5", sizes=sizes)
    assert check(folder).sizes == sizes
    assert len(forecast(folder, SERIES[:2], 30)[0].z) == 30


@pytest.mark.parametrize("kind", [np.float16, "bfloat16"])
def test_half_precision_is_read(tmp_path, folders, kind):
    from safetensors.torch import save_file

    halves = {k: torch.from_numpy(v) for k, v in models.weights("timesfm-2.5").items()}
    kind = torch.bfloat16 if kind == "bfloat16" else torch.float16
    save_file({k: v.to(kind) for k, v in halves.items()}, tmp_path / "model.safetensors")
    a, b = forecast(str(tmp_path), SERIES[:1])[0], forecast(folders["timesfm-2.5"], SERIES[:1])[0]
    assert 0 < np.abs(a.z - b.z).max() < 0.5


def test_weights_that_are_no_numbers(tmp_path):
    bad = models.weights("timesfm-2.5")[A].copy()
    bad[3, 4] = np.nan
    checkpoint = check(models.write(tmp_path, "timesfm-2.5", {A: bad}))
    with pytest.raises(FormatError, match=r"stacked_xf.1.ff0.weight .* finite"):
        TimesFM(checkpoint)


@pytest.mark.parametrize("file", ["torch_model.ckpt", "pytorch_model.bin", "x.PT"])
def test_pickles_are_refused(tmp_path, file):
    (tmp_path / file).write_bytes(b"\x80\x04.")
    for path in (tmp_path, tmp_path / file):
        with pytest.raises(NotSupportedError, match="safetensors files only") as caught:
            check(str(path))
        assert "model.safetensors" in caught.value.hint


def test_paths_without_weights(tmp_path):
    with pytest.raises(OptionError, match="does not exist"):
        check(str(tmp_path / "nothing"))
    with pytest.raises(OptionError, match=r"must hold the file model.safetensors"):
        check(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 100, struct.pack("<Q", 20) + b"{" + b" " * 19])
def test_files_of_something_else(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(FormatError, match="must be a safetensors file"):
        check(str(tmp_path))


def test_a_file_cut_short(tmp_path):
    folder = models.write(tmp_path, "timesfm-2.5")
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(FormatError, match="must be a safetensors file"):
        check(folder)


def test_other_models_are_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"encoder.weight": np.zeros((2, 2), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(FormatError, match=r"TimesFM 2.0 or TimesFM 2.5. Its first tensor is encoder.weight"):
        check(str(tmp_path))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_attention_heads": 4}, "num_attention_heads .* must be 2 .* Got 4"),
        ({"use_positional_embedding": True}, "use_positional_embedding"),
        ({"quantiles": [0.5]}, "quantiles"),
        ("[", "must be JSON"),
        ({"num_attention_heads": 2, "hidden_size": 32}, None),
        ([], None),
    ],
)
def test_the_config_beside_the_weights(tmp_path, config, message):
    folder = models.write(tmp_path, "transformers-2.0")
    (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    if message is None:
        assert check(folder).version == "2.0"
    else:
        with pytest.raises(FormatError, match=message):
            check(folder)


def test_without_safetensors(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(NotSupportedError, match="safetensors, which is not installed") as caught:
        check(folders["timesfm-2.5"])
    assert caught.value.hint == 'pip install "sqlml[torch]"'


def test_a_path_may_begin_at_home(folders, monkeypatch):
    home = pathlib.Path(folders["timesfm-2.5"]).parent
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    assert check("~/timesfm-2.5").name == "TimesFM 2.5"
    with pytest.raises(Error):
        check("~/nothing")
