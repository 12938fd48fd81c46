"""Imported by the registry at its first use: registers every hook, loop and optimizer wrapper whose host loads."""

from nda_mm.compat.lazy import import_all

import_all("nda_mm.engine")
