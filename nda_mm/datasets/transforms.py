"""Pipeline transform that makes negatives in the OpenMMLab frameworks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from ..negatives import Curriculum, Negative, build_negative
from ..registry import TRANSFORMS


@TRANSFORMS.register_module()
class MakeNegative(BaseTransform):
    """Add a negative of the image or clip to the results.

    It is cheaper to make negatives on the batch and its device, where partners are available. A pipeline sees one
    sample at a time: a negative that joins two samples needs the other one under ``partner_key`` (where a mixing data
    set such as mmcv's puts it). Alternatively, use ``ExternalStitch``, which has its own images. Random draws come from
    torch's default generator, which mmengine seeds in every worker.

    Required keys:
        ``key``, and ``partner_key`` if given.

    Added or modified keys:
        ``output_key``.

    Args:
        negative: Negative or its config, for example ``dict(type="Jigsaw", grid=2)``.
        key: Key of the image: ``(H, W, C)`` or ``(H, W)``, or a list of such frames of equal size, as numpy arrays of
            uint8, float16, float32 or float64. Defaults to ``"img"``.
        output_key: Key of the negative, which has the same form as the image; set it to ``key`` to replace the image.
            Defaults to ``"{key}_negative"``.
        partner_key: Key of the partner, in the form and size of the image; required by negatives that join two samples.

    Raises:
        ValueError: If the negative joins two samples and there is no ``partner_key``, or if it is or contains a
            curriculum: data loader workers do not know the iteration.

    Example:
        >>> transform = MakeNegative(dict(type="Jigsaw", grid=2))
        >>> results = transform({"img": np.arange(4, dtype=np.uint8).reshape(2, 2)})
        >>> results["img_negative"].shape, bool((results["img_negative"] == results["img"]).all())
        ((2, 2), False)
    """

    def __init__(
        self,
        negative: Negative | Mapping[str, Any],
        key: str = "img",
        output_key: str | None = None,
        partner_key: str | None = None,
    ) -> None:
        self.negative = build_negative(negative)
        self.key = key
        self.output_key = f"{key}_negative" if output_key is None else output_key
        self.partner_key = partner_key
        if self.negative.needs_partner and partner_key is None:
            raise ValueError(
                f"{self.negative} joins two samples, but a pipeline sees one: set partner_key, use ExternalStitch, or "
                "make this negative on the batch"
            )
        if any(isinstance(module, Curriculum) for module in self.negative.modules()):
            raise ValueError(
                "a Curriculum needs the iteration, which the workers of a data loader do not know: use one of its "
                "stages, or make the negatives on the batch"
            )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the negative of ``results[key]``.

        Raises:
            TypeError: If ``results[key]`` is not an image or a clip.
            ValueError: If the partner has a different shape, or the negative does not support the size.
        """
        image = results[self.key]
        other = None if self.partner_key is None else _to_batch(results[self.partner_key], self.partner_key)
        with torch.no_grad():
            negative = self.negative(_to_batch(image, self.key), other=other)
        results[self.output_key] = _from_batch(negative, image)
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(negative={self.negative}, key={self.key!r}, output_key={self.output_key!r}, "
            f"partner_key={self.partner_key!r})"
        )


def _to_batch(image: np.ndarray | list[np.ndarray], key: str) -> torch.Tensor:
    """Convert an image to ``(1, C, H, W)``, or a list of frames to ``(1, C, T, H, W)``."""
    frames = image if isinstance(image, (list, tuple)) else [image]
    if not frames or any(not isinstance(frame, np.ndarray) or frame.ndim not in (2, 3) for frame in frames):
        raise TypeError(
            f"{key!r} must be an (H, W, C) or (H, W) numpy array, or a list of such frames, but got "
            f"{type(image).__name__}{getattr(image, 'shape', '')}"
        )
    stacked = np.stack([frame if frame.ndim == 3 else frame[..., None] for frame in frames])
    clip = torch.from_numpy(stacked).permute(3, 0, 1, 2)[None]
    return clip if isinstance(image, (list, tuple)) else clip[:, :, 0]


def _from_batch(negative: torch.Tensor, image: np.ndarray | list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    """Convert the negative to the form of ``image``."""
    if isinstance(image, (list, tuple)):
        return [_from_batch(negative[:, :, number], frame) for number, frame in enumerate(image)]  # type: ignore[misc]
    array = negative[0].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(array if image.ndim == 3 else array[..., 0])
