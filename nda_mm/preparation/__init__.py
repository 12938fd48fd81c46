"""The verbs of ``tools/prepare_data.py``: data from what the user has, checked, to where the recipes look for them.

Each module adds its verbs by ``add_verbs``; a verb's ``run`` takes the parsed arguments and prints what it did.
"""

from . import boxes, images, outside, pairs, videos

__all__ = ["boxes", "images", "outside", "pairs", "videos"]
