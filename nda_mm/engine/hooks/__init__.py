"""Hooks of mmengine's Runner, one file a hook; import them from :mod:`nda_mm.engine`."""
