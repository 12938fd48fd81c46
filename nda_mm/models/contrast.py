"""Negative keys for mmpretrain's contrastive models, added by module hooks without changing the model's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank, get_world_size
from mmpretrain.models import DenseCL, MoCo, MoCoV3
from torch import Tensor, nn

from nda_mm.functional.checks import check_choice, check_positive
from nda_mm.losses import mixed_keys, negative_logits
from nda_mm.models.attached import AttachedNegatives, call_without_buffer_updates
from nda_mm.negatives import Negative
from nda_mm.utils.random_state import mix

VIEWS = ("query", "key")
KEPT = ("all", "hardest")
# Random streams, as AttachedNegatives.stream: for the permutation that all ranks share, and for mixed keys.
_PERMUTATION, _MIXING = 49, 51
_MIXED_SETTINGS = {"hardest", "mixed", "with_query"}


@dataclass(frozen=True)
class ContrastMethod:
    """Description of the parts of a contrastive method that negative keys rely on.

    Attributes:
        query_from: Name of the module whose first output is the query, before normalization to unit length.
        key_encoder: Name of the module that encodes keys. It takes images and returns a tuple with the keys first.
        rows: For each call of ``head.loss_module`` in a step, the indices of the views of its queries and of its keys,
            or None if its rows are not whole images.
        queued: Whether the other keys come from a queue rather than from the batch. Methods with a queue use ShuffleBN.
    """

    query_from: str
    key_encoder: str
    rows: tuple[tuple[int, int] | None, ...]
    queued: bool


#: Supported methods, as of mmpretrain 1.2. DenseCL's dense loss compares single places of images, where a tile of a
#: jigsaw may be the correct match. Its negatives therefore enter only the rows of whole images.
METHODS: dict[type[nn.Module], ContrastMethod] = {
    MoCo: ContrastMethod("neck", "encoder_k", ((0, 1),), queued=True),
    DenseCL: ContrastMethod("neck", "encoder_k", ((0, 1), None), queued=True),
    MoCoV3: ContrastMethod("head.predictor", "momentum_encoder", ((0, 1), (1, 0)), queued=False),
}


def contrast_method(model: nn.Module) -> ContrastMethod:
    """Return the contrastive method of a model.

    Args:
        model: Model without a distributed wrapper.

    Raises:
        TypeError: If the model can't take negative keys.
    """
    method = next((method for kind, method in METHODS.items() if isinstance(model, kind)), None)
    if method is None:
        raise TypeError(
            f"NDAContrastHook supports {', '.join(kind.__name__ for kind in METHODS)} of mmpretrain, but got "
            f"{type(model).__name__}. For your own model, use nda_mm.losses.info_nce."
        )
    if getattr(model.head, "loss_module", None) is None or not hasattr(model.head, "temperature"):
        raise TypeError(
            "NDAContrastHook needs a head with a temperature and a loss_module, such as ContrastiveHead, but got "
            f"{type(model.head).__name__}."
        )
    return method


def exchange_rows(x: Tensor, order: Tensor) -> Tensor:
    """Permute the rows of all ranks, and return this rank's share of them. This is a collective call.

    In a single process the rows are returned unchanged, since batch statistics do not depend on their order.

    Args:
        x: Rows of this rank.
        order: Permutation of the rows of all ranks, the same on every rank.
    """
    if get_world_size() == 1:
        return x
    own = order.view(get_world_size(), -1)[get_rank()]
    return torch.cat(all_gather(x.contiguous()))[own.to(x.device)]


@dataclass
class _Step:
    """State of one forward pass in training."""

    views: Sequence[Tensor]
    generator: torch.Generator  # for the negatives
    query: Tensor | None = None
    loss_calls: int = 0
    measured: dict[str, list[Tensor]] = field(default_factory=dict)


class NegativeContrast(AttachedNegatives):
    """Adds negatives of each image, encoded by the key encoder, to the image's own row of logits.

    For row ``i`` with query ``q_i`` the loss becomes ``-log(e(k_i) / (e(k_i) + sum_queue e(k) + w sum_j e(n_ij)^a))``,
    ``e(k) = exp(q_i . k / temperature)``; see :func:`nda_mm.losses.info_nce`. The head's own loss module computes it,
    from rows that are extended by ``num_negatives`` logits, or by that of the negative closest to the query.

    Keys of negatives carry no gradient and never enter a queue. They are encoded in a separate pass, after the key
    encoder's update of the step, and with their own permutation if the method uses ShuffleBN. That pass uses copies of
    the encoder's buffers, so running statistics are those of a run without negatives.

    ``mixed_keys`` adds keys that are mixed from the queue's keys closest to the query, see
    :func:`nda_mm.losses.mixed_keys`. Each counts as one negative.

    With mmengine's Runner, use :class:`nda_mm.engine.NDAContrastHook`.

    Args:
        model: MoCo, DenseCL or MoCoV3 of mmpretrain, without a distributed wrapper.
        negative: Negative that is applied to the images as the model receives them (normalized).
        num_negatives: ``m``, number of negatives per query: at least 1, or 0 to use mixed keys alone. Defaults to 1.
        similarity_scale: ``a``, factor on the similarity of a negative, above 0. Defaults to 1.
        keep: 'all' uses all negatives of a query, 'hardest' only the one closest to it. Defaults to 'all'.
        mixed_keys: ``hardest`` (default 1024), ``mixed`` (1024) and ``with_query`` (0) of
            :func:`nda_mm.losses.mixed_keys`, which checks them in the first step. Defaults to None: no mixed keys.
        view: View that negatives are made from, the 'query' or the 'key' view of their row. Defaults to 'query'.
        seed: Seed for negatives and permutations, combined with the iteration and the rank. Must be the same on every
            rank. Defaults to 0.
        compiled: Whether the training step runs through ``torch.compile``. Defaults to False.

    Raises:
        TypeError: If the model can't take negative keys.
        ValueError: If an argument is out of range, or if the model already has negatives.
    """

    stream = 48

    def __init__(
        self,
        model: nn.Module,
        negative: Negative,
        *,
        num_negatives: int = 1,
        similarity_scale: float = 1.0,
        keep: str = "all",
        mixed_keys: Mapping[str, int] | None = None,
        view: str = "query",
        seed: int = 0,
        compiled: bool = False,
    ) -> None:
        # The model, which must not have negatives yet.
        super().__init__(model, negative, seed)
        self.method = contrast_method(model)
        hooks = self.model.head.loss_module._forward_pre_hooks.values()
        if any(isinstance(getattr(hook, "__self__", None), NegativeContrast) for hook in hooks):
            raise ValueError(
                "This model already has negatives. To combine several kinds, use one hook with "
                "negative=dict(type='RandomNegative', negatives=[...])."
            )

        # Number of keys that are added to each row.
        least = 1 if mixed_keys is None else 0
        if not isinstance(num_negatives, int) or num_negatives < least:
            raise ValueError(
                f"num_negatives must be an integer of at least 1, or 0 with mixed_keys, but got {num_negatives!r}."
            )
        if mixed_keys is not None and not self.method.queued:
            raise ValueError(f"mixed_keys needs a queue, which {type(self.model).__name__} does not have.")
        if mixed_keys is not None and not mixed_keys.keys() <= _MIXED_SETTINGS:
            raise ValueError(f"mixed_keys may set {', '.join(sorted(_MIXED_SETTINGS))}, but got {dict(mixed_keys)!r}.")
        self.num_negatives = num_negatives
        self.mixed_keys = mixed_keys

        # Choice and weighting of the negatives.
        self.similarity_scale = check_positive(similarity_scale, "similarity_scale")
        self.keep = check_choice(keep, "keep", KEPT)
        self.view = check_choice(view, "view", VIEWS)
        self.compiled = compiled
        self._step: _Step | None = None

    def register_hooks(self) -> list[Any]:
        """Register the hooks, in the order in which a training step calls them."""
        return [
            self.model.register_forward_pre_hook(self._begin, with_kwargs=True),
            self.model.get_submodule(self.method.query_from).register_forward_hook(self._keep_query),
            self.model.head.loss_module.register_forward_pre_hook(self._extend),
            self.model.register_forward_hook(self._end),
        ]

    # The hooks of a step, in order. torch.compile must not trace them: they draw random numbers and keep tensors.

    @torch.compiler.disable
    def _begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Store the views of the images, before the forward pass."""
        self._step = None
        views = self.training_inputs(args, kwargs)
        if views is None:
            return
        if not isinstance(views, (list, tuple)) or len(views) != 2:
            got = f"{len(views)} views" if isinstance(views, (list, tuple)) else type(views).__name__
            raise ValueError(
                f"NDAContrastHook needs two views of each image, but got {got}. Use dict(type='MultiView', "
                "num_views=[2], transforms=[...]) in the pipeline."
            )
        self._step = _Step(views, self.generator(views[0].device))

    @torch.compiler.disable
    def _keep_query(self, module: nn.Module, args: Any, output: Any) -> None:
        """Store the query, after its encoder."""
        if self._step is not None:
            self._step.query = output[0] if isinstance(output, (list, tuple)) else output

    @torch.compiler.disable
    def _extend(self, module: nn.Module, args: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Append the columns of the negatives to the logits, before the loss module."""
        logits, labels = args
        step = self._step
        if step is None:  # not a training step
            return None
        if self.compiled:
            self._renew_queues()
        # Views of this loss. MoCo v3 computes one loss per view; DenseCL adds a dense one, which gets no negatives.
        row = self.method.rows[step.loss_calls]
        step.loss_calls += 1
        if row is None:
            return None
        columns, similarity = [logits], None
        if self.weight > 0.0:
            query = F.normalize(cast(Tensor, step.query).float(), dim=1)
            # Negatives of the row's own image.
            if self.num_negatives:
                keys = self._negative_keys(step, row)
                # For the log and for choosing the hardest. The loss computes its own similarities, with gradient.
                similarity = torch.einsum("bc,bmc->bm", query.detach(), keys)
                if self.keep == "hardest":
                    hardest = similarity.argmax(dim=1, keepdim=True)
                    keys, similarity = keys.take_along_dim(hardest[..., None], dim=1), similarity.gather(1, hardest)
                columns.append(self._logits(query, keys, self.similarity_scale))
            # Keys mixed from the queue.
            if self.mixed_keys is not None:
                generator = self.generator(query.device, _MIXING)
                keys = mixed_keys(query.detach(), self.model.queue, generator=generator, **self.mixed_keys)
                columns.append(self._logits(query, keys))
        # The extended row, and values for the log.
        extended = torch.cat([each.to(logits.dtype) for each in columns], dim=1) if len(columns) > 1 else logits
        self._measure(step, logits, labels, extended, similarity)
        return extended, labels

    @torch.no_grad()
    def _negative_keys(self, step: _Step, row: tuple[int, int]) -> Tensor:
        """Make negatives of a row's images and return their keys ``(B, m, C)``."""
        images = step.views[row[VIEWS.index(self.view)]]
        self.negative.check_size(*images.shape[-2:])
        made = [self.negative(images, generator=step.generator) for _ in range(self.num_negatives)]
        return self._encode(torch.cat(made)).view(self.num_negatives, len(images), -1).transpose(0, 1)

    @torch.no_grad()
    def _encode(self, images: Tensor) -> Tensor:
        """Return keys ``(rows, C)`` of unit length, without changing the encoder's buffers."""
        encoder = self.model.get_submodule(self.method.key_encoder)
        if not self.method.queued:
            return F.normalize(call_without_buffer_updates(encoder, images)[0].float(), dim=1)
        # ShuffleBN (He et al., 2020, section 3.3): otherwise batch statistics reveal which keys belong together.
        shared = torch.Generator().manual_seed(mix(self.seed, _PERMUTATION, self.iteration) >> 1)
        order = torch.randperm(get_world_size() * len(images), generator=shared)
        keys = call_without_buffer_updates(encoder, exchange_rows(images, order))[0].float()
        return exchange_rows(F.normalize(keys, dim=1), order.argsort())

    def _logits(self, query: Tensor, keys: Tensor, similarity_scale: float = 1.0) -> Tensor:
        return negative_logits(
            query,
            keys,
            temperature=self.model.head.temperature,
            negative_weight=self.weight,
            similarity_scale=similarity_scale,
        )

    def _renew_queues(self) -> None:
        """Replace the queues with copies."""
        # mmpretrain writes new keys into its queue before the backward pass, for which a compiled graph has saved it.
        # torch raises an error then, so a compiled MoCo can't be trained without these copies.
        for name in ("queue", "queue2"):
            if name in self.model._buffers:
                self.model._buffers[name] = self.model._buffers[name].clone()

    @torch.no_grad()
    def _measure(
        self, step: _Step, logits: Tensor, labels: Tensor, extended: Tensor, negative_similarity: Tensor | None
    ) -> None:
        """Record the accuracy and the mean similarities of the rows for the log."""
        similarity = logits.detach().float() * self.model.head.temperature
        positive = similarity.gather(1, labels[:, None])
        others = (similarity.sum(dim=1, keepdim=True) - positive) / (similarity.shape[1] - 1)
        values = {
            "positive_accuracy": (extended.argmax(dim=1) == labels).float().mean(),
            "positive_similarity": positive.mean(),
            "queue_similarity" if self.method.queued else "batch_similarity": others.mean(),
        }
        if negative_similarity is not None:
            values["negative_similarity"] = negative_similarity.mean()
        for name, value in values.items():
            step.measured.setdefault(name, []).append(value)

    @torch.compiler.disable
    def _end(self, model: nn.Module, args: Any, output: Any) -> Any:
        """Add the measured values to the model's output, after the forward pass."""
        step, self._step = self._step, None
        if step is None:
            return None
        # mmengine logs everything a model returns, but sums only values with "loss" in their name.
        return {**output, **{name: torch.stack(values).mean() for name, values in step.measured.items()}}
