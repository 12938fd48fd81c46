"""Recipes compared over the same seeds and the same budget: what the commands compare, screen and transfer run."""
