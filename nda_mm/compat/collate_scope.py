"""mmengine's Runner hands a collate function the scope of the recipe that it was inherited from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial, wraps
from typing import Any

from .mend import Mend


class CollateScope(Mend):
    """Let a recipe of another package, inherited as ``_base_ = 'mmpretrain::...'``, name its collate function.

    Inheritance across packages writes ``_scope_`` into every dict with a type. Registries take it out again, but the
    Runner binds what is left of ``collate_fn`` as keyword arguments, ``_scope_`` included.
    """

    name = "collate-scope"
    host = "mmengine"
    reason = "TypeError: default_collate() got an unexpected keyword argument '_scope_'"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.runner import Runner

        config = dict(
            dataset=[0],
            batch_size=1,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate", _scope_="mmengine"),
        )
        collate = Runner.build_dataloader(config, seed=0).collate_fn
        return isinstance(collate, partial) and "_scope_" in collate.keywords

    def apply(self) -> None:
        from mmengine.runner import Runner

        original = inspect.unwrap(Runner.build_dataloader)

        @wraps(original)
        def build_dataloader(dataloader: Any, *args: Any, **kwargs: Any) -> Any:
            collate = dataloader.get("collate_fn") if isinstance(dataloader, Mapping) else None
            if isinstance(collate, Mapping) and "_scope_" in collate:
                dataloader = {**dataloader, "collate_fn": {k: v for k, v in collate.items() if k != "_scope_"}}
            return original(dataloader, *args, **kwargs)

        Runner.build_dataloader = staticmethod(build_dataloader)
