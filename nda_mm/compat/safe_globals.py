"""Loading mmengine's checkpoints without letting them run code.

mmengine calls ``torch.load`` without ``weights_only``. Since torch 2.6 that means True, and torch refuses the log
buffers that mmengine stores beside the weights, so that ``--resume`` fails. The easy way out, ``weights_only=False``,
lets a checkpoint run whatever it likes. Here the few harmless things that mmengine writes are allowed by name instead,
and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .mend import Mend

#: Element types of numpy arrays in a checkpoint: log values, scores, and numpy's own random state.
_DTYPES = ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


def narrow_getattr(owner: Any, name: str) -> Any:
    """``getattr`` for the two uses that a checkpoint has of it.

    A pickled ``HistoryBuffer`` refers to its statistics as ``getattr(HistoryBuffer, 'mean')``, and the state of a
    one-cycle schedule to its curve as ``getattr(OneCycleParamScheduler, '_annealing_cos')``. The builtin, once allowed,
    would hand out any attribute of anything, and with it a way to run code.

    Args:
        owner: The object whose attribute is asked for; only those two classes are served.
        name: One of the buffer's default statistics (``min``, ``max``, ``mean``, ``current``) or of the schedule's
            curves (``_annealing_cos``, ``_annealing_linear``).

    Returns:
        The method.

    Raises:
        ValueError: If the checkpoint asks for anything else.
    """
    from mmengine.logging import HistoryBuffer
    from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

    statistics, curves = ("current", "max", "mean", "min"), ("_annealing_cos", "_annealing_linear")
    if (owner is HistoryBuffer and name in statistics) or (owner is OneCycleParamScheduler and name in curves):
        return getattr(owner, name)
    raise ValueError(
        f"The checkpoint asks for attribute {name!r} of {owner!r}. Only {', '.join(statistics)} of mmengine's "
        f"HistoryBuffer and {', '.join(curves)} of its OneCycleParamScheduler are served, since a checkpoint must not "
        "reach anything else; if you registered a statistic of your own, load the weights alone."
    )


def allowed_globals() -> list[Any]:
    """The allow-list: mmengine's log buffer and its statistics, a schedule's curves, numpy arrays and plain numbers.

    numpy 1 and numpy 2 write different module names for the same two functions; both names are listed, so that a
    checkpoint written under one can be read under the other.

    Returns:
        Items in the form that ``torch.serialization.add_safe_globals`` takes.
    """
    from mmengine.logging import HistoryBuffer
    from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

    array_parts = np.array([0.0]).__reduce__()
    scalar_parts = np.float64(0.0).__reduce__()
    reconstruct: Callable[..., Any] = array_parts[0]  # type: ignore[assignment,index]
    scalar: Callable[..., Any] = scalar_parts[0]  # type: ignore[assignment,index]
    return [
        HistoryBuffer,
        OneCycleParamScheduler,  # its constructor wants an optimizer and does no more than set one up
        (narrow_getattr, "builtins.getattr"),
        np.ndarray,
        np.dtype,
        *(type(np.dtype(code)) for code in _DTYPES),
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
    ]


def allow_safe_globals() -> None:
    """Let ``torch.load(..., weights_only=True)`` read what mmengine writes; idempotent."""
    torch.serialization.add_safe_globals(allowed_globals())


class SafeGlobals(Mend):
    """Allow the contents of an mmengine checkpoint to be read with ``weights_only=True``."""

    name = "safe-globals"
    host = "mmengine"
    reason = "UnpicklingError: Weights only load failed ... HistoryBuffer, at `--resume`"
    versions = "mmengine <= 0.10.7 with torch >= 2.6"

    def needed(self) -> bool:
        import io

        from mmengine.logging import HistoryBuffer

        file = io.BytesIO()
        torch.save(HistoryBuffer([1.0], [1]), file)
        file.seek(0)
        try:
            torch.load(file, weights_only=True)
        except Exception:  # torch words its refusal in several classes, and each of them is the fault
            return True
        return False

    def apply(self) -> None:
        allow_safe_globals()
