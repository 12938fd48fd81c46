"""A small MoCo on random images, trained by the tests of the hooks around it; also from processes of its own.

Not a test module; see conftest.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from tiny_run import build, save_outcome, train, weights  # noqa: F401  (build is for the tests)

from nda_mm.datasets import ArrayDataset
from nda_mm.registry import DATASETS, TRANSFORMS

PACK = [dict(type="mmpretrain.PackInputs")]
VIEWS = [
    dict(
        type="MultiView",
        num_views=2,
        transforms=[[dict(type="RandomResizedCrop", scale=16, backend="cv2"), dict(type="RandomFlip", prob=0.5)]],
    ),
    *PACK,
]


@DATASETS.register_module(force=True)
class TinyImages(ArrayDataset):
    """Noisy images whose class is their colour."""

    METAINFO = {"classes": tuple("abcdefg")}

    def __init__(self, length: int = 24, seed: int = 0, classes: int = 7, **kwargs: Any) -> None:
        self.length, self.draw, self.count = length, seed, classes
        super().__init__(image_key="img", **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        draw = np.random.default_rng(self.draw)
        labels = np.arange(self.length) % self.count
        colours = np.random.default_rng(9).integers(40, 215, (7, 3))
        noise = draw.normal(0, 30, (self.length, 16, 16, 3))
        return np.clip(colours[labels][:, None, None] + noise, 0, 255).astype(np.uint8), labels


@TRANSFORMS.register_module(force=True)
class Unlabelled:
    """Takes the label away."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in results.items() if key != "gt_label"}


def images(**settings: Any) -> dict[str, Any]:
    return dict(type="nda_mm.TinyImages", **{"pipeline": PACK, **settings})


def knn(**settings: Any) -> dict[str, Any]:
    """The hook's config: 21 images vote on 14."""
    return dict(
        type="nda_mm.KNNHook",
        **{"bank": images(length=21, seed=1), "test": images(length=14, seed=2), "k": 5, **settings},
    )


def make_config(
    work_dir: Path | str,
    *,
    loop: str = "nda_mm.ExactEpochLoop",
    steps: int = 2,
    custom_hooks: tuple[dict[str, Any], ...] = (),
    checkpoint: dict[str, Any] | None = None,
    launcher: str = "none",
    frozen_stages: int = -1,
) -> dict[str, Any]:
    """The config of a run of ``steps`` epochs of 6 batches of 4 (or of as many iterations)."""
    by_epoch = "Epoch" in loop
    return dict(
        default_scope="mmpretrain",
        model=dict(
            type="MoCo",
            data_preprocessor=dict(type="SelfSupDataPreprocessor", mean=[127.5] * 3, std=[60.0] * 3, to_rgb=False),
            queue_len=16,
            feat_dim=8,
            momentum=0.1,
            backbone=dict(type="ResNet_CIFAR", depth=18, stem_channels=4, base_channels=4, frozen_stages=frozen_stages),
            neck=dict(type="MoCoV2Neck", in_channels=32, hid_channels=16, out_channels=8, with_avg_pool=True),
            head=dict(type="ContrastiveHead", loss=dict(type="CrossEntropyLoss"), temperature=0.2),
        ),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            drop_last=True,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="default_collate"),
            dataset=images(pipeline=VIEWS),
        ),
        train_cfg=dict(type=loop, **({"max_epochs": steps} if by_epoch else {"max_iters": steps})),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.05, momentum=0.9)),
        default_hooks=dict(
            checkpoint=dict(
                type="nda_mm.SafeCheckpointHook", **{"interval": 1000, "by_epoch": by_epoch, **(checkpoint or {})}
            ),
            logger=dict(type="LoggerHook", interval=2, log_metric_by_epoch=by_epoch),
        ),
        log_processor=dict(by_epoch=by_epoch),
        custom_hooks=list(custom_hooks),
        randomness=dict(seed=3, diff_rank_seed=True),
        visualizer=dict(type="UniversalVisualizer", vis_backends=[dict(type="LocalVisBackend")]),
        work_dir=str(work_dir),
        env_cfg=dict(mp_cfg=dict(mp_start_method="fork")),
        launcher=launcher,
    )


def trained(runner: Runner) -> dict[str, torch.Tensor]:
    """Everything that training has made, and what the generators would draw next."""
    flat = weights(runner)
    flat["draw"] = torch.rand(3)
    flat["numpy draw"] = torch.from_numpy(np.random.rand(3))  # noqa: NPY002
    return flat


if __name__ == "__main__":
    torch.set_num_threads(1)
    options = json.loads(sys.argv[1])
    finished = train(make_config(**options))
    record = {name: value.data[0].tolist() for name, value in finished.message_hub.log_scalars.items() if "knn" in name}
    save_outcome(finished, knn=record)
