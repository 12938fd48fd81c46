"""What a run must remember beside weights and optimizers to go on as if it had never stopped.

mmengine's checkpoint holds weights, optimizers, schedulers and logs. It lacks the gradients that wait for their
optimizer step, the optimizer wrappers' own counters, and whatever else a rank keeps to itself.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

#: The key of a checkpoint under which all of this stands.
TRAINING_STATE = "nda_mm_training"


def rank_state(runner: Runner) -> dict[str, Any]:
    """This rank's counters, waiting gradients, and the states of components that keep one per rank.

    A hook or a model takes part by offering ``rank_state_dict()`` and ``load_rank_state_dict(state)``, of tensors,
    numbers, strings, lists and dicts.

    Args:
        runner: The Runner in training.

    Returns:
        A dict on the CPU that ``torch.load(weights_only=True)`` accepts.
    """
    return {
        "inner_counts": {name: wrapper.inner_count for name, wrapper in _wrappers(runner)},
        "gradients": {
            name: parameter.grad.detach().cpu().clone()
            for name, parameter in _model(runner).named_parameters()
            if parameter.grad is not None
        },
        "components": {name: component.rank_state_dict() for name, component in _components(runner)},
    }


def load_rank_state(runner: Runner, state: dict[str, Any]) -> None:
    """Undo :func:`rank_state`.

    Args:
        runner: The Runner, with weights and optimizers already resumed.
        state: From :func:`rank_state`, of this rank.
    """
    counts = state["inner_counts"]
    for name, wrapper in _wrappers(runner):
        if name in counts:
            wrapper._inner_count = counts[name]
    waiting = state["gradients"]
    for name, parameter in _model(runner).named_parameters():
        parameter.grad = waiting[name].to(parameter).clone() if name in waiting else None
    with torch.no_grad():
        for name, buffer in _model(runner).named_buffers():
            if name in state["buffers"]:
                buffer.copy_(state["buffers"][name])
    saved = state["components"]
    for name, component in _components(runner):
        if name in saved:
            component.load_rank_state_dict(saved[name])
        else:
            runner.logger.log(
                logging.WARNING, f"The checkpoint holds no state of {name} for this rank; it starts afresh."
            )


def gather_training_state(runner: Runner) -> dict[str, Any] | None:
    """Collect what every rank must remember; a collective call, to be made by all ranks.

    Args:
        runner: The Runner, in one of the exact loops.

    Returns:
        The state, the same on every rank; None if the training loop is none of ours.
    """
    loop = runner.train_loop
    if not hasattr(loop, "exact_state"):
        return None
    own = {"random": loop.random_state().pack(), "buffers": _differing_buffers(runner), **rank_state(runner)}
    return {**loop.exact_state(), "world_size": get_world_size(), "ranks": all_gather_object(own)}


def _differing_buffers(runner: Runner) -> dict[str, torch.Tensor]:
    """This rank's buffers that differ from the master's, which the checkpoint holds: running statistics above all."""
    if get_world_size() == 1:
        return {}
    buffers = {name: buffer.detach().cpu() for name, buffer in _model(runner).named_buffers()}
    digests = {name: _digest(buffer) for name, buffer in buffers.items()}
    of_master = all_gather_object(digests)[0]
    return {name: buffer for name, buffer in buffers.items() if digests[name] != of_master.get(name)}


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.blake2b(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def _model(runner: Runner) -> torch.nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _wrappers(runner: Runner) -> Iterator[tuple[str, OptimWrapper]]:
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        yield from runner.optim_wrapper.items()
    else:
        yield "", runner.optim_wrapper


def _components(runner: Runner) -> Iterator[tuple[str, Any]]:
    seen: Counter[str] = Counter()
    for component in (*runner.hooks, _model(runner)):
        if hasattr(component, "rank_state_dict") and hasattr(component, "load_rank_state_dict"):
            name = type(component).__name__
            seen[name] += 1
            yield (name if seen[name] == 1 else f"{name}:{seen[name]}"), component
