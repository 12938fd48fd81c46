"""Data sets of videos, and the steps of their pipelines."""
