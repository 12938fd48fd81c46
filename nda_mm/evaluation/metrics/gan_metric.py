"""Base classes of GAN metrics: they hold the model, draw samples, load real images and share work among processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from nda_mm.functional.checks import check_choice
from nda_mm.models.gans.sampling import SAMPLE_MODELS, as_rgb, generator_of, own_spectral_norm, sample_images
from nda_mm.utils.messages import Progress


class GANMetric(BaseMetric):
    """Base class of metrics for mmagic's evaluation loops that do all their work in :meth:`evaluate`.

    With several processes, each takes every ``world_size``-th image, and all return the same values.

    Args:
        prefix: Prefix of the results.
        batch_size: Images per forward pass.
        collect_device: See mmengine's ``BaseMetric``. Defaults to ``'cpu'``.
    """

    SAMPLER_MODE = "nda_mm"  # mmagic's evaluator groups metrics by this and `sample_model`
    sample_model = "orig"

    def __init__(self, prefix: str, batch_size: int, collect_device: str = "cpu") -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, but got {batch_size}")
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.batch_size = batch_size
        self.loader: Any = None
        self._model: Any = None

    def prepare(self, module: Any, dataloader: DataLoader) -> None:
        """Store the model and the loader of real images; mmagic's evaluator calls this before the first evaluation."""
        self._model = module.module if is_model_wrapper(module) else module
        self.loader = dataloader

    @property
    def model(self) -> Any:
        """The GAN to evaluate."""
        if self._model is None:
            raise RuntimeError(
                f"{type(self).__name__} was not prepared; use it with val_cfg=dict(type='MultiValLoop') and "
                "val_evaluator=dict(type='Evaluator', metrics=[...]) of mmagic"
            )
        return self._model

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def get_metric_sampler(self, model: nn.Module, dataloader: DataLoader, metrics: list) -> Sequence:
        """Return no batches for the loop to run, since :meth:`evaluate` does all the work."""
        return ()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Do nothing; there are no batches, see :meth:`get_metric_sampler`."""

    def compute(self) -> dict[str, float]:
        """Compute the values by name, the same ones in every process."""
        raise NotImplementedError(f"{type(self).__name__} must implement compute")

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Call :meth:`compute`; mmengine requires this method."""
        return self.compute()

    def evaluate(self, size: int = 0) -> dict[str, float]:
        """Compute the values and add the prefix to their names.

        Args:
            size: Ignored; mmengine's evaluator passes the size of the data set. Defaults to 0.
        """
        return {f"{self.prefix}/{key}": value for key, value in self.compute_metrics([]).items()}

    def load(self, dataset: Dataset, indices: Sequence[int], what: str) -> Iterator[Tensor]:
        """Yield this process's share of a data set in batches, preprocessed and on the model's device."""
        rank, world = get_dist_info()
        loader = DataLoader(
            Subset(dataset, indices[rank::world]),
            batch_size=self.batch_size,
            collate_fn=list,
            generator=torch.Generator(),  # otherwise the loader draws its seed from the global RNG
        )
        done = 0
        with Progress(f"evaluating {what}", len(indices[rank::world]), "images") as progress:
            for items in loader:
                yield self.network_input(items)
                done += len(items)
                progress.update(done)

    def network_input(self, items: Sequence[Any]) -> Tensor:
        """Collate and preprocess items of a data set into images for the networks."""
        data = self.model.data_preprocessor(self.loader.collate_fn(items), True)
        images = getattr(data.get("data_samples"), "gt_img", None)
        if images is None:
            images = data["inputs"]["img"] if isinstance(data["inputs"], dict) else data["inputs"]
        return images


