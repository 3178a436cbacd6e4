"""Statements -> plans. Every name and option is checked here, before any work is done.

A plan holds DuckDB SQL and bound records; `execute` and `train` run it. `session` is what a connection
knows; `query` inlines ML functions; `create` checks CREATE MODEL; `locate` puts DuckDB's errors at the place
in the user's text.
"""

from sqlml.plan.create import CreatePlan, plan_create
from sqlml.plan.locate import locate
from sqlml.plan.query import Planner, QueryPlan, plan_query
from sqlml.plan.session import SETTINGS, Session, Settings

__all__ = [
    "SETTINGS",
    "CreatePlan",
    "Planner",
    "QueryPlan",
    "Session",
    "Settings",
    "locate",
    "plan_create",
    "plan_query",
]
