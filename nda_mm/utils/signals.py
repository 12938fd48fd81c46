"""What a process does when a cluster or a user asks it to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["on_sigterm"]


@contextmanager
def on_sigterm(action: Callable[[], object]) -> Iterator[None]:
    """Call a function on SIGTERM, while in this context; in a thread, which cannot listen, nothing changes.

    Args:
        action: May raise, to leave the context.

    Example:
        >>> asked = []
        >>> with on_sigterm(lambda: asked.append(True)):
        ...     signal.raise_signal(signal.SIGTERM)
        >>> asked
        [True]
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: action())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
