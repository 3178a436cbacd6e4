"""The type of an entry of the function tables."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from sqlml.translate.context import Call

Function = str | Callable[[Call], exp.Expression]
"""A DuckDB name, a template with holes `{0}`, or a rule."""
