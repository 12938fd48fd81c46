"""Recipes against each other: the same seeds, the same budget, one table. What tools/compare.py and transfer.py run."""
