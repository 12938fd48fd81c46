"""Small networks of mmagic's for every GAN class with negatives, and a step's surroundings. Not a test module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import mmagic.models  # noqa: F401  (registers the networks)
import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import set_random_seed
from torch import Tensor, nn

from nda_mm import models
from nda_mm.models.gans.mixin import NDAMixin
from nda_mm.models.gans.unconditional import GradientPenaltyMixin
from nda_mm.negatives import Negative

NOISE, CLASSES, BATCH, RATE = 8, 10, 4, 0.01


class MirroredNegative(Negative):
    """Upside down: a negative without draws, so that a test can make the same one."""

    def forward(self, x: Tensor, *, other: Tensor | None = None, generator: Any = None) -> Tensor:
        return x.flip(-2)


def train(model: Any, wrappers: OptimWrapperDict, batches: Iterable[dict[str, Any]], first: int = 0) -> list[dict]:
    """One training step for each batch; what they log."""
    logs = []
    for number, data in enumerate(batches, start=first):
        MessageHub.get_current_instance().update_info("iter", number)
        logs.append(model.train_step(data, wrappers))
    return logs


def descent(**networks: nn.Module) -> OptimWrapperDict:
    """Plain descent, by which a step shows its gradient; Adam would turn one that is all but zero into a full step."""
    wrappers = {name: OptimWrapper(torch.optim.SGD(net.parameters(), lr=RATE)) for name, net in networks.items()}
    return OptimWrapperDict(**wrappers)


def image_batch(count: int, size: int, classes: int, seed: int, order: str = "BGR") -> dict[str, Any]:
    """Images in [0, 255] and, of classes, their labels, as the loader gives them."""
    draw = torch.Generator().manual_seed(seed)
    samples = []
    for image in torch.randint(0, 256, (count, 3, size, size), generator=draw).float():
        sample = DataSample(gt_img=image)
        sample.set_metainfo(dict(gt_channel_order=order))
        if classes:
            sample.set_gt_label(torch.randint(0, classes, (1,), generator=draw))
        samples.append(sample)
    return {"inputs": {}, "data_samples": samples}


def differing(one: nn.Module, other: nn.Module, tolerance: float = 0.0) -> set[str]:
    """Names of the tensors of ``one`` that are others in ``other``."""
    a, b = one.state_dict(), other.state_dict()
    return {key for key in a if not torch.allclose(a[key], b[key], rtol=0, atol=tolerance)}


def r1(weight: float) -> Callable[..., Tensor]:
    def penalty(score: Callable, real: Tensor, opposite: Tensor, logits: dict[str, Tensor]) -> Tensor:
        real = real.clone().requires_grad_()
        (slope,) = torch.autograd.grad(score(real).sum(), real, create_graph=True)
        return weight * slope.square().flatten(1).sum(1).mean()

    return penalty


def on_lines(weight: float, drift: float = 0.0) -> Callable[..., Tensor]:
    """The gradient penalty, and what keeps logits near zero."""

    def penalty(score: Callable, real: Tensor, opposite: Tensor, logits: dict[str, Tensor]) -> Tensor:
        share = torch.rand(len(real), 1, 1, 1)
        between = (share * real + (1 - share) * opposite).requires_grad_()
        (slope,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
        of_slopes = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return weight * of_slopes + drift * (logits["fake"] ** 2 + logits["real"] ** 2).mean()

    return penalty


HINGE = (lambda v: F.relu(1 - v).mean(), lambda v: F.relu(1 + v).mean())
LOGISTIC = (lambda v: F.softplus(-v).mean(), lambda v: F.softplus(v).mean())
SQUARES = (lambda v: (v - 1).square().mean(), lambda v: v.square().mean())
WASSERSTEIN = (lambda v: -v.mean(), lambda v: v.mean())


def host_of(cls: type) -> type:
    """mmagic's class that one of ours is made of."""
    return cls.__mro__[cls.__mro__.index(NDAMixin) + 1]


@dataclass
class Case:
    """A GAN class: how it is built, and what its loss is when it is written out."""

    cls: type
    settings: dict[str, Any]
    losses: tuple[Callable, Callable]
    size: int = 16
    penalty: Callable[..., Tensor | float] = lambda score, real, opposite, logits: 0.0
    slow: bool = False

    def __post_init__(self) -> None:
        self.host = host_of(self.cls)
        self.classes = self.settings.get("num_classes", 0)
        self.noise = self.settings.get("noise_size", NOISE)
        self.scales = tuple(int(scale) for scale in self.settings.get("nkimgs_per_scale", ()))
        self.lines = issubclass(self.cls, GradientPenaltyMixin)

    def build(self, host: bool = False, seed: int = 0, **settings: Any) -> Any:
        """The model; with negatives if settings say so."""
        torch.manual_seed(seed)
        cls = self.host if host else self.cls
        model = cls(data_preprocessor=dict(type="DataPreprocessor"), **self.networks(), **settings)
        for parameter in model.discriminator.parameters():
            parameter.data.add_(0.05 * torch.randn_like(parameter))  # logits away from 0
        return model.train()

    def networks(self) -> dict[str, Any]:
        parts = {name: MODELS.build(self.settings[name]) for name in ("generator", "discriminator")}
        return {**self.settings, **parts}

    def optimizers(self, model: Any) -> OptimWrapperDict:
        ends = [f"_{scale}" for scale in self.scales] or [""]
        parts = ("generator", "discriminator")
        return descent(**{part + end: getattr(model, part) for part in parts for end in ends})

    def train(self, model: Any, numbers: Sequence[int] = (0,)) -> list[dict]:
        """Training steps on batches that depend on their number alone; StyleGANs draw from numpy and random too."""
        set_random_seed(5)
        batches = (self.batch(seed=number) for number in numbers)
        return train(model, self.optimizers(model), batches, first=numbers[0])

    def batch(self, seed: int = 1) -> dict[str, Any]:
        return image_batch(BATCH, self.size, self.classes, seed)


