"""Lists of videos, and transforms for video pipelines."""
