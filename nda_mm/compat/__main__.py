"""``python -m nda_mm.compat [HOST ...]``: which hosts load here, and what to do about the others."""

from __future__ import annotations

import sys

from .report import main

if __name__ == "__main__":
    sys.exit(main())
