"""Small networks of mmagic's for every GAN class with negatives, and a step's surroundings. Not a test module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import mmagic.models  # noqa: F401  (registers the networks)
import torch
import torch.nn.functional as F
from mmagic.models import editors
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import set_random_seed
from torch import Tensor, nn

from nda_mm import models
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


def image_batch(
    count: int, size: int, classes: int, seed: int, order: str = "BGR", dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """Images in [0, 255] and, of classes, their labels, as the loader gives them."""
    draw = torch.Generator().manual_seed(seed)
    samples = []
    for image in torch.randint(0, 256, (count, 3, size, size), generator=draw).to(dtype):
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


def r1_penalty(weight: float) -> Callable:
    return lambda score, real, opposite, logits: weight * r1(score, real)


def r1(score: Callable, real: Tensor) -> Tensor:
    real = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(score(real).sum(), real, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()


def on_lines(score: Callable, real: Tensor, opposite: Tensor) -> Tensor:
    share = torch.rand(len(real), 1, 1, 1)
    between = (share * real + (1 - share) * opposite).requires_grad_()
    (slope,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


HINGE = (lambda v: F.relu(1 - v).mean(), lambda v: F.relu(1 + v).mean())
LOGISTIC = (lambda v: F.softplus(-v).mean(), lambda v: F.softplus(v).mean())
SQUARES = (lambda v: (v - 1).square().mean(), lambda v: v.square().mean())
WASSERSTEIN = (lambda v: -v.mean(), lambda v: v.mean())

DCGAN = dict(
    generator=dict(type="DCGANGenerator", output_scale=32, noise_size=NOISE, base_channels=16),
    discriminator=dict(type="DCGANDiscriminator", input_scale=32, output_scale=4, out_channels=1, base_channels=4),
)
SCALES = {"8": 0.008, "16": 0.02}


@dataclass
class Case:
    """A GAN class: how it is built, and what its loss is when it is written out."""

    cls: type
    host: type
    settings: dict[str, Any]
    losses: tuple[Callable, Callable]
    size: int = 16
    classes: int = 0
    noise: int = NOISE
    scales: tuple[int, ...] = ()
    penalty: Callable[..., Tensor | float] = field(default=lambda score, real, opposite, logits: 0.0)
    lines: bool = False  # whether the penalty wants the other end of lines
    slow: bool = False

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
        """Plain descent, by which a step shows its gradient."""

        def wrap(module: nn.Module) -> OptimWrapper:
            return OptimWrapper(torch.optim.SGD(module.parameters(), lr=RATE))

        ends = [f"_{scale}" for scale in self.scales] or [""]
        parts = ("generator", "discriminator")
        return OptimWrapperDict(**{part + end: wrap(getattr(model, part)) for part in parts for end in ends})

    def train(self, model: Any, numbers: Sequence[int] = (0,)) -> list[dict]:
        """Training steps on batches that depend on their number alone; StyleGANs draw from numpy and random too."""
        set_random_seed(5)
        batches = (self.batch(seed=number) for number in numbers)
        return train(model, self.optimizers(model), batches, first=numbers[0])

    def batch(self, seed: int = 1) -> dict[str, Any]:
        return image_batch(BATCH, self.size, self.classes, seed)


def _sngan(classes: int) -> dict[str, Any]:
    blocks = dict(type="SNGANGenResBlock", use_cbn=bool(classes))
    return dict(
        num_classes=classes,
        noise_size=NOISE,
        generator=dict(
            type="SNGANGenerator",
            output_scale=32,
            base_channels=8,
            noise_size=NOISE,
            num_classes=classes,
            blocks_cfg=blocks,
        ),
        discriminator=dict(type="ProjDiscriminator", input_scale=32, base_channels=8, num_classes=classes),
    )


def biggan(size: int, noise: int) -> dict[str, Any]:
    """As published for ImageNet: shared embedding, noise in parts, attention."""
    shared = dict(num_classes=CLASSES, base_channels=8, sn_eps=1e-6)
    return dict(
        num_classes=CLASSES,
        noise_size=noise,
        generator=dict(
            type="BigGANGenerator",
            output_scale=size,
            noise_size=noise,
            shared_dim=6,
            with_shared_embedding=True,
            split_noise=True,
            auto_sync_bn=False,
            **shared,
        ),
        discriminator=dict(type="BigGANDiscriminator", input_scale=size, with_spectral_norm=True, **shared),
    )


def _gp_and_drift(score: Callable, real: Tensor, opposite: Tensor, logits: dict[str, Tensor]) -> Tensor:
    drift = (logits["fake"] ** 2 + logits["real"] ** 2).mean()
    return 10 * on_lines(score, real, opposite) + 0.001 * 0.5 * drift


STYLE2 = dict(
    generator=dict(type="StyleGAN2Generator", out_size=16, style_channels=NOISE, num_mlps=2),
    discriminator=dict(type="StyleGAN2Discriminator", in_size=16),
    loss_config=dict(r1_loss_weight=3.0, r1_interval=1, norm_mode="HWC", g_reg_interval=1000),
)
SYNTHESIS = dict(type="SynthesisNetwork", channel_base=64, channel_max=8, magnitude_ema_beta=0.999, num_layers=4)

CASES: dict[str, Case] = {
    "DCGAN": Case(models.NDADCGAN, editors.DCGAN, DCGAN, LOGISTIC, size=32),
    "LSGAN": Case(models.NDALSGAN, editors.LSGAN, DCGAN, SQUARES, size=32),
    "GGAN": Case(models.NDAGGAN, editors.GGAN, DCGAN, HINGE, size=32),
    "WGANGP": Case(
        models.NDAWGANGP,
        editors.WGANGP,
        dict(
            # mmagic's own networks for it are 512 channels wide, whatever is asked for.
            generator=dict(type="DCGANGenerator", output_scale=16, noise_size=NOISE, base_channels=16),
            discriminator=dict(
                type="DCGANDiscriminator",
                input_scale=16,
                output_scale=4,
                out_channels=1,
                base_channels=4,
                default_norm_cfg=None,
            ),
            loss_config=dict(norm_mode="HWC", loss_weight=7),
        ),
        WASSERSTEIN,
        penalty=lambda score, real, opposite, logits: 7 * on_lines(score, real, opposite),
        lines=True,
    ),
    "SNGAN": Case(models.NDASAGAN, editors.SAGAN, _sngan(CLASSES), HINGE, size=32, classes=CLASSES),
    "SNGAN without classes": Case(models.NDASAGAN, editors.SAGAN, _sngan(0), HINGE, size=32),
    "BigGAN 128": Case(
        models.NDABigGAN, editors.BigGAN, biggan(128, 12), HINGE, size=128, classes=CLASSES, noise=12, slow=True
    ),
    "PGGAN": Case(
        models.NDAPGGAN,
        editors.ProgressiveGrowingGAN,
        dict(
            generator=dict(type="PGGANGenerator", noise_size=NOISE, out_scale=16, base_channels=16, max_channels=8),
            discriminator=dict(type="PGGANDiscriminator", in_scale=16, base_channels=16, max_channels=8),
            nkimgs_per_scale=SCALES,
            transition_kimgs=0.012,
        ),
        WASSERSTEIN,
        scales=(8, 16),
        penalty=_gp_and_drift,
        lines=True,
    ),
    "StyleGAN1": Case(
        models.NDAStyleGAN1,
        editors.StyleGAN1,
        dict(
            generator=dict(type="StyleGAN1Generator", out_size=16, style_channels=NOISE, num_mlps=2),
            discriminator=dict(type="StyleGAN1Discriminator", in_size=16),
            style_channels=NOISE,
            nkimgs_per_scale=SCALES,
            transition_kimgs=0.012,
        ),
        LOGISTIC,
        scales=(8, 16),
        penalty=r1_penalty(10),
        slow=True,
    ),
    "StyleGAN2": Case(
        models.NDAStyleGAN2,
        editors.StyleGAN2,
        STYLE2,
        LOGISTIC,
        penalty=r1_penalty(3),
        slow=True,
    ),
    "StyleGAN3": Case(
        models.NDAStyleGAN3,
        editors.StyleGAN3,
        dict(
            STYLE2,
            generator=dict(
                type="StyleGAN3Generator",
                out_size=16,
                style_channels=NOISE,
                img_channels=3,
                noise_size=NOISE,
                synthesis_cfg=SYNTHESIS,
            ),
            forward_kwargs=dict(disc=dict(update_emas=True, force_fp32=True), gen=dict(force_fp32=True)),
        ),
        LOGISTIC,
        penalty=r1_penalty(3),
        slow=True,
    ),
    "MSPIEStyleGAN2": Case(
        models.NDAMSPIEStyleGAN2,
        editors.MSPIEStyleGAN2,
        dict(
            STYLE2,
            generator=dict(
                type="MSStyleGANv2Generator", out_size=16, style_channels=NOISE, num_mlps=2, deconv2conv=True
            ),
            discriminator=dict(type="MSStyleGAN2Discriminator", in_size=16, with_adaptive_pool=True),
            train_settings=dict(num_upblocks=2, multi_input_scales=[0, 2]),
        ),
        LOGISTIC,
        penalty=r1_penalty(3),
        slow=True,
    ),
}
