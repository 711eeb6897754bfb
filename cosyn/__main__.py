"""`python -m cosyn`."""

from __future__ import annotations

import sys

from cosyn.cli import main

sys.exit(main())
