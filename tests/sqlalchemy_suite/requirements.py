"""What the dialect does not do, so that the suite leaves it out. Every line says why."""

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

closed, open_ = exclusions.closed, exclusions.open


class Requirements(SuiteRequirements):
    """GoogleSQL over DuckDB."""