def dcgan(size: int, **discriminator: Any) -> dict[str, Any]:
    shared = dict(type="DCGANDiscriminator", input_scale=size, output_scale=4, out_channels=1, base_channels=4)
    return dict(
        generator=dict(type="DCGANGenerator", output_scale=size, noise_size=NOISE, base_channels=16),
        discriminator=shared | discriminator,
    )


def sngan(classes: int) -> dict[str, Any]:
    shared = dict(num_classes=classes, base_channels=8)
    blocks = dict(type="SNGANGenResBlock", use_cbn=bool(classes))
    return dict(
        num_classes=classes,
        noise_size=NOISE,
        generator=dict(type="SNGANGenerator", output_scale=32, noise_size=NOISE, blocks_cfg=blocks, **shared),
        discriminator=dict(type="ProjDiscriminator", input_scale=32, **shared),
    )


def biggan(size: int, noise: int) -> dict[str, Any]:
    """As published for ImageNet: shared embedding, noise in parts, attention."""
    shared = dict(num_classes=CLASSES, base_channels=8, sn_eps=1e-6)
    inputs = dict(noise_size=noise, shared_dim=6, with_shared_embedding=True, split_noise=True, auto_sync_bn=False)
    return dict(
        num_classes=CLASSES,
        noise_size=noise,
        generator=dict(type="BigGANGenerator", output_scale=size, **inputs, **shared),
        discriminator=dict(type="BigGANDiscriminator", input_scale=size, with_spectral_norm=True, **shared),
    )


GROWING = dict(nkimgs_per_scale={"8": 0.008, "16": 0.02}, transition_kimgs=0.012)
PROGRESSIVE = dict(
    generator=dict(type="PGGANGenerator", noise_size=NOISE, out_scale=16, base_channels=16, max_channels=8),
    discriminator=dict(type="PGGANDiscriminator", in_scale=16, base_channels=16, max_channels=8),
    **GROWING,
)
STYLES = dict(out_size=16, style_channels=NOISE)
STYLE1 = dict(
    generator=dict(type="StyleGAN1Generator", num_mlps=2, **STYLES),
    discriminator=dict(type="StyleGAN1Discriminator", in_size=16),
    style_channels=NOISE,
    **GROWING,
)
STYLE2 = dict(
    generator=dict(type="StyleGAN2Generator", num_mlps=2, **STYLES),
    discriminator=dict(type="StyleGAN2Discriminator", in_size=16),
    loss_config=dict(r1_loss_weight=3.0, r1_interval=1, norm_mode="HWC", g_reg_interval=1000),
)
SYNTHESIS = dict(type="SynthesisNetwork", channel_base=64, channel_max=8, magnitude_ema_beta=0.999, num_layers=4)
STYLE3 = dict(
    STYLE2,
    generator=dict(type="StyleGAN3Generator", img_channels=3, noise_size=NOISE, synthesis_cfg=SYNTHESIS, **STYLES),
    forward_kwargs=dict(disc=dict(update_emas=True, force_fp32=True), gen=dict(force_fp32=True)),
)
SCALES = dict(
    STYLE2,
    generator=dict(type="MSStyleGANv2Generator", num_mlps=2, deconv2conv=True, **STYLES),
    discriminator=dict(type="MSStyleGAN2Discriminator", in_size=16, with_adaptive_pool=True),
    train_settings=dict(num_upblocks=2, multi_input_scales=[0, 2]),
)
# mmagic's own networks for it are 512 channels wide, whatever is asked for.
CRITIC = dict(dcgan(16, default_norm_cfg=None), loss_config=dict(norm_mode="HWC", loss_weight=7))

CASES: dict[str, Case] = {
    "DCGAN": Case(models.NDADCGAN, dcgan(32), LOGISTIC, size=32),
    "LSGAN": Case(models.NDALSGAN, dcgan(32), SQUARES, size=32),
    "GGAN": Case(models.NDAGGAN, dcgan(32), HINGE, size=32),
    "WGANGP": Case(models.NDAWGANGP, CRITIC, WASSERSTEIN, penalty=on_lines(7)),
    "SNGAN": Case(models.NDASAGAN, sngan(CLASSES), HINGE, size=32),
    "SNGAN without classes": Case(models.NDASAGAN, sngan(0), HINGE, size=32),
    "BigGAN 128": Case(models.NDABigGAN, biggan(128, 12), HINGE, size=128, slow=True),
    "PGGAN": Case(models.NDAPGGAN, PROGRESSIVE, WASSERSTEIN, penalty=on_lines(10, drift=0.001 * 0.5)),
    "StyleGAN1": Case(models.NDAStyleGAN1, STYLE1, LOGISTIC, penalty=r1(10), slow=True),
    "StyleGAN2": Case(models.NDAStyleGAN2, STYLE2, LOGISTIC, penalty=r1(3), slow=True),
    "StyleGAN3": Case(models.NDAStyleGAN3, STYLE3, LOGISTIC, penalty=r1(3), slow=True),
    "MSPIEStyleGAN2": Case(models.NDAMSPIEStyleGAN2, SCALES, LOGISTIC, penalty=r1(3), slow=True),
}
