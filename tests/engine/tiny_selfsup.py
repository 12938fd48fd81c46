"""The small MoCo of tiny_contrast.py on colored noise with labels; also in processes: ``python tiny_selfsup.py JSON``.

Not a test module; see conftest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tiny_contrast
import torch
from tiny_run import build, main, save_outcome, train, weights  # noqa: F401  (some are for the tests)

from nda_mm.datasets import ArrayDataset
from nda_mm.registry import DATASETS, TRANSFORMS

PACK = [dict(type="mmpretrain.PackInputs")]


@DATASETS.register_module(force=True)
class TinyImages(ArrayDataset):
    """Noisy images whose class is their color."""

    METAINFO = {"classes": tuple("abcdefg")}

    def __init__(self, length: int = 24, seed: int = 0, classes: int = 7, **kwargs: Any) -> None:
        self.length, self.draw, self.count = length, seed, classes
        super().__init__(image_key="img", **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        draw = np.random.default_rng(self.draw)
        labels = np.arange(self.length) % self.count
        colors = np.random.default_rng(9).integers(40, 215, (7, 3))
        noise = draw.normal(0, 30, (self.length, 16, 16, 3))
        return np.clip(colors[labels][:, None, None] + noise, 0, 255).astype(np.uint8), labels


@TRANSFORMS.register_module(force=True)
class Unlabeled:
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
    **settings: Any,
) -> dict[str, Any]:
    """The config of a run of ``steps`` epochs of 6 batches of 4 (or of as many iterations)."""
    by_epoch = "Epoch" in loop
    saves = {"by_epoch": by_epoch, **(checkpoint or {})}
    cfg = tiny_contrast.make_config(work_dir, batch_size=4, loop=loop, epochs=steps, checkpoint=saves, **settings)
    if not by_epoch:
        cfg["train_cfg"] = dict(type=loop, max_iters=steps)
    cfg["model"]["backbone"] = dict(type="ResNet_CIFAR", depth=18, stem_channels=4, base_channels=4)
    cfg["model"]["neck"]["in_channels"] = 32
    cfg["train_dataloader"]["dataset"] = images(pipeline=cfg["train_dataloader"]["dataset"]["pipeline"])
    cfg["default_hooks"]["logger"] = dict(type="LoggerHook", interval=2, log_metric_by_epoch=by_epoch)
    return dict(
        cfg,
        log_processor=dict(by_epoch=by_epoch),
        custom_hooks=list(custom_hooks),
        visualizer=dict(type="UniversalVisualizer", vis_backends=[dict(type="LocalVisBackend")]),
        log_level="INFO",
    )


def trained(cfg: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Everything that training makes, and what the generators would draw next."""
    flat = weights(train(cfg))
    flat["draw"] = torch.rand(3)
    flat["numpy draw"] = torch.from_numpy(np.random.rand(3))  # noqa: NPY002
    return flat


if __name__ == "__main__":
    finished = main(make_config)
    record = {name: value.data[0].tolist() for name, value in finished.message_hub.log_scalars.items() if "knn" in name}
    save_outcome(finished, knn=record)
