from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nda_mm.datasets import Digits
from nda_mm.negatives import build_negative
from tools import browse_negatives as tool

CONFIG = """
default_scope = "mmagic"
train_dataloader = dict(dataset=dict(type="nda_mm.Digits", split="test", size=16, pipeline=[dict(type="PackInputs")]))
model = dict(negative=dict(type="Jigsaw", grid=2))
"""


def write_config(folder: Path) -> str:
    path = folder / "config.py"
    path.write_text(CONFIG)
    return str(path)


def test_sheet_shows_real_images_and_their_negatives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sheets" / "a.png"
    tool.main([write_config(tmp_path), "--samples", "3", "--scale", "2", "--out", str(out), "--seed", "5"])
    assert "3 images beside 1 negatives" in capsys.readouterr().out
    with Image.open(out) as opened:
        sheet = np.asarray(opened)

    # The images stand in the last rows of the sheet, 36 px apart, below headings of any height.
    def cells(column: int) -> list[np.ndarray]:
        bottom = sheet[-36 * 3 :]
        return [bottom[36 * row : 36 * row + 32, column : column + 32] for row in range(3)]

    def enlarged(images: np.ndarray) -> list[np.ndarray]:
        return [image.repeat(2, axis=0).repeat(2, axis=1) for image in images]

    known = {image.tobytes() for image in enlarged(Digits(split="test", size=16).images)}
    places = range(sheet.shape[1] - 31)
    (left,) = [column for column in places if all(cell.tobytes() in known for cell in cells(column))]

    reals = np.stack([cell[::2, ::2] for cell in cells(left)])
    x = torch.from_numpy(reals).permute(0, 3, 1, 2).float() / 127.5 - 1
    made = build_negative(dict(type="Jigsaw", grid=2))(x, generator=torch.Generator().manual_seed(5))
    expected = enlarged(((made + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    (right,) = [column for column in places if all(map(np.array_equal, cells(column), expected))]
    assert right > left


def test_folder_gets_all_registered_negatives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(3):
        Image.new("RGB", (50, 40), (index * 50, 0, 0)).save(tmp_path / f"{index}.jpg")
    out = tmp_path / "a.png"
    tool.main(["--images", str(tmp_path), "--size", "24", "--out", str(out)])
    printed = capsys.readouterr()
    assert "3 images beside 9 negatives" in printed.out
    assert "left out ShuffleFrames" in printed.err
    with Image.open(out) as sheet:
        assert sheet.width >= 8 * 96


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--images"):
        tool.main([])
    with pytest.raises(KeyError, match=r"Jigsow.*Jigsaw"):
        tool.main([write_config(tmp_path), "--negative", "Jigsow"])
