"""Small tables and statements from which docs/generate.py learns the columns that functions return."""

from __future__ import annotations

import pathlib

PENGUINS_CSV = pathlib.Path(__file__).resolve().parents[1] / "sqlml" / "data" / "penguins.csv"

TABLES = (
    f"CREATE TABLE all_penguins AS SELECT * FROM read_csv('{PENGUINS_CSV}')",
    "CREATE TABLE penguins AS SELECT species, island, culmen_length_mm, flipper_length_mm, body_mass_g, sex"
    " FROM all_penguins WHERE body_mass_g IS NOT NULL AND sex IN ('MALE', 'FEMALE')",
    "CREATE TABLE visits AS SELECT DATE '2020-01-01' + i::INTEGER AS day,"
    " 100.0 + i % 7 * 10 + i / 5.0 AS visits, (i % 11)::DOUBLE AS ads FROM range(120) AS r(i)",
    "CREATE TABLE next_visits AS SELECT DATE '2020-04-30' + i::INTEGER AS day, (i % 11)::DOUBLE AS ads"
    " FROM range(10) AS r(i)",
    "CREATE TABLE ratings AS SELECT 'u' || (i // 9) AS user, 'i' || (i % 9) AS item, (i * 7 % 5)::DOUBLE AS rating"
    " FROM range(108) AS r(i)",
    "CREATE TABLE sales AS SELECT (i % 2 = 0) AS is_test, 's' || (i % 3) AS shop, 'p' || (i % 4) AS product,"
    " (10 + i % 2 * (i % 3) * 5)::DOUBLE AS amount FROM range(240) AS r(i)",
)

_CLASSIFIER = "OPTIONS (model_type = '{type}', input_label_cols = ['sex']{more}) AS\nSELECT * FROM penguins"
_REGRESSOR = "OPTIONS (model_type = '{type}', input_label_cols = ['body_mass_g']{more}) AS\nSELECT * FROM penguins"
_TREES = ", max_iterations = 5"
_NETWORK = ", hidden_units = [8], max_iterations = 2"


def _create(name: str, rest: str) -> str:
    return f"CREATE OR REPLACE MODEL {name.lower()}\n{rest}"


def _supervised() -> dict[str, str]:
    more = {
        "LINEAR_REG": ", calculate_p_values = TRUE, category_encoding_method = 'DUMMY_ENCODING', enable_global_explain = TRUE",
        "LOGISTIC_REG": ", calculate_p_values = TRUE, category_encoding_method = 'DUMMY_ENCODING', enable_global_explain = TRUE",
        "BOOSTED_TREE": _TREES + ", enable_global_explain = TRUE",
        "RANDOM_FOREST": ", num_parallel_tree = 5, enable_global_explain = TRUE",
        "DNN_LINEAR_COMBINED": _NETWORK + ", enable_global_explain = TRUE",
        "DNN": _NETWORK + ", enable_global_explain = TRUE",
    }
    found = {}
    for kind, options in more.items():
        regressor = kind if kind == "LINEAR_REG" else f"{kind}_REGRESSOR"
        classifier = kind if kind == "LOGISTIC_REG" else f"{kind}_CLASSIFIER"
        if kind != "LOGISTIC_REG":
            found[regressor] = _create(regressor, _REGRESSOR.format(type=regressor, more=options))
        if kind != "LINEAR_REG":
            found[classifier] = _create(classifier, _CLASSIFIER.format(type=classifier, more=options))
    return found


