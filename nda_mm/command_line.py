"""What the commands share before torch and the hosts are loaded: options, what is being loaded, errors as one line."""

from __future__ import annotations

import argparse
import linecache
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from nda_mm.compat.cpu_distributed import LAUNCHERS, launched_rank
from nda_mm.compat.hosts import HOSTS
from nda_mm.compat.notices import silence_warnings

__all__ = [
    "TRACEBACK",
    "add_cfg_options",
    "add_common_options",
    "add_input_options",
    "plain_refusals",
    "read_settings",
    "say_loading",
    "start_command",
]

#: Environment variable that brings the whole traceback back, if it is set to anything.
TRACEBACK = "NDA_MM_TRACEBACK"
_KINDS = (ValueError, TypeError, KeyError, OSError, RuntimeError, ModuleNotFoundError)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``, whose words stay words: mmengine, which reads them, imports torch.

    Args:
        parser: Gets the option; :func:`read_settings` reads its words.
    """
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        type=_setting,
        metavar="K=V",
        help="settings to override, e.g. train_cfg.max_iters=9",
    )


def _setting(word: str) -> str:
    if not word.partition("=")[0] or "=" not in word:
        raise argparse.ArgumentTypeError(f"settings are written KEY=VALUE, but got {word!r}")
    return word


def read_settings(words: Sequence[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of ``--cfg-options``, read as mmengine's commands read them.

    Args:
        words: ``KEY=VALUE`` words; a mapping passes through.

    Returns:
        Values by their places in the config.

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


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that runs a config.

    Args:
        parser: Gets CONFIG, ``--work-dir``, ``--cfg-options``, ``--launcher`` and ``--local-rank``.
    """
    parser.add_argument("config", help="a config file, or the name of a recipe of ours: nda_biggan_digits.py")
    parser.add_argument("--work-dir", help="where logs and checkpoints go (default: work_dirs/<name of the config>)")
    add_cfg_options(parser)
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none", help="what starts the processes")
    # Older launchers of torch hand the local rank over as an argument.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the commands that look at negatives: a config or a folder, and which negatives.

    Args:
        parser: Gets CONFIG, ``--images``, ``--size``, ``--negative``, ``--all``, ``--cfg-options`` and ``--seed``.
    """
    parser.add_argument("config", nargs="?", help="a recipe: its training images, its negatives")
    parser.add_argument("--images", metavar="DIR", help="a folder of images instead of those of the recipe")
    parser.add_argument("--size", type=int, default=32, help="side of the squares made of --images; default: 32")
    parser.add_argument(
        "--negative",
        action="append",
        metavar="DICT",
        help="such as \"dict(type='Jigsaw', grid=4)\"; repeatable",
    )
    parser.add_argument("--all", action="store_true", help="all registered negatives, also where the config has some")
    add_cfg_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images and of the negatives")


def start_command() -> None:
    """Silence the hosts' notices and say that torch and mmengine are being loaded, when the options have been read."""
    silence_warnings()
    say_loading("torch", "mmengine")


def say_loading(*packages: str) -> None:
    """Say on stderr what is about to be imported, which takes seconds; in the first of several processes only.

    Args:
        packages: Import names of hosts. Those that are loaded already or absent are left out.

    Example:
        >>> say_loading("no_such_host")
    """
    hosts = [host for host in HOSTS if host.package in packages and host.package not in sys.modules and host.version()]
    if hosts and not launched_rank():
        named = ", ".join(f"{host.distribution} {host.version()}" for host in hosts)
        print(f"loading {named} ...", file=sys.stderr, flush=True)


@contextmanager
def plain_refusals() -> Iterator[None]:
    """End the command with a refusal's message on stderr, and status 1, instead of with a traceback.

    A refusal is an error that a ``raise`` statement of this package has made, or one of mmengine's registries that do
    not know a type: its message says what came, what is allowed and what to do, and the frames between it and the
    command say nothing more. Any other error, of a host or a mistake of ours, keeps its traceback. So do all if the
    environment sets ``NDA_MM_TRACEBACK``.

    Raises:
        SystemExit: With status 1, in the place of a refusal.

    Example:
        >>> with plain_refusals():
        ...     int("no refusal of ours")
        Traceback (most recent call last):
        ...
        ValueError: invalid literal for int() with base 10: 'no refusal of ours'
    """
    try:
        yield
    except _KINDS as error:
        place = _statement(error.__traceback__)
        if place is None or os.environ.get(TRACEBACK):
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error  # its str() is a repr()
        print(f"\nerror: {message}\n({place}; {TRACEBACK}=1 prints the whole traceback)", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def _statement(traceback: TracebackType | None) -> str | None:
    """File and line of the ``raise`` statement that made a refusal; None if the error is another."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return None
    file, line = Path(traceback.tb_frame.f_code.co_filename).resolve(), traceback.tb_lineno
    # Whose statements are refusals: this package's, and those of mmengine's registries for unknown types.
    places = [(Path(__file__).resolve().parent, 0)]
    if "mmengine.registry" in sys.modules:
        places.append((Path(str(sys.modules["mmengine.registry"].__file__)).resolve().parent, 1))
    place, depth = next((each for each in places if file.is_relative_to(each[0])), (None, 0))
    if place is None or not linecache.getline(str(file), line).lstrip().startswith("raise "):
        return None
    return f"{file.relative_to(place.parents[depth]).as_posix()}:{line}"
