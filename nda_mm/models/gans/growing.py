"""mmagic's GANs that grow in resolution, with negatives. Versions: mmagic 1.2."""

from __future__ import annotations

from typing import Any

import torch
from mmagic.models.editors import ProgressiveGrowingGAN, StyleGAN1
from mmagic.models.losses import gradient_penalty_loss, r1_gradient_penalty_loss
from torch import Tensor

from nda_mm.models.gans.mixin import Labeled, NDAMixin
from nda_mm.models.gans.unconditional import GradientPenaltyMixin
from nda_mm.registry import MODELS

__all__ = ["NDAPGGAN", "NDAStyleGAN1"]


class GrowingMixin(NDAMixin):
    """The present scale as an argument of both networks, and counters that a checkpoint keeps.

    mmagic keeps the number of images shown and the scale in buffers, but not the images at which each stage began, from
    which its fading-in counts. They are a further buffer here, so that a resumed run fades in where it was.
    """

    own_loss = "wasserstein"
    takes_other_losses = False

    scales: list[tuple[int, int]]
    curr_scale: tuple[int, int]
    _curr_transition_weight: Tensor
    _actual_nkimgs: list[float]
    prev_stage: int
    stage_counters: Tensor

    def image_sizes(self) -> list[tuple[int, int]]:
        """Every scale that it will be trained at."""
        return list(self.scales)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        counters = torch.zeros(1 + len(self.scales), dtype=torch.float64)
        self.register_buffer("stage_counters", counters)  # type: ignore[attr-defined]

    def train_step(self, data: dict, optim_wrapper: Any) -> dict[str, Tensor]:
        """mmagic's step; its counters are copied to the buffer."""
        log_vars = super().train_step(data, optim_wrapper)  # type: ignore[misc]
        counters = [float(self.prev_stage), *self._actual_nkimgs]
        self.stage_counters[: len(counters)] = torch.tensor(counters, dtype=torch.float64)
        return log_vars

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)  # type: ignore[misc]
        if f"{prefix}stage_counters" in state_dict:
            stage, *starts = state_dict[f"{prefix}stage_counters"].tolist()
            self.prev_stage, self._actual_nkimgs = int(stage), starts[: int(stage)]

    def real_batch(self, inputs: Any, data_samples: Any) -> Labeled:
        """The real images at the present scale."""
        return inputs, None

    def generator_kwargs(self) -> dict[str, Any]:
        """The present scale, which the discriminator needs too."""
        return dict(curr_scale=self.curr_scale[0], transition_weight=self._curr_transition_weight)

    def score(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits of images at the present scale."""
        return self.discriminator(images, **self.generator_kwargs())


@MODELS.register_module()
class NDAPGGAN(GradientPenaltyMixin, GrowingMixin, ProgressiveGrowingGAN):
    """Progressive GAN (Karras et al., 2018, https://arxiv.org/abs/1710.10196) with negatives.

    Args:
        penalty_towards: See :class:`~nda_mm.models.gans.unconditional.GradientPenaltyMixin`.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAPGGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    def penalties(self, images: dict[str, Labeled], logits: dict[str, Tensor], fake_weight: float) -> dict[str, Tensor]:
        """The gradient penalty and the term that keeps logits near zero, weighted as in mmagic."""
        opposite = self.opposite(images, fake_weight)
        penalty = gradient_penalty_loss(self.score, images["real"][0], opposite, norm_mode="HWC")  # type: ignore[arg-type]
        drift = 0.001 * 0.5 * (logits["fake"] ** 2 + logits["real"] ** 2)
        return {"loss_gp": 10 * penalty, "loss_disc_shift": drift}


@MODELS.register_module()
class NDAStyleGAN1(GrowingMixin, StyleGAN1):
    """StyleGAN (Karras et al., 2019, https://arxiv.org/abs/1812.04948) with negatives.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAStyleGAN1', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    own_loss = "logistic"

    def penalties(self, images: dict[str, Labeled], logits: dict[str, Tensor], fake_weight: float) -> dict[str, Tensor]:
        """R1 on real images, weighted as in mmagic."""
        penalty = r1_gradient_penalty_loss(self.score, images["real"][0], norm_mode="HWC")  # type: ignore[arg-type]
        return {"loss_r1_gp": 10 * penalty}
