"""Loads SQLAlchemy's test plugin for this folder alone."""

import pathlib
import sys

import pytest
from sqlalchemy.dialects import registry

registry.register("sqlml", "sqlml.sqlalchemy", "SqlmlDialect")
sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403
