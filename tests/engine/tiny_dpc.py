"""A small DPC on moving digits that the tests train, also from processes of its own: ``python tiny_dpc.py JSON``.

Not a test module; see conftest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_run import main, make_host_config, save_losses

ADAM = dict(type="Adam", lr=1e-3, weight_decay=1e-5)


def make_config(
    work_dir: Path | str,
    *,
    negative: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    pool: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """The config of a run: two passes over 16 clips of 5 blocks of 3 frames, in batches of 4."""
    pipeline = [
        dict(type="nda_mm.SampleBlocks", num_blocks=5, block_len=3, frame_interval=1),
        dict(type="ArrayDecode"),
        dict(type="FormatShape", input_format="NCTHW"),
        dict(type="PackActionInputs"),
    ]
    network = dict(type="nda_mm.ResNet2d3d", base_channels=4, conv1_stride_s=1, pool1_stride_s=1, with_pool1=pool)
    preprocessor = dict(type="ActionDataPreprocessor", mean=[78.8] * 3, std=[88.9] * 3, format_shape="NCTHW")
    return dict(
        default_scope="mmaction",
        model=dict(
            type="nda_mm.DPC",
            backbone=network,
            aggregator=dict(type="nda_mm.ConvGRU", in_channels=16),
            num_blocks=5,
            pred_steps=2,
            negative=negative,
            data_preprocessor=preprocessor,
            **(model or {}),
        ),
        **make_host_config(
            work_dir,
            dataset=dict(type="nda_mm.MovingDigits", num_clips=16, num_frames=20, size=16, pipeline=pipeline),
            batch_size=4,
            collate="pseudo_collate",
            hooks=[],
            **{"optim_wrapper": dict(optimizer=ADAM), **settings},
        ),
    )


if __name__ == "__main__":
    save_losses(main(make_config))
