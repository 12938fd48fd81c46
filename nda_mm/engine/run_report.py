"""Reports of a dry run, and of a run at its start and end."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from mmengine.config import Config
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import EpochBasedTrainLoop, Runner

import nda_mm
from nda_mm.checkpoints import read_checkpoint
from nda_mm.compat.frameworks import FRAMEWORKS
from nda_mm.utils.files import PREFIX, recipe_path
from nda_mm.utils.messages import eta

from .precision import default_amp_dtype

#: Iterations left out of the time estimate, since the first ones are slow.
_WARMUP = 3


class RunReportHook(Hook):
    """Log the recipe, the data and a time estimate, and at the end where the results are.

    ``tools/train.py`` adds this hook to every run.

    Args:
        patience: Seconds of training before the time estimate. Defaults to 10.
    """

    priority = "LOWEST"  # after the last checkpoint is saved

    def __init__(self, patience: float = 10.0) -> None:
        self.patience = patience
        self._first = 0
        self._clock: float | None = None
        self._estimated = False

    def before_train(self, runner: Runner) -> None:
        """Log the recipe, data, device and training budget."""
        # Describe the data, the iterations or epochs, and the validations.
        self._first, loop, cfg = runner.iter, runner.train_loop, runner.cfg
        data = cfg.train_dataloader["dataset"]
        folder = f" of {data['data_root']}" if data.get("data_root") else ""
        budget = f"{runner.max_iters:,} iterations"
        if isinstance(loop, EpochBasedTrainLoop):
            budget = f"{runner.max_epochs:,} epochs of {len(loop.dataloader):,} iterations"
        if self._first:
            budget += f", from iteration {self._first:,} on"
        evaluator = None if runner.val_loop is None else cfg.get("val_evaluator")
        if evaluator is not None:
            budget += f", validated every {loop.val_interval:,}"
        # Log them as a table.
        rows = {
            "recipe": f"{_name(cfg.filename)} ({cfg.model.get('type')})",
            "data": f"{data['type']}, {len(loop.dataloader.dataset):,} samples{folder}",
            "device": f"{_devices()}; {_precision(cfg.get('optim_wrapper') or {})}",
            "budget": budget,
            "log": f"{_short(runner.logger.log_file)}, with the environment and the whole config",
        }
        if evaluator is not None:
            from nda_mm.evaluation.networks.train_classifier import to_be_trained  # loads all of nda_mm.evaluation

            for recipe in to_be_trained(evaluator):
                first = f"{recipe} is trained once, when the metrics first need it"
                rows["first"] = f"{first}; --cfg-options val_cfg=None skips validation"
        _log(runner, rows)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Log the estimated time of all iterations once."""
        done = runner.iter + 1 - self._first
        if self._estimated or done < _WARMUP:
            return
        now = time.monotonic()
        if self._clock is None:
            self._clock = now
        elif now - self._clock >= self.patience:
            self._estimated = True
            rate = (done - _WARMUP) / (now - self._clock)
            total = eta(runner.max_iters - self._first, rate)
            runner.logger.info(f"About {total} of training at {rate:.3g} iterations per second, without validation")

    def after_train(self, runner: Runner) -> None:
        """Log where the results are and which command comes next."""
        known = runner.message_hub.runtime_info
        samples = sorted(Path(runner.work_dir).glob("samples/*.png"), key=lambda path: path.stat().st_mtime)
        last, best = known.get("last_ckpt"), known.get("best_ckpt")
        rows = {
            "samples": samples[-1] if samples else None,
            "negatives": Path(runner.work_dir) / "negatives.png",
            "numbers": Path(runner.log_dir) / "vis_data" / "scalars.json",
            "best": best,
            "last": last,
        }
        found = {name: _short(path) for name, path in rows.items() if path and Path(path).is_file()}
        if "best" in found and "best_score" in known:  # there are several scores if save_best is a list
            found["best"] += f" ({known['best_score']:.4g})"
        if runner.cfg.filename and (best or last):
            found["next"] = _next_command(runner, _name(runner.cfg.filename), _short(best or last))
        _log(runner, found)


def _next_command(runner: Runner, config: str, checkpoint: str) -> str:
    if runner.iter < runner.max_iters:
        return f"python tools/train.py {config} --work-dir {_short(runner.work_dir)} --resume"
    if all(runner.cfg.get(f"test_{part}") is not None for part in ("cfg", "dataloader", "evaluator")):
        return f"python tools/test.py {config} {checkpoint}"
    if "generator" in runner.cfg.model:
        return f"python tools/sample.py {config} {checkpoint}"
    return f"python tools/convert_backbone.py {checkpoint} backbone.pth --to mmdet"


def _log(runner: Runner, rows: dict[str, str]) -> None:
    runner.logger.info("\n" + "\n".join(f"  {name:<9} {text}" for name, text in rows.items()))


def _name(config: str | None) -> str:
    """Return the name of one of our recipes, as every command takes it, or the path of another config."""
    path = Path(config or "")
    try:
        if recipe_path(f"{PREFIX}{path.stem}").samefile(path):
            return path.stem
    except FileNotFoundError:  # not one of our recipes
        pass
    return _short(config)


def _short(path: str | Path | None) -> str:
    """Return the path relative to the current folder, or unchanged if it is outside."""
    relative = os.path.relpath(path or ".")
    return str(path) if relative.startswith("..") else relative


def dry_run_report(cfg: Config) -> str:
    """Return a report of the resolved config, the environment and how the run would start.

    The model is built, but no data is read.

    Args:
        cfg: The config from :func:`~nda_mm.engine.launch.prepare_training`.
    """
    # Build the model, and find out where the run would start.
    init_default_scope(cfg.get("default_scope", "mmengine"))
    model = MODELS.build(cfg.model)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    start = "starts anew"
    if cfg.get("resume"):
        meta = read_checkpoint(cfg.load_from)["meta"]
        place = f"iteration {meta['iter']}, epoch {meta['epoch']}, seed {meta.get('seed')}"
        start = f"resumes from {cfg.load_from} ({place})"
    elif cfg.get("load_from"):
        start = f"starts anew with the weights of {cfg.load_from}"
    seed = cfg.randomness.get("seed")
    # Put two tables below the config.
    environment = {
        "python": f"{platform.python_version()} ({sys.executable})",
        "nda_mm": nda_mm.__version__,
        "numpy": np.__version__,
        "torchvision": torchvision.__version__,
        **{each.distribution: each.version() or "not installed" for each in FRAMEWORKS},
        "devices": _devices(),
        "processes": f"{get_dist_info()[1]} (launcher {cfg.launcher})",
    }
    run = {
        "model": f"{type(model).__name__}, {parameters:,} parameters",
        "seed": "drawn at the start and kept in the checkpoint" if seed is None else seed,
        "precision": _precision(cfg.get("optim_wrapper") or {}),
        "memory": "channels last" if cfg.get("channels_last") else "channels first",
        "work_dir": cfg.work_dir,
        "start": start,
    }
    lines = ["Config", cfg.pretty_text]
    for title, rows in (("Environment", environment), ("Run", run)):
        lines += [title, *(f"  {name:<12} {value}" for name, value in rows.items())]
    return "\n".join(lines)


def _precision(optim_wrapper: dict[str, Any]) -> str:
    found = str(optim_wrapper)
    if "BF16OptimWrapper" in found:
        return "bfloat16 autocast"
    return "float16 autocast" if "AmpOptimWrapper" in found else f"float32 (--amp would use {default_amp_dtype()})"


def _devices() -> str:
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return ", ".join(names) or f"CPU, {torch.get_num_threads()} threads"
