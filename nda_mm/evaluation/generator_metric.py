"""What every metric of a generator shares: its samples, its real images, its ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from nda_mm.evaluation.feature_networks import FeatureNetwork, build_feature_network
from nda_mm.generation import SAMPLE_MODELS, as_rgb, generator_of, own_spectral_norm, sample_images
from nda_mm.utils.messages import Progress


class GeneratorMetric(BaseMetric):
    """A metric for mmagic's evaluation loops that draws its own samples, always the same ones.

    mmagic's metrics share batches drawn from the global random state. These draw from a generator of their own, seeded
    and independent of the number of processes: two evaluations differ by the model alone, and training is left alone.
    Classes are equally frequent.

    Args:
        network: Config of a feature network, see :func:`~nda_mm.evaluation.feature_networks.build_feature_network`;
            None for a metric that needs none, which must then have a prefix.
        fake_nums: Number of generated images, in all processes together.
        sample_model: ``'ema'`` (default) or ``'orig'``.
        batch_statistics: Whether batch normalisation uses the statistics of each batch of ``batch_size`` samples, as
            the authors of the paper evaluate, instead of its running ones, which stay as they are (an EMA's are copies
            of those of the generator in training). Default False.
        batch_size: Images to a pass. Default 64.
        seed: Of noise. Default 0.
        prefix: Prefix of the results. Default None: the network's name.

    Raises:
        ValueError: if a number is out of its range or a name is unknown.
    """

    SAMPLER_MODE = "nda_mm"  # mmagic's evaluator groups metrics by it and by `sample_model`

    def __init__(
        self,
        network: Mapping[str, Any] | FeatureNetwork | None,
        fake_nums: int,
        *,
        sample_model: str = "ema",
        batch_statistics: bool = False,
        batch_size: int = 64,
        seed: int = 0,
        prefix: str | None = None,
        collect_device: str = "cpu",
    ) -> None:
        if fake_nums < 2 or batch_size < 1:
            raise ValueError(f"fake_nums must be at least 2 and batch_size 1, but got {fake_nums} and {batch_size}")
        if sample_model not in SAMPLE_MODELS:
            raise ValueError(f"sample_model must be one of {', '.join(SAMPLE_MODELS)}, but got {sample_model!r}")
        if network is None and not prefix:
            raise ValueError(f"{type(self).__name__} has no network to be named after: give it a prefix")
        super().__init__(collect_device=collect_device, prefix=prefix or "network")  # mmengine warns where it is None
        self._own_prefix = prefix
        self._network_cfg = network
        self._network: FeatureNetwork | None = None
        self.fake_nums = fake_nums
        self.sample_model = sample_model
        self.batch_statistics = batch_statistics
        self.batch_size = batch_size
        self.seed = seed
        self._model: nn.Module | None = None

    @property
    def network(self) -> FeatureNetwork:
        """The network; built (and, if its config allows, trained) when first used."""
        if self._network is None:
            if self._network_cfg is None:
                raise RuntimeError(f"{type(self).__name__} has no network")
            self._network = build_feature_network(self._network_cfg)
        return self._network

    def prepare(self, module: Any, dataloader: DataLoader) -> None:
        """Called by mmagic's evaluator before the first evaluation, with the model and the loader of real images."""
        self._model = module.module if is_model_wrapper(module) else module
        if self._network_cfg is not None:
            self.network.to(self.device)

    @property
    def device(self) -> torch.device:
        """Where model and network live."""
        return next(self.model.parameters()).device

    @property
    def model(self) -> Any:
        """The GAN under evaluation."""
        if self._model is None:
            raise RuntimeError(
                f"{type(self).__name__} was not prepared; use it in an evaluator of mmagic (val_cfg=dict("
                "type='MultiValLoop')), which calls prepare()"
            )
        return self._model

    def get_metric_sampler(self, model: nn.Module, dataloader: DataLoader, metrics: list) -> Sequence:
        """No batches for the loop to run: the samples are drawn in :meth:`evaluate`."""
        return ()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Nothing comes batch by batch; see :meth:`get_metric_sampler`."""

    def noise(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """This process's share of the noise, in batches, and the classes to be generated of it."""
        generator = torch.Generator().manual_seed(self.seed)
        noise_size = self.model.noise_size
        size = [noise_size] if isinstance(noise_size, int) else list(noise_size)
        noise = torch.randn(self.fake_nums, *size, generator=generator)
        classes = getattr(self.model, "num_classes", None)
        labels = torch.arange(self.fake_nums) % classes if classes else None
        rank, world = get_dist_info()
        share = slice(rank, None, world)
        noise, labels = noise[share], None if labels is None else labels[share]
        for start in range(0, len(noise), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield noise[part], None if labels is None else labels[part]

    def generated(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """This process's share of the samples, in batches: uint8 RGB images on the device, and their classes."""
        rank, world = get_dist_info()
        done, total = 0, len(range(rank, self.fake_nums, world))
        with Progress("judging samples", total, "images") as progress:
            for noise, labels in self.noise():
                images = sample_images(
                    self.model,
                    noise,
                    labels,
                    sample_model=self.sample_model,
                    use_batch_statistics=self.batch_statistics,
                    batch_size=self.batch_size,
                )
                yield images.to(self.device), labels
                done += len(noise)
                progress.update(done)

    def real(self, dataloader: DataLoader, count: int) -> Iterator[Tensor]:
        """This process's share of ``count`` real images (-1: all), in batches, as uint8 RGB on the device."""
        dataset: Any = dataloader.dataset
        total = len(dataset)
        if count > total:
            raise ValueError(f"{count} real images were asked for, but the data set has {total}")
        chosen = torch.randperm(total, generator=torch.Generator().manual_seed(self.seed))[
            : total if count < 0 else count
        ]
        rank, world = get_dist_info()
        loader = DataLoader(
            Subset(dataset, chosen[rank::world].tolist()),
            batch_size=self.batch_size,
            collate_fn=dataloader.collate_fn,
            num_workers=0,
            generator=torch.Generator(),  # else the loader draws its seed from the global random state
        )
        preprocessor, done = self.model.data_preprocessor, 0
        with Progress("judging real images", len(loader.dataset), "images") as progress:  # type: ignore[arg-type]
            for batch in loader:
                data = preprocessor(batch, True)
                images = getattr(data.get("data_samples"), "gt_img", None)
                if images is None:
                    images = data["inputs"]["img"] if isinstance(data["inputs"], dict) else data["inputs"]
                yield as_rgb(preprocessor, images).to(self.device)
                done += len(images)
                progress.update(done)

    def sampling(self) -> str:
        """How the samples were made, in words."""
        generator = "the moving average of the generator" if self.sample_model == "ema" else "the generator in training"
        statistics = f"statistics of batches of {self.batch_size}" if self.batch_statistics else "running statistics"
        return f"{self.fake_nums} samples of {generator}, {statistics}, seed {self.seed}"

    def compute_metrics(self, results: list) -> dict[str, float]:
        """From the gathered results of all processes, in the order of their ranks, to named values."""
        raise NotImplementedError(f"{type(self).__name__} must implement compute_metrics")

    def gather(self) -> Any:
        """Draw the samples and return what this process contributes; it must pickle."""
        raise NotImplementedError(f"{type(self).__name__} must implement gather")

    @torch.no_grad()
    def evaluate(self, size: int = 0) -> dict[str, float]:
        """Draw, gather, compute. Every process returns the same values.

        Args:
            size: Ignored; there because mmengine's evaluator gives the size of the data set.
        """
        generator = generator_of(self.model, self.sample_model)
        inner = generator.module if hasattr(generator, "module") else generator
        with own_spectral_norm(inner) if self.sample_model == "ema" else nullcontext():
            values = self.compute_metrics(all_gather_object(self.gather()))
        prefix = self._own_prefix or self.network.name
        named = {f"{prefix}/{key}": value for key, value in values.items()}
        if is_main_process():
            figures = ", ".join(f"{key} {value:.4g}" for key, value in named.items())
            print_log(f"{figures} ({self.protocol()})", "current")
        return named

    def protocol(self) -> str:
        """What the values mean, in one line."""
        judge = "" if self._network_cfg is None else f"{self.network.protocol}; "
        return judge + self.sampling()
