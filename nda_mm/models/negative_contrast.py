"""Negative keys for a contrastive model of mmpretrain's, by module hooks: its code and its checkpoint keys stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from torch import Tensor, nn
from torch.func import functional_call

from nda_mm.losses import negative_logits
from nda_mm.negatives import Negative
from nda_mm.seeds import mix

from .contrast_methods import contrast_method
from .key_shuffle import RowShuffle

VIEWS = ("query", "key")
# What a seed is for is mixed into it; the training loops use other numbers.
_NEGATIVES, _PERMUTATION = 48, 49


def check_settings(num_negatives: int, view: str) -> None:
    """Raise ``ValueError`` unless ``num_negatives`` is a whole number above 0 and ``view`` one of :data:`VIEWS`."""
    if isinstance(num_negatives, bool) or not isinstance(num_negatives, int) or num_negatives < 1:
        raise ValueError(f"num_negatives must be a whole number above 0, but got {num_negatives!r}.")
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(VIEWS)}, but got {view!r}.")


class ExtendedRows(nn.Module):
    """Stands in for a head's loss module, and gives it longer rows. It adds nothing to a checkpoint.

    Args:
        loss_module: The head's own; without weights or buffers.
        extend: Called with logits ``(B, K)`` and labels ``(B,)``; gives logits ``(B, K + m)``.
    """

    def __init__(self, loss_module: nn.Module, extend: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss_module = loss_module
        self.extend = extend

    def forward(self, logits: Tensor, labels: Tensor, **kwargs: Any) -> Tensor:
        return self.loss_module(self.extend(logits, labels), labels, **kwargs)


@dataclass
class _Step:
    """What is known between the start and the end of one forward pass in training."""

    negatives: list[Tensor]  # one for each entry of rows that takes any; empty while the weight is 0
    keys: list[Tensor] = field(default_factory=list)  # of a joint pass
    loss_calls: int = 0
    measured: dict[str, list[Tensor]] = field(default_factory=dict)


class NegativeContrast:
    """Adds negatives of each image, encoded by the key encoder, to the image's own row of logits.

    For row ``i`` with query ``q_i`` the loss becomes ``-log(e(k_i) / (e(k_i) + sum_queue e(k) + w sum_j e(n_ij)))``,
    ``e(k) = exp(q_i . k / temperature)``; see :func:`nda_mm.losses.info_nce`. The host's own loss module computes it,
    from rows that are longer by ``num_negatives``.

    The negatives' keys carry no gradient, never enter a queue, and are encoded after the key encoder's update of the
    step, in a pass of their own, shuffled across ranks under a permutation of their own where the method shuffles. That
    pass sees copies of the encoder's buffers, so running statistics are those of a run without negatives.

    A Runner needs :class:`nda_mm.engine.contrast_hook.NDAContrastHook`; this class is for a training loop of your own
    around one of mmpretrain's models: call :meth:`attach` once and :meth:`set_step` before each forward pass.

    Args:
        model: One of mmpretrain's MoCo, DenseCL, MoCoV3, unwrapped.
        negative: What makes the negatives, from images as the model gets them (normalised).
        num_negatives: ``m``, negatives of each query, at least 1.
        view: Which view they are made from: the 'query' or the 'key' of their row.
        joint_pass: Encode negatives together with the positives' keys. One larger pass in place of two, and one
            exchange between ranks less; but the positives' keys are then normalised with statistics over positives
            and negatives together, and the encoder's running statistics see negatives too. Refused for DenseCL,
            which calls the encoder's parts by itself.
        seed: Of the negatives and permutations, together with the iteration and the rank; the same on every rank.
        compiled: Whether the training step is run through ``torch.compile``.

    Raises:
        TypeError: If the model can't take negative keys.
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        model: nn.Module,
        negative: Negative,
        *,
        num_negatives: int = 1,
        view: str = "query",
        joint_pass: bool = False,
        seed: int = 0,
        compiled: bool = False,
    ) -> None:
        self.model = cast(Any, model)  # its parts are not those of every nn.Module
        self.method = contrast_method(self.model)
        if isinstance(self.model.head.loss_module, ExtendedRows):
            raise ValueError(
                "This model takes negatives already. For several kinds use one hook with "
                "negative=dict(type='RandomNegative', negatives=[...])."
            )
        check_settings(num_negatives, view)
        if joint_pass and not self.method.joint:
            raise ValueError(
                f"joint_pass=True does not work with {type(model).__name__}, which calls the parts of its key encoder "
                "one by one; leave it at False."
            )
        self.negative = negative
        self.num_negatives = num_negatives
        self.view = view
        self.joint_pass = joint_pass
        self.seed = seed
        self.compiled = compiled
        self.weight = 1.0
        self._generator: torch.Generator | None = None
        self._shared = torch.Generator()
        self._query: Tensor | None = None
        self._step: _Step | None = None
        self._shuffle: RowShuffle | None = None  # of the joint pass that is under way
        self._handles: list[Any] = []
        self._size: torch.Size | None = None
        self.set_step(0)

    def attach(self) -> None:
        """Put the hooks on the model and wrap its head's loss module."""
        head, encoder = self.model.head, self.model.get_submodule(self.method.key_encoder)
        head.loss_module = ExtendedRows(head.loss_module, self._extend)
        self._handles = [
            self.model.register_forward_pre_hook(self._begin, with_kwargs=True),
            self.model.register_forward_hook(self._end),
            self.model.get_submodule(self.method.query_from).register_forward_hook(self._keep_query),
        ]
        if self.joint_pass:
            self._handles.append(encoder.register_forward_pre_hook(self._join))
            self._handles.append(encoder.register_forward_hook(self._part))

    def detach(self) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if isinstance(self.model.head.loss_module, ExtendedRows):
            self.model.head.loss_module = self.model.head.loss_module.loss_module

    def set_step(self, iteration: int, weight: float = 1.0) -> None:
        """Say which step comes next.

        Args:
            iteration: From 0; with the seed and the rank it decides all draws.
            weight: ``w`` of this step; at 0 no negatives are made.
        """
        self.iteration = iteration
        self.weight = weight
        self.negative.set_iteration(iteration)

    # torch.compile is told to leave these alone: they draw from generators and keep tensors from one call to the next.

    @torch.compiler.disable
    def _begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        mode = kwargs.get("mode", args[2] if len(args) > 2 else "tensor")
        self._step = None
        if mode != "loss":
            return
        views = kwargs["inputs"] if "inputs" in kwargs else args[0]
        if not isinstance(views, (list, tuple)) or len(views) != 2:
            got = f"{len(views)} views" if isinstance(views, (list, tuple)) else f"one {type(views).__name__}"
            raise ValueError(
                f"Contrast needs two views of each image, but the batch holds {got}. Give the pipeline "
                "dict(type='MultiView', num_views=[2], transforms=[...])."
            )
        self._step = _Step(self._make(views) if self.weight > 0.0 else [])

    @torch.no_grad()
    def _make(self, views: Sequence[Tensor]) -> list[Tensor]:
        if views[0].shape != self._size:
            self._size = views[0].shape
            self.negative.check_size(*self._size[-2:])
        device = views[0].device
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device)
        self._generator.manual_seed(mix(self.seed, _NEGATIVES, self.iteration, get_rank()) >> 1)
        self._shared.manual_seed(mix(self.seed, _PERMUTATION, self.iteration) >> 1)
        made = []
        for query_view, key_view in filter(None, self.method.rows):
            images = views[query_view if self.view == "query" else key_view]
            kinds = [self.negative(images, generator=self._generator) for _ in range(self.num_negatives)]
            made.append(torch.cat(kinds) if len(kinds) > 1 else kinds[0])
        return made

    @torch.compiler.disable
    def _keep_query(self, module: nn.Module, args: Any, output: Any) -> None:
        self._query = output[0] if isinstance(output, (list, tuple)) else output

    @torch.compiler.disable
    def _extend(self, logits: Tensor, labels: Tensor) -> Tensor:
        step = self._step
        if step is None:  # the loss of something that is no training step of this model
            return logits
        if self.compiled:
            self._renew_queues()
        number = step.loss_calls
        step.loss_calls += 1
        if number >= len(self.method.rows) or self.method.rows[number] is None:
            return logits
        if self._query is None or len(self._query) != len(logits):
            raise RuntimeError(
                f"{type(self.model).__name__} gave {len(logits)} rows of logits for "
                f"{0 if self._query is None else len(self._query)} queries; NDAContrastHook knows the loss of "
                "mmpretrain 1.2 only."
            )
        extended, similarity = logits, None
        if step.negatives:
            place = sum(row is not None for row in self.method.rows[:number])
            keys = step.keys[place] if self.joint_pass else self._encode(step.negatives[place])
            keys = keys.view(self.num_negatives, len(logits), -1).transpose(0, 1)
            query = F.normalize(self._query.float(), dim=1)
            temperature = self.model.head.temperature
            added = negative_logits(query, keys, temperature=temperature, negative_weight=self.weight)
            extended = torch.cat([logits, added.to(logits.dtype)], dim=1)
            similarity = torch.einsum("bc,bmc->bm", query.detach(), keys)
        self._measure(logits, labels, extended, similarity)
        return extended

    def _renew_queues(self) -> None:
        """Exchange the queues for copies: a compiled graph keeps those it read for its backward pass.

        The host writes new keys into its queue before that pass, which torch then refuses: without this hook
        mmpretrain's MoCo can't be trained compiled.
        """
        for name in ("queue", "queue2"):
            if name in self.model._buffers:
                self.model._buffers[name] = self.model._buffers[name].clone()

    @torch.no_grad()
    def _encode(self, images: Tensor) -> Tensor:
        """Keys ``(rows, C)`` of unit length, the encoder's buffers untouched."""
        encoder = self.model.get_submodule(self.method.key_encoder)
        shuffle = RowShuffle(len(images), self._shared) if self.method.shuffles else None
        images = images if shuffle is None else shuffle.apply(images)
        buffers = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
        keys = F.normalize(functional_call(encoder, buffers, (images,))[0].float(), dim=1)
        return keys if shuffle is None else shuffle.undo(keys)

    @torch.compiler.disable
    def _join(self, encoder: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._step is None or not self._step.negatives:
            return None
        images = self._step.negatives[len(self._step.keys)]
        self._shuffle = RowShuffle(len(images), self._shared) if self.method.shuffles else None
        return (torch.cat([args[0], images if self._shuffle is None else self._shuffle.apply(images)]),)

    @torch.compiler.disable
    def _part(self, encoder: nn.Module, args: tuple[Any, ...], output: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._step is None or not self._step.negatives:
            return None
        positives = len(args[0]) - len(self._step.negatives[0])
        keys = F.normalize(output[0][positives:].float(), dim=1)
        self._step.keys.append(keys if self._shuffle is None else self._shuffle.undo(keys))
        return tuple(part[:positives] for part in output)

    @torch.no_grad()
    def _measure(self, logits: Tensor, labels: Tensor, extended: Tensor, negative: Tensor | None) -> None:
        similarity = logits.detach().float() * self.model.head.temperature
        positive = similarity.gather(1, labels[:, None])
        others = (similarity.sum(dim=1, keepdim=True) - positive) / (similarity.shape[1] - 1)
        values = {
            "positive_accuracy": (extended.argmax(dim=1) == labels).float().mean(),
            "positive_similarity": positive.mean(),
            "queue_similarity" if self.method.queued else "batch_similarity": others.mean(),
        }
        if negative is not None:
            values["negative_similarity"] = negative.mean()
        for name, value in values.items():
            self._step.measured.setdefault(name, []).append(value)  # type: ignore[union-attr]

    @torch.compiler.disable
    def _end(self, model: nn.Module, args: Any, output: Any) -> Any:
        step, self._step, self._query = self._step, None, None
        if step is None or not isinstance(output, dict):
            return None
        # mmengine logs what a model returns, and sums to the loss only what has "loss" in its name.
        return {**output, **{name: torch.stack(values).mean() for name, values in step.measured.items()}}
