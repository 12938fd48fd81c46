"""What metrics of an image translator share: its outputs and their targets as RGB, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.utils.data import DataLoader


class TranslationMetric(BaseMetric):
    """A metric for mmagic's evaluation loops that looks at each output of a translator beside its target.

    Each image of the evaluation loader counts once, whatever the number of processes.

    Args:
        target: Domain of the outputs, the model's ``default_domain``.
        prefix: Prefix of the results. Default: the domain.
    """

    SAMPLER_MODE = "normal"  # mmagic's evaluator groups metrics by it and by `sample_model`
    sample_model = "orig"

    def __init__(self, target: str, *, prefix: str | None = None, collect_device: str = "cpu") -> None:
        if not target or not isinstance(target, str):
            raise ValueError(f"target must name the domain of the outputs, but came as {target!r}")
        super().__init__(collect_device=collect_device, prefix=prefix or target)
        self.target = target
        self.size: int | None = None

    def prepare(self, module: Any, dataloader: DataLoader) -> None:
        """Called by mmagic's evaluator before the first evaluation, with the model and the loader of pairs."""
        model = module.module if is_model_wrapper(module) else module
        self.size = len(dataloader.dataset)  # type: ignore[arg-type]
        self.move_to(next(model.parameters()).device)

    def move_to(self, device: torch.device) -> None:
        """Bring the networks of the metric to where the model is."""

    def get_metric_sampler(self, model: nn.Module, dataloader: DataLoader, metrics: list) -> DataLoader:
        """The pairs of the evaluation loader."""
        return dataloader

    def evaluate(self, size: int | None = None) -> dict[str, float]:
        """Gather from all processes and compute; mmagic's evaluator gives no size."""
        size = self.size if size is None else size
        if size is None:
            raise RuntimeError(
                f"{type(self).__name__} was not prepared; use it in an evaluator of mmagic (val_cfg=dict("
                "type='MultiValLoop')), which calls prepare()"
            )
        return super().evaluate(size)

    @staticmethod
    def images(data_samples: Sequence[dict], key: str) -> Tensor:
        """Images of a batch by their name in the data samples: uint8 RGB (N, 3, H, W).

        mmagic gives outputs and data as BGR in [0, 255] in evaluation.

        Raises:
            KeyError: If the samples have no such images.
        """
        missing = next((sample for sample in data_samples if key not in sample), None)
        if missing is not None:
            raise KeyError(
                f"the data samples hold no {key!r}, but {', '.join(missing)}. Is the domain right, and is the name "
                "among data_keys of the pipeline's PackInputs and of the model's data_preprocessor?"
            )
        images = torch.stack([sample[key] for sample in data_samples])
        return images.float().round().clamp(0, 255).to(torch.uint8).flip(1)
