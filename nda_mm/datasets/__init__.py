"""Data sets and pipeline transforms, available in any host's config with the prefix ``nda_mm.``. Imported lazily.

``images``, ``videos`` and images with boxes (``checked_boxes``) are read from the user's folders; the ``toy`` data sets
need no download.
"""

from nda_mm.compat.lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__)
