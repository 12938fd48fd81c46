from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tools import audit_negatives as tool


def test_table_json_and_worst_offenders(
    save_images: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    textures = str(save_images("textures", 300, side=16))
    arguments = ["--images", textures, "--size", "16", "--negative", "Jigsaw", "--negative", "Mixup"]
    outputs = ["--out", str(tmp_path / "new" / "audit.json"), "--worst", str(tmp_path / "worst.png")]
    assert tool.main([*arguments, *outputs]) == 0
    printed = capsys.readouterr().out
    assert "300 real images, 150 negatives of each transform" in printed
    summary = json.loads((tmp_path / "new" / "audit.json").read_text())
    assert {report["name"]: report["verdict"] for report in summary["reports"]} == {
        "Jigsaw": "in distribution",
        "Mixup": "safe",
    }
    for report in summary["reports"]:
        assert f"{report['verdict']}" in printed
        assert report["exact_source"]["interval"][0] <= report["exact_source"]["value"] <= 0.05
    with Image.open(tmp_path / "worst.png") as sheet:
        assert sheet.height >= 6 * 64
        assert sheet.width >= 16 * 64

    assert tool.main([*arguments, "--fail-on", "leaks"]) == 1
    assert tool.main([*arguments[:4], "--negative", "Mixup", "--fail-on", "doubtful"]) == 0


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "0.png")
    with pytest.raises(ValueError, match="64 images"):
        tool.main(["--images", str(tmp_path), "--negative", "Jigsaw"])
