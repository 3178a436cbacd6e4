"""What is offered at the cursor, and how fast."""

from __future__ import annotations

import time

import pytest

from sqlml.shell.complete import candidates
from sqlml.shell.names import Names, Vocabulary

NAMES = Names(
    tables={"penguins": "penguins", "shop.sales": "shop.sales"},
    columns={"penguins": ("species", "island", "body_mass_g"), "shop.sales": ("day", "amount")},
    schemas=("main", "shop"),
    models={"mass": "LINEAR_REG", "groups": "KMEANS"},
)
WORDS = Vocabulary(
    model_types=("LINEAR_REG", "KMEANS"),
    options={
        "LINEAR_REG": {
            "l2_reg": (),
            "optimize_strategy": ("AUTO_STRATEGY", "NORMAL_EQUATION"),
            "fit_intercept": ("TRUE", "FALSE"),
        },
        "KMEANS": {"num_clusters": (), "kmeans_init_method": ("RANDOM", "KMEANS++")},
    },
    functions=("ML.PREDICT", "ML.WEIGHTS", "ML.CENTROIDS", "ML.ROC_CURVE", "ML.BUCKETIZE"),
    answers={
        "ML.PREDICT": frozenset({"LINEAR_REG", "KMEANS"}),
        "ML.WEIGHTS": frozenset({"LINEAR_REG"}),
        "ML.CENTROIDS": frozenset({"KMEANS"}),
        "ML.ROC_CURVE": frozenset({"LOGISTIC_REG"}),
    },
)


def offered(text: str) -> list[str]:
    """Candidates at the `|` of a text."""
    cursor = text.index("|")
    return [c.text for c in candidates(text.replace("|", ""), cursor, NAMES, WORDS)]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("SELECT * FROM pen|", "penguins"),
        ("SELECT * FROM shop.|", "sales"),
        ("SELECT isl| FROM penguins", "island"),
        ("SELECT p.b| FROM penguins AS p", "body_mass_g"),
        ("SELECT s.a| FROM penguins p JOIN shop.sales s", "amount"),
        ("SELECT 1; SELECT am| FROM shop.sales; SELECT 2", "amount"),
        ("sel|", "select"),
        ("SEL|", "SELECT"),
        ("CREATE MODEL m OPTIONS(mod|", "model_type"),
        ("CREATE MODEL m OPTIONS(model_type=|", "'LINEAR_REG'"),
        ("CREATE MODEL m OPTIONS(model_type='KM|", "KMEANS"),
        ("CREATE MODEL m OPTIONS(model_type='kmeans', num|", "num_clusters"),
        ("CREATE MODEL m OPTIONS(|, model_type='kmeans')", "num_clusters"),
        ("CREATE MODEL m OPTIONS(model_type='kmeans', kmeans_init_method='RAN|", "RANDOM"),
        ("CREATE MODEL m OPTIONS(model_type='linear_reg', fit_intercept = |", "TRUE"),
        ("CREATE MODEL m OPTIONS(input_label_cols=['bo|']) AS SELECT * FROM penguins", "body_mass_g"),
        ("DROP MODEL gr|", "groups"),
        ("SELECT * FROM ML.PRE|", "PREDICT"),
    ],
)
def test_first_candidate(text: str, first: str) -> None:
    assert offered(text)[0] == first


def test_options_of_the_type_alone() -> None:
    names = offered("CREATE MODEL m OPTIONS(model_type='kmeans', |")
    assert names == ["num_clusters", "kmeans_init_method"]
    assert "num_clusters" not in offered("CREATE MODEL m OPTIONS(model_type='kmeans', num_clusters=3, |")


def test_models_that_answer_the_function() -> None:
    assert offered("SELECT * FROM ML.WEIGHTS(MODEL |") == ["mass"]
    assert offered("SELECT * FROM ML.CENTROIDS(MODEL |") == ["groups"]
    assert offered("SELECT * FROM ML.PREDICT(MODEL |") == ["mass", "groups"]


def test_functions_that_no_model_answers_come_last() -> None:
    assert offered("SELECT * FROM ML.|")[-1] == "ROC_CURVE"


def test_replaces_the_word_alone() -> None:
    text = "SELECT * FROM shop.sa"
    (only,) = candidates(text, len(text), NAMES, WORDS)
    assert (only.text, only.length) == ("sales", 2)


def test_a_thousand_tables() -> None:
    tables = {f"table_{i}": f"table_{i}" for i in range(1000)}
    columns = {key: tuple(f"column_{j}_of_{key}" for j in range(20)) for key in tables}
    names = Names(tables=tables, columns=columns, schemas=("main",), models={})
    for text in (
        "SELECT * FROM table_9",
        "SELECT column_1 FROM table_999",
        "SELECT zz",
        "SELECT a.c FROM table_5 a",
    ):
        start = time.process_time()
        candidates(text, len(text), names, WORDS)
        assert time.process_time() - start < 0.05
