"""A small DPC on moving digits that the tests train, also from processes of its own: ``python tiny_dpc.py JSON``.

Not a test module; see conftest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_contrast import surroundings
from tiny_run import main, save_losses


def make_config(
    work_dir: Path | str,
    *,
    negative: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    epochs: int = 2,
    clips: int = 16,
    stop_at: int | None = None,
    optim_wrapper: dict[str, Any] | None = None,
    launcher: str = "none",
    pool: bool = True,
) -> dict[str, Any]:
    """The config of a run: two passes over 16 clips of 5 blocks of 3 frames, in batches of 4."""
    hooks: list[dict[str, Any]] = [dict(type="LossesHook")]
    if stop_at is not None:
        hooks.append(dict(type="StopHook", at=stop_at))
    return dict(
        default_scope="mmaction",
        model=dict(
            type="nda_mm.DPC",
            backbone=dict(
                type="nda_mm.ResNet2d3d", base_channels=4, conv1_stride_s=1, pool1_stride_s=1, with_pool1=pool
            ),
            aggregator=dict(type="nda_mm.ConvGRU", in_channels=16),
            num_blocks=5,
            pred_steps=2,
            negative=negative,
            data_preprocessor=dict(
                type="ActionDataPreprocessor", mean=[78.8] * 3, std=[88.9] * 3, format_shape="NCTHW"
            ),
            **(model or {}),
        ),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            drop_last=True,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="pseudo_collate"),
            dataset=dict(
                type="nda_mm.MovingDigits",
                num_clips=clips,
                num_frames=20,
                size=16,
                pipeline=[
                    dict(type="nda_mm.SampleBlocks", num_blocks=5, block_len=3, frame_interval=1),
                    dict(type="ArrayDecode"),
                    dict(type="FormatShape", input_format="NCTHW"),
                    dict(type="PackActionInputs"),
                ],
            ),
        ),
        train_cfg=dict(type="nda_mm.ExactEpochLoop", max_epochs=epochs),
        optim_wrapper=optim_wrapper or dict(optimizer=dict(type="Adam", lr=1e-3, weight_decay=1e-5)),
        custom_hooks=hooks,
        visualizer=dict(type="Visualizer", vis_backends=[]),
        compile=False,
        **surroundings(work_dir, stop_at, launcher),
    )


if __name__ == "__main__":
    save_losses(main(make_config))
