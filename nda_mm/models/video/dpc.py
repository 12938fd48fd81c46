"""Dense Predictive Coding (DPC) on video, with negatives made from the target blocks, and its ConvGRU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine import MessageHub
from mmengine.model import BaseModel, BaseModule
from torch import Tensor, nn

from nda_mm.losses import check_negative_places, check_negative_weight, dense_contrast
from nda_mm.models.attached import call_without_buffer_updates
from nda_mm.negatives import Negative, build_negative
from nda_mm.negatives.combined import change_blocks, check_blocks
from nda_mm.registry import MODELS
from nda_mm.utils.schedules import as_schedule


@MODELS.register_module()
class ConvGRU(BaseModule):
    r"""Convolutional gated recurrent unit with one layer.

    .. math::
        u = \sigma(W_u * [x, h]), \quad r = \sigma(W_r * [x, h]), \quad
        c = \tanh(W_c * [x, r h]), \quad h' = (1 - u) h + u c

    With 1x1 kernels, as in DPC, places of the feature map do not mix. Weights are initialized orthogonally, biases with
    zeros. As in DPC, dropout is applied to the new state, which is the output and the start of the next step.

    Source: N. Ballas, L. Yao, C. Pal, A. Courville, Delving Deeper into Convolutional Networks for Learning Video
    Representations, ICLR 2016, https://arxiv.org/abs/1511.06432; T. Han, W. Xie, A. Zisserman, Video Representation
    Learning by Dense Predictive Coding, 2019, section 3.1, https://arxiv.org/abs/1909.04656.

    Args:
        in_channels: Channels of the inputs.
        hidden_channels: Channels of the state. Defaults to None: the same as ``in_channels``.
        kernel_size: Size of the kernels, odd. Defaults to 1.
        dropout: Share of the state's entries that are dropped at every step, in [0, 1). Defaults to 0.1.
        init_cfg: Initialization config of mmengine. Defaults to None.

    Shape:
        - x: (B, N, C, H, W) with N steps
        - hidden: (B, hidden_channels, H, W)
        - Outputs: (B, N, hidden_channels, H, W) and (B, hidden_channels, H, W)

    Raises:
        ValueError: If ``kernel_size`` is even.

    Example:
        >>> steps, last = ConvGRU(8, 16)(torch.zeros(2, 5, 8, 4, 4))
        >>> steps.shape, torch.equal(steps[:, -1], last)
        (torch.Size([2, 5, 16, 4, 4]), True)
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int | None = None,
        kernel_size: int = 1,
        dropout: float = 0.1,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, so that the state keeps its size, but got {kernel_size}")
        self.in_channels = in_channels
        self.hidden_channels = in_channels if hidden_channels is None else hidden_channels
        both = self.in_channels + self.hidden_channels
        self.update_gate, self.reset_gate, self.candidate = (
            nn.Conv2d(both, self.hidden_channels, kernel_size, padding=kernel_size // 2) for _ in range(3)
        )
        _draw_orthogonal(self)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run the unit over all steps.

        Args:
            x: Inputs of the steps.
            hidden: Initial state. Defaults to None: zeros.

        Returns:
            The states after every step, and the state after the last.
        """
        if hidden is None:
            hidden = x.new_zeros(x.shape[0], self.hidden_channels, *x.shape[3:])
        states = []
        for step in x.unbind(1):
            both = torch.cat([step, hidden], 1)
            update, reset = torch.sigmoid(self.update_gate(both)), torch.sigmoid(self.reset_gate(both))
            candidate = torch.tanh(self.candidate(torch.cat([step, hidden * reset], 1)))
            hidden = self.dropout(hidden * (1 - update) + candidate * update)
            states.append(hidden)
        return torch.stack(states, 1), hidden


def _draw_orthogonal(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        (nn.init.zeros_ if name.endswith("bias") else nn.init.orthogonal_)(parameter)


class BlockEncoding(nn.Module):
    """Mixin that encodes blocks of frames by a ``backbone`` and summarizes them by an ``aggregator``.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019, section 3.1,
    https://arxiv.org/abs/1909.04656.
    """

    backbone: nn.Module
    aggregator: Any  # has attributes that nn.Module lacks

    def build_parts(self, backbone: dict[str, Any], aggregator: dict[str, Any]) -> None:
        """Build the backbone and the aggregator from their configs.

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
        """Return the features of every block, before the ReLU.

        Args:
            blocks: Blocks of frames.
            keep_statistics: Whether to leave the backbone's buffers, such as running statistics, unchanged. Defaults to
                False.

        Shape:
            - blocks: (B, N, C, L, H, W)
            - Output: (B, N, D, h, w)

        Returns:
            The features, averaged over the time steps that are left in a block.

        Raises:
            ValueError: If the backbone does not return a feature map with several places.
        """
        frames = blocks.flatten(0, 1)
        features = call_without_buffer_updates(self.backbone, frames) if keep_statistics else self.backbone(frames)
        if not isinstance(features, Tensor) or features.ndim != 5 or features.shape[3:].numel() == 1:
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(
                f"DPC needs a backbone that returns one feature map (B, D, T, h, w) with h * w > 1, but got {found} "
                f"for frames of {blocks.shape[-2]}x{blocks.shape[-1]}; remove global pooling, or use larger frames"
            )
        return features.mean(2).unflatten(0, blocks.shape[:2])

    def aggregate(self, features: Tensor) -> Tensor:
        """Return the context of blocks from their features: the aggregator's state after the last block.

        Shape:
            - features: (B, N, D, h, w)
            - Output: (B, aggregator.hidden_channels, h, w)
        """
        return self.aggregator(features.relu())[1]


@MODELS.register_module()
class DPC(BlockEncoding, BaseModel):
    r"""Dense Predictive Coding with negatives: predicts the features of a clip's last blocks from its first blocks.

    The backbone encodes each block. The aggregator reads the first ``num_blocks - pred_steps`` of them. A two-layer
    predictor maps its state to the features of the next block, which the aggregator reads in turn. Each place of a
    predicted feature map is contrasted with all places of the target blocks of all clips in the batch of its process,
    and with those of the **negatives**: its own target block, changed so that it is no longer valid.

    ``Jigsaw``, ``Stitch``, ``Cutout``, ``CutMix``, ``Mixup``, ... apply the same change to every frame of all target
    blocks of a clip. Those that need a partner use another clip of the batch. ``ShuffleFrames`` permutes frames
    **within** each target block, because blocks in a different order would still be real, including the positive. A
    block that comes out unchanged, such as a shuffled block of identical frames, is left out of the loss and counted in
    ``unchanged_share``.

    Negatives are made only from the ``pred_steps`` target blocks, and encoded in a separate pass. Batch statistics of
    the real blocks are therefore the same as in DPC, and running statistics do not include negatives. Gradients flow
    through negatives, as they flow through DPC's targets. Without negatives, or at weight 0, the model is plain DPC.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019,
    https://arxiv.org/abs/1909.04656; Sinha et al., "Negative Data Augmentation", ICLR 2021,
    https://arxiv.org/abs/2102.05113, for its use with negatives. The authors released no code for this experiment.

    Args:
        backbone: Config of a network (B, C, L, H, W) -> (B, D, L', h, w) that returns feature maps, such as
            ``nda_mm.ResNet2d3d``.
        aggregator: Config of a recurrent unit such as ``nda_mm.ConvGRU``.
        num_blocks: Number of blocks of a clip, as in ``nda_mm.SampleBlocks``. Defaults to 8.
        pred_steps: Number of blocks to predict at the end of a clip, below ``num_blocks``. Defaults to 3.
        negative: Negative that is applied to the target blocks, for example ``dict(type='Jigsaw', grid=2)``. Defaults
            to None: no negatives.
        num_negatives: Number of negatives of each clip, at least 1. Defaults to 1.
        weight: ``w``, weight of one place of a negative relative to one other column of the score: finite and at least
            0, or a schedule over iterations such as ``[(0, 0.0), (1000, 1.0)]``. Defaults to 1.
        negative_places: 'all' or 'own', see :func:`nda_mm.losses.dense_contrast`. Defaults to 'all'.
        temperature: Temperature that divides the logits. Defaults to 1, as in DPC.
        samples_at_once: Number of samples whose scores are computed at a time, which limits memory: the score matrix
            has side B x pred_steps x h x w. See :func:`nda_mm.losses.dense_contrast`. Defaults to None: all.
        data_preprocessor: Config as in mmaction2: ``dict(type='ActionDataPreprocessor', format_shape='NCTHW', ...)``.
        init_cfg: Initialization config of mmengine.

    Shape:
        - inputs: ``(B, num_blocks, C, L, H, W)``, from ``SampleBlocks`` and ``FormatShape(input_format='NCTHW')``

    Raises:
        ValueError: If a number is out of range, channels do not match, or (in the first step) the clips do not fit.

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
        # The negatives, and how they enter the loss.
        self.weight = as_schedule(weight, "weight", check_negative_weight)
        self.negative = None if negative is None else build_negative(negative)
        self.num_negatives = num_negatives
        self.negative_places = check_negative_places(negative_places)
        self.temperature, self.samples_at_once = temperature, samples_at_once
        # The networks.
        self.build_parts(backbone, aggregator)
        state, features = self.aggregator.hidden_channels, self.aggregator.in_channels
        self.predictor = nn.Sequential(nn.Conv2d(state, features, 1), nn.ReLU(), nn.Conv2d(features, features, 1))
        _draw_orthogonal(self.predictor)
        self._checked_size: torch.Size | None = None

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = "tensor") -> Any:
        """Return the loss of a batch of blocks, or the context after the last block.

        Args:
            inputs: Blocks of frames, normalized.
            data_samples: Not used.
            mode: 'loss' or 'tensor'.

        Shape:
            - inputs: ``(B, num_blocks, C, L, H, W)``
            - Output of 'tensor': ``(B, aggregator.hidden_channels, h, w)``

        Returns:
            For 'loss', the values of :func:`nda_mm.losses.dense_contrast` and, with negatives, ``unchanged_share``. For
            'tensor', the context.

        Raises:
            ValueError: If the blocks do not have the shape that the model was built for.
            NotImplementedError: For mode 'predict', because the model has no classes.
        """
        self._check_blocks(inputs)
        if mode == "tensor":
            return self.aggregate(self.encode(inputs))
        if mode == "loss":
            return self.loss(inputs)
        raise NotImplementedError(
            f"mode must be 'loss' or 'tensor', but got {mode!r}. Remove val_dataloader, val_cfg and val_evaluator from "
            "the config: DPC is evaluated by training a classifier on its encoder."
        )

    def loss(self, blocks: Tensor) -> dict[str, Tensor]:
        """Return the loss of a batch of blocks ``(B, num_blocks, C, L, H, W)``, and other values for the log."""
        # Encode all blocks, and predict the features of the target blocks from the first ones.
        features = self.encode(blocks)
        seen = self.num_blocks - self.pred_steps
        prediction = self.predict_features(features[:, :seen])

        # Make and encode negatives of the target blocks. Only those that differ from their block are usable.
        weight = self._begin_step()
        made, usable, logged = None, None, {}
        if self.negative is not None and weight > 0.0:
            target = blocks[:, seen:]
            with torch.no_grad():
                changed = torch.stack([change_blocks(self.negative, target) for _ in range(self.num_negatives)], dim=1)
                usable = (changed != target[:, None]).flatten(3).any(dim=3)  # (B, m, pred_steps)
                logged["unchanged_share"] = 1.0 - usable.float().mean()
            made = self.encode(changed.flatten(1, 2), keep_statistics=True).unflatten(1, usable.shape[1:])

        # Contrast the predictions with the targets and the negatives.
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
        """Raise ValueError for blocks that do not fit. A shape that was just checked is skipped."""
        if blocks.shape == self._checked_size:
            return
        if blocks.ndim != 6 or blocks.shape[1] != self.num_blocks:
            raise ValueError(
                f"DPC needs blocks (B, {self.num_blocks}, C, L, H, W), but got {tuple(blocks.shape)}; use "
                f"dict(type='nda_mm.SampleBlocks', num_blocks={self.num_blocks}, ...) and dict(type='FormatShape', "
                "input_format='NCTHW') in the pipeline"
            )
        if self.negative is not None and max(self.weight.values) > 0.0:
            check_blocks(self.negative, (blocks.shape[0], self.pred_steps, *blocks.shape[2:]))
        self._checked_size = blocks.shape
