"""DuckDB's plans, read as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Operators of a plan that make reading the rows again no dearer than reading a copy.
CHEAP = {"PROJECTION", "FILTER", "SEQ_SCAN", "TABLE_SCAN", "ARROW_SCAN", "PANDAS_SCAN", "READ_PARQUET", "EMPTY_RESULT"}


def first_expensive(plan: Sequence[Mapping[str, Any]]) -> str | None:
    """The name of the first operator that should not run twice, or None."""
    waiting = list(plan)
    while waiting:
        node = waiting.pop()
        name = str(node["name"]).strip().upper()
        children = list(node.get("children", ()))
        if _is_membership(name, node, children):
            children = children[:1]
        elif name not in CHEAP:
            return name
        waiting.extend(children)
    return None


def _is_membership(name: str, node: Mapping[str, Any], children: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a join is `x IN (many constants)`: a look into a small hash table, no dearer than a filter."""
    kind = str(node.get("extra_info", {}).get("Join Type", ""))
    listed = len(children) == 2 and str(children[1]["name"]).strip().upper() == "COLUMN_DATA_SCAN"
    return name == "HASH_JOIN" and kind in ("MARK", "SEMI", "ANTI") and listed
