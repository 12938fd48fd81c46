"""Train a recipe's classifier once, in a separate process, for the metrics that need it.

To train it before the first evaluation and print the path of the weights, run::

    python -m nda_mm.evaluation.networks.train_classifier classifier_cifar10.py

Training runs in a separate process because a second mmengine Runner inside a training run would share its loggers, its
default scope and, worst, its RNG states.
"""

from __future__ import annotations

import _thread
import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

import nda_mm
from nda_mm.checkpoints import read_checkpoint
from nda_mm.command_line import read_config, say_loading
from nda_mm.compat import apply_patches
from nda_mm.compat.notices import silence_warnings
from nda_mm.utils.files import recipe_path, write_atomically
from nda_mm.utils.messages import Progress
from nda_mm.utils.processes import on_sigterm

_LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def cached_checkpoint(recipe: Path, cache_dir: str, cfg_options: Mapping[str, Any] | None = None) -> Path:
    """Return the path of a recipe's checkpoint in the cache, which need not exist; see :func:`ensure_checkpoint`."""
    digest = hashlib.sha256(read_config(str(recipe), cfg_options).pretty_text.encode()).hexdigest()[:12]
    return Path(cache_dir).resolve() / f"{recipe.stem}-{digest}.pth"


def to_be_trained(evaluator: Any, cache_dir: str = "work_dirs/feature_networks") -> list[str]:
    """List the classifiers that a config's metrics will train before the first evaluation, with their epochs.

    Args:
        evaluator: The config's ``val_evaluator`` or ``test_evaluator``.
        cache_dir: Cache of the networks that do not set a ``cache_dir``. Defaults to
            ``'work_dirs/feature_networks'``.

    Returns:
        For example ``['classifier_cifar10.py (30 epochs)']``; empty if no weights are missing.

    Example:
        >>> to_be_trained(dict(type="nda_mm.FrechetDistance", network=dict(type="inception", path="weights.pth")))
        []
    """
    if isinstance(evaluator, (list, tuple)):
        return list(dict.fromkeys(each for part in evaluator for each in to_be_trained(part, cache_dir)))
    if not isinstance(evaluator, Mapping):
        return []
    if not evaluator.get("train_if_missing") or evaluator.get("checkpoint") is not None:
        return to_be_trained(list(evaluator.values()), cache_dir)
    recipe, options = recipe_path(evaluator["config"]), evaluator.get("cfg_options")
    if cached_checkpoint(recipe, evaluator.get("cache_dir", cache_dir), options).is_file():
        return []
    return [f"{recipe.name} ({read_config(str(recipe), options).train_cfg.max_epochs} epochs)"]


def ensure_checkpoint(
    recipe: str,
    cache_dir: str = "work_dirs/feature_networks",
    *,
    train: bool = True,
    cfg_options: Mapping[str, Any] | None = None,
) -> Path:
    """Find the checkpoint of a recipe's classifier, or train the classifier if there is none yet.

    Checkpoints are cached under the recipe's name and a digest of its resolved content, so a changed recipe is trained
    again. With several processes, the first one trains and the others wait; all must see the same ``cache_dir``. Runs
    that start at the same time also wait for each other.

    Args:
        recipe: Path of an mmpretrain recipe, or the file name of one of ours.
        cache_dir: Folder of the cache. Defaults to ``'work_dirs/feature_networks'``, under the current directory.
        train: Whether to train a missing checkpoint. Defaults to True.
        cfg_options: Overrides of the recipe, which are part of the digest. Defaults to None.

    Returns:
        Path of a file with ``state_dict`` and, in ``meta``, the held-out ``accuracy`` in percent.

    Raises:
        FileNotFoundError: If the recipe does not exist, or its checkpoint is missing and ``train`` is False.
        RuntimeError: If training fails; the message has the end of its output.
    """
    path = recipe_path(recipe)
    target = cached_checkpoint(path, cache_dir, cfg_options)
    if not target.is_file() and not train:
        raise FileNotFoundError(
            f"the classifier of {recipe} has no checkpoint at {target}: set `checkpoint` to its path, or "
            "train_if_missing=True to train it"
        )
    failure = ""
    if not target.is_file() and is_main_process():
        with _lock(target.parent):
            if not target.is_file():
                failure = _train_in_a_process(path, target, cfg_options)
    barrier()
    if not target.is_file():
        raise RuntimeError(f"training the classifier of {recipe} left no checkpoint at {target}. {failure}")
    return target


