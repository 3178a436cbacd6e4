"""The engine against the published surface: options, defaults, functions, output columns."""

from __future__ import annotations

import json
import pathlib
import re

import pytest

import sqlml
from sqlml.functions import FUNCTIONS
from sqlml.functions.examples import has_place
from sqlml.grammar.calls import TABLE_FUNCTIONS
from sqlml.models import ELSEWHERE, MODELS
from sqlml.options import REQUIRED, declarations

HERE = pathlib.Path(__file__).parent / "spec"
MODEL_SPEC = {m["model_type"]: m for m in json.loads((HERE / "models.json").read_text(encoding="utf-8"))}
FUNCTION_SPEC = json.loads((HERE / "functions.json").read_text(encoding="utf-8"))

#: Options of the surface that a type does not declare: OptionError says that they are unknown. Each needs a reason.
MISSING: dict[str, dict[str, str]] = {}
#: Defaults where the surface contradicts itself.
CONFLICTS = {"auto_arima_max_order": "the reference says 2; the published runs show 42 candidates, which is order 5"}
#: Options of ours that the service does not have.
OURS: dict[str, dict[str, str]] = {
    "BOOSTED_TREE_CLASSIFIER": {"warm_start": "rounds are added to the model, as other types go on"},
    "BOOSTED_TREE_REGRESSOR": {"warm_start": "rounds are added to the model, as other types go on"},
    "CONTRIBUTION_ANALYSIS": {"kms_key_name": "recorded, as with every other type"},
    "LOGISTIC_REG": {
        "optimize_strategy": "published statements write it, though the reference lists it for LINEAR_REG alone"
    },
}
#: Options of ours that every tuned type has, and every type with an embedding.
OURS_TUNING = {"hparam_tuning_pruning"}
OURS_EXAMPLES = {"keep_examples"}
TUNING = {
    *("num_trials", "max_parallel_trials", "hparam_tuning_algorithm", "hparam_tuning_objectives"),
    "data_split_test_fraction",
}


@pytest.mark.parametrize("name", [n for n in MODELS if n in MODEL_SPEC])
def test_options(name: str) -> None:
    """Every option of the surface is declared, none is invented, and simple defaults agree."""
    declared = declarations(MODELS[name].options)
    spec = {o["name"].lower(): o for o in MODEL_SPEC[name]["options"]} | {}
    spec.pop("model_type", None)
    missing = set(spec) - set(declared)
    assert sorted(missing - TUNING) == sorted(MISSING.get(name, {}))
    assert ("keep_examples" in declared) == has_place(MODELS[name])
    assert sorted(set(declared) - set(spec) - OURS_TUNING - OURS_EXAMPLES) == sorted(OURS.get(name, {}))
    for option, item in declared.items():
        if option not in spec or option in CONFLICTS or item.default is REQUIRED or item.default is None:
            continue
        written = str(spec[option]["default"]).strip()
        if re.fullmatch(r"-?\d+(\.\d+)?", written):
            assert float(item.default) == float(written), option
        elif written in ("TRUE", "FALSE"):
            assert item.default is (written == "TRUE"), option
        elif written in item.choices:
            assert item.default == written, option


def test_every_model_type_is_known() -> None:
    remote = {n for n in MODEL_SPEC if n.startswith("REMOTE")}
    assert set(MODEL_SPEC) - remote <= set(MODELS) | set(ELSEWHERE)


def test_functions_exist() -> None:
    """Every table function of the surface is cut out of queries; those that we have are of the surface."""
    published = {f["name"] for f in FUNCTION_SPEC if f["kind"] == "table_function"}
    assert published == set(TABLE_FUNCTIONS)
    assert set(FUNCTIONS) <= published
    local = {f["name"] for f in FUNCTION_SPEC if f["kind"] == "table_function" and f["runtime"].startswith("local")}
    assert sorted(local - set(FUNCTIONS) - {"ML.TRIAL_INFO"}) == []


def spec_columns(function: str, overload: str | None) -> list[str]:
    found = next(f for f in FUNCTION_SPEC if f["name"] == function and f.get("overload") == overload)
    return [o["column"] for o in found["output"] if o["when"] in ("always", "not KMEANS")]


@pytest.mark.parametrize(
    ("function", "overload", "call"),
    [
        ("ML.EVALUATE", "regression", "MODEL mass"),
        ("ML.EVALUATE", "classification", "MODEL sex"),
        ("ML.PREDICT", "regression", "MODEL mass, TABLE penguins"),
        ("ML.PREDICT", "classification", "MODEL sex, TABLE penguins"),
        ("ML.ROC_CURVE", None, "MODEL sex"),
        ("ML.WEIGHTS", "glm", "MODEL mass"),
        ("ML.TRAINING_INFO", "iterative", "MODEL sex"),
    ],
)
def test_output_columns(function: str, overload: str | None, call: str, penguins: sqlml.Connection) -> None:
    penguins.execute(
        "CREATE MODEL mass OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])"
        " AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL;"
        "CREATE MODEL sex OPTIONS(model_type='logistic_reg', input_label_cols=['sex'])"
        " AS SELECT * FROM penguins WHERE sex IN ('MALE', 'FEMALE')"
    )
    label = "sex" if "sex" in call else "body_mass_g"
    inputs = [d[0] for d in penguins.execute("SELECT * FROM penguins LIMIT 0").description or ()]
    expected: list[str] = []
    for column in spec_columns(function, overload):
        if column == "<input columns>":
            expected += inputs
        else:
            expected.append(column.replace("<label>", label))
    found = [d[0] for d in penguins.execute(f"SELECT * FROM {function}({call})").description or ()]
    assert found == expected
