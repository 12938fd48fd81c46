"""What serves mmengine's Runner: exact training loops, safe checkpoints, hooks. Imported at first use."""

from nda_mm.compat.lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__)
