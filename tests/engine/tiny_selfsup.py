"""The small MoCo of tiny_contrast.py with the sets for its kNN accuracy; also in processes: ``tiny_selfsup.py JSON``.

Not a test module; see conftest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tiny_contrast
import torch
from tiny_run import build, main, save_outcome, train, weights  # noqa: F401  (some are for the tests)

from nda_mm.registry import TRANSFORMS

PACK = [dict(type="mmpretrain.PackInputs")]


@TRANSFORMS.register_module(force=True)
class Unlabeled:
    """Takes the label away."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in results.items() if key != "gt_label"}


def images(**settings: Any) -> dict[str, Any]:
    return dict(type="nda_mm.Digits", **{"size": 16, "image_key": "img", "pipeline": PACK, **settings})


def knn(**settings: Any) -> dict[str, Any]:
    """The hook's config: 21 images vote on 14."""
    sets = {"bank": images(indices=21), "test": images(split="test", indices=14)}
    return dict(type="nda_mm.KNNHook", **{**sets, "k": 5, **settings})


def make_config(
    work_dir: Path | str,
    *,
    loop: str = "nda_mm.ExactEpochLoop",
    steps: int = 2,
    checkpoint: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """The config of a run of ``steps`` epochs of 6 batches of 4 (or of as many iterations)."""
    saves = {"by_epoch": "Epoch" in loop, **(checkpoint or {})}
    cfg = tiny_contrast.make_config(
        work_dir, images=24, batch_size=4, loop=loop, epochs=steps, checkpoint=saves, **settings
    )
    backends = [dict(type="LocalVisBackend")]
    return dict(cfg, visualizer=dict(type="UniversalVisualizer", vis_backends=backends), log_level="INFO")


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
