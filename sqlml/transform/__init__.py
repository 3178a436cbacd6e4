"""Features in SQL: the preprocessing functions, and the TRANSFORM(...) clause."""

from sqlml.transform.clause import Transform, TransformItem, TransformPlan, plan_transform
from sqlml.transform.functions import PREPROCESS
from sqlml.transform.rewrite import rewrite, with_values
from sqlml.transform.tfdv import VALIDATE

__all__ = [
    "PREPROCESS",
    "VALIDATE",
    "Transform",
    "TransformItem",
    "TransformPlan",
    "plan_transform",
    "rewrite",
    "with_values",
]