def _lock(folder: Path) -> AbstractContextManager:
    """Acquire the folder's lock, which the system releases if the process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print_log(f"Waiting for another run, which is training a classifier into {folder}", "current")
        return lock.acquire()


def _train_in_a_process(recipe: Path, target: Path, cfg_options: Mapping[str, Any] | None) -> str:
    """Run this file in a child process, with its progress on stderr; return the end of its output if it fails."""
    device = "a GPU" if torch.cuda.is_available() else "the CPU"
    print_log(f"Training the classifier of {recipe.name} once, on {device}, for the metrics: {target}", "current")
    # Environment and command of the child.
    environment = {key: value for key, value in os.environ.items() if key not in _LAUNCHER_VARIABLES}
    root = str(Path(nda_mm.__file__).parents[1])  # so that a package used from a checkout is found too
    environment.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic mode raises on CUDA without it
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    # compat.auto silences the hosts' notices before the imports above can print them.
    command = [sys.executable, "-m", "nda_mm.compat.auto", __file__, str(recipe), str(target)]
    command += ["--cfg-options", json.dumps(dict(cfg_options or {})), "--until-stdin-closes"]
    pipe = subprocess.PIPE
    # SIGTERM raises an exception here, as Ctrl-C does, which closes the child's stdin and so ends the child.
    ending = on_sigterm(lambda: sys.exit(128 + signal.SIGTERM))
    with ending, subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        output = deque(process.stdout or (), maxlen=30)
    if process.returncode:
        return f"It ended with status {process.returncode}:\n{''.join(output)}"
    print_log(output[-1].strip(), "current")
    return ""


class _ProgressHook(Hook):
    """Show the progress of a training run."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        self.progress.update(runner.iter + 1)


def _train(recipe: Path, target: Path, cfg_options: Mapping[str, Any], until_stdin_closes: bool) -> None:
    """Train a recipe in this process and write its weights to ``target`` atomically."""
    apply_patches()
    say_loading("mmpretrain")
    cfg = read_config(str(recipe), cfg_options)
    # Use a temporary work folder, which is removed however the training ends.
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.stem}-") as work_dir:
        if until_stdin_closes:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes of a shell ignore SIGINT
            threading.Thread(target=_end_when_stdin_closes, args=(work_dir,), daemon=True).start()
        cfg.work_dir = work_dir
        cfg.default_hooks = {**cfg.get("default_hooks", {}), "checkpoint": None}
        cfg.randomness = dict(seed=cfg.get("randomness", {}).get("seed") or 0, deterministic=True)
        # Train, and measure once on the held-out images.
        runner = Runner.from_cfg(cfg)
        with Progress(f"training {recipe.stem}", runner.train_loop.max_iters, "iterations") as progress:
            runner.register_hook(_ProgressHook(progress))
            runner.train()
        accuracy = float(runner.val_loop.run()["accuracy/top1"])
        weights = {name: value.cpu() for name, value in runner.model.state_dict().items()}
        content = dict(state_dict=weights, meta=dict(accuracy=accuracy, recipe=recipe.name))
        write_atomically(target, lambda file: torch.save(content, file))


def _end_when_stdin_closes(work_dir: str) -> None:
    """Wait until the parent process is gone, then end this process and its data loader workers."""
    os.read(sys.stdin.fileno(), 1)  # not sys.stdin.read: a forked loader worker would wait for its lock
    _thread.interrupt_main()  # like Ctrl-C, so that loaders and temporary files are cleaned up
    time.sleep(60)  # the clean-up can take a while on a busy machine
    shutil.rmtree(work_dir, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Run the training, as a command or as the child process of :func:`ensure_checkpoint`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="a recipe, or the file name of one of ours")
    parser.add_argument("target", type=Path, nargs="?", help="file for the weights (default: the cache of the metrics)")
    parser.add_argument("--cfg-options", type=json.loads, default={}, help="overrides of the recipe, as JSON")
    parser.add_argument("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    silence_warnings()
    target = args.target
    if target is None:
        target = ensure_checkpoint(args.recipe, cfg_options=args.cfg_options)
    else:
        try:
            _train(recipe_path(args.recipe), target, args.cfg_options, args.until_stdin_closes)
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
    accuracy = read_checkpoint(target, needed=("meta",))["meta"]["accuracy"]
    print(f"{Path(args.recipe).stem}: {accuracy:.2f} % right on held-out images, written to {target}")


if __name__ == "__main__":
    main()
