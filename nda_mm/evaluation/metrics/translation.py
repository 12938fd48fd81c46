"""Metrics of image translation: the distance of outputs from their targets, and what a segmenter reads in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.registry import METRICS

from ..networks import FeatureNetwork, build_feature_network
from ..segmentation import IGNORE, Colors, Segmenter, build_segmenter, confusion_matrix, palette, segmentation_scores


class TranslationMetric(BaseMetric):
    """A metric for mmagic's evaluation loops that compares each output of a translator with its target.

    Each image of the evaluation loader counts once, whatever the number of processes.

    Args:
        target: Domain of the outputs, the model's ``default_domain``.
        prefix: Prefix of the results. Default: the domain.
    """

    SAMPLER_MODE = "normal"  # mmagic's evaluator groups metrics by it and by `sample_model`
    sample_model = "orig"

    def __init__(self, target: str, *, prefix: str | None = None, collect_device: str = "cpu") -> None:
        super().__init__(collect_device=collect_device, prefix=prefix or target)
        self.target = target
        self.size: int | None = None

    def prepare(self, module: Any, dataloader: DataLoader) -> None:
        """Take the number of pairs, and the device; mmagic's evaluator calls this before the first evaluation."""
        model = module.module if is_model_wrapper(module) else module
        self.size = len(dataloader.dataset)  # type: ignore[arg-type]
        self.move_to(next(model.parameters()).device)

    def move_to(self, device: torch.device) -> None:
        """Move the networks of the metric to the model's device."""

    def get_metric_sampler(self, model: nn.Module, dataloader: DataLoader, metrics: list) -> DataLoader:
        """Give the loop the pairs of the evaluation loader."""
        return dataloader

    def evaluate(self, size: int | None = None) -> dict[str, float]:
        """Gather from all processes and compute; mmagic's evaluator gives no size."""
        return super().evaluate(self.size if size is None else size)

    @staticmethod
    def images(data_samples: Sequence[dict], key: str) -> Tensor:
        """Take the images of a batch by their name in the data samples: uint8 RGB (N, 3, H, W).

        mmagic gives outputs and data as BGR in [0, 255] in evaluation. A KeyError means that the name is missing from
        ``data_keys`` of the pipeline's ``PackInputs`` or of the model's ``data_preprocessor``.
        """
        images = torch.stack([sample[key] for sample in data_samples])
        return images.float().round().clamp(0, 255).to(torch.uint8).flip(1)


@METRICS.register_module()
class TranslationScores(TranslationMetric):
    """Mean absolute error of the pixels, and whether a classifier reads the same in an output as in its target.

    Reported as ``DOMAIN/mae``, in [0, 1] (of the range of gray values; lower is better), and, with a network,
    ``DOMAIN/class_agreement``, the share of outputs in [0, 1] that get the class of their targets, not of the labels:
    an error on the target does not count against the output. The first rewards blur, the second doesn't.

    Args:
        target: Domain of the outputs.
        network: Config of a classifier, see :func:`~nda_mm.evaluation.networks.build_feature_network`. Default
            None: no agreement.
        prefix: Prefix of the results. Default: the domain.

    Example:
        In a recipe of mmagic::

            dict(type="nda_mm.TranslationScores", target="photo")
    """

    def __init__(self, target: str, network: Mapping[str, Any] | FeatureNetwork | None = None, **kwargs: Any) -> None:
        super().__init__(target, **kwargs)
        self._network_cfg = network
        self.network: FeatureNetwork | None = None

    def move_to(self, device: torch.device) -> None:
        """Build the network (and, if its config allows, train it) on the model's device."""
        if self._network_cfg is not None:
            self.network = build_feature_network(self._network_cfg).to(device)

    @torch.no_grad()
    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare a batch; one row for each image."""
        made, real = (self.images(data_samples, f"{kind}_{self.target}") for kind in ("fake", "img"))
        real = real.to(made.device)
        rows = [(made.double() - real.double()).abs().mean(dim=(1, 2, 3)) / 255]
        if self.network is not None:
            read, wanted = (self.network(images).probabilities.argmax(dim=1) for images in (made, real))
            rows.append((read == wanted).double())
        self.results.extend(torch.stack(rows, dim=1).cpu().tolist())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means over all images."""
        means = torch.tensor(results, dtype=torch.float64).mean(dim=0).tolist()
        return dict(zip(("mae", "class_agreement"), means))


@METRICS.register_module()
class SegmentationScores(TranslationMetric):
    """Per-pixel accuracy, class accuracy and mean IoU of a segmenter on translated images: the "FCN score".

    Source: Isola et al., CVPR 2017, section 3.4, https://arxiv.org/abs/1611.07004: a photograph is drawn well from its
    labels if a segmenter trained on real photographs reads those labels in it. The values compare within one segmenter;
    its values on the real targets are reported as ``real_...``. For
    photographs to labels, ``segmenter=dict(type='colors', ...)`` reads the painted output itself, and no network is
    needed.

    Args:
        target: Domain of the outputs.
        labels: Domain of the images that are painted in the classes' colors: the inputs, or the targets.
        segmenter: See :func:`~nda_mm.evaluation.segmentation.build_segmenter`.
        colors: The colors of the labels: ``'cityscapes'`` (default), whose 19 classes are scored, or rows of
            (RGB, class); class 255 does not count.
        score_real: Whether to score the real targets too. Default True.
        prefix: Prefix of the results. Default: the domain.

    Raises:
        ValueError: See :func:`~nda_mm.evaluation.segmentation.build_segmenter`; and at the evaluation, if the segmenter
            gives a class that the labels don't have.

    Example:
        In a recipe of mmagic::

            dict(
                type="nda_mm.SegmentationScores", target="photo", labels="label",
                segmenter=dict(type="torchscript", checkpoint="cityscapes_segmenter.pt", size=(512, 1024)),
            )
    """

    def __init__(
        self,
        target: str,
        labels: str,
        segmenter: Mapping[str, Any] | Segmenter,
        *,
        colors: Colors = "cityscapes",
        score_real: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(target, **kwargs)
        self.labels = labels
        self.segmenter = build_segmenter(segmenter)
        self.reader = build_segmenter(dict(type="colors", colors=colors))
        classes = palette(colors)[1]
        self.num_classes = int(classes[classes != IGNORE].max()) + 1
        self.score_real = score_real

    def move_to(self, device: torch.device) -> None:
        """See :class:`TranslationMetric`."""
        self.segmenter.to(device)

    @torch.no_grad()
    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Segment a batch; for each image one confusion matrix, and one of its real target."""
        truth = self.reader(self.images(data_samples, f"img_{self.labels}"))
        kinds = ("fake", "img") if self.score_real else ("fake",)
        device = data_samples[0][f"fake_{self.target}"].device
        read = [self.segmenter(self.images(data_samples, f"{kind}_{self.target}").to(device)) for kind in kinds]
        for index, wanted in enumerate(truth):
            matrices = [confusion_matrix(wanted.to(device), maps[index], self.num_classes) for maps in read]
            self.results.append(torch.stack(matrices).cpu())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores over the pixels of all images together."""
        made, *real = torch.stack(results).sum(dim=0)
        scores = segmentation_scores(made)
        for matrix in real:
            scores |= {f"real_{name}": value for name, value in segmentation_scores(matrix).items()}
        return scores
