"""Negative keys for the contrastive models of mmpretrain, by module hooks: the model's code stays as it is."""

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
# As `stream` of AttachedNegatives, for the permutation that all ranks share, and for mixed keys.
_PERMUTATION, _MIXING = 49, 51
_MIXED_SETTINGS = {"hardest", "mixed", "with_query"}


@dataclass(frozen=True)
class ContrastMethod:
    """The parts of a method that negative keys need.

    Attributes:
        query_from: Name of the module whose first output is the query, before it is brought to unit length.
        key_encoder: Name of the module that encodes keys; it takes images and returns a tuple, the keys first.
        rows: For each call of ``head.loss_module`` in a step, the views of its queries and of its keys; None where the
            rows are not whole images.
        queued: Whether the other keys come from a queue rather than from the batch. Such a method has ShuffleBN.
    """

    query_from: str
    key_encoder: str
    rows: tuple[tuple[int, int] | None, ...]
    queued: bool


#: As in mmpretrain 1.2. The dense rows of DenseCL are places of an image, where the tile of a jigsaw may be the right
#: one, so negatives enter the rows of whole images only.
METHODS: dict[type[nn.Module], ContrastMethod] = {
    MoCo: ContrastMethod("neck", "encoder_k", ((0, 1),), queued=True),
    DenseCL: ContrastMethod("neck", "encoder_k", ((0, 1), None), queued=True),
    MoCoV3: ContrastMethod("head.predictor", "momentum_encoder", ((0, 1), (1, 0)), queued=False),
}


def contrast_method(model: nn.Module) -> ContrastMethod:
    """Look up the method of a model.

    Args:
        model: Unwrapped.

    Raises:
        TypeError: If the model can't take negative keys.
    """
    method = next((method for kind, method in METHODS.items() if isinstance(model, kind)), None)
    if method is None:
        raise TypeError(
            f"NDAContrastHook supports {', '.join(kind.__name__ for kind in METHODS)} of mmpretrain, but got "
            f"{type(model).__name__}. For your own model use nda_mm.losses.info_nce."
        )
    if getattr(model.head, "loss_module", None) is None or not hasattr(model.head, "temperature"):
        raise TypeError(
            "NDAContrastHook needs a head with a temperature and a loss_module, such as ContrastiveHead, but got "
            f"{type(model.head).__name__}."
        )
    return method


def exchange_rows(x: Tensor, order: Tensor) -> Tensor:
    """Return this rank's share of the rows of all ranks, put into another order; a collective call.

    In a single process the order of a batch changes no batch statistics, so nothing is moved.

    Args:
        x: This rank's rows.
        order: A permutation of the rows of all ranks, the same on every rank.
    """
    if get_world_size() == 1:
        return x
    own = order.view(get_world_size(), -1)[get_rank()]
    return torch.cat(all_gather(x.contiguous()))[own.to(x.device)]


@dataclass
class _Step:
    """What one forward pass in training keeps from its start to its end."""

    views: Sequence[Tensor]
    generator: torch.Generator  # of the negatives
    query: Tensor | None = None
    loss_calls: int = 0
    measured: dict[str, list[Tensor]] = field(default_factory=dict)


