"""Dense Predictive Coding on video, with negatives made from the blocks that are to be predicted, and its ConvGRU."""

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
    r"""Gated recurrent unit with convolutions in place of matrices, of one layer.

    .. math::
        u = \sigma(W_u * [x, h]), \quad r = \sigma(W_r * [x, h]), \quad
        c = \tanh(W_c * [x, r h]), \quad h' = (1 - u) h + u c

    With kernels of one, as in DPC, places do not mix. The weights start orthogonal, the biases at zero. Dropout is
    applied to the new state, as in DPC: to the output and to the state from which the next step starts.

    Source: N. Ballas, L. Yao, C. Pal, A. Courville, Delving Deeper into Convolutional Networks for Learning Video
    Representations, ICLR 2016, https://arxiv.org/abs/1511.06432; T. Han, W. Xie, A. Zisserman, Video Representation
    Learning by Dense Predictive Coding, 2019, section 3.1, https://arxiv.org/abs/1909.04656.

    Args:
        in_channels: Channels of the inputs.
        hidden_channels: Channels of the state. Default None: as many as the inputs have.
        kernel_size: Side of the kernels in places, odd. Defaults to 1.
        dropout: Share of the state's entries that are dropped at every step, in [0, 1). Defaults to 0.1.
        init_cfg: As in mmengine. Defaults to None.

    Shape:
        - x: (B, N, C, H, W), N steps
        - hidden: (B, hidden_channels, H, W)
        - Outputs: (B, N, hidden_channels, H, W) and (B, hidden_channels, H, W)

    Raises:
        ValueError: If the kernel is even.

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
            hidden: The state to start from. Default None: zeros.

        Returns:
            The state after every step, and after the last.
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
    """Mixin with the parts ``backbone`` and ``aggregator``, and their use.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019, section 3.1,
    https://arxiv.org/abs/1909.04656.
    """

    backbone: nn.Module
    aggregator: Any  # its channels are those of no other module

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
        """The context of blocks, whose features :meth:`encode` gives: the aggregator's state after the last of them.

        Shape:
            - features: (B, N, D, h, w)
            - Output: (B, aggregator.hidden_channels, h, w)
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
        # The features of all blocks, and those that are predicted from the first of them.
        features = self.encode(blocks)
        seen = self.num_blocks - self.pred_steps
        prediction = self.predict_features(features[:, :seen])

        # Negatives of the blocks to be predicted, and which of them differ from the block they were made of.
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
