"""Imported by the registry at its first use: registers every model whose host loads."""

from nda_mm.compat.lazy import import_all

import_all("nda_mm.models")
