"""How often is a negative no negative? A measurement on one's own images.

The theory (Sinha et al., Negative Data Augmentation, ICLR 2021, https://arxiv.org/abs/2102.05113) keeps the data as the
optimum of the generator only if negatives and data have disjoint supports. A negative that is a real image, or could
well be one, tells the discriminator that the data are fake: a jigsaw of a texture is a texture, the mirror image of a
symmetric object is the object, a periodic image shifted by its period is itself.

Supports cannot be observed in a finite sample; two consequences can.

*Duplicates.* No negative may be a real image, its source or another. Exact: equal at 8 bits, at full resolution. Near:
inside the ball around a real image whose radius is a tenth of the distance from that image to its nearest other real
image (or one gray level, if that is more). So the scale is that of the data, and no real image is that near another.

*Distinguishability.* With disjoint supports a perfect discriminator distinguishes negatives from data it has not seen:
AUROC 1. With one distribution for both none does: 0.5. Two instruments are used: the distance to the nearest of a
reference half of the reals, for negatives and for the held-out reals they were made of; and a small classifier, scored
out of fold. Both are lower bounds, so a high AUROC shows a negative to be one, while a low AUROC shows only that these
instruments see no difference.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .audit_report import NEAR, Auroc, NegativeReport, Rate
from .detection import auroc
from .nearest import nearest_neighbors
from .networks.feature_network import resize_images

_PIXEL_SIDE, _HOG_SIDE = 32, 64
_ORIENTATIONS = 8
_BATCH = 64


#: A registered negative, or a function of a batch and, by keyword, ``generator``.
NegativeFunction = Callable[..., Tensor]


class NegativeAudit:
    """One set of real images, against which any number of transforms are measured.

    Half of the images, at most ``samples``, are the sources of negatives (and the partners, where a transform needs
    some) and at the same time the held-out reals; the others are the reference. Duplicates are sought among all.

    Args:
        images: Real images. uint8. Shape: (N, C, H, W), N at least 64, C 1 or 3, sides at least 8.
        samples: Highest number of negatives made of each transform.
        features: Maps images in [-1, 1], (N, C, H, W), to features (N, D); a network in eval mode will do. Default:
            :func:`~nda_mm.evaluation.audit.hog_features`.
        seed: Of the choice of sources, of the negatives and of the classifier.

    Raises:
        TypeError: If the images are not uint8.
        ValueError: If they are too few or too small.

    Example:
        >>> from nda_mm import functional as F
        >>> stripes = torch.randint(0, 256, (200, 1, 16, 1), dtype=torch.uint8).expand(200, 3, 16, 16)
        >>> audit = NegativeAudit(stripes)
        >>> audit.measure("flip", lambda x, *, generator=None: x.flip(-1)).exact_source.value
        1.0
        >>> low, high = audit.measure("jigsaw", F.jigsaw).exact_source.interval
        >>> low < 3 / 23 < high  # three of the permutations exchange left and right only
        True
    """

    def __init__(
        self,
        images: Tensor,
        *,
        samples: int = 2000,
        features: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        if images.dtype != torch.uint8:
            raise TypeError(f"images must be uint8, but got {images.dtype}")
        _check_images(images)
        if min(samples, len(images) // 2) < 32:
            raise ValueError(f"an audit needs 64 images and 32 samples, but got {len(images)} and {samples}")
        generator = torch.Generator().manual_seed(seed)
        self.seed = seed
        self.features = features or hog_features
        self.count = min(samples, len(images) // 2)
        # Sources first, then references.
        self.images = images[torch.randperm(len(images), generator=generator)]
        self._digests = {_digest(image) for image in self.images}
        self._pixels = self._in_batches(_small_pixels, self.images)
        self._features = self._in_batches(self.features, self.images)
        self._held_out = tuple(
            nearest_neighbors(real[: self.count], real[self.count :])[0] for real in (self._pixels, self._features)
        )

    def negatives(self, negative: NegativeFunction) -> Tensor:
        """Negatives of the sources in their order, at 8 bits, made in batches of 64 of images in [-1, 1]."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        made = []
        # A last batch of one has no partner for those that need one.
        for chunk in self.images[: self.count].tensor_split(max(1, self.count // _BATCH)):
            x = chunk.float() / 127.5 - 1
            made.append(((negative(x, generator=generator) + 1) * 127.5).round().clamp(0, 255).byte())
        return torch.cat(made)

    def measure(self, name: str, negative: NegativeFunction, *, num_offenders: int = 16) -> NegativeReport:
        """Make negatives and measure them.

        Args:
            name: For the report.
            negative: The transform.
            num_offenders: How many of the most suspicious samples to list.
        """
        made, count = self.negatives(negative), self.count
        if made.shape != self.images[:count].shape:
            raise ValueError(f"{name} changes the shape of images from {self.images.shape[1:]} to {made.shape[1:]}")
        same = (made == self.images[:count]).flatten(1).all(dim=1)
        known = torch.tensor([_digest(image) in self._digests for image in made])
        near, distances = [], []
        spaces = ((self._pixels, _small_pixels, 1 / 127.5), (self._features, self.features, 0.0))
        for real, embed, floor in spaces:
            points = self._in_batches(embed, made)
            near.append(_near_ratio(points, real, floor).where(~known, 0.0))
            distances.append(nearest_neighbors(points, real[count:])[0])
        generator = torch.Generator().manual_seed(self.seed + 2)
        real_scores, scores = classifier_scores(
            torch.cat([self._features[:count], torch.stack(self._held_out, dim=1)], dim=1),
            torch.cat([points, torch.stack(distances, dim=1)], dim=1),
            generator=generator,
        )
        # Duplicates first, by how near they are; then what looks most real to the classifier.
        nearness = torch.minimum(*near)
        suspicion = torch.where(nearness < NEAR, nearness - NEAR - 1e3, scores.to(nearness))
        return NegativeReport(
            name=name,
            exact_source=Rate(int(same.sum()), count),
            exact_real=Rate(int((known & ~same).sum()), count),
            near_pixels=Rate(int((near[0] < NEAR).sum()), count),
            near_features=Rate(int((near[1] < NEAR).sum()), count),
            nearest_pixels=Auroc(auroc(self._held_out[0], distances[0]), count),
            nearest_features=Auroc(auroc(self._held_out[1], distances[1]), count),
            classifier=Auroc(auroc(real_scores, scores), count),
            passing=Rate(int((scores <= real_scores.quantile(0.95)).sum()), count),
            offenders=suspicion.argsort()[:num_offenders].tolist(),
        )

    def nearest_real(self, images: Tensor) -> Tensor:
        """The real image nearest to each, in features; to show with an offender."""
        return self.images[nearest_neighbors(self._in_batches(self.features, images), self._features)[1]]

    def _in_batches(self, embed: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([embed(chunk.float() / 127.5 - 1).flatten(1).float() for chunk in images.split(512)])


def hog_features(images: Tensor) -> Tensor:
    """Compute features of images without a trained network: coarse color, gradient orientations, edge strength.

    Three groups, each scaled so that none outweighs the others: colors averaged over an 8x8 grid; histograms of
    gradient orientation over a 4x4 grid (after N. Dalal, B. Triggs, Histograms of oriented gradients for human
    detection, CVPR 2005); and the mean gradient along every row and column, in which seams stand out. Images with a
    side above 64 pixels are averaged down first.

    Args:
        images: Floating, in [-1, 1]. Shape: (N, C, H, W), C 1 or 3, sides at least 8.

    Returns:
        float32. Shape: (N, D); D depends on C, H and W.

    Example:
        >>> hog_features(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 447])
    """
    _check_images(images)
    images = shrink_images(images.float(), _HOG_SIDE)
    gray = images.mean(dim=1)
    # Differences of adjacent pixels: a seam is sharp only there.
    across, down = gray.diff(dim=2), gray.diff(dim=1)
    profiles = torch.cat([across.abs().mean(dim=1), down.abs().mean(dim=2)], dim=1)
    colors = F.adaptive_avg_pool2d(images, 8).flatten(1)
    # On a logarithmic scale, from a gray level up, flat and blurred regions differ from merely smooth ones.
    slopes = F.pad(across, (0, 1)).abs() + F.pad(down, (0, 0, 0, 1)).abs()
    sharpness = (F.adaptive_avg_pool2d(slopes[:, None], 8).flatten(1) + 1 / 127.5).log()
    curvature = (across.diff(dim=2).abs().mean(dim=(1, 2)) + down.diff(dim=1).abs().mean(dim=(1, 2)) + 1 / 127.5).log()

    dx, dy = across[:, :-1], down[:, :, :-1]
    magnitude = torch.hypot(dx, dy)
    position = torch.atan2(dy, dx) * (_ORIENTATIONS / (2 * math.pi))
    lower = position.floor()
    share = (position - lower)[:, None]
    bins = torch.arange(_ORIENTATIONS, device=images.device)[:, None, None]
    lower_bin = lower.long().remainder(_ORIENTATIONS)[:, None]
    weight = (lower_bin == bins) * (1 - share) + ((lower_bin + 1).remainder(_ORIENTATIONS) == bins) * share
    histograms = F.adaptive_avg_pool2d(weight * magnitude[:, None], 4).flatten(1)
    histograms = (histograms / histograms.sum(dim=1, keepdim=True).clamp_min(1e-6)).sqrt()
    groups = (colors, 2 * histograms, 4 * profiles, 0.3 * sharpness, 0.3 * curvature[:, None])
    return torch.cat([group / math.sqrt(group.shape[1]) for group in groups], dim=1)


def classifier_scores(
    reals: Tensor, negatives: Tensor, *, hidden: int = 512, folds: int = 4, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Score by a small classifier, out of fold, trained to tell negatives from the reals they were made of.

    A classifier two-sample test (D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, ICLR 2017): if no
    classifier does better than chance on what it was not trained on, the two sets have the same distribution as far as
    it can see. The classifier is ridge regression over the features and random rectified projections of them: closed
    form, no tuning, seconds. Row i of both sets is in the same fold, so that the classifier never
    saw the source of a negative that it scores.

    Args:
        reals: Features. Shape: (N, D).
        negatives: Features of the negative of each. Shape: (N, D).
        hidden: Number of random projections.
        folds: Number of folds.
        generator: Draws folds and projections.

    Returns:
        Scores of reals and of negatives, higher meaning negative. Shape: (N,) each.
    """
    count = len(reals)
    both = torch.cat([reals, negatives]).double()
    both = (both - both.mean(dim=0)) / both.std(dim=0).clamp_min(1e-6)
    projection = torch.randn(both.shape[1], hidden, dtype=both.dtype, generator=generator) / math.sqrt(both.shape[1])
    offsets = torch.randn(hidden, dtype=both.dtype, generator=generator)
    both = torch.cat([both, (both @ projection + offsets).relu(), torch.ones(2 * count, 1, dtype=both.dtype)], dim=1)
    target = torch.cat([-torch.ones(count), torch.ones(count)]).to(both)
    fold = torch.randperm(count, generator=generator).remainder(folds).repeat(2)
    scores = torch.empty_like(target)
    for index in range(folds):
        train, held_out = both[fold != index], both[fold == index]
        gram = train.T @ train
        # About one standard deviation of the scores' noise; more rows than columns are then not needed.
        gram.diagonal().add_(0.1 * gram.diagonal().mean())
        weights = torch.linalg.solve(gram, train.T @ target[fold != index])
        scores[fold == index] = held_out @ weights
    return scores[:count], scores[count:]


def shrink_images(images: Tensor, max_side: int) -> Tensor:
    """Average images down so that no side exceeds ``max_side``; smaller ones are returned as they are."""
    scale = min(1.0, max_side / max(images.shape[-2:]))
    height, width = (max(1, round(side * scale)) for side in images.shape[-2:])
    return resize_images(images, (height, width))


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[-2:]) < 8:
        raise ValueError(f"images must be (N, C, H, W), C 1 or 3, sides at least 8, but got {tuple(images.shape)}")


def _near_ratio(points: Tensor, real: Tensor, floor: float) -> Tensor:
    """Distance to the nearest real over that real's distance to its nearest other."""
    distance, index = nearest_neighbors(points, real)
    found, place = index.unique(return_inverse=True)
    spacing = nearest_neighbors(real[found], real, found)[0][place]
    # Root mean square over the pixels: `floor` is a gray level in every value.
    return distance / spacing.clamp_min(floor * real.shape[1] ** 0.5 / NEAR + 1e-12)


def _small_pixels(images: Tensor) -> Tensor:
    return shrink_images(images, _PIXEL_SIDE).flatten(1)


def _digest(image: Tensor) -> bytes:
    """Stands for an image when equal ones are sought; whole images would be held twice."""
    return hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()
