"""The table of the preprocessing functions: name -> how it is built. Nothing else lists them."""

from __future__ import annotations

from sqlml.transform import buckets, expand, scalers, tfdv, vectors, vocabulary
from sqlml.transform.forms import Preprocess

_SCALAR = {
    "ML.BUCKETIZE": buckets.bucketize,
    "ML.HASH_BUCKETIZE": buckets.hash_bucketize,
    "ML.POLYNOMIAL_EXPAND": expand.polynomial_expand,
    "ML.FEATURE_CROSS": expand.feature_cross,
    "ML.NGRAMS": expand.ngrams,
    "ML.NORMALIZER": vectors.normalizer,
    "ML.DISTANCE": vectors.distance,
    "ML.LP_NORM": vectors.lp_norm,
    "ML.TFDV_VALIDATE": tfdv.tfdv_validate,
    "ML.DECODE_IMAGE": expand.not_supported,
    "ML.RESIZE_IMAGE": expand.not_supported,
    "ML.CONVERT_IMAGE_TYPE": expand.not_supported,
    "ML.CONVERT_COLOR_SPACE": expand.not_supported,
}
_ANALYTIC = {
    "ML.QUANTILE_BUCKETIZE": buckets.quantile_bucketize,
    "ML.MIN_MAX_SCALER": scalers.min_max_scaler,
    "ML.STANDARD_SCALER": scalers.standard_scaler,
    "ML.MAX_ABS_SCALER": scalers.max_abs_scaler,
    "ML.ROBUST_SCALER": scalers.robust_scaler,
    "ML.IMPUTER": scalers.imputer,
    "ML.ONE_HOT_ENCODER": vocabulary.one_hot_encoder,
    "ML.LABEL_ENCODER": vocabulary.label_encoder,
    "ML.MULTI_HOT_ENCODER": vocabulary.multi_hot_encoder,
    "ML.BAG_OF_WORDS": vocabulary.bag_of_words,
    "ML.TF_IDF": vocabulary.tf_idf,
}

PREPROCESS: dict[str, Preprocess] = {
    **{name: Preprocess(name, False, bind) for name, bind in _SCALAR.items()},
    **{name: Preprocess(name, True, bind) for name, bind in _ANALYTIC.items()},
}
