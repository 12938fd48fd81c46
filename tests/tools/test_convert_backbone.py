from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from tools import convert_backbone as tool


def test_a_backbone_is_converted_checked_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file such as facebookresearch/moco publishes."""
    source, out = tmp_path / "moco.pth.tar", tmp_path / "new" / "r18.pth"
    weights = {f"module.encoder_q.{name}": value for name, value in resnet18().state_dict().items()}
    torch.save({"epoch": 200, "arch": "resnet18", "state_dict": weights}, source)
    tool.main([str(source), str(out), "--to", "torchvision", "--check", "torchvision.resnet18"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == [
        "source", "backbone", "taken", "dropped", "checked", "written", "mind",
    ]  # fmt: skip
    assert printed[0].endswith("moco.pth.tar: facebookresearch/moco, prefix encoder_q.")
    assert printed[3] == "dropped   2 tensors: encoder_q.fc (2)"
    assert printed[4] == "checked   torchvision.resnet18 holds 100 of 100 tensors"
    model = resnet18()
    outcome = model.load_state_dict(torch.load(out)["state_dict"], strict=False)
    assert outcome.missing_keys == ["fc.weight", "fc.bias"] and not outcome.unexpected_keys
