"""The ML.* and AI.* table functions: one record each, and one line here."""

from __future__ import annotations

from sqlml.functions.anomalies import DETECT_ANOMALIES
from sqlml.functions.arima import ARIMA_COEFFICIENTS, ARIMA_EVALUATE, HOLIDAY_INFO
from sqlml.functions.base import TableFunction
from sqlml.functions.correlation import CORRELATION
from sqlml.functions.describe import DESCRIBE_DATA
from sqlml.functions.drift import VALIDATE_DATA_DRIFT, VALIDATE_DATA_SKEW
from sqlml.functions.embed import AI_EMBEDDING, ML_EMBEDDING, RECONSTRUCTION_LOSS
from sqlml.functions.evaluate import CONFUSION_MATRIX, EVALUATE, ROC_CURVE
from sqlml.functions.explain import EXPLAIN_PREDICT, GLOBAL_EXPLAIN
from sqlml.functions.features_at_time import ENTITY_FEATURES_AT_TIME, FEATURES_AT_TIME
from sqlml.functions.forecast import EXPLAIN_FORECAST, FORECAST
from sqlml.functions.foundation import AI_DETECT_ANOMALIES, AI_EVALUATE, AI_FORECAST
from sqlml.functions.insights import GET_INSIGHTS, KEY_DRIVERS
from sqlml.functions.inspect import (
    ADVANCED_WEIGHTS,
    CENTROIDS,
    FEATURE_IMPORTANCE,
    FEATURE_INFO,
    PRINCIPAL_COMPONENT_INFO,
    PRINCIPAL_COMPONENTS,
    TRAINING_INFO,
    WEIGHTS,
)
from sqlml.functions.predict import PREDICT
from sqlml.functions.recommend import RECOMMEND
from sqlml.functions.series import DETECT_CHANGE_POINTS, SEASONALITY, TREND
from sqlml.functions.tfdv import TFDV_DESCRIBE
from sqlml.functions.transform import TRANSFORM
from sqlml.functions.trials import TRIAL_INFO

#: Every table function by name.
FUNCTIONS: dict[str, TableFunction] = {
    f.name: f
    for f in (
        PREDICT,
        EVALUATE,
        CONFUSION_MATRIX,
        ROC_CURVE,
        EXPLAIN_PREDICT,
        GLOBAL_EXPLAIN,
        TRIAL_INFO,
        GET_INSIGHTS,
        KEY_DRIVERS,
        WEIGHTS,
        ADVANCED_WEIGHTS,
        CENTROIDS,
        PRINCIPAL_COMPONENTS,
        PRINCIPAL_COMPONENT_INFO,
        FEATURE_IMPORTANCE,
        FEATURE_INFO,
        TRAINING_INFO,
        FORECAST,
        EXPLAIN_FORECAST,
        ARIMA_EVALUATE,
        ARIMA_COEFFICIENTS,
        HOLIDAY_INFO,
        DETECT_ANOMALIES,
        TREND,
        SEASONALITY,
        DETECT_CHANGE_POINTS,
        AI_FORECAST,
        AI_EVALUATE,
        AI_DETECT_ANOMALIES,
        RECOMMEND,
        TRANSFORM,
        FEATURES_AT_TIME,
        ENTITY_FEATURES_AT_TIME,
        CORRELATION,
        DESCRIBE_DATA,
        VALIDATE_DATA_DRIFT,
        VALIDATE_DATA_SKEW,
        TFDV_DESCRIBE,
        RECONSTRUCTION_LOSS,
        ML_EMBEDDING,
        AI_EMBEDDING,
    )
}
