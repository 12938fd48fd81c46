"""A small classifier of digits that the tests of outlier exposure train, also from processes of its own.

``python tiny_classifier.py JSON``. Not a test module; see conftest.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tiny_contrast import BACKBONE, surroundings
from tiny_run import hook, save_outcome, train, weights

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
    epochs: int = 2,
    images: int = 32,
    batch_size: int = 8,
    stop_at: int | None = None,
    optim_wrapper: dict[str, Any] | None = None,
    launcher: str = "none",
) -> dict[str, Any]:
    """The config of a run; ``exposure`` holds the hook's settings, None leaves it out."""
    hooks: list[dict[str, Any]] = [dict(type="LossesHook")]
    if exposure is not None:
        hooks.append(dict(type="nda_mm.NDAOutlierExposureHook", **exposure))
    if stop_at is not None:
        hooks.append(dict(type="StopHook", at=stop_at))
    head = dict(
        type="VisionTransformerClsHead" if vit else "LinearClsHead",
        num_classes=10,
        in_channels=8,
        loss=loss or dict(type="CrossEntropyLoss"),
    )
    return dict(
        default_scope="mmpretrain",
        model=dict(
            type="ImageClassifier",
            data_preprocessor=dict(num_classes=10, mean=[127.5] * 3, std=[127.5] * 3, to_rgb=False),
            backbone=VIT if vit else BACKBONE,
            neck=None if vit else dict(type="GlobalAveragePooling"),
            head=head,
            train_cfg=dict(augments=dict(type="Mixup", alpha=0.8)) if mixup else None,
        ),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="default_collate"),
            dataset=dict(
                type="nda_mm.Digits",
                size=16,
                image_key="img",
                indices=images,
                pipeline=[dict(type="RandomCrop", crop_size=16, padding=2), dict(type="PackInputs")],
            ),
        ),
        train_cfg=dict(type="nda_mm.ExactEpochLoop", max_epochs=epochs),
        optim_wrapper=optim_wrapper or dict(optimizer=dict(type="SGD", lr=0.05, momentum=0.9)),
        custom_hooks=hooks,
        visualizer=dict(type="UniversalVisualizer", vis_backends=[]),
        **surroundings(work_dir, stop_at, launcher),
    )


def digits(count: int) -> torch.Tensor:
    """Images of the training set, normalized."""
    from nda_mm.datasets import Digits

    images = torch.from_numpy(Digits(split="train", size=16, image_key="img", indices=count).images)
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    options = json.loads(sys.argv[1])
    resume = options.pop("resume", False)
    finished = train(make_config(**options), resume)
    save_outcome(finished, weights=weights(finished), losses=hook(finished, "LossesHook").seen)
