"""Testing: compute the metrics of a checkpoint from a command's options, or load only its model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from nda_mm.checkpoints import load_strictly, read_checkpoint
from nda_mm.command_line import read_config, say_loading

from .launch import load_config, set_seed, start_processes
from .resume import find_resumable


def prepare_test(args: argparse.Namespace) -> Config:
    """Turn the options of ``tools/test.py`` into a config ready for the Runner.

    Args:
        args: The parsed options.

    Returns:
        The config.

    Raises:
        ValueError: If the config has no test settings, or the checkpoint can't be used.
    """
    cfg = load_config(args)
    if any(cfg.get(key) is None for key in ("test_dataloader", "test_cfg", "test_evaluator")):
        raise ValueError(f"{args.config} can't be tested: it must set test_dataloader, test_cfg and test_evaluator.")
    if args.out is not None:
        dump_predictions(cfg, args.out)
    if args.show_dir is not None:
        draw_into(cfg, args.show_dir)
    if "://" not in args.checkpoint:
        read_checkpoint(args.checkpoint, needed=("state_dict",))
    set_seed(cfg, args.seed)
    start_processes(cfg)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    return cfg


def dump_predictions(cfg: Config, path: str) -> None:
    """Write the predictions of a test to a file, with mmengine's ``DumpResults``.

    Args:
        cfg: The config. Its ``test_evaluator`` is extended in place.
        path: Path of the file, ``*.pkl`` or ``*.pickle``.

    Raises:
        ValueError: If the file has a different suffix, or the config tests a GAN, which makes no predictions.
    """
    if not path.endswith((".pkl", ".pickle")):
        raise ValueError(f"--out must end in .pkl or .pickle, but got {path}.")
    evaluator = cfg.test_evaluator
    if cfg.get("default_scope") == "mmagic":
        raise ValueError("--out does not work for a GAN, which predicts nothing; use tools/sample.py for its images.")
    metrics = list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]
    cfg.test_evaluator = [*metrics, dict(type="DumpResults", out_file_path=path)]


def draw_into(cfg: Config, folder: str | Path) -> None:
    """Draw each test image and its detections into a folder, with mmdet's ``DetVisualizationHook``.

    Ground-truth boxes are on the left, detections with a score above the hook's ``score_thr`` on the right. Existing
    files with the same names are overwritten.

    Args:
        cfg: A detector's config. Its hook is updated in place.
        folder: Output folder of the pictures.

    Raises:
        ValueError: If the config has no ``DetVisualizationHook``.

    Example:
        >>> cfg = Config(dict(default_hooks=dict(visualization=dict(type="DetVisualizationHook"))))
        >>> draw_into(cfg, "drawn")
        >>> cfg.default_hooks.visualization.draw, Path(cfg.default_hooks.visualization.test_out_dir).is_absolute()
        (True, True)
    """
    hooks = [*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or ())]
    drawing = [hook for hook in hooks if hook and str(hook.get("type")).split(".")[-1] == "DetVisualizationHook"]
    if not drawing:
        raise ValueError(
            "--show-dir needs mmdet's DetVisualizationHook; add default_hooks=dict(visualization=dict("
            "type='DetVisualizationHook')) to a detector's config."
        )
    for hook in drawing:
        # The hook joins this to the work dir for every batch, so it must be absolute.
        hook.update(draw=True, test_out_dir=str(Path(folder).resolve()))


def run_test(runner: Runner) -> dict[str, float]:
    """Run the test and return its metrics, with the test loop of any framework.

    Args:
        runner: A Runner from :func:`~nda_mm.engine.launch.build_runner`.

    Returns:
        The metrics by name.
    """
    kept = _Metrics()
    runner.register_hook(kept)
    runner.test()
    return kept.values


class _Metrics(Hook):
    """Keep the metrics of a test, since mmagic's test loop does not return them."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self.values.update(metrics or {})


def load_model(
    checkpoint: str,
    config: str | None = None,
    *,
    cfg_options: Sequence[str] | Mapping[str, Any] | None = None,
    device: str | None = None,
) -> nn.Module:
    """Build the model of a checkpoint in evaluation mode and load its weights.

    Args:
        checkpoint: A checkpoint file, or the work directory of a run to load its newest good checkpoint.
        config: A config or recipe. Defaults to None, which uses the config that the run wrote beside its checkpoints.
        cfg_options: Settings to override, as ``KEY=VALUE`` strings or a mapping. Defaults to None.
        device: Device of the model. Defaults to None, which uses a GPU if there is one, else the CPU.

    Returns:
        The model.

    Raises:
        FileNotFoundError: If there is no checkpoint, or no config beside it.
        MismatchedCheckpointError: If the weights do not fit.
    """
    # Find the checkpoint and its config.
    folder = Path(checkpoint)
    if folder.is_dir():
        found = find_resumable(folder)
        if found is None:
            raise FileNotFoundError(f"There is no good checkpoint in {folder}; pass a file or a different folder.")
        checkpoint = found
    else:
        folder = folder.parent
    if config is None:
        beside = sorted(folder.glob("*.py"))
        if len(beside) != 1:
            raise FileNotFoundError(f"{folder} must hold one config (*.py), but got {len(beside)}; pass CONFIG CKPT.")
        config = str(beside[0])
    # Build the model as training does, and load all of its weights.
    cfg = read_config(config, cfg_options)
    scope = cfg.get("default_scope", "mmagic")
    say_loading(scope)
    init_default_scope(scope)
    model = MODELS.build(cfg.model).to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
    load_strictly(
        model,
        CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu"),
        source=checkpoint,
        target=f"the {type(model).__name__} of {config}",
    )
    return model
