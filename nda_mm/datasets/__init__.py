"""Data sets and pipeline transforms, for every host's config by the prefix ``nda_mm.``. Imported at first use.

``images``, ``videos`` and images with boxes (``checked_boxes``) are read from the folders of a user; ``toy`` data sets
need no download.
"""

from nda_mm.compat.lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__)
