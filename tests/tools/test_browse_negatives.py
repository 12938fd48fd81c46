from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tools import browse_negatives as tool

CONFIG = """
default_scope = "mmagic"
train_dataloader = dict(dataset=dict(type="nda_mm.Digits", split="test", size=16, pipeline=[dict(type="PackInputs")]))
model = dict(negative=dict(type="Jigsaw", grid=2))
"""


def test_the_negatives_of_a_config_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.py").write_text(CONFIG)
    words = [str(tmp_path / "config.py"), "--samples", "3", "--scale", "2", "--out", str(tmp_path / "new" / "a.png")]
    tool.main(words)
    assert "3 images next to 1 negatives" in capsys.readouterr().out
    with Image.open(tmp_path / "new" / "a.png") as sheet:
        assert sheet.height > 3 * 32 and sheet.width > 2 * 32
    with pytest.raises(KeyError, match=r"Jigsow.*Jigsaw"):
        tool.main([*words[:1], "--negative", "Jigsow"])


def test_a_folder_gets_all_registered_negatives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colors = [(number, 255 - number, 90) for number in (50, 100, 200)]
    for color in colors:
        Image.new("RGB", (50, 40), color).save(tmp_path / f"{color[0]}.png")
    tool.main(["--images", str(tmp_path), "--size", "24", "--out", str(tmp_path / "out" / "a.png")])
    printed = capsys.readouterr()
    assert "3 images next to 9 negatives" in printed.out
    assert "left out ShuffleFrames" in printed.err
    with Image.open(tmp_path / "out" / "a.png") as sheet:
        shown = {color: count for count, color in sheet.convert("RGB").getcolors(10**6)}
    assert all(shown[color] > 4 * 96**2 for color in colors)  # of one color: tiles, turns and shifts change nothing
