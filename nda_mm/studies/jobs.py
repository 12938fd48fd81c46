"""Trainings and tests as processes: several at a time, kept when done, continued after an interruption.

What identifies a job are digests of its config: :func:`course` of a training, :func:`digest` of a test.
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

#: The parts of a config that decide the course of a training, and the keys of train_cfg that do not.
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
#: Exit statuses of a process that was asked to stop: after it saved a checkpoint, or before it listened.
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)
#: Seconds that a process has to stop.
_GRACE = 60.0


def resolve(recipe: str, cfg_options: Sequence[str] = ()) -> Config:
    """A recipe with its overrides, as training will see it; it may inherit ``nda_mm::...``."""
    apply_patches("mmengine")
    config = Config.fromfile(recipe, import_custom_modules=False)
    config.merge_from_dict(read_settings(cfg_options))
    return config


def unique_names(recipes: Sequence[str]) -> list[str]:
    """The file names of recipes without ``.py``, which name the folders of their runs.

    Raises:
        ValueError: If there are none, or two are equal.
    """
    names = [Path(recipe).stem for recipe in recipes]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"recipes must be given and have different file names, but got {names}")
    return names


def digest(config: Any) -> str:
    """SHA-256 of a resolved config."""
    return hashlib.sha256(config.pretty_text.encode()).hexdigest()


def course(config: Any) -> str:
    """SHA-256 of what decides the course of a training, without its length and its evaluation.

    Two runs of one course and seed are the same run, trained for different times.
    """
    parts = {key: config.get(key) for key in _COURSE}
    parts["train_cfg"] = {key: value for key, value in (config.get("train_cfg") or {}).items() if key not in _LENGTH}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def length(config: Any) -> int | None:
    """Iterations or epochs of a training."""
    train = config.get("train_cfg") or {}
    return train.get("max_iters") or train.get("max_epochs")


@dataclass(frozen=True)
class Job:
    """A command on a config, with a folder for its results.

    Args:
        config: The config's file.
        folder: The work dir.
        label: What to call it in messages.
        settings: Digests, by name, of what the results depend on.
        cfg_options: ``K=V`` words.
    """

    config: str
    folder: Path
    label: str
    settings: Mapping[str, str]
    cfg_options: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """The output of the process."""
        return self.folder / "output.txt"

    def before(self) -> None:
        """What is to be recorded before the process starts: nothing."""


@dataclass(frozen=True)
class Training(Job):
    """One config with one seed, trained by ``tools/train.py``; ``settings`` must not change while its folder is kept.

    Args:
        seed: Given as ``--seed``.
        length: Iterations or epochs; a run that finished with fewer is continued. Default None: a finished run stays
            finished.
    """

    seed: int = 0
    length: int | None = None

    def is_done(self) -> bool:
        """Whether it has finished."""
        return is_finished(self.folder, self.length)

    def arguments(self) -> list[str]:
        """The words after the command."""
        return [self.config, "--work-dir", str(self.folder), "--seed", str(self.seed), "--resume"]

    def before(self) -> None:
        """Record the identity of the run."""
        write_text_atomically(self.folder / "started.json", json.dumps(dict(self.settings)))

    def after(self) -> None:
        """Record that it has finished."""
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
    """A checkpoint measured by ``tools/test.py``; kept until ``settings`` or the checkpoint change.

    Args:
        checkpoint: Named after its step, as mmengine does: ``iter_5000.pth``.
    """

    checkpoint: Path = Path()

    def is_done(self) -> bool:
        """Whether these settings and this checkpoint have been measured."""
        kept = self.folder / "measured.json"
        return kept.is_file() and json.loads(kept.read_text())["settings"] == self._identity()

    def arguments(self) -> list[str]:
        """The words after the command."""
        return [self.config, str(self.checkpoint), "--work-dir", str(self.folder)]

    def after(self) -> None:
        """Keep the values that mmengine has written."""
        files = [path for path in self.folder.glob("*/*.json") if path.stem == path.parent.name]
        newest = max(files, key=lambda path: path.stat().st_mtime_ns)
        content = dict(settings=self._identity(), values=json.loads(newest.read_text()))
        write_text_atomically(self.folder / "measured.json", json.dumps(content, indent=2) + "\n")

    def _identity(self) -> dict[str, Any]:
        return dict(self.settings, checkpoint=self.checkpoint.name, written=self.checkpoint.stat().st_mtime_ns)


J = TypeVar("J", Training, Measurement)


def run_all(jobs: Sequence[J], command: Sequence[str], at_once: int = 1) -> list[J]:
    """Run what is not done, several at a time, and go on after a failure.

    On SIGTERM, running processes get SIGTERM too, and a minute to save a checkpoint; no other is started. The next call
    continues. Processes that run at the same time share the cores, unless ``OMP_NUM_THREADS`` is set.

    Args:
        jobs: In this order.
        command: Words that start one, for example ``[python, 'tools/train.py']``.
        at_once: At least 1.

    Returns:
        Those that failed. A stopped one has not failed, and is not done.

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
            stopping.set()  # Ctrl-C must not leave processes behind, nor start more
            raise
    return [job for job, good in zip(jobs, succeeded) if not good]


def is_finished(folder: Path, length: int | None = None) -> bool:
    """Whether the training of a folder has ended well, and was no shorter than ``length``."""
    path = folder / "finished.json"
    if not path.is_file():
        return False
    trained = json.loads(path.read_text()).get("length")
    return length is None or trained is None or trained >= length


def last_checkpoint(run: Path) -> Path:
    """The last checkpoint of a work dir, which may have been moved.

    Raises:
        ValueError: If there is none.
    """
    record = run / "last_checkpoint"
    if record.is_file():
        named = Path(record.read_text().strip())
        for path in (run / named.name, named):
            if path.is_file():
                return path
    raise ValueError(f"there is no checkpoint in {run} to measure")


def measured(folder: Path) -> tuple[int, dict[str, float]] | None:
    """Step and values of the last measurement into a folder, None if there is none."""
    path = folder / "measured.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    step = re.search(r"(\d+)$", Path(content["settings"]["checkpoint"]).stem)
    return int(step[1]) if step else 0, content["values"]


def _run(
    job: Training | Measurement, command: Sequence[str], environment: Mapping[str, str], stopping: threading.Event
) -> bool:
    """Run one job; whether it did not fail."""
    if job.is_done():
        return True
    if stopping.is_set():
        print(f"{job.label}: not started", flush=True)
        return True
    # Run it, with its output in a file.
    job.folder.mkdir(parents=True, exist_ok=True)
    job.before()
    print(f"{job.label}: {type(job).__name__.lower()} (output in {job.log})", flush=True)
    words = [*command, *job.arguments(), *(["--cfg-options", *job.cfg_options] if job.cfg_options else [])]
    with job.log.open("a") as output:
        status = _wait(words, output, environment, stopping)
    # How it ended.
    if status in _STOPPED and stopping.is_set():
        print(f"{job.label}: stopped; the next call goes on", flush=True)
        return True
    if status:
        end = "\n".join(job.log.read_text(errors="replace").splitlines()[-5:])
        print(f"{job.label}: ended with status {status}\n{end}", file=sys.stderr, flush=True)
        return False
    job.after()
    return True


def _wait(words: Sequence[str], output: IO[str], environment: Mapping[str, str], stopping: threading.Event) -> int:
    """Run a process; its exit status, or that of a stopped one if it had to be killed."""
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
