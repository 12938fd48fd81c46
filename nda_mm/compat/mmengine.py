"""Patches of mmengine: configs, data loaders, distributed runs. For checkpoints see :mod:`nda_mm.compat.safe_load`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from nda_mm.utils.files import PREFIX, recipe_path, write_text_atomically

from .patch import Patch


class SeparateDDPNoSync(Patch):
    """Make gradient accumulation work for a model whose parts are wrapped in DDP separately.

    ``MMSeparateDistributedDataParallel.no_sync`` yields once per part, but a context manager must yield exactly once.
    """

    name = "separate-ddp-no-sync"
    framework = "mmengine"
    reason = "RuntimeError: generator didn't stop, at `with MMSeparateDistributedDataParallel(...).no_sync()`"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.model import MMSeparateDistributedDataParallel

        part = SimpleNamespace(no_sync=nullcontext)  # needs no process group
        model = SimpleNamespace(module=SimpleNamespace(_modules={"generator": part, "discriminator": part}))
        try:
            with contextmanager(inspect.unwrap(MMSeparateDistributedDataParallel.no_sync))(model):
                return False
        except RuntimeError:
            return True

    def apply(self) -> None:
        from mmengine.model import MMSeparateDistributedDataParallel

        @contextmanager
        def no_sync(self: Any) -> Iterator[None]:
            """Disable the gradient synchronization of every wrapped part inside the context."""
            with ExitStack() as stack:
                for part in self.module._modules.values():
                    if hasattr(part, "no_sync"):  # parts without trainable parameters are not wrapped
                        stack.enter_context(part.no_sync())
                yield

        MMSeparateDistributedDataParallel.no_sync = no_sync


class CPUDistributed(Patch):
    """Let the Runner wrap a model for several processes without a GPU.

    DDP gets no device. Synchronized batch normalization has no CPU implementation and is replaced by plain batch
    normalization, so each process normalizes with the statistics of its own batch. The process group is started by
    :func:`nda_mm.compat.start_process_group`.
    """

    name = "cpu-distributed"
    framework = "mmengine"
    reason = "ValueError: DistributedDataParallel device_ids ... or SyncBatchNorm, in several processes without a GPU"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.runner import Runner

        return "LOCAL_RANK" in Runner.wrap_model.__code__.co_consts  # it passes this GPU index to DDP

    def apply(self) -> None:
        import torch
        from mmengine.model import is_model_wrapper, revert_sync_batchnorm
        from mmengine.runner import Runner

        original = Runner.wrap_model

        @wraps(original)
        def wrap_model(self: Any, model_wrapper_cfg: Mapping[str, Any] | None, model: Any) -> Any:
            if self.distributed and not torch.cuda.is_available() and not is_model_wrapper(model):
                if any(type(module).__name__ == "SyncBatchNorm" for module in model.modules()):
                    self.logger.warning("SyncBN needs a GPU and becomes BN: each process normalizes its own batch.")
                    model = revert_sync_batchnorm(model)
                default = {
                    "broadcast_buffers": False,
                    "find_unused_parameters": self.cfg.get("find_unused_parameters", False),
                }
                model_wrapper_cfg = {**(model_wrapper_cfg or default), "device_ids": None}
            return original(self, model_wrapper_cfg, model)

        Runner.wrap_model = wrap_model


class CollateScope(Patch):
    """Support a ``collate_fn`` in recipes inherited from another package (``_base_ = 'mmpretrain::...'``).

    Inheritance across packages adds ``_scope_`` to every dict with a type. Registries remove it again, but the Runner
    passes the remaining items of ``collate_fn`` as keyword arguments, including ``_scope_``.
    """

    name = "collate-scope"
    framework = "mmengine"
    reason = "TypeError: default_collate() got an unexpected keyword argument '_scope_'"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.registry import DefaultScope
        from mmengine.runner import Runner

        config = dict(
            dataset=[0],
            batch_size=1,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate", _scope_="mmengine"),
        )
        with DefaultScope.overwrite_default_scope("mmengine"):  # another scope would import its framework unpatched
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


class ConfigText(Patch):
    """Let interrupts pass while mmengine formats a config, and write the file only after formatting.

    ``Config.pretty_text`` turns any exception during formatting into a SyntaxError, including KeyboardInterrupt and
    SystemExit. It is read for every checkpoint and takes most of the time of saving a small one. ``Config.dump`` opens
    its file before formatting, so an interrupt leaves an empty config.
    """

    name = "config-text"
    framework = "mmengine"
    reason = "SyntaxError: Failed to format the config file (after Ctrl-C)"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.config import Config

        try:
            with mock.patch("mmengine.config.config.FormatCode", side_effect=KeyboardInterrupt):
                return not Config(dict(a=1)).pretty_text
        except SyntaxError:
            return True
        except KeyboardInterrupt:
            return False

    def apply(self) -> None:
        from mmengine.config import Config

        pretty_text, dump = Config.pretty_text.fget, Config.dump

        def text(self: Config) -> str:
            try:
                return pretty_text(self)
            except SyntaxError as error:
                cause = error.__context__
                if cause is None or isinstance(cause, Exception):
                    raise
            raise cause

        def dump_whole(self: Config, file: str | Path | None = None) -> Any:
            if file is None or not str(file).endswith(".py"):
                return dump(self, file)
            return write_text_atomically(Path(file), self.pretty_text)

        Config.pretty_text = property(text, doc=Config.pretty_text.__doc__)
        Config.dump = dump_whole


class ExternalConfigs(Patch):
    """Let a config of any project inherit one of our recipes: ``_base_ = 'nda_mm::biggan/biggan_digits.py'``.

    mmengine resolves ``package::config`` only for a fixed list of OpenMMLab packages, requires a folder in the path,
    and looks for editable installs in the wrong place. The patch reads the recipe as if its file path had been given,
    so its components are looked up in the default scope that it declares.

    A tool that does not import this package (such as a framework's own ``tools/train.py``) reads the config before the
    patch is applied. Start it with ``python -m nda_mm.compat.auto tools/train.py CONFIG``.
    """

    name = "external-configs"
    framework = "mmengine"
    reason = "AssertionError: mmengine does not support to load nda_mm config, at `_base_ = 'nda_mm::...'`"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.config import Config

        try:
            Config._get_cfg_path(f"{PREFIX}no_such_recipe.py", "")
        except (AssertionError, ValueError):
            return True
        except FileNotFoundError:  # the prefix was understood; only the file is missing
            return False
        return False

    def apply(self) -> None:
        from mmengine.config import Config

        original = Config._get_cfg_path

        def get_cfg_path(cfg_path: str, filename: str) -> Any:
            if cfg_path.startswith(PREFIX):
                return str(recipe_path(cfg_path)), None
            return original(cfg_path, filename)

        Config._get_cfg_path = staticmethod(get_cfg_path)
