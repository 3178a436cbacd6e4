"""The model types: one file each, and one line here."""

from __future__ import annotations

from sqlml.errors import NameError, NotSupportedError, did_you_mean
from sqlml.models.arima_plus import ArimaPlus
from sqlml.models.autoencoder import Autoencoder
from sqlml.models.base import Model
from sqlml.models.dnn import DnnClassifier, DnnRegressor
from sqlml.models.linear import LinearReg
from sqlml.models.logistic import LogisticReg
from sqlml.models.matrix_factorization import MatrixFactorization
from sqlml.models.wide_and_deep import WideClassifier, WideRegressor
from sqlml.options import declarations

#: Every model type that can be trained, by its name in MODEL_TYPE.
MODELS: dict[str, Model] = {  # type: ignore[type-arg]
    name: model
    for model in (
        LinearReg(),
        LogisticReg(),
        DnnClassifier(),
        DnnRegressor(),
        WideClassifier(),
        WideRegressor(),
        Autoencoder(),
        MatrixFactorization(),
        ArimaPlus(),
    )
    for name in model.names
}

#: Names of BigQuery ML's model types that cannot be made here, with the reason.
ELSEWHERE: dict[str, str] = {
    "TENSORFLOW": "imported TensorFlow models are not supported.",
    "TENSORFLOW_LITE": "imported TensorFlow Lite models are not supported.",
    "ONNX": "imported ONNX models are not supported yet.",
    "XGBOOST": "imported XGBoost models are not supported yet.",
    "TIMESFM": "the weights of TimesFM are not part of this package.",
    "BOOSTED_TREE_CLASSIFIER": "boosted trees are not built yet.",
    "BOOSTED_TREE_REGRESSOR": "boosted trees are not built yet.",
    "RANDOM_FOREST_CLASSIFIER": "random forests are not built yet.",
    "RANDOM_FOREST_REGRESSOR": "random forests are not built yet.",
    "KMEANS": "k-means is not built yet.",
    "PCA": "PCA is not built yet.",
    "ARIMA_PLUS_XREG": "forecasting is not built yet.",
    "AUTOML_CLASSIFIER": "AutoML is not built yet.",
    "AUTOML_REGRESSOR": "AutoML is not built yet.",
    "CONTRIBUTION_ANALYSIS": "contribution analysis is not built yet.",
    "TRANSFORM_ONLY": "transform-only models are not built yet.",
}


def model_type(name: str) -> Model:  # type: ignore[type-arg]
    """The model type called `name`. Raises `NameError` or `NotSupportedError`."""
    key = name.upper()
    if key in MODELS:
        return MODELS[key]
    if key in ELSEWHERE:
        raise NotSupportedError(f"MODEL_TYPE '{key}' cannot be trained here: {ELSEWHERE[key]}")
    hint = did_you_mean(name, [*MODELS, *ELSEWHERE])
    raise NameError(f"MODEL_TYPE must be a known model type. Got {name!r}.", hint=hint)


def owners(option: str) -> list[str]:
    """The model types that have an option of this name (lower case)."""
    return [name for name, model in MODELS.items() if option in declarations(model.options)]
