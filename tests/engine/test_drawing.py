from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from nda_mm.engine.drawing import draw_into

HOOK = "DetVisualizationHook"


@pytest.mark.parametrize(
    "config",
    [
        {"default_hooks": {"visualization": {"type": HOOK}}},
        {"default_hooks": {"visualization": {"type": f"mmdet.{HOOK}", "draw": False, "score_thr": 0.5}}},
        {"custom_hooks": [{"type": "nda_mm.FiniteLossHook"}, {"type": HOOK}]},
    ],
)
def test_the_hook_is_told_to_draw_into_an_absolute_folder(
    config: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = Config(config)
    draw_into(cfg, "drawn")
    hooks = [*cfg.get("default_hooks", {}).values(), *cfg.get("custom_hooks", [])]
    hook = next(hook for hook in hooks if hook["type"].endswith(HOOK))
    assert (hook["draw"], hook["test_out_dir"]) == (True, str(tmp_path / "drawn"))
    assert hook.get("score_thr") == config.get("default_hooks", {}).get("visualization", {}).get("score_thr")


@pytest.mark.parametrize("hooks", [{}, {"default_hooks": {"visualization": None}}, {"custom_hooks": None}])
def test_a_config_without_drawing_is_refused_with_the_reason(hooks: dict) -> None:
    cfg = Config({"default_scope": "mmagic", **hooks})
    with pytest.raises(ValueError, match=r"--show-dir draws boxes .* \(default_scope 'mmagic'\) does not have"):
        draw_into(cfg, "drawn")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cfg = Config({"default_hooks": {"visualization": {"type": HOOK}}})
    with pytest.raises(NotADirectoryError, match="file is a file; name a folder"):
        draw_into(cfg, tmp_path / "file")
