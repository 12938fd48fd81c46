"""``nda_mm.SegmentationScores``: whether a segmenter finds in a translated image what its labels say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nda_mm.evaluation.segmentation_scores import IGNORE, confusion_matrix, segmentation_scores
from nda_mm.evaluation.segmenters import Colours, Segmenter, build_segmenter, palette
from nda_mm.evaluation.translation_metric import TranslationMetric
from nda_mm.registry import METRICS


@METRICS.register_module()
class SegmentationScores(TranslationMetric):
    """Per-pixel accuracy, class accuracy and mean IoU of a segmenter on translated images: the "FCN score".

    Source: Isola et al., CVPR 2017, section 3.4, https://arxiv.org/abs/1611.07004: a photograph is drawn well from its
    labels if a segmenter trained on real photographs reads those labels in it. The values belong to their segmenter:
    its values on the real targets, reported beside them as ``real_...``, are what they can be held against. For
    photographs to labels, ``segmenter=dict(type='colours', ...)`` reads the painted output itself, and no network is
    needed.

    Args:
        target: Domain of the outputs.
        labels: Domain of the images that are painted in the classes' colours: the inputs, or the targets.
        segmenter: See :func:`~nda_mm.evaluation.segmenters.build_segmenter`.
        colours: The colours of the labels: ``'cityscapes'`` (default), whose 19 classes are scored, or rows of
            (RGB, class); class 255 does not count.
        score_real: Whether to score the real targets too. Default True.
        prefix: Prefix of the results. Default: the domain.

    Raises:
        ValueError: See :func:`~nda_mm.evaluation.segmenters.build_segmenter`; and at the evaluation, if the segmenter
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
        colours: Colours = "cityscapes",
        score_real: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(target, **kwargs)
        self.labels = labels
        self.segmenter = build_segmenter(segmenter)
        self.reader = build_segmenter(dict(type="colours", colours=colours))
        classes = palette(colours)[1]
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
