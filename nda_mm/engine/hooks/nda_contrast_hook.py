"""A hook that adds negative keys to a stock MoCo, with one line in ``custom_hooks``."""

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
    """Add negatives of each image to MoCo, as additional keys in the image's row of logits.

    A stock recipe of mmpretrain needs no other change. The model's code, its checkpoint keys and the queue stay
    unchanged. See :class:`nda_mm.models.contrast.NegativeContrast` for what a step does. At weight 0, nothing is
    attached, and the run equals mmpretrain's bit for bit.

    Supports MoCo (v1 and v2), DenseCL (in the rows of whole images) and MoCoV3 (in both halves of its symmetric loss).
    Other models raise an error before the first step.

    Logs with the loss: ``positive_accuracy`` (the share of rows whose positive key has the highest logit, negatives
    included), and the mean cosine similarity of queries to their positives (``positive_similarity``), to the queue
    (``queue_similarity``; ``batch_similarity`` for MoCoV3) and to their negatives (``negative_similarity``).

    Note:
        Negatives are drawn from a generator that is seeded at every step with the seed, the iteration and the rank.
        The checkpoint stores the seed, so a resumed run makes the same negatives. The training RNG state is not
        touched.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113; He et al.,
    "Momentum Contrast", CVPR 2020, https://arxiv.org/abs/1911.05722.

    Args:
        negative: The negative or its config, such as ``dict(type='Jigsaw', grid=2)``.
        num_negatives: Negatives per query, at least 1, or 0 for mixed keys only. Defaults to 1.
        weight: Weight of one negative relative to one key of the queue, ``w`` in the loss. Finite and at least 0, or a
            schedule over iterations such as ``[(0, 0.0), (1000, 1.0)]``. Defaults to 1.
        view: View of the image from which the negatives of its row are made, 'query' or 'key'. Defaults to 'query'.
        seed: Seed for the negatives. Defaults to None, which uses the run's seed.
        similarity_scale: Factor of a negative's similarity, ``a`` in the loss, above 0. Ge et al. use 2 or 3. Defaults
            to 1.
        mixed_keys: Settings for additional keys, mixed from the keys of the queue nearest to the query (MoCHi,
            Kalantidis et al., NeurIPS 2020), such as ``dict(hardest=1024, mixed=1024, with_query=0)``; see
            :func:`nda_mm.losses.mixed_keys`. MoCo and DenseCL only. Defaults to None, which adds none.
        keep: Which negatives of a query to keep: 'all', or only the 'hardest', which is nearest to the query. Defaults
            to 'all'.

    Raises:
        TypeError, ValueError, KeyError: At construction, if ``negative`` or ``weight`` is invalid. Before the first
            step, if another setting is invalid, the model can't take negatives, or its batches do not divide its queue.
            At the first step, if images do not come in two views, or the numbers of ``mixed_keys`` are out of range.

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
        """Build the negative keys, after checking the model and that batches divide the queue."""
        if contrast_method(model).queued:
            _check_batches(runner, model.queue_len)
        compiled = bool(runner.cfg.get("compile", False))
        return NegativeContrast(model, self.negative, seed=seed, compiled=compiled, **self.settings)


def _check_batches(runner: Runner, queue_len: int) -> None:
    """Check that batches divide the queue; otherwise mmpretrain fails with a bare assertion."""
    batches, ranks = runner.train_dataloader.batch_sampler, get_world_size()
    if queue_len % (batches.batch_size * ranks):
        raise ValueError(
            f"model.queue_len must be a multiple of the batch size times ranks, {batches.batch_size} x {ranks}, but "
            f"got {queue_len}."
        )
    if len(batches.sampler) % batches.batch_size and not batches.drop_last:
        raise ValueError(
            f"train_dataloader.drop_last must be True: the {len(batches.sampler)} images of a rank leave a smaller "
            "last batch, which does not divide the queue."
        )
