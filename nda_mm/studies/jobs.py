"""Run trainings and tests as processes: several at a time, skipped when done, resumed after an interruption.

A job is identified by a digest of its config: :func:`course` for a training, :func:`digest` for a test.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from mmengine.config import Config

from nda_mm.command_line import read_settings
from nda_mm.compat import apply_patches
from nda_mm.utils.files import write_text_atomically
from nda_mm.utils.processes import on_sigterm

#: Parts of a config that determine the course of a training, and the keys of train_cfg that do not.
_COURSE = (
    "model",
    "data_preprocessor",
    "train_dataloader",
    "train_cfg",
    "optim_wrapper",
    "param_scheduler",
    "custom_hooks",
    "randomness",
    "load_from",
)
_LENGTH = ("max_iters", "max_epochs", "val_interval", "val_begin")
#: Exit statuses of a process stopped by SIGTERM: after saving a checkpoint, or before it handled signals.
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)
#: Seconds that a process has to stop before it is killed.
_GRACE = 60.0


def resolve(recipe: str, cfg_options: Sequence[str] = ()) -> Config:
    """Read a recipe with its overrides, as training will see it. It may inherit from ``nda_mm::...``."""
    apply_patches("mmengine")
    config = Config.fromfile(recipe, import_custom_modules=False)
    config.merge_from_dict(read_settings(cfg_options))
    return config


def unique_names(recipes: Sequence[str]) -> list[str]:
    """Return the file names of recipes without ``.py``, which name the folders of their runs.

    Raises:
        ValueError: If there are no recipes, or two have the same name.
    """
    names = [Path(recipe).stem for recipe in recipes]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"recipes must be non-empty and have different file names, but got {names}")
    return names


def digest(config: Any) -> str:
    """Return the SHA-256 of a resolved config."""
    return hashlib.sha256(config.pretty_text.encode()).hexdigest()


def course(config: Any) -> str:
    """Return the SHA-256 of the settings that determine the course of a training, without its length and evaluation.

    Two runs with the same course and seed are the same run, possibly of different length.
    """
    parts = {key: config.get(key) for key in _COURSE}
    parts["train_cfg"] = {key: value for key, value in (config.get("train_cfg") or {}).items() if key not in _LENGTH}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def length(config: Any) -> int | None:
    """Return the number of iterations or epochs of a training."""
    train = config.get("train_cfg") or {}
    return train.get("max_iters") or train.get("max_epochs")


@dataclass(frozen=True)
class Job:
    """A command that runs a config, with a folder for its results.

    Args:
        config: Path of the config.
        folder: Work dir.
        label: Name of the job in messages.
        settings: Digests, by name, of the settings that the results depend on.
        cfg_options: ``K=V`` overrides. Defaults to none.
    """

    config: str
    folder: Path
    label: str
    settings: Mapping[str, str]
    cfg_options: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """File with the output of the process."""
        return self.folder / "output.txt"

    def before(self) -> None:
        """Called before the process starts. Does nothing by default."""


@dataclass(frozen=True)
class Training(Job):
    """A training of one config with one seed by ``tools/train.py``.

    As long as the folder is kept, ``settings`` must not change.

    Args:
        seed: Seed, passed as ``--seed``. Defaults to 0.
        length: Iterations or epochs. A run that finished with fewer is continued. Defaults to None: a finished run is
            never continued.
    """

    seed: int = 0
    length: int | None = None

    def is_done(self) -> bool:
        """Return whether the training has finished."""
        return is_finished(self.folder, self.length)

    def arguments(self) -> list[str]:
        """Return the arguments of the command."""
        return [self.config, "--work-dir", str(self.folder), "--seed", str(self.seed), "--resume"]

    def before(self) -> None:
        """Record the settings of the run."""
        write_text_atomically(self.folder / "started.json", json.dumps(dict(self.settings)))

    def after(self) -> None:
        """Record that the run has finished."""
        content = dict(self.settings, seed=self.seed, length=self.length)
        write_text_atomically(self.folder / "finished.json", json.dumps(content))

    def check_folder(self) -> None:
        """Raise a ValueError if the folder holds a run with other settings."""
        started = self.folder / "started.json"
        if not started.is_file():
            return
        found = json.loads(started.read_text())
        changed = [name for name, value in self.settings.items() if found.get(name) != value]
        if changed:
            raise ValueError(
                f"{self.folder} holds a run of {self.label} with other settings ({', '.join(changed)}); remove it, or "
                "choose another --out"
            )


@dataclass(frozen=True)
class Measurement(Job):
    """A test of a checkpoint by ``tools/test.py``, repeated only if ``settings`` or the checkpoint change.

    Args:
        checkpoint: Checkpoint, named after its step as mmengine does: ``iter_5000.pth``.
    """

    checkpoint: Path = Path()

    def is_done(self) -> bool:
        """Return whether this checkpoint has been measured with these settings."""
        kept = self.folder / "measured.json"
        return kept.is_file() and json.loads(kept.read_text())["settings"] == self._identity()

    def arguments(self) -> list[str]:
        """Return the arguments of the command."""
        return [self.config, str(self.checkpoint), "--work-dir", str(self.folder)]

    def after(self) -> None:
        """Record the values that mmengine has written."""
        files = [path for path in self.folder.glob("*/*.json") if path.stem == path.parent.name]
        newest = max(files, key=lambda path: path.stat().st_mtime_ns)
        content = dict(settings=self._identity(), values=json.loads(newest.read_text()))
        write_text_atomically(self.folder / "measured.json", json.dumps(content, indent=2) + "\n")

    def _identity(self) -> dict[str, Any]:
        return dict(self.settings, checkpoint=self.checkpoint.name, written=self.checkpoint.stat().st_mtime_ns)


J = TypeVar("J", Training, Measurement)


def run_all(jobs: Sequence[J], command: Sequence[str], at_once: int = 1) -> list[J]:
    """Run all jobs that are not done, several at a time, and continue after a failure.

    On SIGTERM, running processes get SIGTERM as well and have a minute to save a checkpoint, and no more are started.
    The next call continues. Processes that run at the same time share the cores, unless ``OMP_NUM_THREADS`` is set.

    Args:
        jobs: Jobs, started in this order.
        command: Command that starts a job, for example ``[python, 'tools/train.py']``.
        at_once: Number of jobs to run at a time, at least 1. Defaults to 1.

    Returns:
        The jobs that failed. A stopped job has not failed, but is not done either.

    Raises:
        ValueError: If ``at_once`` is below 1.
    """
    if at_once < 1:
        raise ValueError(f"jobs must be at least 1, but got {at_once}")
    environment = dict(os.environ)
    if at_once > 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // at_once)))
    stopping = threading.Event()
    with ThreadPoolExecutor(at_once) as pool, on_sigterm(stopping.set):
        try:
            succeeded = list(pool.map(lambda job: _run(job, command, environment, stopping), jobs))
        except BaseException:
            stopping.set()  # after Ctrl-C, no process may keep running and none may start
            raise
    return [job for job, good in zip(jobs, succeeded) if not good]


def is_finished(folder: Path, length: int | None = None) -> bool:
    """Return whether the training in a folder has finished, and was no shorter than ``length``."""
    path = folder / "finished.json"
    if not path.is_file():
        return False
    trained = json.loads(path.read_text()).get("length")
    return length is None or trained is None or trained >= length


def last_checkpoint(run: Path) -> Path:
    """Find the last checkpoint of a work dir, which may have been moved.

    Raises:
        ValueError: If there is no checkpoint.
    """
    record = run / "last_checkpoint"
    if record.is_file():
        named = Path(record.read_text().strip())
        for path in (run / named.name, named):
            if path.is_file():
                return path
    raise ValueError(f"there is no checkpoint in {run} to measure")


def measured(folder: Path) -> tuple[int, dict[str, float]] | None:
    """Return the step and the values of the last measurement in a folder, or None if there is none."""
    path = folder / "measured.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    step = re.search(r"(\d+)$", Path(content["settings"]["checkpoint"]).stem)
    return int(step[1]) if step else 0, content["values"]


def _run(
    job: Training | Measurement, command: Sequence[str], environment: Mapping[str, str], stopping: threading.Event
) -> bool:
    """Run one job and return False if it failed."""
    if job.is_done():
        return True
    if stopping.is_set():
        print(f"{job.label}: not started", flush=True)
        return True
    # Run the job, with its output in a file.
    job.folder.mkdir(parents=True, exist_ok=True)
    job.before()
    print(f"{job.label}: {type(job).__name__.lower()} (output in {job.log})", flush=True)
    words = [*command, *job.arguments(), *(["--cfg-options", *job.cfg_options] if job.cfg_options else [])]
    with job.log.open("a") as output:
        status = _wait(words, output, environment, stopping)
    # Report how it ended.
    if status in _STOPPED and stopping.is_set():
        print(f"{job.label}: stopped; run the same command to continue", flush=True)
        return True
    if status:
        end = "\n".join(job.log.read_text(errors="replace").splitlines()[-5:])
        print(f"{job.label}: ended with status {status}\n{end}", file=sys.stderr, flush=True)
        return False
    job.after()
    return True


def _wait(words: Sequence[str], output: IO[str], environment: Mapping[str, str], stopping: threading.Event) -> int:
    """Run a process and return its exit status, or that of a stopped process if it had to be killed."""
    with subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, env=environment) as process:
        while not stopping.is_set():
            try:
                return process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                pass
        process.terminate()
        try:
            return process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            return -signal.SIGTERM
