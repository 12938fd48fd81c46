"""Metrics of image translation: pixel error, class agreement, and segmentation scores of the outputs."""

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
    """Base class of metrics for mmagic's evaluation loops that compare outputs of a translator with their targets.

    Each image of the evaluation loader counts once, whatever the number of processes.

    Args:
        target: Domain of the outputs, the model's ``default_domain``.
        prefix: Prefix of the results. Defaults to None: the domain.
        collect_device: See mmengine's ``BaseMetric``. Defaults to ``'cpu'``.
    """

    SAMPLER_MODE = "normal"  # mmagic's evaluator groups metrics by this and `sample_model`
    sample_model = "orig"

    def __init__(self, target: str, *, prefix: str | None = None, collect_device: str = "cpu") -> None:
        super().__init__(collect_device=collect_device, prefix=prefix or target)
        self.target = target
        self.size: int | None = None

    def prepare(self, module: Any, dataloader: DataLoader) -> None:
        """Store the number of pairs and call :meth:`move_to`; mmagic's evaluator calls this before evaluating."""
        model = module.module if is_model_wrapper(module) else module
        self.size = len(dataloader.dataset)  # type: ignore[arg-type]
        self.move_to(next(model.parameters()).device)

    def move_to(self, device: torch.device) -> None:
        """Move the metric's networks to the model's device."""

    def get_metric_sampler(self, model: nn.Module, dataloader: DataLoader, metrics: list) -> DataLoader:
        """Return the evaluation loader, whose pairs the loop runs."""
        return dataloader

    def evaluate(self, size: int | None = None) -> dict[str, float]:
        """Gather the results of all processes and compute the values; mmagic's evaluator does not pass a size."""
        return super().evaluate(self.size if size is None else size)

    @staticmethod
    def images(data_samples: Sequence[dict], key: str) -> Tensor:
        """Stack the images of a batch, by their key in the data samples, as uint8 RGB (N, 3, H, W).

        In evaluation, mmagic gives outputs and data as BGR in [0, 255]. A KeyError means that the key is missing in
        ``data_keys`` of the pipeline's ``PackInputs`` or of the model's ``data_preprocessor``.
        """
        images = torch.stack([sample[key] for sample in data_samples])
        return images.float().round().clamp(0, 255).to(torch.uint8).flip(1)


@METRICS.register_module()
class TranslationScores(TranslationMetric):
    """Mean absolute error of the pixels, and whether a classifier predicts the same class for output and target.

    The metric reports ``DOMAIN/mae``, in [0, 1] (as a fraction of the range of gray values; lower is better). With a
    network it also reports ``DOMAIN/class_agreement``, in [0, 1]: the share of outputs that get the same class as their
    targets. Labels are not used, so an error on the target does not count against the output. The mean absolute error
    rewards blur; class agreement does not.

    Args:
        target: Domain of the outputs.
        network: Config of a classifier, see :func:`~nda_mm.evaluation.networks.build_feature_network`. Defaults to
            None: no class agreement.
        prefix: Prefix of the results. Defaults to None: the domain.

    Example:
        In a recipe of mmagic::

            dict(type="nda_mm.TranslationScores", target="photo")
    """

    def __init__(self, target: str, network: Mapping[str, Any] | FeatureNetwork | None = None, **kwargs: Any) -> None:
        super().__init__(target, **kwargs)
        self._network_cfg = network
        self.network: FeatureNetwork | None = None

    def move_to(self, device: torch.device) -> None:
        """Build the network (and, if its config allows, train it), and move it to the model's device."""
        if self._network_cfg is not None:
            self.network = build_feature_network(self._network_cfg).to(device)

    @torch.no_grad()
    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare a batch of outputs with their targets, and store one row per image."""
        made, real = (self.images(data_samples, f"{kind}_{self.target}") for kind in ("fake", "img"))
        real = real.to(made.device)
        rows = [(made.double() - real.double()).abs().mean(dim=(1, 2, 3)) / 255]
        if self.network is not None:
            read, wanted = (self.network(images).probabilities.argmax(dim=1) for images in (made, real))
            rows.append((read == wanted).double())
        self.results.extend(torch.stack(rows, dim=1).cpu().tolist())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Average over all images."""
        means = torch.tensor(results, dtype=torch.float64).mean(dim=0).tolist()
        return dict(zip(("mae", "class_agreement"), means))


@METRICS.register_module()
class SegmentationScores(TranslationMetric):
    """Pixel accuracy, class accuracy and mean IoU of a segmenter on translated images: the "FCN score".

    A photograph generated from labels is good if a segmenter trained on real photographs predicts those labels for it.
    Values are only comparable for the same segmenter; its values on the real targets are reported as ``real_...``. For
    photographs to labels, ``segmenter=dict(type='colors', ...)`` reads the painted output directly, without a network.

    Source: Isola et al., CVPR 2017, section 3.4, https://arxiv.org/abs/1611.07004.

    Args:
        target: Domain of the outputs.
        labels: Domain of the images that are painted in class colors: the inputs or the targets.
        segmenter: See :func:`~nda_mm.evaluation.segmentation.build_segmenter`.
        colors: Colors of the labels: ``'cityscapes'``, of which 19 classes are scored, or rows of (RGB, class); pixels
            of class 255 are ignored. Defaults to ``'cityscapes'``.
        score_real: Whether to also score the real targets. Defaults to True.
        prefix: Prefix of the results. Defaults to None: the domain.

    Raises:
        ValueError: See :func:`~nda_mm.evaluation.segmentation.build_segmenter`; also at evaluation, if the segmenter
            predicts a class that the labels do not have.

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
        """Segment a batch; store the confusion matrix of each image and, if scored, of its real target."""
        truth = self.reader(self.images(data_samples, f"img_{self.labels}"))
        kinds = ("fake", "img") if self.score_real else ("fake",)
        device = data_samples[0][f"fake_{self.target}"].device
        read = [self.segmenter(self.images(data_samples, f"{kind}_{self.target}").to(device)) for kind in kinds]
        for index, wanted in enumerate(truth):
            matrices = [confusion_matrix(wanted.to(device), maps[index], self.num_classes) for maps in read]
            self.results.append(torch.stack(matrices).cpu())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the scores over the pixels of all images together."""
        made, *real = torch.stack(results).sum(dim=0)
        scores = segmentation_scores(made)
        for matrix in real:
            scores |= {f"real_{name}": value for name, value in segmentation_scores(matrix).items()}
        return scores
