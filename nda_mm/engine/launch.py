"""Turn a command's options into a Runner: config, processes, seed, precision, resuming."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, init_dist, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from nda_mm import compat
from nda_mm.checkpoints import MismatchedCheckpointError, load_strictly
from nda_mm.command_line import read_config, say_loading
from nda_mm.compat.mmagic import float_betas
from nda_mm.compat.notices import quiet_loggers

from .config_check import check_config, check_model_name
from .hooks.stop_on_signal_hook import StopOnSignalHook
from .precision import check_amp_model, enable_amp
from .resume import choose_checkpoint, model_of
from .run_report import RunReportHook


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and merge the common options into it.

    Args:
        args: Options of a parser with :func:`~nda_mm.command_line.add_common_options`.

    Returns:
        The config, with ``work_dir`` and ``launcher`` set.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If the model's name is wrong; see :func:`~nda_mm.engine.config_check.check_model_name`.
    """
    quiet_loggers(dumps=True)
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    say_loading(str(cfg.get("default_scope")))
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / Path(args.config.split("::")[-1]).stem)
    cfg.launcher = args.launcher
    for stage in ("val", "test"):
        if f"{stage}_cfg" in cfg and cfg[f"{stage}_cfg"] is None:  # mmengine requires all three to be None
            cfg[f"{stage}_dataloader"] = cfg[f"{stage}_evaluator"] = None
    if "channels_last" in (cfg.get("model") or {}):  # where the option was until 0.1
        cfg.channels_last = cfg.model.pop("channels_last")
    check_model_name(cfg.get("model"))
    float_betas(cfg.get("optim_wrapper"))
    return cfg


def start_processes(cfg: Config) -> None:
    """Start the process group, with NCCL on GPUs and gloo otherwise; do nothing for a single process."""
    if cfg.launcher == "none":
        return
    settings = dict(cfg.get("env_cfg", {}).get("dist_cfg", {}))
    if torch.cuda.is_available():
        init_dist(cfg.launcher, **{"backend": "nccl", **settings})
    else:
        compat.start_process_group(cfg.launcher, timeout=settings.get("timeout", 1800.0))


def end_processes() -> None:
    """Destroy the process group, if there is one.

    gloo's threads release a finished call's tensors when they next get the GIL. If the interpreter is already shutting
    down, the process is aborted, and the launcher reports a failure. A barrier and a short sleep avoid that.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        time.sleep(0.2)
        torch.distributed.destroy_process_group()


def set_seed(cfg: Config, seed: int | None) -> None:
    """Set the seed in the config, different on every rank unless the config says otherwise.

    Args:
        cfg: The config, updated in place.
        seed: Seed in [0, 2**31), or None to keep the config's. If that is None too, mmengine draws one and the
            checkpoint stores it.

    Raises:
        ValueError: If the seed is out of range.
    """
    if seed is not None and not 0 <= seed < 2**31:
        raise ValueError(f"--seed must be in [0, 2**31), but got {seed}.")
    randomness = dict(cfg.get("randomness", {}))
    randomness.setdefault("diff_rank_seed", True)
    randomness["seed"] = randomness.get("seed") if seed is None else seed
    cfg.randomness = randomness


def set_resume(cfg: Config, resume: str | None) -> None:
    """Choose the checkpoint to resume from; the master chooses for all ranks.

    Args:
        cfg: The config. Its ``resume`` and ``load_from`` are updated in place.
        resume: A path, 'auto' for the newest good checkpoint in ``work_dir``, or None to follow the config's
            ``resume``.

    Raises:
        FileNotFoundError, ValueError: If the path can't be resumed from.
    """
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or "auto"
    if resume is None:
        return
    chosen: list[Any] = [None]
    if is_main_process():
        try:
            chosen = [choose_checkpoint(cfg.work_dir, resume)]
        except (OSError, ValueError) as error:
            chosen = [error]
    broadcast_object_list(chosen)
    if isinstance(chosen[0], Exception):
        raise chosen[0]
    cfg.resume = chosen[0] is not None
    if cfg.resume:
        cfg.load_from = chosen[0]
    elif is_main_process():
        print(f"There is no checkpoint in {cfg.work_dir} yet: starting from the beginning.", flush=True)


def prepare_training(args: argparse.Namespace) -> Config:
    """Turn the options of ``tools/train.py`` into a config ready for the Runner.

    Args:
        args: The parsed options.

    Returns:
        The config.

    Raises:
        ValueError: If a setting is wrong; see :func:`~nda_mm.engine.config_check.check_config`.
    """
    cfg = load_config(args)
    check_config(cfg)
    set_seed(cfg, args.seed)
    if args.amp or args.amp_dtype:
        check_amp_model(cfg.get("model") or {})
        enable_amp(cfg.optim_wrapper, args.amp_dtype)
    start_processes(cfg)
    set_resume(cfg, args.resume)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the Runner of a config: mmengine's, or the one named by ``runner_type``.

    Args:
        cfg: The config. A checkpoint that it loads must fit the model, unless ``load_strict=False``. With
            ``channels_last=True`` the model trains in that memory format; see :func:`to_channels_last`.

    Returns:
        The Runner.

    Raises:
        KeyError: If ``runner_type`` is not a registered Runner.
    """
    kind = RUNNERS.get(cfg.get("runner_type", "Runner"))
    if kind is None:
        raise KeyError(f"runner_type must be registered in mmengine's RUNNERS, but got {cfg.runner_type!r}")
    if cfg.get("channels_last", False):
        kind = type(kind.__name__, (_ChannelsLast, kind), {})
    runner = kind.from_cfg(cfg)
    if cfg.get("load_strict", True):
        runner.register_hook(_StrictLoad())
    return runner


