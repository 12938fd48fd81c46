"""Resuming: find the checkpoint to continue from, and save and restore what an exact continuation needs.

mmengine's checkpoint holds weights, optimizers, schedulers and logs. It lacks accumulated gradients, the optimizer
wrappers' counters, RNG states, and everything else that differs between ranks.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from nda_mm.checkpoints import BrokenCheckpointError, read_checkpoint

#: The checkpoint's key for the state that :func:`gather_training_state` returns.
TRAINING_STATE = "nda_mm_training"


def find_resumable(work_dir: str | Path) -> str | None:
    """Return the newest complete checkpoint of a run, and warn about each newer one that is broken.

    The newest is the one named in ``last_checkpoint``, or one of a later step written after that file, since a run may
    be killed between the two writes. Best and published checkpoints are ignored, since they hold no optimizer.

    Args:
        work_dir: Work directory of the run.

    Returns:
        Path of the checkpoint, or None if there is none.
    """
    for path in _candidates(Path(work_dir)):
        try:
            read_checkpoint(path)
        except BrokenCheckpointError as error:
            _warn(f"Skipped a checkpoint: {error}")
        else:
            return str(path)
    return None


def choose_checkpoint(work_dir: str | Path, resume: str) -> str | None:
    """Return the checkpoint selected by ``--resume [CKPT]``.

    Args:
        work_dir: Work directory of the run.
        resume: A path, or 'auto' for the newest good checkpoint in ``work_dir``.

    Returns:
        Path of the checkpoint to resume from, or None if 'auto' finds none.

    Raises:
        FileNotFoundError, BrokenCheckpointError: If the given path can't be resumed from. The message names the newest
            good checkpoint in the same folder.
    """
    if resume == "auto":
        return find_resumable(work_dir)
    try:
        read_checkpoint(resume)
    except (FileNotFoundError, BrokenCheckpointError) as error:
        folder = Path(resume).parent
        other = find_resumable(folder) if folder.is_dir() else None
        hint = f"The newest good one in {folder} is {other}." if other else f"There is no good one in {folder} either."
        raise type(error)(f"{error} {hint}") from error
    return str(resume)


def _candidates(work_dir: Path) -> list[Path]:
    """Return the checkpoints of a run, the most likely to be resumed from first."""
    # Find the recorded checkpoint and the time of the record.
    record, folder = work_dir / "last_checkpoint", work_dir
    listed = set(work_dir.glob("*.pth"))
    last, written = None, 0
    if record.is_file():
        written = record.stat().st_mtime_ns
        # After a power cut, the file may be filled with zeros.
        named = Path(record.read_text(encoding="utf-8", errors="replace").strip("\0 \r\n"))
        if named.name and not listed:  # they are in the hook's out_dir
            folder, listed = named.parent, set(named.parent.glob("*.pth"))
        recorded = folder / named.name  # the run's folder may have been moved or copied
        listed.add(recorded)
        last = Path(os.path.realpath(recorded))
        if not last.is_file():
            _warn(f"{record} names {recorded}, which is not a file.")
    # Sort all checkpoints by step.
    found = {Path(os.path.realpath(path)) for path in listed if not path.name.startswith("best_") and path.is_file()}
    newest_first = sorted(found, key=lambda path: (_step(path), path.stat().st_mtime_ns), reverse=True)
    # A later step older than the record was left by a run that has since been resumed from an earlier checkpoint.
    front = [path for path in newest_first if path == last or path.stat().st_mtime_ns > written]
    return front + [path for path in newest_first if path not in front]


def _warn(message: str) -> None:
    print_log(message, logger="current", level=logging.WARNING)


def _step(path: Path) -> int:
    number = re.search(r"(\d+)$", path.stem)
    return int(number.group(1)) if number else -1


def gather_training_state(runner: Runner) -> dict[str, Any] | None:
    """Collect the state that every rank needs to resume exactly. A collective call: all ranks must make it.

    Args:
        runner: The Runner.

    Returns:
        The state, the same on every rank and loadable with ``torch.load(weights_only=True)``, or None if the training
        loop is not resumable.
    """
    loop = runner.train_loop
    if not hasattr(loop, "exact_state"):
        return None
    own = {
        "random": loop.random_state().pack(),
        "buffers": _differing_buffers(runner),
        "inner_counts": {name: wrapper.inner_count for name, wrapper in _wrappers(runner)},
        "gradients": {
            name: parameter.grad.detach().cpu().clone()
            for name, parameter in model_of(runner).named_parameters()
            if parameter.grad is not None
        },
    }
    return {**loop.exact_state(), "world_size": get_world_size(), "ranks": all_gather_object(own)}


def load_rank_state(runner: Runner, state: dict[str, Any]) -> None:
    """Restore one rank's part of :func:`gather_training_state`.

    Args:
        runner: The Runner, with weights and optimizers already resumed.
        state: This rank's part.
    """
    for name, wrapper in _wrappers(runner):
        if name in state["inner_counts"]:
            wrapper._inner_count = state["inner_counts"][name]
    gradients = state["gradients"]
    for name, parameter in model_of(runner).named_parameters():
        parameter.grad = gradients[name].to(parameter).clone() if name in gradients else None
    for name, buffer in model_of(runner).named_buffers():
        if name in state["buffers"]:
            buffer.detach().copy_(state["buffers"][name])


def count_steps_on_host(runner: Runner) -> None:
    """Move the step counts of resumed optimizers back to the host.

    mmengine loads a checkpoint's tensors to the device, and torch (seen with 2.11) leaves them there. Adam then waits
    for the device twice per parameter, which doubles the time of its step on a GPU.

    Args:
        runner: The Runner, with its optimizers resumed.
    """
    for _, wrapper in _wrappers(runner):
        for group in wrapper.optimizer.param_groups:
            if not group.get("capturable") and not group.get("fused"):
                for state in filter(None, map(wrapper.optimizer.state.get, group["params"])):
                    if isinstance(state.get("step"), torch.Tensor):
                        state["step"] = state["step"].cpu()


def _differing_buffers(runner: Runner) -> dict[str, torch.Tensor]:
    """Return this rank's buffers that differ from the master's in the checkpoint, mostly running statistics."""
    if get_world_size() == 1:
        return {}
    buffers = {name: buffer.detach().cpu() for name, buffer in model_of(runner).named_buffers()}
    digests = {name: _digest(buffer) for name, buffer in buffers.items()}
    of_master = all_gather_object(digests)[0]
    return {name: buffer for name, buffer in buffers.items() if digests[name] != of_master.get(name)}


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.blake2b(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def shared_seed(runner: Runner) -> int:
    """Return the run's seed without the rank, which mmengine adds with ``diff_rank_seed``."""
    return runner.seed - (runner.rank if runner._randomness_cfg.get("diff_rank_seed", False) else 0)


def model_of(runner: Runner) -> Any:
    """Return the Runner's model without its distributed wrapper."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _wrappers(runner: Runner) -> Iterator[tuple[str, OptimWrapper]]:
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        yield from runner.optim_wrapper.items()
    else:
        yield "", runner.optim_wrapper
