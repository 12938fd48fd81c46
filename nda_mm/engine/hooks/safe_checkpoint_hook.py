"""A checkpoint hook for runs that resume exactly and survive a kill or a full disk."""

from __future__ import annotations

import logging
import math
import re
import shutil
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.visualization.vis_backend import BaseVisBackend

from nda_mm.checkpoints import AtomicLocalBackend
from nda_mm.engine.config_check import lost_checkpoints
from nda_mm.engine.loops import ResumableLoop
from nda_mm.engine.resume import TRAINING_STATE, gather_training_state, model_of
from nda_mm.registry import HOOKS

#: The methods by which a visualizer's backend writes, and the free bytes needed before TensorBoard starts a new file.
_WRITERS = ("add_config", "add_graph", "add_image", "add_scalar", "add_scalars", "close")
_ENOUGH = 2**20


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's checkpoint hook, made exact and safe; use it as ``default_hooks=dict(checkpoint=dict(type=...))``.

    Differences from mmengine 0.10's ``CheckpointHook``:

    - A checkpoint also holds what :class:`~nda_mm.engine.ExactIterLoop` and :class:`~nda_mm.engine.ExactEpochLoop` need
      to resume exactly: RNG states, counters and accumulated gradients of *every* rank, and the position in the data.
    - Files are written atomically, including ``last_checkpoint``.
    - Old checkpoints and the previous best are removed after the new one is on the disk, not before. The disk must
      therefore have room for one more than ``max_keep_ckpts``.
    - Weights trained in several processes are saved under the same names as in a single process.
    - On a full disk, the error is logged, training continues, and the next interval tries again. Only the last save of
      a run raises an error. The visualizer's backends, such as TensorBoard's, skip what they can't write.

    Args:
        interval: Epochs or iterations between checkpoints; -1 for none. Defaults to -1.
        by_epoch: Whether ``interval`` counts epochs. Defaults to True.
        backend_args: Storage for the checkpoints. Defaults to None, which writes local files atomically.
        kwargs: Other arguments of mmengine's ``CheckpointHook``: ``max_keep_ckpts``, ``save_best``, ``rule``,
            ``out_dir``, ...

    Raises:
        ValueError: At the start of training, if ``filename_tmpl`` gives all checkpoints the same name, or ``by_epoch``
            is True and the run counts iterations.
        KeyError: At the first validation, if the metric of ``save_best`` does not exist. A checkpoint is saved first.
        RuntimeError: During training, if the run's last checkpoint can't be written.

    Example:
        >>> hook = SafeCheckpointHook(interval=1000, by_epoch=False, max_keep_ckpts=2)
        >>> hook.backend_args
        {'backend': 'nda_mm_atomic'}
    """

    def __init__(
        self, interval: int = -1, by_epoch: bool = True, *, backend_args: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if backend_args is None and "://" not in str(kwargs.get("out_dir")):
            backend_args = {"backend": AtomicLocalBackend.NAME}
        super().__init__(interval, by_epoch, backend_args=backend_args, **kwargs)
        self.keep_ckpt_ids: deque[int]
        self.last_ckpt: str | None
        self.best_ckpt_path: str | None
        self._gathered: dict[str, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Check the settings, guard the visualizer's backends, and remove files that a killed run left unfinished."""
        for fault in lost_checkpoints(vars(self), isinstance(runner.train_loop, IterBasedTrainLoop)):
            raise ValueError(f"{type(self).__name__}: {fault}")
        super().before_train(runner)
        for backend in getattr(runner.visualizer, "_vis_backends", {}).values():
            _guard(backend)
        if is_main_process() and isinstance(self.file_backend, AtomicLocalBackend):
            for path in AtomicLocalBackend.remove_unfinished(self.out_dir):
                runner.logger.info(f"Removed {path}, which an interrupted run left unfinished.")
        if not isinstance(runner.train_loop, ResumableLoop):
            runner.logger.warning(
                f"{type(runner.train_loop).__name__} does not resume exactly; use nda_mm.ExactIterLoop or "
                "nda_mm.ExactEpochLoop in train_cfg."
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the training state that :meth:`_write` has gathered. Called only on the master."""
        _name_as_in_one_process(runner, checkpoint)
        if self._gathered is not None:
            checkpoint[TRAINING_STATE] = self._gathered

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Pass the training state to the loop, which uses it if the run is resumed."""
        loop = runner._train_loop
        if isinstance(loop, ResumableLoop) and TRAINING_STATE in checkpoint:
            loop.load_exact_state(checkpoint[TRAINING_STATE])

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Save, then remove outdated checkpoints. Overrides mmengine 0.10, which removes first."""
        # Collect the metadata of the checkpoint, and the checkpoints that it replaces.
        name = self.filename_tmpl.format(step)
        path = self.file_backend.join_path(self.out_dir, name)
        info: dict[str, Any] = {"last_ckpt": path}
        outdated: list[int] = []
        if self.max_keep_ckpts > 0:
            kept = [*(each for each in self.keep_ckpt_ids if each != step), step]
            # The new checkpoint lists the outdated ones too, so that a run resumed after a kill can remove them.
            info["keep_ckpt_ids"] = list(kept)
            outdated, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
        # Write it and remove those. Only if this succeeds, update the hook.
        saved = self._write(
            runner,
            name,
            meta,
            step,
            info=info,
            last_of_run=path,
            outdated=[self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)) for old in outdated],
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            by_epoch=self.by_epoch,
            **self.args,
        )
        if saved:
            self.last_ckpt = path
            if self.max_keep_ckpts > 0:
                self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
                runner.message_hub.update_info("keep_ckpt_ids", kept)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        """Save each new best, then remove the previous one. Overrides mmengine 0.10, which removes first."""
        if not self.save_best:
            return
        if "auto" in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        step = runner.epoch if self.by_epoch else runner.iter
        meta = {"epoch": runner.epoch, "iter": runner.iter}
        missing = [indicator for indicator in self.key_indicators if indicator not in metrics]
        if missing:
            self._save_checkpoint_with_step(runner, step, meta)
            raise KeyError(
                f"save_best must be one of {', '.join(metrics)}, but got {missing[0]!r}; resume from {self.last_ckpt}."
            )
        improved = [self._save_if_best(runner, name, metrics[name], step, meta) for name in self.key_indicators]
        if any(improved) and self.last_ckpt is not None:
            # Record the new best in the last checkpoint too, else a resumed run would never remove it.
            self._save_checkpoint_with_step(runner, step, meta)

    def _save_if_best(
        self, runner: Runner, indicator: str, score: float | None, step: int, meta: dict[str, Any]
    ) -> bool:
        # Compare with the best so far. If there are several metrics, mmengine's names include the metric.
        known, alone = runner.message_hub.runtime_info, len(self.key_indicators) == 1
        suffix = "" if alone else f"_{indicator}"
        best = known.get(f"best_score{suffix}")
        if score is None or math.isnan(score):
            return False
        if best is not None and not self.is_better_than[indicator](score, best):
            return False
        # Write it, then remove the previous best.
        previous = self.best_ckpt_path if alone else self.best_ckpt_path_dict[indicator]
        name = f"best_{indicator}_{self.filename_tmpl.format(step)}".replace("/", "_")
        path = self.file_backend.join_path(self.out_dir, name)
        saved = self._write(
            runner,
            name,
            meta,
            step,
            info={f"best_score{suffix}": score, f"best_ckpt{suffix}": path},
            outdated=[previous] if previous and previous != path else [],
            save_optimizer=False,
            save_param_scheduler=False,
            by_epoch=False,
        )
        if not saved:
            return False
        if alone:
            self.best_ckpt_path = path
        else:
            self.best_ckpt_path_dict[indicator] = path
        runner.logger.info(f"The best checkpoint so far, with {indicator} {score:0.4f}, is saved to {name}.")
        return True

    def _write(
        self,
        runner: Runner,
        name: str,
        meta: dict[str, Any],
        step: int,
        *,
        info: dict[str, Any],
        last_of_run: str | None = None,
        outdated: Iterable[str] = (),
        **options: Any,
    ) -> bool:
        """Gather from all ranks, write on the master, and only then remove files. A collective call.

        ``info`` is added to the message hub, and so to the checkpoint. It is removed again if writing fails.

        Returns:
            Whether the checkpoint is on the disk, the same on every rank.
        """
        # Gather on all ranks, although only the master writes: every rank has its own RNG state.
        known = runner.message_hub.runtime_info
        before = dict(known)
        runner.message_hub.update_info_dict(info)
        self._gathered = gather_training_state(runner)
        outcome: list[str | None] = [None]  # the error, if there is one
        try:
            runner.save_checkpoint(self.out_dir, name, meta=meta, backend_args=self.backend_args, **options)
            if is_main_process():
                if last_of_run is not None:
                    AtomicLocalBackend().put_text(last_of_run, Path(runner.work_dir) / "last_checkpoint")
                for path in outdated:
                    self._remove(path)
        except OSError as error:
            outcome = [str(error)]
        finally:
            self._gathered = None
        # Only the master knows whether writing succeeded, so it tells the others.
        broadcast_object_list(outcome)
        if outcome[0] is None:
            return True
        # Restore the message hub, and let training continue unless this was the run's last checkpoint.
        known.clear()
        known.update(before)
        message = (
            f"The checkpoint {name} of {'epoch' if self.by_epoch else 'iteration'} {step} could not be written: "
            f"{outcome[0]}. Earlier checkpoints are untouched. Free disk space, lower max_keep_ckpts, or set out_dir."
        )
        if step >= (runner.max_epochs if self.by_epoch else runner.max_iters):
            raise RuntimeError(message)
        runner.logger.log(logging.ERROR, f"{message} Training continues.")
        return False

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)


def _name_as_in_one_process(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Remove DDP's ``module.`` from the names of weights."""
    # mmengine 0.10 saves a model whose parts are wrapped (MMSeparateDistributedDataParallel, as for GANs) under
    # generator.module.x, but loads it as generator.x: no weight would be loaded, without an error. If the model is
    # wrapped as a whole, mmengine removes the prefix itself.
    model = model_of(runner)
    wrapped = [name for name, module in model.named_modules() if name and is_model_wrapper(module)]
    if not wrapped:
        return
    prefixes = re.compile(rf"^({'|'.join(map(re.escape, wrapped))})\.module\b")
    weights = checkpoint["state_dict"]
    renamed = OrderedDict((prefixes.sub(r"\1", name), value) for name, value in weights.items())
    metadata = ((prefixes.sub(r"\1", name), value) for name, value in weights._metadata.items() if name not in wrapped)
    renamed._metadata = OrderedDict(metadata)  # type: ignore[attr-defined]
    checkpoint["state_dict"] = renamed


def _guard(backend: BaseVisBackend) -> None:
    """Make a visualizer's backend skip what it can't write, with one warning until writing works again."""
    if "add_scalars" in vars(backend):  # already guarded
        return
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
                    message = f"Output of {type(backend).__name__} could not be written: {error}. Training continues."
                    print_log(message, logger="current", level=logging.WARNING)
                failing = True
                # TensorBoard's writer does not work after a failure, so a new one is created, with a new file.
                backend._env_initialized = backend._env_initialized and not writer
            else:
                failing = False

        return call

    for name in _WRITERS:
        setattr(backend, name, guarded(getattr(backend, name)))