def train(cfg: Config) -> None:
    """Train as ``tools/train.py`` does, with reports of the run and a final checkpoint on SIGTERM.

    Args:
        cfg: The config from :func:`prepare_training`.

    Raises:
        SystemExit: If the run was stopped by a signal.
    """
    runner, stopping = build_runner(cfg), StopOnSignalHook()
    runner.register_hook(stopping)
    runner.register_hook(RunReportHook())
    runner.train()
    end_processes()
    if stopping.stopped:
        raise SystemExit(StopOnSignalHook.EXIT_STATUS)


def to_channels_last(module: nn.Module) -> None:
    """Convert the weights of all convolutions to channels-last memory format in place; their outputs follow.

    This makes convolutions faster on CPUs and on GPUs with tensor cores. Results differ only by rounding, and
    checkpoints fit a model in either format. Call it before the module is wrapped in DistributedDataParallel, which
    records the strides of the weights at construction and scrambles the gradients of weights with other strides.

    Strided 1x1 convolutions with fewer than 16 input channels stay contiguous, and their inputs are made contiguous:
    oneDNN's kernel for them, in torch 2.11 on a CPU, writes beyond the gradient of the input.

    Args:
        module: The module. Its 2-D convolutions become ``torch.channels_last``, its 3-D ones
            ``torch.channels_last_3d``.

    Example:
        >>> layer = nn.Conv2d(3, 8, 3)
        >>> to_channels_last(layer)
        >>> layer(torch.ones(2, 3, 8, 8)).is_contiguous(memory_format=torch.channels_last)
        True
    """
    _set_memory_format(module, {4: torch.channels_last, 5: torch.channels_last_3d})
    for layer in module.modules():
        if _overruns(layer) and _channels_first not in layer._forward_pre_hooks.values():
            _set_memory_format(layer, _CONTIGUOUS)
            layer.register_forward_pre_hook(_channels_first)


_CONTIGUOUS = {4: torch.contiguous_format, 5: torch.contiguous_format}


def _overruns(layer: nn.Module) -> bool:
    if not isinstance(layer, nn.modules.conv._ConvNd):
        return False
    return max(layer.kernel_size) == 1 < max(layer.stride) and layer.in_channels < 16


def _channels_first(layer: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(each.contiguous() for each in args)


def _set_memory_format(module: nn.Module, formats: dict[int, torch.memory_format]) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            for weight in layer.parameters(recurse=False):
                if weight.ndim in formats:
                    weight.data = weight.data.contiguous(memory_format=formats[weight.ndim])


class _ChannelsLast(Runner):
    """Runner that changes the memory format before the model is wrapped."""

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        to_channels_last(model)
        return super().wrap_model(model_wrapper_cfg, model)

    def _init_model_weights(self) -> None:
        # Weights are drawn in the order of memory; in the contiguous format they are those of any other run.
        _set_memory_format(self.model, _CONTIGUOUS)
        super()._init_model_weights()
        to_channels_last(self.model)


class _StrictLoad(Hook):
    """Raise an error for a checkpoint that does not fit the model; mmengine would load the part that fits."""

    priority = "LOW"  # after hooks that adapt a checkpoint, before SafeCheckpointHook reads the training state

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        model = model_of(runner)
        try:
            load_strictly(
                model,
                checkpoint,
                source=str(runner._load_from or "the checkpoint"),
                target=f"the {type(model).__name__} of {runner.cfg.filename or 'the config'}",
            )
        except MismatchedCheckpointError as error:
            raise MismatchedCheckpointError(
                f"{error} Use a checkpoint of this recipe, or load only the weights that fit with "
                "--cfg-options load_strict=False."
            ) from error
