"""Models and loss modules, imported on first use: ``from nda_mm.models import NDABigGAN`` loads only mmagic."""

from nda_mm.compat.lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__)
