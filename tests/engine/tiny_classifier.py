"""A small classifier of digits that the tests of outlier exposure train, also from processes of its own.

``python tiny_classifier.py JSON``. Not a test module; see conftest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_contrast
from tiny_run import main, make_host_config, save_losses

VIT = dict(
    type="VisionTransformer",
    arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8),
    img_size=16,
    patch_size=8,
    drop_rate=0.1,
)


def make_config(
    work_dir: Path | str,
    *,
    exposure: dict[str, Any] | None = None,
    vit: bool = False,
    loss: dict[str, Any] | None = None,
    mixup: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """The config of a run; ``exposure`` holds the hook's settings, None leaves it out."""
    pipeline = [dict(type="RandomCrop", crop_size=16, padding=2), dict(type="PackInputs")]
    return dict(
        default_scope="mmpretrain",
        model=dict(
            type="ImageClassifier",
            data_preprocessor=dict(num_classes=10, mean=[127.5] * 3, std=[127.5] * 3, to_rgb=False),
            backbone=VIT if vit else tiny_contrast.BACKBONE,
            neck=None if vit else dict(type="GlobalAveragePooling"),
            head=dict(
                type="VisionTransformerClsHead" if vit else "LinearClsHead",
                num_classes=10,
                in_channels=8,
                loss=loss or dict(type="CrossEntropyLoss"),
            ),
            train_cfg=dict(augments=dict(type="Mixup", alpha=0.8)) if mixup else None,
        ),
        **make_host_config(
            work_dir,
            dataset=dict(type="nda_mm.Digits", size=16, image_key="img", indices=32, pipeline=pipeline),
            batch_size=8,
            hooks=[] if exposure is None else [dict(type="nda_mm.NDAOutlierExposureHook", **exposure)],
            **settings,
        ),
    )


if __name__ == "__main__":
    save_losses(main(make_config))
