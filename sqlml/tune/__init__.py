"""Hyperparameter tuning: what is searched (`spaces`), how points are chosen (`search`), trials (`trials`).

Knows models and their options, but no rows and no database: how a trial is trained and judged is handed in.
"""

from __future__ import annotations

from sqlml.tune.spaces import Dimension, Written, objective_of, read_spaces, settled
from sqlml.tune.trials import Attempt, Outcome, run_trials

__all__ = ["Attempt", "Dimension", "Outcome", "Written", "objective_of", "read_spaces", "run_trials", "settled"]
