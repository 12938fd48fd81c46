"""What a test adds to a config; the rest is tested through the tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from nda_mm.engine.testing import draw_into


def test_detections_are_drawn_into_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = Config(
        dict(
            default_hooks=dict(visualization=dict(type="mmdet.DetVisualizationHook", draw=False), other=None),
            custom_hooks=[dict(type="nda_mm.FiniteLossHook"), dict(type="DetVisualizationHook")],
        )
    )
    draw_into(cfg, "drawn")
    for hook in (cfg.default_hooks.visualization, cfg.custom_hooks[1]):
        assert (hook.draw, hook.test_out_dir) == (True, str(tmp_path / "drawn"))
    assert cfg.custom_hooks[0] == dict(type="nda_mm.FiniteLossHook")
    with pytest.raises(ValueError, match="--show-dir"):
        draw_into(Config(dict(default_hooks=dict(visualization=None), custom_hooks=None)), "drawn")
