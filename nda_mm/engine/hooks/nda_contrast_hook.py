"""Negative keys for a stock MoCo, by one line in ``custom_hooks``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import Runner

from nda_mm.models.contrast import NegativeContrast, contrast_method
from nda_mm.negatives import Negative
from nda_mm.registry import HOOKS

from .negative_hook import NegativeHook


@HOOKS.register_module()
class NDAContrastHook(NegativeHook):
    """Adds negatives of each image to MoCo, as further keys in the image's row of logits.

    A stock recipe of mmpretrain needs only this line. The model's code, its checkpoint keys and the queue stay as they
    are; a step is described in :class:`nda_mm.models.contrast.NegativeContrast`. At weight 0 nothing is attached, and
    the run is mmpretrain's bit for bit.

    Supports MoCo (v1 and v2); DenseCL, in the rows of whole images; MoCoV3, in both halves of its symmetric loss. Other
    models are refused before the first step.

    Logged with the loss: ``positive_accuracy`` (the share of rows whose positive key has the highest logit, negatives
    included), and the mean cosine similarity of queries to their positives (``positive_similarity``), to the queue
    (``queue_similarity``; ``batch_similarity`` for MoCoV3) and to their negatives (``negative_similarity``).

    Note:
        Negatives are drawn from a generator that is seeded for every step from the seed, the iteration and the rank.
        The checkpoint keeps the seed, so a resumed run makes the same negatives. The training's RNG state is not
        touched.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113; He et al.,
    "Momentum Contrast", CVPR 2020, https://arxiv.org/abs/1911.05722.

    Args:
        negative: What makes the negatives: a config such as ``dict(type='Jigsaw', grid=2)``.
        num_negatives: Negatives of each query, at least 1; or 0, for mixed keys alone. Defaults to 1.
        weight: Weight of one negative against one key of the queue, ``w`` in the loss: finite and at least 0, or a
            schedule over iterations such as ``[(0, 0.0), (1000, 1.0)]``. Defaults to 1.
        view: The view of the image that the negatives of its row are made from, 'query' or 'key'. Defaults to 'query'.
        seed: Of the negatives' draws. Defaults to None: the run's.
        similarity_scale: Factor of a negative's similarity, ``a`` in the loss, above 0; Ge et al. have 2 or 3. Defaults
            to 1.
        mixed_keys: Adds keys that are mixed from those of the queue nearest to the query (MoCHi, Kalantidis et al.,
            NeurIPS 2020), as ``dict(hardest=1024, mixed=1024, with_query=0)``, see
            :func:`nda_mm.losses.mixed_keys`. MoCo and DenseCL only. Defaults to None: none.
        keep: 'all' negatives of a query, or the 'hardest' of them, the one nearest to it. Defaults to 'all'.

    Raises:
        TypeError, ValueError, KeyError: At construction if ``negative`` or ``weight`` is wrong; before the first step
            if another setting is, the model can't take negatives or its batches do not divide its queue; at the first
            step if images do not come in two views, or the numbers of ``mixed_keys`` are out of range.

    Example:
        In a config that inherits ``mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py``::

            custom_hooks = [dict(type='nda_mm.NDAContrastHook', negative=dict(type='Jigsaw', grid=2))]
    """

    checkpoint_key = "nda_mm_contrast"

    def __init__(
        self,
        negative: Negative | Mapping[str, Any],
        num_negatives: int = 1,
        weight: float | Sequence[Sequence[float]] | Mapping[str, Any] = 1.0,
        view: str = "query",
        seed: int | None = None,
        *,
        similarity_scale: float = 1.0,
        keep: str = "all",
        mixed_keys: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(negative, weight, seed)
        self.settings: dict[str, Any] = dict(
            num_negatives=num_negatives, view=view, similarity_scale=similarity_scale, keep=keep, mixed_keys=mixed_keys
        )

    def build(self, runner: Runner, model: Any, seed: int) -> NegativeContrast:
        """Make the negative keys; refuse models that can't take them, and batches that do not divide the queue."""
        if contrast_method(model).queued:
            _check_batches(runner, model.queue_len)
        compiled = bool(runner.cfg.get("compile", False))
        return NegativeContrast(model, self.negative, seed=seed, compiled=compiled, **self.settings)


def _check_batches(runner: Runner, queue_len: int) -> None:
    """Refuse batches that do not divide the queue; mmpretrain fails on them with a bare assertion."""
    batches, ranks = runner.train_dataloader.batch_sampler, get_world_size()
    if queue_len % (batches.batch_size * ranks):
        raise ValueError(
            f"model.queue_len must be a multiple of the batch of all ranks, {batches.batch_size} x {ranks}, but got "
            f"{queue_len}."
        )
    if len(batches.sampler) % batches.batch_size and not batches.drop_last:
        raise ValueError(
            f"train_dataloader.drop_last must be True: the {len(batches.sampler)} images of a rank end in a smaller "
            "batch, which does not divide the queue."
        )