class NegativeContrast(AttachedNegatives):
    """Adds negatives of each image, encoded by the key encoder, to the image's own row of logits.

    For row ``i`` with query ``q_i`` the loss becomes ``-log(e(k_i) / (e(k_i) + sum_queue e(k) + w sum_j e(n_ij)^a))``,
    ``e(k) = exp(q_i . k / temperature)``; see :func:`nda_mm.losses.info_nce`. The head's own loss module computes it,
    from rows that are longer by ``num_negatives``, or by the one nearest to the query.

    The keys of negatives carry no gradient and never enter a queue. They are encoded after the key encoder's update of
    the step, in a pass of their own, under their own permutation where the method has ShuffleBN. That pass uses copies
    of the encoder's buffers, so running statistics are those of a run without negatives.

    ``mixed_keys`` adds keys that are mixed from those of the queue nearest to the query, see
    :func:`nda_mm.losses.mixed_keys`; each counts as one negative.

    With mmengine's Runner use :class:`nda_mm.engine.NDAContrastHook`.

    Args:
        model: MoCo, DenseCL or MoCoV3 of mmpretrain, unwrapped.
        negative: Makes the negatives, from images as the model gets them (normalized).
        num_negatives: ``m``, negatives of each query, at least 1; or 0, for mixed keys alone. Default 1.
        similarity_scale: ``a``, factor of a negative's similarity, above 0. Default 1.
        keep: 'all' negatives of a query (default), or the 'hardest', the one nearest to it.
        mixed_keys: ``hardest`` (default 1024), ``mixed`` (1024) and ``with_query`` (0) of
            :func:`nda_mm.losses.mixed_keys`, which checks the numbers in the first step. Default None: no mixed keys.
        view: The view they are made from, 'query' (default) or 'key' of their row.
        seed: Of negatives and permutations, together with the iteration and the rank; the same on every rank.
        compiled: Whether the training step runs through ``torch.compile``.

    Raises:
        TypeError: If the model can't take negative keys.
        ValueError: If an argument is out of its range, or the model has negatives already.
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
        # The model, and the parts of it that negatives need.
        super().__init__(model, negative, seed)
        self.method = contrast_method(model)
        hooks = self.model.head.loss_module._forward_pre_hooks.values()
        if any(isinstance(getattr(hook, "__self__", None), NegativeContrast) for hook in hooks):
            raise ValueError(
                "This model has negatives already. For several kinds use one hook with "
                "negative=dict(type='RandomNegative', negatives=[...])."
            )

        # How many keys enter a row.
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

        # Which of them, and how they count.
        self.similarity_scale = check_positive(similarity_scale, "similarity_scale")
        self.keep = check_choice(keep, "keep", KEPT)
        self.view = check_choice(view, "view", VIEWS)
        self.compiled = compiled
        self._step: _Step | None = None

    def register_hooks(self) -> list[Any]:
        """Register the hooks of a step, in the order in which it calls them."""
        return [
            self.model.register_forward_pre_hook(self._begin, with_kwargs=True),
            self.model.get_submodule(self.method.query_from).register_forward_hook(self._keep_query),
            self.model.head.loss_module.register_forward_pre_hook(self._extend),
            self.model.register_forward_hook(self._end),
        ]

    # In the order in which a step calls them. torch.compile must not trace them: they draw numbers and keep tensors.

    @torch.compiler.disable
    def _begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the forward pass: keep the views of the images."""
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
        """After the query's encoder."""
        if self._step is not None:
            self._step.query = output[0] if isinstance(output, (list, tuple)) else output

    @torch.compiler.disable
    def _extend(self, module: nn.Module, args: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Before the loss module: append the negatives' columns to its logits."""
        logits, labels = args
        step = self._step
        if step is None:  # not a training step
            return None
        if self.compiled:
            self._renew_queues()
        # A head may compute several losses in a step: MoCo v3 one for each view, DenseCL a dense one without negatives.
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
                # Cosines for the log, and to choose by; the loss computes its own, with the gradient of the query.
                similarity = torch.einsum("bc,bmc->bm", query.detach(), keys)
                if self.keep == "hardest":
                    hardest = similarity.argmax(dim=1, keepdim=True)
                    keys, similarity = keys.take_along_dim(hardest[..., None], dim=1), similarity.gather(1, hardest)
                columns.append(self._logits(query, keys, self.similarity_scale))
            # Keys mixed from those of the queue.
            if self.mixed_keys is not None:
                generator = self.generator(query.device, _MIXING)
                keys = mixed_keys(query.detach(), self.model.queue, generator=generator, **self.mixed_keys)
                columns.append(self._logits(query, keys))
        extended = torch.cat([each.to(logits.dtype) for each in columns], dim=1) if len(columns) > 1 else logits
        self._measure(step, logits, labels, extended, similarity)
        return extended, labels

    @torch.no_grad()
    def _negative_keys(self, step: _Step, row: tuple[int, int]) -> Tensor:
        """Make the negatives of a row's images and encode them: keys ``(B, m, C)``."""
        images = step.views[row[VIEWS.index(self.view)]]
        self.negative.check_size(*images.shape[-2:])
        made = [self.negative(images, generator=step.generator) for _ in range(self.num_negatives)]
        return self._encode(torch.cat(made)).view(self.num_negatives, len(images), -1).transpose(0, 1)

    @torch.no_grad()
    def _encode(self, images: Tensor) -> Tensor:
        """Keys ``(rows, C)`` of unit length; the encoder's buffers are not changed."""
        encoder = self.model.get_submodule(self.method.key_encoder)
        if not self.method.queued:
            return F.normalize(call_without_buffer_updates(encoder, images)[0].float(), dim=1)
        # ShuffleBN (He et al., 2020, section 3.3): else batch statistics would tell which keys belong together.
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
        """Replace the queues by copies."""
        # mmpretrain writes new keys into its queue before the backward pass, for which a compiled graph has kept it;
        # torch then raises, so compiled MoCo can't be trained without this hook.
        for name in ("queue", "queue2"):
            if name in self.model._buffers:
                self.model._buffers[name] = self.model._buffers[name].clone()

    @torch.no_grad()
    def _measure(
        self, step: _Step, logits: Tensor, labels: Tensor, extended: Tensor, negative_similarity: Tensor | None
    ) -> None:
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
        """After the forward pass: add the measured values to the model's output."""
        step, self._step = self._step, None
        if step is None:
            return None
        # mmengine logs what a model returns, and sums to the loss only what has "loss" in its name.
        return {**output, **{name: torch.stack(values).mean() for name, values in step.measured.items()}}
