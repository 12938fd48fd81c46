"""Command-line options, and errors as one line; imports neither torch nor a host framework."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nda_mm.compat import apply_patches, say_loading
from nda_mm.compat.notices import silence_warnings
from nda_mm.utils.files import recipe_path
from nda_mm.utils.processes import LAUNCHERS, keep_freed_memory

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = [
    "TRACEBACK",
    "add_cfg_options",
    "add_common_options",
    "add_input_options",
    "add_study_options",
    "one_line_errors",
    "read_config",
    "read_settings",
    "say_loading",
    "start_command",
]

#: Environment variable that shows whole tracebacks if it is set to any value.
TRACEBACK = "NDA_MM_TRACEBACK"
#: Errors that are printed as one line, and the modules that raise them.
_KINDS = (ValueError, TypeError, KeyError, OSError, RuntimeError, ModuleNotFoundError)
_OURS = ("nda_mm.", "mmengine.registry.")


def add_cfg_options(
    parser: argparse.ArgumentParser, name: str = "--cfg-options", about: str = "e.g. train_cfg.max_iters=9"
) -> None:
    """Add ``--cfg-options`` as words to be parsed by :func:`read_settings`, since mmengine's parser imports torch."""
    parser.add_argument(
        name,
        nargs="+",
        action="extend",
        type=_setting,
        default=[],
        metavar="K=V",
        help=f"settings to override, {about}",
    )


def _setting(word: str) -> str:
    if not word.partition("=")[0] or "=" not in word:
        raise argparse.ArgumentTypeError(f"settings must be KEY=VALUE, but got {word!r}")
    return word


def read_settings(words: Sequence[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    """Parse the words of ``--cfg-options`` as mmengine does.

    Args:
        words: ``KEY=VALUE`` words; a mapping is returned as a dict.

    Returns:
        Values by dotted key.

    Example:
        >>> read_settings(["train_cfg.max_iters=9", "model.negative.grid=(2,4)"])
        {'train_cfg.max_iters': 9, 'model.negative.grid': (2, 4)}
    """
    if isinstance(words, Mapping):
        return dict(words)
    if not words:
        return {}
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    return parser.parse_args(["--cfg-options", *words]).cfg_options


def read_config(name: str, settings: Sequence[str] | Mapping[str, Any] | None = None) -> Config:
    """Read a config and apply overrides, after patching the frameworks that it may import.

    Args:
        name: Path, or name of a recipe; see :func:`~nda_mm.utils.files.recipe_path`.
        settings: Overrides, as accepted by :func:`read_settings`. Defaults to None.

    Returns:
        The config.

    Raises:
        FileNotFoundError: If there is no such config.

    Example:
        >>> read_config("biggan_digits.py", ["train_cfg.max_iters=9"]).train_cfg.max_iters
        9
    """
    from mmengine.config import Config

    apply_patches()
    config = Config.fromfile(recipe_path(name))
    config.merge_from_dict(read_settings(settings))
    return config


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG, ``--work-dir``, ``--cfg-options``, ``--launcher`` and ``--local-rank``."""
    parser.add_argument("config", help="config file, or name of a built-in recipe such as nda_biggan_digits.py")
    parser.add_argument("--work-dir", help="folder for logs and checkpoints (default: work_dirs/<name of the config>)")
    add_cfg_options(parser)
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none", help="launcher of the processes")
    # Older launchers of torch pass the local rank as an argument.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG, ``--images``, ``--size``, ``--negative``, ``--all``, ``--cfg-options`` and ``--seed``."""
    parser.add_argument("config", nargs="?", help="recipe whose training images and negatives are used")
    parser.add_argument("--images", metavar="DIR", help="folder of images to use instead of those of the recipe")
    parser.add_argument("--size", type=int, default=32, help="side of the squares made from --images (default: 32)")
    parser.add_argument(
        "--negative",
        action="append",
        metavar="DICT",
        help="negative such as \"dict(type='Jigsaw', grid=4)\"; repeatable",
    )
    parser.add_argument("--all", action="store_true", help="use all registered negatives, even if the config has some")
    add_cfg_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed for choosing images and making negatives")


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--seeds``, ``--out``, ``--metrics``, ``--jobs`` and ``--cfg-options``."""
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds per recipe (default: 0 1 2)")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and results")
    parser.add_argument("--metrics", nargs="+", help="metrics to report (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at a time (default: 1)")
    add_cfg_options(parser)


def start_command() -> None:
    """Prepare the process of a command: memory, warnings, and a notice that torch and mmengine are loading.

    Call it after parsing options.
    """
    keep_freed_memory()
    silence_warnings()
    say_loading("torch", "mmengine")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an error as one line on stderr and exit with status 1, without a traceback.

    This applies to errors raised in this package or in mmengine's registries. Errors of the host frameworks keep their
    traceback, and so do all errors if the environment variable ``NDA_MM_TRACEBACK`` is set.

    Raises:
        SystemExit: With status 1, in place of the error.

    Example:
        >>> with one_line_errors():
        ...     raise ValueError("grid must be at least 2, but got 1")
        Traceback (most recent call last):
        ...
        SystemExit: 1
    """
    try:
        yield
    except _KINDS as error:
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        if not frame.f_globals["__name__"].startswith(_OURS) or os.environ.get(TRACEBACK):
            raise
        place = f"{'/'.join(Path(frame.f_code.co_filename).parts[-3:])}:{line}"
        message = error.args[0] if isinstance(error, KeyError) and error.args else error  # its str() is a repr()
        print(f"\nerror: {message}\n({place}; {TRACEBACK}=1 prints the whole traceback)", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
