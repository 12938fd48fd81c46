"""The verbs of ``tools/prepare_data.py``: data from what the user has, checked, to where the recipes look for them.

Each module adds its verbs by ``add_verbs``; a verb's ``run`` takes the parsed arguments, prints what it did, and may
return an exit status.
"""

from . import boxes, images, outside, pairs, sheets, videos

__all__ = ["boxes", "images", "outside", "pairs", "sheets", "videos"]
