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
    labels = [line.split()[0] for line in printed]
    assert labels == ["source", "backbone", "taken", "dropped", "checked", "written", "mind"]
    assert printed[0].endswith("moco.pth.tar: facebookresearch/moco, prefix encoder_q.")
    assert printed[2] == "taken     120 tensors: conv1, bn1 (5), layer1 (24), layer2 (30), layer3 (30), layer4 (30)"
    assert printed[3] == "dropped   2 tensors: encoder_q.fc (2)"
    assert printed[4] == "checked   torchvision.resnet18 holds 100 of 100 tensors"
    written = torch.load(out)
    assert (written["meta"]["source"], written["meta"]["host"]) == ("moco.pth.tar", "torchvision")
    outcome = resnet18().load_state_dict(written["state_dict"], strict=False)
    assert outcome.missing_keys == ["fc.weight", "fc.bias"] and not outcome.unexpected_keys
