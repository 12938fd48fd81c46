"""Trainings that a study is made of: each in a process and a folder of its own, kept when finished, else resumed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Training", "digest", "is_finished", "output_of", "refuse_other_settings", "resolve", "train_all"]


@dataclass(frozen=True)
class Training:
    """One config with one seed, and the folder of its results.

    Args:
        config: The config's file.
        seed: Given as ``--seed``.
        folder: The work dir.
        label: What to call it in messages.
        settings: Digests, by kind, of what must stay as it is while the folder is kept: of the recipe, for example.
        cfg_options: ``K=V`` words.
    """

    config: str
    seed: int
    folder: Path
    label: str
    settings: Mapping[str, str]
    cfg_options: tuple[str, ...] = ()


def train_all(
    trainings: Sequence[Training], command: Sequence[str], jobs: int = 1, variables: Mapping[str, str] | None = None
) -> list[Training]:
    """Train what is not finished, ``jobs`` at a time, and go on after a failure.

    Args:
        trainings: In this order.
        command: Words that start the training of a config, for example ``[python, 'tools/train.py']``.
        jobs: At least 1.
        variables: Added to the environment of each. Defaults to None.

    Returns:
        Those that failed.

    Raises:
        ValueError: If a folder holds a run with other settings, or ``jobs`` is below 1; before anything is trained.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, but got {jobs}")
    refuse_other_settings(trainings)
    with ThreadPoolExecutor(jobs) as pool:
        done = list(pool.map(lambda training: _train(training, command, variables), trainings))
    return [training for training, succeeded in zip(trainings, done) if not succeeded]


def refuse_other_settings(trainings: Sequence[Training]) -> None:
    """Raise a ValueError if a folder holds a run that was started with other settings."""
    for training in trainings:
        started = training.folder / "started.json"
        found = json.loads(started.read_text()) if started.is_file() else training.settings
        changed = [kind for kind, value in training.settings.items() if found.get(kind) != value]
        if changed:
            what = "settings" if "recipe" in changed else " and ".join(changed)
            raise ValueError(
                f"{training.folder} holds a run of {training.label} with other {what}; remove it, or choose another "
                "--out"
            )


def is_finished(folder: Path) -> bool:
    """Whether the training of a folder has ended well."""
    return (folder / "finished.json").is_file()


def output_of(folder: Path) -> Path:
    """Where the words of a training stand."""
    return folder / "output.txt"


def resolve(recipe: str, cfg_options: Sequence[str]) -> Any:
    """A recipe with its overrides, as training will see it."""
    import argparse

    from mmengine.config import Config, DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    options = parser.parse_args(["--cfg-options", *cfg_options]).cfg_options if cfg_options else {}
    config = Config.fromfile(recipe, import_custom_modules=False)
    config.merge_from_dict(options)
    return config


def digest(config: Any) -> str:
    """SHA-256 of a resolved config."""
    return hashlib.sha256(config.pretty_text.encode()).hexdigest()


def _train(training: Training, command: Sequence[str], variables: Mapping[str, str] | None) -> bool:
    if is_finished(training.folder):
        return True
    training.folder.mkdir(parents=True, exist_ok=True)
    _write(training.folder / "started.json", training.settings)
    words = [
        *(*command, training.config, "--work-dir", str(training.folder), "--seed", str(training.seed), "--resume"),
        *(("--cfg-options", *training.cfg_options) if training.cfg_options else ()),
    ]
    name, log = f"{training.label}, seed {training.seed}", output_of(training.folder)
    print(f"{name}: training (output in {log})", flush=True)
    environment = {**os.environ, **(variables or {})}
    with log.open("a") as output:
        status = subprocess.run(words, stdout=output, stderr=subprocess.STDOUT, check=False, env=environment).returncode
    if status:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        print(f"{name}: ended with status {status}\n{end}", file=sys.stderr, flush=True)
        return False
    _write(training.folder / "finished.json", dict(training.settings, seed=training.seed))
    return True


def _write(path: Path, content: Mapping[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(dict(content)))
    os.replace(part, path)
