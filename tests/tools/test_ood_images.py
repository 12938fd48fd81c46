"""tools/ood_images.py, from two folders of images to the list of anomalies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

pytest.importorskip("mmagic")

from tools import ood_images

#: A step or two of a narrow network.
SHORT = [
    "train_cfg.max_iters=2",
    "train_dataloader.batch_size=4",
    "model.generator.base_channels=4",
    "model.discriminator.base_channels=4",
]


pytestmark = pytest.mark.usefixtures("quick")


def test_folders_become_a_ranking_and_classes_an_auroc(tmp_path: Path, save_images: Callable[..., Path]) -> None:
    save_images("normal", 20, side=40, high=120)
    save_images("new/good", 6, side=40, high=120)
    save_images("new/bright", 5, side=40, low=180)
    (tmp_path / "new" / "good" / "broken.png").write_bytes(b"no image")  # named in a warning, and left out
    words = ["normal", "new", "--out", "out", "--normal-class", "good", "--show", "3"]
    ood_images.main([*words, "--cfg-options", *SHORT])
    table = pd.read_csv(tmp_path / "out" / "scores.csv")
    folders = {name.split("/")[0] for name in table["file"]}
    assert (len(table), folders) == (11, {"good", "bright"})
    assert table["rank"].tolist() == list(range(1, 12))
    assert table["score"].is_monotonic_decreasing
    assert table["p_value"].between(1 / 5, 1).all()  # four were held out
    assert table["p_value"].is_monotonic_increasing
    measured = pd.read_csv(tmp_path / "out" / "results.csv").set_index(["set", "measure"])["value"]
    good, bright = (table["score"][table["file"].str.startswith(name)].to_numpy() for name in ("good", "bright"))
    assert measured["bright", "auroc"] == pytest.approx(np.mean(bright[:, None] > good[None]))
    assert Image.open(tmp_path / "out" / "sheet.png").size[0] > 3 * 64

    # The training is over, so that the same command scores with what it has made.
    weights = (tmp_path / "out" / "training" / "iter_2.pth").stat().st_mtime_ns
    ood_images.main([*words[:2], "--out", "again", "--checkpoint", "out/training"])
    assert (tmp_path / "out" / "training" / "iter_2.pth").stat().st_mtime_ns == weights
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again" / "scores.csv"), table)


def test_an_unknown_normal_class_is_refused_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="'fine'"):
        ood_images.main(["normal", "new", "--normal-class", "fine"])
    assert not (tmp_path / "work_dirs").exists()
