"""The model types: one file each, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlml.errors import NameError, NotSupportedError, did_you_mean
from sqlml.models.base import Model
from sqlml.options import declarations


def _linear() -> Model[Any, Any]:
    from sqlml.models.linear import LinearReg

    return LinearReg()


def _logistic() -> Model[Any, Any]:
    from sqlml.models.logistic import LogisticReg

    return LogisticReg()


def _dnn_classifier() -> Model[Any, Any]:
    from sqlml.models.dnn import DnnClassifier

    return DnnClassifier()


def _dnn_regressor() -> Model[Any, Any]:
    from sqlml.models.dnn import DnnRegressor

    return DnnRegressor()


def _wide_classifier() -> Model[Any, Any]:
    from sqlml.models.wide_and_deep import WideClassifier

    return WideClassifier()


def _wide_regressor() -> Model[Any, Any]:
    from sqlml.models.wide_and_deep import WideRegressor

    return WideRegressor()


def _autoencoder() -> Model[Any, Any]:
    from sqlml.models.autoencoder import Autoencoder

    return Autoencoder()


def _matrix_factorization() -> Model[Any, Any]:
    from sqlml.models.matrix_factorization import MatrixFactorization

    return MatrixFactorization()


def _kmeans() -> Model[Any, Any]:
    from sqlml.models.kmeans import KMeans

    return KMeans()


def _pca() -> Model[Any, Any]:
    from sqlml.models.pca import Pca

    return Pca()


def _arima_plus() -> Model[Any, Any]:
    from sqlml.models.arima_plus import ArimaPlus

    return ArimaPlus()


def _arima_plus_xreg() -> Model[Any, Any]:
    from sqlml.models.arima_plus_xreg import ArimaPlusXreg

    return ArimaPlusXreg()


def _transform_only() -> Model[Any, Any]:
    from sqlml.models.transform_only import TransformOnly

    return TransformOnly()


def _contribution() -> Model[Any, Any]:
    from sqlml.models.contribution import ContributionAnalysis

    return ContributionAnalysis()


def _boosted_tree_classifier() -> Model[Any, Any]:
    from sqlml.models.boosted_trees import BoostedTreeClassifier

    return BoostedTreeClassifier()


def _boosted_tree_regressor() -> Model[Any, Any]:
    from sqlml.models.boosted_trees import BoostedTreeRegressor

    return BoostedTreeRegressor()


def _random_forest_classifier() -> Model[Any, Any]:
    from sqlml.models.random_forest import RandomForestClassifier

    return RandomForestClassifier()


def _random_forest_regressor() -> Model[Any, Any]:
    from sqlml.models.random_forest import RandomForestRegressor

    return RandomForestRegressor()


def _automl_classifier() -> Model[Any, Any]:
    from sqlml.models.automl import AutoClassifier

    return AutoClassifier()


def _automl_regressor() -> Model[Any, Any]:
    from sqlml.models.automl import AutoRegressor

    return AutoRegressor()


class Registry(Mapping[str, Model[Any, Any]]):
    """Model types by name; a file is imported when its type is first asked for."""

    def __init__(self, loaders: Mapping[str, Callable[[], Model[Any, Any]]]):
        self._loaders = dict(loaders)
        self._loaded: dict[Callable[[], Model[Any, Any]], Model[Any, Any]] = {}

    def __getitem__(self, name: str) -> Model[Any, Any]:
        loader = self._loaders[name]
        if loader not in self._loaded:
            self._loaded[loader] = loader()
        return self._loaded[loader]

    def __contains__(self, name: object) -> bool:
        return name in self._loaders

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)


#: Every model type that can be trained, by its name in MODEL_TYPE.
MODELS = Registry(
    {
        "LINEAR_REG": _linear,
        "LOGISTIC_REG": _logistic,
        "DNN_CLASSIFIER": _dnn_classifier,
        "DNN_REGRESSOR": _dnn_regressor,
        "DNN_LINEAR_COMBINED_CLASSIFIER": _wide_classifier,
        "DNN_LINEAR_COMBINED_REGRESSOR": _wide_regressor,
        "AUTOENCODER": _autoencoder,
        "MATRIX_FACTORIZATION": _matrix_factorization,
        "KMEANS": _kmeans,
        "PCA": _pca,
        "BOOSTED_TREE_CLASSIFIER": _boosted_tree_classifier,
        "BOOSTED_TREE_REGRESSOR": _boosted_tree_regressor,
        "RANDOM_FOREST_CLASSIFIER": _random_forest_classifier,
        "RANDOM_FOREST_REGRESSOR": _random_forest_regressor,
        "ARIMA_PLUS": _arima_plus,
        "TRANSFORM_ONLY": _transform_only,
        "ARIMA": _arima_plus,
        "CONTRIBUTION_ANALYSIS": _contribution,
        "AUTOML_CLASSIFIER": _automl_classifier,
        "AUTOML_REGRESSOR": _automl_regressor,
        "ARIMA_PLUS_XREG": _arima_plus_xreg,
    }
)

#: Names of BigQuery ML's model types that cannot be made here, with the reason.
ELSEWHERE: dict[str, str] = {
    "TENSORFLOW": "imported TensorFlow models are not supported.",
    "TENSORFLOW_LITE": "imported TensorFlow Lite models are not supported.",
    "ONNX": "imported ONNX models are not supported yet.",
    "XGBOOST": "imported XGBoost models are not supported yet.",
    "TIMESFM": "AI.FORECAST runs TimesFM without a model, once SET sqlml.timesfm names its weights.",
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
