"""mmengine's separate DDP wrapper yields once per sub-model inside its ``no_sync`` context manager."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from .mend import Mend


@contextmanager
def _no_sync(self: Any) -> Iterator[None]:
    """Hold back the gradient exchange of every wrapped sub-model until the context ends."""
    with ExitStack() as stack:
        for sub_model in self.module._modules.values():
            if hasattr(sub_model, "no_sync"):  # sub-models without trainable parameters are not wrapped
                stack.enter_context(sub_model.no_sync())
        yield


class _Probe:
    """What ``no_sync`` sees of a wrapped GAN: two sub-models that can each be told not to synchronise."""

    class module:
        class _Sub:
            no_sync = staticmethod(nullcontext)

        _modules = {"generator": _Sub, "discriminator": _Sub}


class SeparateDDPNoSync(Mend):
    """Make gradient accumulation work for a model whose parts are wrapped in DDP one by one."""

    name = "separate-ddp-no-sync"
    host = "mmengine"
    reason = "RuntimeError: generator didn't stop, at `with MMSeparateDistributedDataParallel(...).no_sync()`"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.model import MMSeparateDistributedDataParallel

        # The probe needs no process group, so it can run the method itself instead of trusting a version number.
        no_sync = inspect.unwrap(MMSeparateDistributedDataParallel.no_sync)
        try:
            with contextmanager(no_sync)(_Probe()):
                pass
        except RuntimeError:
            return True
        return False

    def apply(self) -> None:
        from mmengine.model import MMSeparateDistributedDataParallel

        MMSeparateDistributedDataParallel.no_sync = _no_sync
