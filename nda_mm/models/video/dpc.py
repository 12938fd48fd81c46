"""Dense Predictive Coding on video, with negatives made from the blocks that are to be predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from mmengine import MessageHub
from mmengine.model import BaseModel
from torch import Tensor, nn

from nda_mm.losses import check_negative_places, check_negative_weight, dense_contrast
from nda_mm.models.attached import call_without_buffer_updates
from nda_mm.negatives import Negative, build_negative
from nda_mm.negatives.combined import change_blocks, check_blocks
from nda_mm.registry import MODELS
from nda_mm.utils.schedules import as_schedule

__all__ = ["DPC", "BlockEncoding"]


class BlockEncoding(nn.Module):
    """Mixin with the parts ``backbone`` and ``aggregator``, and their use.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019, section 3.1,
    https://arxiv.org/abs/1909.04656.
    """

    backbone: nn.Module
    aggregator: nn.Module

    def build_parts(self, backbone: dict[str, Any], aggregator: dict[str, Any]) -> None:
        """Build backbone and aggregator from their configs.

        Raises:
            ValueError: If their channels differ.
        """
        self.backbone = MODELS.build(backbone)
        self.aggregator = MODELS.build(aggregator)
        given, taken = getattr(self.backbone, "feat_dim", None), self.aggregator.in_channels
        if given not in (None, taken):
            raise ValueError(
                f"aggregator.in_channels must be {given}, as in {type(self.backbone).__name__}, but got {taken}"
            )

    def encode(self, blocks: Tensor, *, keep_statistics: bool = False) -> Tensor:
        """Features of every block, before the ReLU.

        Args:
            blocks: Blocks of frames.
            keep_statistics: Whether the backbone's buffers, such as running statistics, are left as they were. Defaults
                to False.

        Shape:
            - blocks: (B, N, C, L, H, W)
            - Output: (B, N, D, h, w)

        Returns:
            The mean over the time left in a block.

        Raises:
            ValueError: If the backbone does not keep places apart.
        """
        frames = blocks.flatten(0, 1)
        features = call_without_buffer_updates(self.backbone, frames) if keep_statistics else self.backbone(frames)
        if not isinstance(features, Tensor) or features.ndim != 5 or features.shape[3:].numel() == 1:
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(
                f"DPC needs one feature map (B, D, T, h, w) of several places from its backbone, but got {found} for "
                f"frames of {blocks.shape[-2]}x{blocks.shape[-1]}; remove pooling, or take larger frames"
            )
        return features.mean(2).unflatten(0, blocks.shape[:2])

    def aggregate(self, features: Tensor) -> Tensor:
        """The context of blocks: the aggregator's state after the last of them.

        Args:
            features: Of blocks, as :meth:`encode` gives them.

        Shape:
            - features: (B, N, D, h, w)
            - Output: (B, aggregator.hidden_channels, h, w)

        Returns:
            The context.
        """
        return self.aggregator(features.relu())[1]


@MODELS.register_module()
class DPC(BlockEncoding, BaseModel):
    r"""Predicts the features of a clip's last blocks from those of its first, place by place.

    The backbone encodes each block; the aggregator reads the first ``num_blocks - pred_steps`` of them; a predictor of
    two layers maps its state to the features of the next block, which the aggregator reads next. Each prediction is
    contrasted with the features of all places, blocks and clips of the batch (of its own process), and with those of
    the **negatives**: its own block, changed so that it is no longer valid.

    ``Jigsaw``, ``Stitch``, ``Cutout``, ``CutMix``, ``Mixup``, ... change all target blocks of a clip alike in every
    frame; those that need a partner take another clip of the batch. ``ShuffleFrames`` permutes frames **within** each
    target block: blocks in another order would be real ones, the positive among them. A block that a change leaves as
    it was, such as a shuffled one of equal frames, is left out of the loss and counted in ``unchanged_share``.

    Only the ``pred_steps`` target blocks are encoded once more, in a separate pass, so that the batch statistics of the
    real blocks are those of DPC; running statistics do not see negatives. Gradients flow through negatives as they flow
    through DPC's targets. Without negatives, and at weight 0, this is DPC.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019,
    https://arxiv.org/abs/1909.04656; Sinha et al., "Negative Data Augmentation", ICLR 2021,
    https://arxiv.org/abs/2102.05113, for negatives in it. The authors released no code of this experiment.

    Args:
        backbone: Config of a network (B, C, L, H, W) -> (B, D, L', h, w) that keeps places apart, such as
            ``nda_mm.ResNet2d3d``.
        aggregator: Config of a recurrent unit such as ``nda_mm.ConvGRU``.
        num_blocks: Blocks of a clip, as ``nda_mm.SampleBlocks`` takes them. Defaults to 8.
        pred_steps: How many of the last blocks are predicted, below ``num_blocks``. Defaults to 3.
        negative: What makes the negatives, for example ``dict(type='Jigsaw', grid=2)``. Default None: no negatives.
        num_negatives: Negatives of each clip, at least 1. Defaults to 1.
        weight: ``w``, what one place of a negative counts against one other column of the score: finite and at least 0,
            or a schedule over iterations such as ``[(0, 0.0), (1000, 1.0)]``. Defaults to 1.
        negative_places: 'all' or 'own': see :func:`nda_mm.losses.dense_contrast`. Defaults to 'all'.
        temperature: Divides the logits. Defaults to 1, which is DPC's.
        samples_at_once: Bounds the memory of the score, whose side is B x pred_steps x h x w: see
            :func:`nda_mm.losses.dense_contrast`. Defaults to None, all.
        data_preprocessor: As in mmaction2: ``dict(type='ActionDataPreprocessor', format_shape='NCTHW', ...)``.
        init_cfg: As in mmengine.

    Shape:
        - inputs: ``(B, num_blocks, C, L, H, W)``, from ``SampleBlocks`` and ``FormatShape(input_format='NCTHW')``

    Raises:
        ValueError: If a number is out of its range, channels do not fit, or (in the first step) the clips do not.

    Example:
        >>> model = DPC(
        ...     backbone=dict(type="nda_mm.ResNet2d3d", base_channels=4),
        ...     aggregator=dict(type="nda_mm.ConvGRU", in_channels=16),
        ...     negative=dict(type="Jigsaw", grid=2),
        ... )
        >>> terms = model(torch.randn(2, 8, 3, 5, 64, 64), mode="loss")
        >>> sorted(terms)[:4]
        ['easy_share', 'loss', 'negative_share', 'positive_share']
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        aggregator: dict[str, Any],
        num_blocks: int = 8,
        pred_steps: int = 3,
        negative: Negative | Mapping[str, Any] | None = None,
        num_negatives: int = 1,
        weight: float | Sequence[Sequence[float]] | Mapping[str, Any] = 1.0,
        negative_places: str = "all",
        temperature: float = 1.0,
        samples_at_once: int | None = None,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        for name, value in dict(pred_steps=pred_steps, num_negatives=num_negatives).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, but got {value!r}")
        if pred_steps >= num_blocks:
            raise ValueError(f"pred_steps must be below num_blocks={num_blocks}, but got {pred_steps}")
        self.num_blocks, self.pred_steps = num_blocks, pred_steps
        self.weight = as_schedule(weight, "weight", check_negative_weight)
        self.negative = None if negative is None else build_negative(negative)
        self.num_negatives = num_negatives
        self.negative_places = check_negative_places(negative_places)
        self.temperature, self.samples_at_once = temperature, samples_at_once
        self.build_parts(backbone, aggregator)
        state, features = (cast(int, getattr(self.aggregator, name)) for name in ("hidden_channels", "in_channels"))
        layers = nn.Conv2d(state, features, 1), nn.Conv2d(features, features, 1)
        for layer in layers:
            nn.init.orthogonal_(layer.weight)
            nn.init.constant_(cast(Tensor, layer.bias), 0.0)
        self.predictor = nn.Sequential(layers[0], nn.ReLU(), layers[1])
        self._checked_size: torch.Size | None = None

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = "tensor") -> Any:
        """The loss of a batch of blocks, or the context after the last of them.

        Args:
            inputs: Blocks of frames, normalized.
            data_samples: Not used.
            mode: 'loss' or 'tensor'.

        Shape:
            - inputs: ``(B, num_blocks, C, L, H, W)``
            - Output of 'tensor': ``(B, aggregator.hidden_channels, h, w)``

        Returns:
            For 'loss' what :func:`nda_mm.losses.dense_contrast` gives, and with negatives ``unchanged_share``.

        Raises:
            ValueError: If the blocks are not those that the model was built for.
            NotImplementedError: For mode 'predict', since there are no classes.
        """
        self._check_blocks(inputs)
        if mode == "tensor":
            return self.aggregate(self.encode(inputs))
        if mode == "loss":
            return self.loss(inputs)
        raise NotImplementedError(
            f"mode must be 'loss' or 'tensor', but got {mode!r}. Remove val_dataloader, val_cfg and val_evaluator from "
            "the config: DPC is evaluated by its encoder in a classifier."
        )

    def loss(self, blocks: Tensor) -> dict[str, Tensor]:
        """The loss of a batch of blocks ``(B, num_blocks, C, L, H, W)``, and further values for the log."""
        features = self.encode(blocks)
        seen = self.num_blocks - self.pred_steps
        prediction = self.predict_features(features[:, :seen])
        weight = self._begin_step()
        made, usable, logged = None, None, {}
        if self.negative is not None and weight > 0.0:
            target = blocks[:, seen:]
            with torch.no_grad():
                changed = torch.stack([change_blocks(self.negative, target) for _ in range(self.num_negatives)], dim=1)
                usable = (changed != target[:, None]).flatten(3).any(dim=3)  # (B, m, pred_steps)
                logged["unchanged_share"] = 1.0 - usable.float().mean()
            made = self.encode(changed.flatten(1, 2), keep_statistics=True).unflatten(1, usable.shape[1:])
        terms = dense_contrast(
            prediction,
            features[:, seen:],
            made,
            negative_weight=weight,
            negative_places=self.negative_places,
            usable=usable,
            temperature=self.temperature,
            samples_at_once=self.samples_at_once,
        )
        if made is None:
            del terms["negative_share"]
        return {**terms, **logged}

    def predict_features(self, features: Tensor) -> Tensor:
        """Predict the features of the next ``pred_steps`` blocks.

        Shape:
            - features: ``(B, N, D, h, w)``
            - Output: ``(B, pred_steps, D, h, w)``
        """
        state = self.aggregate(features)
        predictions = [self.predictor(state)]
        for _ in range(1, self.pred_steps):
            state = self.aggregator(predictions[-1].relu().unsqueeze(1), state)[1]
            predictions.append(self.predictor(state))
        return torch.stack(predictions, dim=1)

    def _begin_step(self) -> float:
        iteration = int(MessageHub.get_current_instance().get_info("iter", 0) or 0)
        if self.negative is not None:
            self.negative.set_iteration(iteration)
        return self.weight(iteration)

    def _check_blocks(self, blocks: Tensor) -> None:
        """Refuse clips that do not fit, once for each shape."""
        if blocks.shape == self._checked_size:
            return
        if blocks.ndim != 6 or blocks.shape[1] != self.num_blocks:
            raise ValueError(
                f"DPC takes blocks (B, {self.num_blocks}, C, L, H, W), but got {tuple(blocks.shape)}; use "
                f"dict(type='nda_mm.SampleBlocks', num_blocks={self.num_blocks}, ...) and dict(type='FormatShape', "
                "input_format='NCTHW') in the pipeline"
            )
        if self.negative is not None and max(self.weight.values) > 0.0:
            check_blocks(self.negative, (blocks.shape[0], self.pred_steps, *blocks.shape[2:]))
        self._checked_size = blocks.shape
