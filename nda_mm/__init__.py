"""Negative Data Augmentation (Sinha et al., ICLR 2021) for the OpenMMLab frameworks.

Importing this package imports neither torch nor a host framework; each part loads what it needs when it is used.
"""

__version__ = "0.2.0"

__all__ = ["__version__"]
