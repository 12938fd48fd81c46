"""Models and loss modules. What needs a host is imported only where that host loads."""

from nda_mm.compat import import_guarded
from nda_mm.models import losses  # noqa: F401  (registers the loss modules)

import_guarded("nda_mm.models.gan", host="mmagic")
import_guarded("nda_mm.models.res_layer_extra_norm", host="mmdet")
import_guarded("nda_mm.models.shifted_backbone", host="mmaction2")
