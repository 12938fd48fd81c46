"""Silence framework notices that users cannot act on, for the commands and for our tests.

Only the notices listed here are silenced. All other warnings are shown, including ours and the user's own.
"""

from __future__ import annotations

import logging
import warnings
from functools import wraps
from typing import Any

__all__ = ["DUMPS", "RECORDS", "WARNINGS", "quiet_loggers", "silence_warnings"]

#: Silenced warnings: a pattern without a colon for the start of the message, and the category.
WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    ("`np.bool8` is a deprecated alias", DeprecationWarning),  # mmagic
    ("`torch.utils._pytree._register_pytree_node` is deprecated", FutureWarning),  # mmagic's transformers, diffusers
    ("Importing from timm.models", FutureWarning),  # mmagic, mmaction2
    (".*pkg_resources", UserWarning),  # mmengine, mmcv
    (".*pkg_resources", DeprecationWarning),
    (".*torch.jit", DeprecationWarning),  # mmagic's clip, timm
    ("Unnecessary conv bias before batch/instance norm", UserWarning),  # mmcv, in networks of mmagic and mmdet
    ("Detected call of `scheduler.step\\(\\)` before `optimizer.step\\(\\)`", UserWarning),  # mmengine, first step
    ("<class '.*'> instance named of .* has been created, the method `get_instance`", UserWarning),  # mmengine
    ("Since aten", UserWarning),  # mmcv's conv2d_gradfix, in mmagic's StyleGANs
)

#: Start of the lines that are dropped from mmengine's loggers.
RECORDS = (
    '"FileClient" will be deprecated in future',
    '"HardDiskBackend" is the alias of "LocalBackend"',
    "`save_param_scheduler` is True but `self.param_schedulers` is None",
    "The prefix is not set in metric class",
)

#: Start of the lines that belong in the log file but not on the terminal.
DUMPS = (
    f"\n{'-' * 60}\nSystem environment:",
    "Config:\n",
    "Hooks will be executed in the following order:",
    "Distributed training is not used, all SyncBatchNorm",
    "Add to optimizer",
)


def silence_warnings() -> None:
    """Ignore :data:`WARNINGS`, unless ``-W`` or ``PYTHONWARNINGS`` enables them.

    Example:
        >>> silence_warnings()
    """
    for message, category in WARNINGS:
        warnings.filterwarnings("ignore", message, category, append=True)


def quiet_loggers(*, dumps: bool = False) -> None:
    """Drop :data:`RECORDS` from mmengine's current and future loggers.

    If called several times, the last call wins for future loggers.

    Args:
        dumps: Whether :data:`DUMPS` are written to log files only. Defaults to False.
    """
    from mmengine.logging import MMLogger

    for logger in MMLogger._instance_dict.values():
        _quiet(logger, dumps)
    original = getattr(MMLogger.__init__, "__wrapped__", MMLogger.__init__)

    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        _quiet(self, dumps)

    MMLogger.__init__ = init


def _quiet(logger: logging.Logger, dumps: bool) -> None:
    logger.addFilter(_is_no_notice)
    for handler in logger.handlers:
        if dumps and not isinstance(handler, logging.FileHandler):
            handler.addFilter(_is_no_dump)


def _is_no_notice(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(RECORDS)


def _is_no_dump(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(DUMPS)
