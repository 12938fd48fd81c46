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

    The discriminator sees pairs of input and target. A negative changes the target alone, so that the pair
    :math:`(x, T(y))` with the unchanged input is no longer valid and serves as another kind of fake.

    .. math::
        L_D = \tfrac12 \big( \ell(D(x, y), 1) + \lambda\,\ell(D(x, G(x)), 0) + (1-\lambda)\,\ell(D(x, T(y)), 0) \big)

    The factor of one half is mmagic's, and :math:`\ell` is the cross-entropy of each patch's logit, averaged over
    patches. The generator's adversarial and pixel losses are unchanged. Overrides ``Pix2Pix.train_step``,
    ``_get_disc_loss`` and ``_get_gen_loss`` of mmagic 1.2, and ``init_weights`` and ``test_step``, which fail there.

    Note:
        A PatchGAN of the usual depth sees 70x70 pixels. If a negative leaves every patch valid, it can only be
        recognized by the input or by the seams between tiles.

        mmagic's discriminator has batch normalization, so generated, real and negative pairs are scored separately.

    Args:
        args, kwargs: Arguments of :class:`mmagic.models.Pix2Pix`.
        negative, fake_weight, adversarial_loss, discriminator_forward: See
            :class:`~nda_mm.models.gans.mixin.NDAMixin`; ``adversarial_loss`` defaults to ``'logistic'``. A schedule
            counts the runner's iterations divided by the iterations per generator step, including
            ``disc_init_steps``. Negatives that need a partner (stitch, mixup) need batches of at least two.
        augment: Not supported: the mixin's augmentations are for single images, not for pairs.

    Raises:
        ValueError: See the mixin; also if ``augment`` is given.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAPix2Pix', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    own_loss: ClassVar[str] = "logistic"

    def __init__(self, *args: Any, augment: None = None, **kwargs: Any) -> None:
        if augment is not None:
            raise ValueError("NDAPix2Pix needs augment=None, because it takes pairs; augment those in the pipeline.")
        super().__init__(*args, **kwargs)
        self._fake_weight_now = 1.0
        self._averages_gradients = False

    @property
    def generator(self) -> nn.Module:  # type: ignore[override]  # an attribute elsewhere
        """The generator of the default domain, the only one that is trained."""
        return self._get_target_generator(self._default_domain)

    @property
    def discriminator(self) -> Any:  # None in a model that only generates
        """The discriminator of the default domain."""
        return None if self.discriminators is None else self._get_target_discriminator(self._default_domain)

    def init_weights(self) -> None:
        """Initialize each network by its own ``init_weights``.

        In mmagic 1.2, ``generation_init_weights`` raises an ``UnboundLocalError`` for these networks, so that no Runner
        can train Pix2Pix.
        """
        for networks in filter(None, (self.generators, self.discriminators)):
            for network in self.get_module(networks).values():
                network.init_weights()
                if self.uniform_biases:
                    draw_uniform_biases(network)

    def test_step(self, data: dict) -> list:
        """Run :meth:`val_step`. mmagic's own method indexes stacked samples, which can't be indexed."""
        return self.val_step(data)

    @property
    def source_domain(self) -> str:
        """The domain of the inputs."""
        return self.get_other_domains(self._default_domain)[0]

    def image_sizes(self) -> list[tuple[int, int]]:
        """Return no sizes: the networks are convolutional, so none are known before the first batch."""
        return []

    def target_images(self, processed: dict[str, Any]) -> Tensor:
        """Return the real targets of a preprocessed batch, which negatives are made from."""
        return processed["inputs"][f"img_{self._default_domain}"]

    def translation(self, image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the generator's output for a batch of inputs.

        Raises:
            ValueError: If the image sides can't be halved as often as the U-Net requires.
        """
        least = 2 ** self._gen_cfg.get("num_down", 0)
        if any(side % least for side in image.shape[-2:]):
            raise ValueError(
                f"The sides of images must be multiples of {least}, but got {image.shape[-2]}x{image.shape[-1]}. "
                "Resize them in the data pipeline, or set generator.num_down."
            )
        return super().translation(image, *args, **kwargs)

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """Update the discriminator, and the generator when it is its turn."""
        self.require_discriminator()
        if get_world_size() > 1 and not self._averages_gradients:
            # mmagic calls the networks without their DDP wrappers, which would not average any gradients.
            for parameter in self.parameters():
                parameter.register_post_accumulate_grad_hook(lambda p: all_reduce(p.grad, "mean"))
            self._averages_gradients = True
        updates = self.discriminator_steps * optim_wrapper["discriminators"]._accumulative_counts
        self._fake_weight_now = self.begin_step(updates)
        return self.log_weight(super().train_step(data, optim_wrapper), self._fake_weight_now)

    def _get_disc_loss(self, outputs: dict[str, Tensor]) -> tuple[Tensor, dict]:
        """Return the discriminator's loss on generated, real and negative pairs."""
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
        """Return the generator's losses, which negatives do not change."""
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
