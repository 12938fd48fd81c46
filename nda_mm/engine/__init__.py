"""What serves mmengine's Runner: exact training loops, safe checkpoints, hooks.

A module that needs mmengine alone is imported plainly, one that needs a host through ``import_guarded``.
"""

from __future__ import annotations

from nda_mm.compat import import_guarded

from . import (
    bf16_optim_wrapper,
    deferred_info_hook,
    epoch_loop,
    finite_loss_hook,
    iter_loop,
    knn_hook,
    negative_grid_hook,
    point_sheet_hook,
    positive_transform_hook,
    pretrained_check_hook,
    safe_checkpoint_hook,
    sample_sheet_hook,
    stop_on_signal_hook,
    translation_sheet_hook,
    video_backbone_check_hook,
)

__all__ = [
    "bf16_optim_wrapper",
    "deferred_info_hook",
    "epoch_loop",
    "finite_loss_hook",
    "iter_loop",
    "knn_hook",
    "negative_grid_hook",
    "point_sheet_hook",
    "positive_transform_hook",
    "pretrained_check_hook",
    "safe_checkpoint_hook",
    "sample_sheet_hook",
    "stop_on_signal_hook",
    "translation_sheet_hook",
    "video_backbone_check_hook",
]

import_guarded("nda_mm.engine.contrast_hook", host="mmpretrain")
