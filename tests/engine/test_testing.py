"""What a test adds to a config; the rest is tested through the tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from nda_mm.engine.testing import draw_into

HOOK = "DetVisualizationHook"


@pytest.mark.parametrize(
    "config",
    [
        {"default_hooks": {"visualization": {"type": f"mmdet.{HOOK}", "draw": False, "score_thr": 0.5}}},
        {"custom_hooks": [{"type": "nda_mm.FiniteLossHook"}, {"type": HOOK}]},
    ],
)
def test_detections_are_drawn_into_an_absolute_folder(
    config: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = Config(config)
    draw_into(cfg, "drawn")
    hooks = [*cfg.get("default_hooks", {}).values(), *cfg.get("custom_hooks", [])]
    hook = next(hook for hook in hooks if hook["type"].endswith(HOOK))
    assert (hook["draw"], hook["test_out_dir"]) == (True, str(tmp_path / "drawn"))


@pytest.mark.parametrize("hooks", [{}, {"default_hooks": {"visualization": None}}, {"custom_hooks": None}])
def test_a_config_without_the_drawing_hook_is_refused(hooks: dict) -> None:
    with pytest.raises(ValueError, match="--show-dir"):
        draw_into(Config(hooks), "drawn")