MODELS_TO_TRAIN: dict[str, str] = {
    **_supervised(),
    "KMEANS": _create("KMEANS", "OPTIONS (model_type = 'KMEANS', num_clusters = 3) AS\nSELECT * FROM penguins"),
    "PCA": _create(
        "PCA",
        "OPTIONS (model_type = 'PCA', num_principal_components = 2, keep_examples = 100) AS\nSELECT * FROM penguins",
    ),
    "AUTOENCODER": _create(
        "AUTOENCODER",
        "OPTIONS (model_type = 'AUTOENCODER', hidden_units = [4, 2, 4], max_iterations = 2, keep_examples = 100) AS\n"
        "SELECT * FROM penguins",
    ),
    "MATRIX_FACTORIZATION": _create(
        "MATRIX_FACTORIZATION",
        "OPTIONS (model_type = 'MATRIX_FACTORIZATION', user_col = 'user', item_col = 'item', rating_col = 'rating',"
        " num_factors = 2) AS\nSELECT * FROM ratings",
    ),
    "ARIMA_PLUS": _create(
        "ARIMA_PLUS",
        "OPTIONS (model_type = 'ARIMA_PLUS', time_series_timestamp_col = 'day', time_series_data_col = 'visits') AS\n"
        "SELECT day, visits FROM visits",
    ),
    "ARIMA_PLUS_XREG": _create(
        "ARIMA_PLUS_XREG",
        "OPTIONS (model_type = 'ARIMA_PLUS_XREG', time_series_timestamp_col = 'day',"
        " time_series_data_col = 'visits') AS\nSELECT day, visits, ads FROM visits",
    ),
    "CONTRIBUTION_ANALYSIS": _create(
        "CONTRIBUTION_ANALYSIS",
        "OPTIONS (model_type = 'CONTRIBUTION_ANALYSIS', contribution_metric = 'SUM(amount)',"
        " dimension_id_cols = ['shop', 'product'], is_test_col = 'is_test') AS\nSELECT * FROM sales",
    ),
    "TRANSFORM_ONLY": _create(
        "TRANSFORM_ONLY",
        "TRANSFORM (ML.STANDARD_SCALER(body_mass_g) OVER () AS mass, species)\n"
        "OPTIONS (model_type = 'TRANSFORM_ONLY') AS\nSELECT * FROM penguins",
    ),
}

_DATA = "TABLE penguins"
_OF_MODEL = "SELECT * FROM {function}(MODEL {{model}})"


def _plain(function: str, **others: str) -> dict[str, str]:
    return {"": _OF_MODEL.format(function=function), **others}


def _with_data(function: str, **others: str) -> dict[str, str]:
    return {"": f"SELECT * FROM {function}(MODEL {{model}}, {_DATA})", **others}


#: Function -> model type ("" for every other) -> a call.
CALLS: dict[str, dict[str, str]] = {
    **{
        name: _plain(name)
        for name in (
            "ML.EVALUATE",
            "ML.CONFUSION_MATRIX",
            "ML.ROC_CURVE",
            "ML.WEIGHTS",
            "ML.ADVANCED_WEIGHTS",
            "ML.FEATURE_INFO",
            "ML.TRAINING_INFO",
            "ML.FEATURE_IMPORTANCE",
            "ML.GLOBAL_EXPLAIN",
            "ML.CENTROIDS",
            "ML.PRINCIPAL_COMPONENTS",
            "ML.PRINCIPAL_COMPONENT_INFO",
            "ML.RECOMMEND",
            "ML.FORECAST",
            "ML.EXPLAIN_FORECAST",
            "ML.ARIMA_EVALUATE",
            "ML.ARIMA_COEFFICIENTS",
            "ML.HOLIDAY_INFO",
            "ML.GET_INSIGHTS",
        )
    },
    **{
        name: _with_data(name)
        for name in (
            "ML.PREDICT",
            "ML.EXPLAIN_PREDICT",
            "ML.RECONSTRUCTION_LOSS",
            "ML.GENERATE_EMBEDDING",
            "AI.GENERATE_EMBEDDING",
            "ML.VALIDATE_DATA_SKEW",
        )
    },
    "ML.DETECT_ANOMALIES": {
        "": f"SELECT * FROM ML.DETECT_ANOMALIES(MODEL {{model}}, STRUCT(0.1 AS contamination), {_DATA})",
        "ARIMA_PLUS": "SELECT * FROM ML.DETECT_ANOMALIES(MODEL {model}, STRUCT(0.9 AS anomaly_prob_threshold))",
        "ARIMA_PLUS_XREG": "SELECT * FROM ML.DETECT_ANOMALIES(MODEL {model}, STRUCT(0.9 AS anomaly_prob_threshold))",
    },
}
CALLS["ML.FORECAST"]["ARIMA_PLUS_XREG"] = (
    "SELECT * FROM ML.FORECAST(MODEL {model}, STRUCT(5 AS horizon, 0.9 AS confidence_level), TABLE next_visits)"
)
CALLS["ML.EXPLAIN_FORECAST"]["ARIMA_PLUS_XREG"] = (
    "SELECT * FROM ML.EXPLAIN_FORECAST(MODEL {model}, STRUCT(5 AS horizon, 0.9 AS confidence_level), TABLE next_visits)"
)
CALLS["ML.TRANSFORM"] = {"TRANSFORM_ONLY": "SELECT * FROM ML.TRANSFORM(MODEL {model}, TABLE penguins)"}
for _name in ("ML.GENERATE_EMBEDDING", "AI.GENERATE_EMBEDDING"):
    CALLS[_name]["MATRIX_FACTORIZATION"] = f"SELECT * FROM {_name}(MODEL {{model}})"

