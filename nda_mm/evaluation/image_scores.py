"""Anomaly scores of single images, as ``tools/ood_images.py`` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nda_mm.models.gans.sampling import from_rgb
from nda_mm.utils.image_grid import save_image_grid

from .detection import bootstrap_intervals, detection_measures
from .metrics.discriminator_scores import anomaly_scores, layers_that_mix, scoring
from .ood_report import OODResult, format_table, plot_scores, write_results

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["conformal_p_values", "draw_ranking", "rank_images", "report_classes", "score_images"]


def score_images(model: Any, images: np.ndarray, *, batch_size: int = 256, class_reduction: str = "max") -> np.ndarray:
    """Score images by a GAN's discriminator: **a higher score means more anomalous**.

    Args:
        model: A GAN of mmagic with a discriminator.
        images: uint8 RGB, of the size that the discriminator was trained with. Shape: (N, H, W, 3).
        batch_size: Images to a pass. Defaults to 256; 1 is used where the discriminator compares the images of a batch.
        class_reduction: See :func:`~nda_mm.evaluation.metrics.discriminator_scores.anomaly_scores`.

    Returns:
        float64. Shape: (N,).

    Raises:
        ValueError: If the model has no discriminator.
    """
    scores = []
    with scoring(model) as discriminator:
        step = 1 if layers_that_mix(discriminator) else batch_size
        for start in range(0, len(images), step):
            pixels = torch.from_numpy(images[start : start + step].copy()).permute(0, 3, 1, 2)
            seen = from_rgb(model.data_preprocessor, pixels)
            scores.append(anomaly_scores(discriminator, seen, class_reduction=class_reduction))
    return torch.cat(scores).numpy() if scores else np.empty(0)


def conformal_p_values(normal_scores: np.ndarray, scores: np.ndarray) -> np.ndarray:
    r"""Compute how likely a normal image is to score at least as high as each of the given ones.

    .. math:: p(s) = \frac{1 + \#\{i : s_i \ge s\}}{1 + n}

    over the n normal images. For a normal image, :math:`P(p \le t) \le t` whatever the scores are, if the n were not
    trained on. Among N images, N t normal ones are expected below t.

    Source: Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 51, 2023,
    https://arxiv.org/abs/2104.08279, eq. 1.

    Args:
        normal_scores: Scores of normal images that were held out. Shape: (n,).
        scores: Scores to be judged. Shape: (N,).

    Returns:
        p-values, in [1 / (n + 1), 1]. Shape: (N,).

    Example:
        >>> conformal_p_values(np.array([0.0, 1.0, 2.0]), np.array([1.5, 9.0])).tolist()
        [0.5, 0.25]
    """
    below = np.searchsorted(np.sort(normal_scores), scores, side="left")
    return (1 + len(normal_scores) - below) / (1 + len(normal_scores))


def rank_images(files: Sequence[str], scores: np.ndarray, normal_scores: np.ndarray) -> pd.DataFrame:
    """Order images by their score, the most anomalous first.

    Args:
        files: Names of the images.
        scores: Their scores. Shape: (N,).
        normal_scores: Scores of held-out normal images. Shape: (n,).

    Returns:
        A table of ``file``, ``score``, ``rank`` (from 1) and ``p_value`` (see :func:`conformal_p_values`); its index
        is the place of the image among ``files``.

    Example:
        >>> rank_images(["a.png", "b.png"], np.array([0.5, 2.0]), np.array([0.0, 1.0]))
            file  score  rank   p_value
        1  b.png    2.0     1  0.333333
        0  a.png    0.5     2  0.666667
    """
    import pandas as pd

    table = pd.DataFrame({"file": list(files), "score": scores})
    table = table.sort_values("score", ascending=False, kind="stable")
    return table.assign(rank=range(1, len(table) + 1), p_value=conformal_p_values(normal_scores, table["score"]))


def draw_ranking(path: Path, images: np.ndarray, table: pd.DataFrame, count: int = 16) -> None:
    """Draw the first and the last images of a ranking, with their p-values.

    Args:
        path: The PNG to write.
        images: uint8 RGB, in the order in which they were given to :func:`rank_images`. Shape: (N, H, W, 3).
        table: From :func:`rank_images`.
        count: Images of each kind, at most half of all. Defaults to 16.
    """
    count = min(count, max(1, len(table) // 2))
    columns = min(count, 8)
    pictures: list[np.ndarray] = []
    names: list[str] = []
    for title, part in (("most anomalous", table.head(count)), ("most ordinary", table.tail(count))):
        for start in range(0, count, columns):
            row = part[start : start + columns]
            names.append(f"{title}\np = {row['p_value'].min():.3f} to {row['p_value'].max():.3f}")
            blank = np.full((columns - len(row), *images.shape[1:]), 255, dtype=np.uint8)
            pictures += [images[row.index], blank]
    grid = np.concatenate(pictures).transpose(0, 3, 1, 2)
    save_image_grid(path, grid, columns, scale=max(1, 64 // images.shape[1]), row_labels=names)


def report_classes(folder: Path, scores: np.ndarray, classes: Sequence[str], normal_class: str) -> str:
    """Measure how well each class is told from the normal one; write ``results.*``, ``scores.png`` and ``roc.png``.

    Args:
        folder: Where the files go.
        scores: Of all images. Shape: (N,).
        classes: Class of each image, N of them.
        normal_class: The class of normal images.

    Returns:
        The table of measures, with 95 % bootstrap intervals.
    """
    by_class = {name: scores[np.array(classes) == name] for name in sorted(set(classes))}
    normal = by_class.pop(normal_class)
    results = [
        OODResult(name, len(each), "", detection_measures(normal, each), bootstrap_intervals(normal, each))
        for name, each in by_class.items()
    ]
    write_results(folder, results, dict(inside=normal_class, inside_count=len(normal)))
    plot_scores(folder, normal, by_class)
    return format_table(results, len(normal))
