"""Trainings that a study is made of: each in a process and a folder of its own, kept when finished, else resumed."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nda_mm.studies.processes import run_logged, run_side_by_side
from nda_mm.utils.command_line import read_settings
from nda_mm.utils.files import write_text_atomically

__all__ = ["Training", "digest", "is_finished", "output_of", "refuse_other_settings", "resolve", "train_all"]


@dataclass(frozen=True)
class Training:
    """One config with one seed, and the folder of its results.

    Args:
        config: The config's file.
        seed: Given as ``--seed``.
        folder: The work dir.
        label: What to call it in messages.
        settings: Digests, by kind, of what must stay as it is while the folder is kept: of the recipe, for example. Of
            the kinds ``recipe`` and ``course`` (the recipe but for its length) one is enough.
        cfg_options: ``K=V`` words.
        length: Iterations or epochs of the training; one that has finished at fewer is continued. Defaults to None:
            what has finished is finished.
    """

    config: str
    seed: int
    folder: Path
    label: str
    settings: Mapping[str, str]
    cfg_options: tuple[str, ...] = ()
    length: int | None = None


def train_all(
    trainings: Sequence[Training],
    command: Sequence[str],
    jobs: int = 1,
    variables: Mapping[str, str] | None = None,
) -> list[Training]:
    """Train what is not finished, ``jobs`` at a time, and go on after a failure.

    On SIGTERM the running ones get SIGTERM, on which ``tools/train.py`` saves a checkpoint, and a minute to do so; no
    other is started. They go on at the next call.

    Args:
        trainings: In this order.
        command: Words that start the training of a config, for example ``[python, 'tools/train.py']``.
        jobs: At least 1.
        variables: Added to the environment of each. Defaults to None.

    Returns:
        Those that failed. Those that were stopped are neither here nor finished.

    Raises:
        ValueError: If a folder holds a run with other settings, ``jobs`` is below 1; before
            anything is trained.
    """
    refuse_other_settings(trainings)
    return run_side_by_side(lambda training, stopping: _train(training, command, variables, stopping), trainings, jobs)


def refuse_other_settings(trainings: Sequence[Training]) -> None:
    """Raise a ValueError if a folder holds a run that was started with other settings."""
    for training in trainings:
        started = training.folder / "started.json"
        found = json.loads(started.read_text()) if started.is_file() else training.settings
        changed = [kind for kind, value in training.settings.items() if found.get(kind) != value]
        if "recipe" not in changed or ("course" in training.settings and "course" not in changed):
            changed = [kind for kind in changed if kind not in ("recipe", "course")]
        if changed:
            what = "settings" if "recipe" in changed else " and ".join(changed)
            raise ValueError(
                f"{training.folder} holds a run of {training.label} with other {what}; remove it, or choose another "
                "--out"
            )


def is_finished(folder: Path, length: int | None = None) -> bool:
    """Whether the training of a folder has ended well, and was no shorter than ``length``."""
    path = folder / "finished.json"
    if not path.is_file():
        return False
    trained = json.loads(path.read_text()).get("length")
    return length is None or trained is None or trained >= length


def output_of(folder: Path) -> Path:
    """Where the words of a training stand."""
    return folder / "output.txt"


def resolve(recipe: str, cfg_options: Sequence[str]) -> Any:
    """A recipe with its overrides, as training will see it."""
    from mmengine.config import Config

    config = Config.fromfile(recipe, import_custom_modules=False)
    config.merge_from_dict(read_settings(cfg_options))
    return config


def digest(config: Any) -> str:
    """SHA-256 of a resolved config."""
    return hashlib.sha256(config.pretty_text.encode()).hexdigest()


def _train(
    training: Training, command: Sequence[str], variables: Mapping[str, str] | None, stopping: threading.Event
) -> bool:
    if is_finished(training.folder, training.length):
        return True
    name, log = f"{training.label}, seed {training.seed}", output_of(training.folder)
    if stopping.is_set():
        print(f"{name}: not trained on", flush=True)
        return True
    training.folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(training.folder / "started.json", json.dumps(dict(training.settings)))
    words = [
        *(*command, training.config, "--work-dir", str(training.folder), "--seed", str(training.seed), "--resume"),
        *(("--cfg-options", *training.cfg_options) if training.cfg_options else ()),
    ]
    print(f"{name}: training (output in {log})", flush=True)
    done = run_logged(words, log, stopping, name=name, variables=variables)
    if done is None:
        print(f"{name}: stopped; the next call goes on", flush=True)
    if done:
        settings = dict(training.settings, seed=training.seed, length=training.length)
        write_text_atomically(training.folder / "finished.json", json.dumps(settings))
    return done is not False