_SERIES = "data_col => 'visits', timestamp_col => 'day'"
CALLS |= {
    "ML.TREND": {"": f"SELECT * FROM ML.TREND(TABLE visits, {_SERIES})"},
    "ML.SEASONALITY": {"": f"SELECT * FROM ML.SEASONALITY(TABLE visits, {_SERIES})"},
    "ML.DETECT_CHANGE_POINTS": {"": f"SELECT * FROM ML.DETECT_CHANGE_POINTS(TABLE visits, {_SERIES})"},
    "AI.FORECAST": {"": f"SELECT * FROM AI.FORECAST(TABLE visits, {_SERIES})"},
    "AI.EVALUATE": {
        "": "SELECT * FROM AI.EVALUATE((SELECT * FROM visits WHERE day < '2020-04-01'),"
        f" (SELECT * FROM visits WHERE day >= '2020-04-01'), {_SERIES})"
    },
    "AI.DETECT_ANOMALIES": {
        "": "SELECT * FROM AI.DETECT_ANOMALIES((SELECT * FROM visits WHERE day < '2020-04-01'),"
        f" (SELECT * FROM visits WHERE day >= '2020-04-01'), {_SERIES})"
    },
    "ML.FEATURES_AT_TIME": {
        "": "SELECT * FROM ML.FEATURES_AT_TIME((SELECT user AS entity_id, rating,"
        " TIMESTAMP '2024-01-01' AS feature_timestamp FROM ratings), time => TIMESTAMP '2024-02-01')"
    },
    "ML.ENTITY_FEATURES_AT_TIME": {
        "": "SELECT * FROM ML.ENTITY_FEATURES_AT_TIME((SELECT user AS entity_id, rating,"
        " TIMESTAMP '2024-01-01' AS feature_timestamp FROM ratings),"
        " (SELECT user AS entity_id, TIMESTAMP '2024-02-01' AS time FROM ratings))"
    },
    "ML.CORRELATION": {
        "": "SELECT * FROM ML.CORRELATION(TABLE visits, target_col => 'visits', target_correlation_cols => ['ads'])"
    },
    "ML.DESCRIBE_DATA": {"": "SELECT * FROM ML.DESCRIBE_DATA(TABLE penguins)"},
    "ML.VALIDATE_DATA_DRIFT": {"": "SELECT * FROM ML.VALIDATE_DATA_DRIFT(TABLE penguins, TABLE all_penguins)"},
    "ML.TFDV_DESCRIBE": {"": "SELECT * FROM ML.TFDV_DESCRIBE(TABLE penguins)"},
    "AI.KEY_DRIVERS": {
        "": "SELECT * FROM AI.KEY_DRIVERS(TABLE sales, metric_col => 'amount', dimension_cols => ['shop'], interest_label_col => 'is_test')"
    },
}

#: Models beside those of MODELS_TO_TRAIN that the calls need.
ALSO_TO_TRAIN = (
    "CREATE OR REPLACE MODEL tuned OPTIONS (model_type = 'LINEAR_REG', input_label_cols = ['body_mass_g'],"
    " num_trials = 2, l2_reg = HPARAM_RANGE(0, 1)) AS SELECT * FROM penguins",
)
CALLS["ML.TRIAL_INFO"] = {"LINEAR_REG": "SELECT * FROM ML.TRIAL_INFO(MODEL tuned)"}
