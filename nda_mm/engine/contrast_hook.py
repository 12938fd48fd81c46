"""Negative keys for a stock MoCo, by one line in ``custom_hooks``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from nda_mm.losses import check_negative_weight
from nda_mm.models.contrast import NegativeContrast, check_settings, contrast_method
from nda_mm.negatives import Negative, build_negative
from nda_mm.registry import HOOKS
from nda_mm.utils.schedules import as_schedule

#: Under which a checkpoint keeps the seed of the negatives.
CHECKPOINT_KEY = "nda_mm_contrast"


@HOOKS.register_module()
class NDAContrastHook(Hook):
    """Adds negatives to MoCo: each image's own, as further keys in its own row of logits.

    The one line that an unchanged recipe of mmpretrain's needs. The model's code, its checkpoint keys and the queue
    stay as they are; see :class:`nda_mm.models.contrast.NegativeContrast` for what happens in a step. At
    weight 0 nothing is attached, and the run is the host's own bit for bit.

    Served: MoCo (v1 and v2); DenseCL, in the rows of whole images; MoCoV3, in both halves of its symmetric loss. Others
    are refused before the first step, with the reason.

    Logged beside the loss: ``positive_accuracy`` (the share of rows whose positive key has the highest logit, negatives
    included), and the mean cosine similarity of queries to their positives (``positive_similarity``), to the queue
    (``queue_similarity``; ``batch_similarity`` for MoCoV3) and to their negatives (``negative_similarity``). The last
    falls below the first where negatives are being learnt.

    Random numbers come from generators of the hook's own. They are seeded for every step from the seed, the iteration
    and the rank, and the seed is kept in the checkpoint, so a resumed run makes the negatives it would have made; the
    training's own random numbers are not touched.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113; He et al.,
    "Momentum Contrast", CVPR 2020, https://arxiv.org/abs/1911.05722.

    Args:
        negative: What makes the negatives: a config such as ``dict(type='Jigsaw', grid=2)``.
        num_negatives: Negatives of each query, at least 1. Default 1.
        weight: What one negative counts against one key of the queue: ``w`` in the loss, finite and at least 0, or a
            schedule over iterations such as ``[(0, 0.0), (1000, 1.0)]``. Default 1.
        view: 'query' (default) or 'key': the view of the image that the negatives of its row are made from.
        seed: Of the negatives' draws; default None takes the run's.

    Raises:
        TypeError, ValueError, KeyError: At construction if a setting is wrong; before the first step if the model can't
            take negatives or its batches do not divide its queue; at the first step if images do not come in two views.

    Example:
        In a config that inherits ``mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py``::

            custom_hooks = [dict(type='nda_mm.NDAContrastHook', negative=dict(type='Jigsaw', grid=2))]
    """

    priority = "NORMAL"

    def __init__(
        self,
        negative: Negative | Mapping[str, Any],
        num_negatives: int = 1,
        weight: float | Sequence[Sequence[float]] | Mapping[str, Any] = 1.0,
        view: str = "query",
        seed: int | None = None,
    ) -> None:
        self.negative = build_negative(negative)
        self.weight = as_schedule(weight)
        for value in self.weight.values:
            check_negative_weight(value)
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ValueError(f"seed must be a whole number of at least 0 or None, but got {seed!r}.")
        check_settings(num_negatives, view)
        self.num_negatives = num_negatives
        self.view = view
        self.seed = seed
        self.contrast: NegativeContrast | None = None
        self._resumed_seed: int | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Remember the seed of the run that wrote the checkpoint."""
        self._resumed_seed = checkpoint.get(CHECKPOINT_KEY, {}).get("seed")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the seed."""
        if self.contrast is not None:
            checkpoint[CHECKPOINT_KEY] = {"seed": self.contrast.seed}

    def before_train(self, runner: Runner) -> None:
        """Refuse what can't work, and attach the negatives to the model."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if contrast_method(model).queued:
            _check_batches(runner, model)
        if self.weight.highest == 0.0:
            return
        # The negative itself may have weights of its own one day; it follows the model's device.
        self.negative.to(next(model.parameters()).device)
        self.contrast = NegativeContrast(
            model,
            self.negative,
            num_negatives=self.num_negatives,
            view=self.view,
            seed=self._seed_of(runner),
            compiled=bool(runner.cfg.get("compile", False)),
        )
        self.contrast.attach()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Say which iteration comes, and with what weight."""
        if self.contrast is not None:
            self.contrast.set_step(runner.iter, self.weight(runner.iter))

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it was."""
        if self.contrast is not None:
            self.contrast.detach()

    def _seed_of(self, runner: Runner) -> int:
        if runner.iter > 0 and self._resumed_seed is not None:
            return self._resumed_seed
        if self.seed is not None:
            return self.seed
        # With diff_rank_seed mmengine adds the rank; permutations need a seed that all ranks share.
        drawing_rank = runner.rank if runner._randomness_cfg.get("diff_rank_seed", False) else 0
        return runner.seed - drawing_rank


def _check_batches(runner: Runner, model: nn.Module) -> None:
    """Refuse batches that do not fill the queue evenly, which mmpretrain meets with a bare assertion."""
    loader = runner.train_dataloader
    batch_size, ranks = getattr(loader.batch_sampler, "batch_size", None), get_world_size()
    if batch_size is None:
        return
    total = batch_size * ranks
    if model.queue_len % total:
        raise ValueError(
            f"The queue of {model.queue_len} keys takes whole batches only, but a step brings {total} keys "
            f"({batch_size} from each of {ranks} process(es)), which do not divide it. Set model.queue_len to a "
            f"multiple of {total}, or train_dataloader.batch_size to a divisor of {model.queue_len // ranks}."
        )
    images = len(loader.batch_sampler.sampler)
    if images % batch_size and not loader.batch_sampler.drop_last:
        raise ValueError(
            f"The last of an epoch's batches would hold {images % batch_size} of {images} images instead of "
            f"{batch_size}, which the queue of {model.queue_len} keys can't take. Set train_dataloader.drop_last=True."
        )
