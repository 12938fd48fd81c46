"""Models and loss modules. What needs a host is imported only where that host loads."""

from nda_mm.compat import import_guarded
from nda_mm.models import (  # noqa: F401  (registers them)
    augment,
    conv_gru,
    dpc,
    dpc_encoder,
    losses,
    point_networks,
    refused_gans,
)

import_guarded("nda_mm.models.ada", host="mmagic")
import_guarded("nda_mm.models.batch_preprocessor", host="mmagic")
import_guarded("nda_mm.models.dpc_head", host="mmaction2")
import_guarded("nda_mm.models.gan", host="mmagic")
import_guarded("nda_mm.models.growing_gan", host="mmagic")
import_guarded("nda_mm.models.moving_average", host="mmagic")
import_guarded("nda_mm.models.pix2pix", host="mmagic")
import_guarded("nda_mm.models.res_layer_extra_norm", host="mmdet")
import_guarded("nda_mm.models.resnet2d3d", host="mmaction2")
import_guarded("nda_mm.models.shifted_backbone", host="mmaction2")
import_guarded("nda_mm.models.style_gan", host="mmagic")
