"""Detections drawn on the images that they were found in, by the host's own hook."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

_HOOK = "DetVisualizationHook"


def draw_into(cfg: Config, folder: str | Path) -> None:
    """Have a test draw each image beside its detections into a folder.

    mmdet's ``DetVisualizationHook`` does the drawing: the boxes to be found on the left, those that were found with a
    score above the hook's ``score_thr`` on the right, under the image's own file name. Files of that name are
    overwritten.

    Args:
        cfg: A detector's config; its hook is set.
        folder: Where the pictures go.

    Raises:
        ValueError: If the config has no such hook, because it is none of a detector or has dropped it.
        NotADirectoryError: If the folder's name is that of a file.

    Example:
        >>> cfg = Config(dict(default_hooks=dict(visualization=dict(type="DetVisualizationHook"))))
        >>> draw_into(cfg, "/tmp/drawn")
        >>> cfg.default_hooks.visualization.draw
        True
    """
    if Path(folder).exists() and not Path(folder).is_dir():
        raise NotADirectoryError(f"--show-dir {folder} is a file; name a folder.")
    hooks = [*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or ())]
    drawing = [hook for hook in hooks if hook and str(hook.get("type")).split(".")[-1] == _HOOK]
    if not drawing:
        raise ValueError(
            f"--show-dir draws boxes with mmdet's {_HOOK}, which this config (default_scope "
            f"{cfg.get('default_scope')!r}) does not have. It serves detectors; to a detector's config add "
            f"default_hooks=dict(visualization=dict(type='{_HOOK}'))."
        )
    for hook in drawing:
        # The hook joins this to the work dir anew for every batch, which only an absolute path survives.
        hook.update(draw=True, test_out_dir=str(Path(folder).resolve()))
