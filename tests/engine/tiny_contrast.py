"""A small MoCo on digits that the tests of the contrast hook train, also from processes of its own.

``python tiny_contrast.py JSON``. Not a test module; see conftest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tiny_run import main, make_host_config, save_losses

BACKBONE = dict(
    type="ResNet_CIFAR",
    depth=18,
    stem_channels=4,
    base_channels=4,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(1,),
)


def make_config(
    work_dir: Path | str,
    *,
    contrast: dict[str, Any] | None = None,
    images: int = 32,
    queue: int = 64,
    views: Any = (2,),
    batch_size: int = 8,
    custom_hooks: tuple[dict[str, Any], ...] = (),
    **settings: Any,
) -> dict[str, Any]:
    """The config of a run; ``contrast`` holds the hook's settings, None leaves it out."""
    view = [dict(type="RandomCrop", crop_size=16, padding=2), dict(type="RandomFlip", prob=0.5)]
    pipeline = [
        dict(type="MultiView", num_views=list(views), transforms=[view] * len(views)),
        dict(type="PackInputs"),
    ]
    return dict(
        default_scope="mmpretrain",
        model=dict(
            type="MoCo",
            queue_len=queue,
            feat_dim=8,
            momentum=0.05,
            data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=False),
            backbone=BACKBONE,
            neck=dict(type="MoCoV2Neck", in_channels=8, hid_channels=8, out_channels=8),
            head=dict(type="ContrastiveHead", loss=dict(type="CrossEntropyLoss"), temperature=0.2),
        ),
        **make_host_config(
            work_dir,
            dataset=dict(type="nda_mm.Digits", size=16, image_key="img", indices=images, pipeline=pipeline),
            batch_size=batch_size,
            hooks=[*custom_hooks, *([] if contrast is None else [dict(type="nda_mm.NDAContrastHook", **contrast)])],
            **settings,
        ),
    )


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    save_losses(main(make_config))