class GeneratorMetric(GANMetric):
    """Base class of metrics of generated samples, which use the same noise in every evaluation.

    mmagic's metrics share batches drawn from the global RNG. These metrics have their own random generator, whose draws
    do not depend on the number of processes. Two evaluations therefore differ only by the model, and training is not
    affected. Classes are equally frequent.

    Args:
        fake_nums: Number of generated images, over all processes.
        prefix: Prefix of the results.
        sample_model: ``'ema'`` or ``'orig'``. Defaults to ``'ema'``.
        batch_statistics: Whether batch normalization uses the statistics of each batch of ``batch_size`` samples, as
            the authors of the paper do, instead of its running statistics. These are not updated; those of an EMA are
            copies of the ones of the generator in training. Defaults to False.
        batch_size: Images per forward pass. Defaults to 64.
        seed: Seed for the noise. Defaults to 0.
        collect_device: See :class:`GANMetric`. Defaults to ``'cpu'``.

    Raises:
        ValueError: If a number is out of range or ``sample_model`` is unknown.
    """

    def __init__(
        self,
        fake_nums: int,
        prefix: str,
        *,
        sample_model: str = "ema",
        batch_statistics: bool = False,
        batch_size: int = 64,
        seed: int = 0,
        collect_device: str = "cpu",
    ) -> None:
        super().__init__(prefix, batch_size, collect_device)
        if fake_nums < 2:
            raise ValueError(f"fake_nums must be at least 2, but got {fake_nums}")
        check_choice(sample_model, "sample_model", SAMPLE_MODELS)
        self.fake_nums = fake_nums
        self.sample_model = sample_model
        self.batch_statistics = batch_statistics
        self.seed = seed

    def noise(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield this process's share of the noise in batches, with the classes to generate (None without classes)."""
        rng = torch.Generator().manual_seed(self.seed)
        size = self.model.noise_size
        noise = torch.randn(self.fake_nums, *([size] if isinstance(size, int) else size), generator=rng)
        classes = getattr(self.model, "num_classes", None)
        labels = torch.arange(self.fake_nums) % classes if classes else None
        rank, world = get_dist_info()
        for start in range(rank, self.fake_nums, world * self.batch_size):
            part = slice(start, start + world * self.batch_size, world)
            yield noise[part], None if labels is None else labels[part]

    def generated(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield this process's share of the samples in batches, uint8 RGB on the model's device, with their classes."""
        rank, world = get_dist_info()
        done = 0
        with Progress("evaluating samples", len(range(rank, self.fake_nums, world)), "images") as progress:
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

    def real(self, dataset: Any, count: int) -> Iterator[Tensor]:
        """Yield this process's share of ``count`` real images (-1: all) in batches, uint8 RGB on the model's device."""
        if count > len(dataset):
            raise ValueError(f"real_nums must be at most the {len(dataset)} images of the data set, but got {count}")
        chosen = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(self.seed))
        for images in self.load(dataset, chosen[: count if count >= 0 else None].tolist(), "real images"):
            yield as_rgb(self.model.data_preprocessor, images).to(self.device)

    @property
    def generator(self) -> Any:
        """The generator to evaluate, without the EMA wrapper."""
        generator = generator_of(self.model, self.sample_model)
        return generator.module if hasattr(generator, "module") else generator

    @torch.no_grad()
    def evaluate(self, size: int = 0) -> dict[str, float]:
        """Compute and log the values; see :meth:`GANMetric.evaluate`."""
        # Update the spectral norm once, not for every batch.
        with own_spectral_norm(self.generator) if self.sample_model == "ema" else nullcontext():
            values = super().evaluate(size)
        if is_main_process():
            listed = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            print_log(f"{listed} ({self.protocol()})", "current")
        return values

    def protocol(self) -> str:
        """Describe in one line how the values are measured."""
        generator = "the EMA of the generator" if self.sample_model == "ema" else "the generator in training"
        statistics = f"statistics of batches of {self.batch_size}" if self.batch_statistics else "running statistics"
        return f"{self.fake_nums} samples of {generator}, {statistics}, seed {self.seed}"


def gather_rows(rows: Tensor) -> Tensor:
    """Gather the interleaved rows of all processes on the CPU, in their original order."""
    parts = all_gather_object(rows.cpu())
    whole = parts[0].new_empty(sum(len(part) for part in parts), *parts[0].shape[1:])
    for rank, part in enumerate(parts):
        if len(part):
            whole[rank :: len(parts)] = part
    return whole
