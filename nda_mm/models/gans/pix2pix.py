"""mmagic's Pix2Pix with negatives: pairs of a real input and a changed target."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmagic.models.editors import Pix2Pix
from mmengine.dist import all_reduce, get_world_size
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from nda_mm.losses import generator_loss
from nda_mm.models.gans.mixin import NDAMixin
from nda_mm.models.gans.networks import draw_uniform_biases
from nda_mm.registry import MODELS


@MODELS.register_module()
class NDAPix2Pix(NDAMixin, Pix2Pix):
    r"""mmagic's Pix2Pix with negatives of the target.

    Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017,
    https://arxiv.org/abs/1611.07004; Sinha et al., "Negative Data Augmentation", ICLR 2021, arXiv 2102.05113.

    The discriminator sees pairs. A negative is made of the target alone, so that the pair :math:`(x, T(y))` with the
    unchanged input is no longer valid, and is a further kind of fake.

    .. math::
        L_D = \tfrac12 \big( \ell(D(x, y), 1) + \lambda\,\ell(D(x, G(x)), 0) + (1-\lambda)\,\ell(D(x, T(y)), 0) \big)

    The half is mmagic's, and :math:`\ell` the cross-entropy of each patch's logit, averaged over patches. The
    generator's loss, adversarial and pixel by pixel, is unchanged. Overrides ``Pix2Pix.train_step``, ``_get_disc_loss``
    and ``_get_gen_loss`` of mmagic 1.2, and ``init_weights`` and ``test_step``, which fail there.

    Note:
        A PatchGAN sees 70x70 pixels at its usual depth. Where a negative leaves every patch valid, only the input, or
        the seams between tiles, give it away.

        mmagic's discriminator has batch normalization, so generated, real and negative pairs are scored separately.

    Args:
        args, kwargs: Those of :class:`mmagic.models.Pix2Pix`.
        negative, fake_weight, adversarial_loss, discriminator_forward: See
            :class:`~nda_mm.models.gans.mixin.NDAMixin`; ``adversarial_loss`` is ``'logistic'`` unless
            given. A schedule counts iterations of the runner over those to one step of the generator,
            ``disc_init_steps`` included. A negative that needs a partner (stitch, mixup) needs batches of at least two.
        augment (None): Not supported: the mixin's augmentations are for single images, not for pairs.

    Raises:
        ValueError: See the mixin; and if ``augment`` is given.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAPix2Pix', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    own_loss: ClassVar[str] = "logistic"

    def __init__(self, *args: Any, augment: None = None, **kwargs: Any) -> None:
        if augment is not None:
            raise ValueError("NDAPix2Pix takes no augment, which is for single images; augment pairs in the pipeline.")
        super().__init__(*args, **kwargs)
        self._fake_weight_now = 1.0
        self._averages_gradients = False

    @property
    def generator(self) -> nn.Module:  # type: ignore[override]  # an attribute elsewhere
        """The generator of the default domain, the only one that is trained."""
        return self._get_target_generator(self._default_domain)

    @property
    def discriminator(self) -> Any:  # None in a model that is not to be trained
        """The discriminator of the default domain."""
        return None if self.discriminators is None else self._get_target_discriminator(self._default_domain)

    def init_weights(self) -> None:
        """Let each network draw its own weights.

        In mmagic 1.2, ``generation_init_weights`` raises an ``UnboundLocalError`` for its networks, so that no Runner
        could train Pix2Pix.
        """
        for networks in filter(None, (self.generators, self.discriminators)):
            for network in self.get_module(networks).values():
                network.init_weights()
                if self.uniform_biases:
                    draw_uniform_biases(network)

    def test_step(self, data: dict) -> list:
        """As :meth:`val_step`; mmagic's own indexes stacked samples, which can't be indexed."""
        return self.val_step(data)

    @property
    def source_domain(self) -> str:
        """The domain of the inputs."""
        return self.get_other_domains(self._default_domain)[0]

    def image_sizes(self) -> list[tuple[int, int]]:
        """Nothing is known before the first batch: the networks are convolutional."""
        return []

    def target_images(self, processed: dict[str, Any]) -> Tensor:
        """The real targets, of which negatives are made, in a batch as the preprocessor gives it."""
        return processed["inputs"][f"img_{self._default_domain}"]

    def translation(self, image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The generator's output for a batch of inputs.

        Raises:
            ValueError: If a U-Net can't halve the sides of the images as often as it must.
        """
        least = 2 ** self._gen_cfg.get("num_down", 0)
        if any(side % least for side in image.shape[-2:]):
            raise ValueError(
                f"The images are {image.shape[-2]}x{image.shape[-1]}, but their sides must be multiples of {least}: "
                "resize them in the data's pipeline, or set generator.num_down."
            )
        return super().translation(image, *args, **kwargs)

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """One step of the discriminator, and of the generator when it is its turn."""
        self.require_discriminator()
        if get_world_size() > 1 and not self._averages_gradients:
            # mmagic calls the networks without their DDP wrappers, so no gradients would be averaged.
            for parameter in self.parameters():
                parameter.register_post_accumulate_grad_hook(lambda p: all_reduce(p.grad, "mean"))
            self._averages_gradients = True
        updates = self.discriminator_steps * optim_wrapper["discriminators"]._accumulative_counts
        self._fake_weight_now = self.begin_step(updates)
        return self.log_weight(super().train_step(data, optim_wrapper), self._fake_weight_now)

    def _get_disc_loss(self, outputs: dict[str, Tensor]) -> tuple[Tensor, dict]:
        """The discriminator's loss on generated, real and negative pairs."""
        if self.uses_base_step(self._fake_weight_now):
            return super()._get_disc_loss(outputs)
        target, source = self._default_domain, outputs[f"real_{self.source_domain}"]
        targets = {"fake": outputs[f"fake_{target}"].detach(), "real": outputs[f"real_{target}"]}
        if self._fake_weight_now < 1.0:
            targets["negative"] = self.make_negatives(targets["real"])
        pairs = {name: (torch.cat([source, images], dim=1), None) for name, images in targets.items()}
        terms = self.adversarial_terms(self.scores(pairs), self._fake_weight_now)
        named = {name.replace("loss_disc", "loss_gan_d"): term for name, term in terms.items()}
        loss, log_vars = self.parse_losses(named)
        return 0.5 * loss, log_vars

    def _get_gen_loss(self, outputs: dict[str, Tensor]) -> tuple[Tensor, dict]:
        """The generator's losses, which negatives do not change."""
        if self.adversarial_loss == self.own_loss:
            return super()._get_gen_loss(outputs)
        fake, real = (outputs[f"{kind}_{self._default_domain}"] for kind in ("fake", "real"))
        logits = self.discriminator(torch.cat([outputs[f"real_{self.source_domain}"], fake], dim=1))
        return self.parse_losses(
            {
                "loss_gan_g": generator_loss(logits, kind=self.adversarial_loss),
                "loss_pixel": self.pixel_loss_weight * F.l1_loss(real, fake),
            }
        )
