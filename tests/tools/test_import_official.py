"""tools/import_official.py, and the checkpoint it writes in the tools that read checkpoints."""

from __future__ import annotations

import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nda_mm.utils.files import recipe_path

pytest.importorskip("mmagic")
import tiny_official
from PIL import Image

from tools import import_official as tool

ROOT = Path(__file__).resolve().parents[2]
RECIPE = recipe_path("nda_biggan_cifar10.py")


def test_samples_are_the_authors_images_in_their_colors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command that the report prints, word for word."""
    theirs = tiny_official.networks(2, 3, noise_size=16)["G"]
    for layer in theirs.modules():
        for _ in range(500 if hasattr(layer, "normalized") else 0):
            layer.train().normalized()  # iterates; a trained network's vectors fit its weights
    theirs.eval()
    torch.save(theirs.state_dict(), tmp_path / "G.pth")
    tool.main([str(RECIPE), str(tmp_path / "imported.pth"), "--ema", str(tmp_path / "G.pth")])
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["ema"] == f"generator of width 2, 3 classes, noise of 16, from {tmp_path / 'G.pth'}"
    assert rows["channels"] == "RGB in the model, RGB in the files"
    command = [*shlex.split(rows["sample"]), "--out", str(tmp_path / "samples"), "--per-class", "2", "--seed", "3"]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(ROOT / command[0]), run_name="__main__")

    label = torch.arange(3).repeat_interleave(2)
    noise = torch.randn(6, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = (theirs(noise, label) * 127.5 + 127.5).round().clamp(0, 255)
    for index, image in enumerate(expected.permute(0, 2, 3, 1).numpy()):
        written = np.asarray(Image.open(tmp_path / f"samples/class_{index // 2:03d}/{index % 2:05d}.png"), dtype=float)
        assert np.abs(written - image).max() <= 1  # rounding
        assert np.abs(written[..., ::-1] - image).max() > 30
