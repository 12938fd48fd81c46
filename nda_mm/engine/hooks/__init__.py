"""Hooks for mmengine's Runner; import them from :mod:`nda_mm.engine`."""
