"""A small MoCo on digits that the tests of the contrast hook train, also from processes of its own.

``python tiny_contrast.py JSON``. Not a test module; see conftest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tiny_run import main, save_losses

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
    epochs: int = 2,
    batch_size: int = 8,
    images: int = 32,
    queue: int = 64,
    views: Any = (2,),
    drop_last: bool = True,
    stop_at: int | None = None,
    optim_wrapper: dict[str, Any] | None = None,
    loop: str = "nda_mm.ExactEpochLoop",
    compiled: bool = False,
    launcher: str = "none",
) -> dict[str, Any]:
    """The config of a run; ``contrast`` holds the hook's settings, None leaves it out."""
    hooks: list[dict[str, Any]] = [dict(type="LossesHook")]
    if contrast is not None:
        hooks.append(dict(type="nda_mm.NDAContrastHook", **contrast))
    if stop_at is not None:
        hooks.append(dict(type="StopHook", at=stop_at))
    view = [dict(type="RandomCrop", crop_size=16, padding=2), dict(type="RandomFlip", prob=0.5)]
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
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            drop_last=drop_last,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="default_collate"),
            dataset=dict(
                type="nda_mm.Digits",
                size=16,
                image_key="img",
                indices=images,
                pipeline=[
                    dict(type="MultiView", num_views=list(views), transforms=[view] * len(views)),
                    dict(type="PackInputs"),
                ],
            ),
        ),
        train_cfg=dict(type=loop, max_epochs=epochs),
        optim_wrapper=optim_wrapper or dict(optimizer=dict(type="SGD", lr=0.05, momentum=0.9)),
        custom_hooks=hooks,
        visualizer=dict(type="UniversalVisualizer", vis_backends=[]),
        compile=compiled,
        **surroundings(work_dir, stop_at, launcher),
    )


def surroundings(work_dir: Path | str, stop_at: int | None, launcher: str) -> dict[str, Any]:
    """What the small runs have in common whatever they train."""
    return dict(
        work_dir=str(work_dir),
        default_hooks=dict(
            checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=stop_at or 1000, by_epoch=False),
            logger=dict(type="LoggerHook", interval=1000),
        ),
        randomness=dict(seed=3, diff_rank_seed=True),
        log_level="WARNING",
        env_cfg=dict(mp_cfg=dict(mp_start_method="fork")),
        launcher=launcher,
    )


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    save_losses(main(make_config))
