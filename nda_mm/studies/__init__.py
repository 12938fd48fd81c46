"""Comparisons of recipes over seeds at equal budgets, for ``tools/compare.py``, ``screen.py`` and ``transfer.py``."""
