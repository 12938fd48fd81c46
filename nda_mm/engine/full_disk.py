"""A full disk must not end a run that only wanted to draw or to log."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO

from mmengine.logging import print_log
from mmengine.visualization import Visualizer
from mmengine.visualization.vis_backend import BaseVisBackend

from nda_mm.utils.files import write_atomically

_WRITERS = ("add_config", "add_graph", "add_image", "add_scalar", "add_scalars", "close")
_ENOUGH = 2**20  # bytes free, before TensorBoard begins another file


def save_picture(write: Callable[[BinaryIO], Any], path: Path) -> None:
    """Write a picture atomically, or log a warning if it can't be written.

    Args:
        write: Gets a file to write to.
        path: The picture; missing folders are made.
    """
    try:
        write_atomically(path, write)
    except OSError as error:
        _warn(str(path), error)


def guard_backends(visualizer: Visualizer) -> None:
    """Make the backends of a visualizer skip what they can't write, with one warning until they can again.

    TensorBoard's writer does not work after a failure, and its last record may be incomplete: it gets a new file.

    Args:
        visualizer: Its backends are changed in place.
    """
    for backend in getattr(visualizer, "_vis_backends", {}).values():
        if "add_scalars" not in vars(backend):
            _guard(backend)


def _guard(backend: BaseVisBackend) -> None:
    failing = False

    def guarded(method: Callable[..., None]) -> Callable[..., None]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> None:
            nonlocal failing
            writer = hasattr(backend, "_tensorboard")
            if failing and writer and shutil.disk_usage(backend._save_dir).free < _ENOUGH:
                return
            try:
                method(*args, **kwargs)
            except OSError as error:
                if not failing:
                    _warn(f"The output of {type(backend).__name__}", error)
                failing = True
                backend._env_initialized = backend._env_initialized and not writer
            else:
                failing = False

        return call

    for name in _WRITERS:
        setattr(backend, name, guarded(getattr(backend, name)))


def _warn(what: str, error: OSError) -> None:
    print_log(f"{what} could not be written: {error}. Training goes on.", logger="current", level=logging.WARNING)
