"""`python -m sqlml.shell` is the command `sqlml`."""

import sys

from sqlml.shell.main import main

sys.exit(main())
