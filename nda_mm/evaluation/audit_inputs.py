"""What an audit or a contact sheet looks at: the images and the negatives of a config, or of a folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from torch import Tensor

from ..datasets.images.array_dataset import ArrayDataset
from ..datasets.images.image_folder import ImageFolder
from ..negatives import Negative, build_negative
from ..registry import NEGATIVES, SCOPE
from .feature_networks import FeatureNetwork, build_feature_network


def folder_images(folder: str, *, size: int = 32, count: int | None = None, seed: int = 0) -> Tensor:
    """Images of a folder as uint8 squares, classes ignored; a random choice of ``count``. Shape: (N, 3, size, size)."""
    return _of_arrays(ImageFolder(folder, size=size, with_labels=False), count, seed)


def config_images(config: Config, *, count: int | None = None, seed: int = 0) -> Tensor:
    """Training images of a config, as its model would see them, but at 8 bits; a random choice of ``count``.

    Args:
        config: A recipe of any host, with a ``train_dataloader``.
        count: How many images. Default: all.
        seed: Of the choice.

    Returns:
        uint8, RGB or grey. Shape: (N, C, H, W).

    Raises:
        ValueError: If the config has no training data, or its items hold no image.
    """
    loader = config.get("train_dataloader")
    if not loader or "dataset" not in loader:
        raise ValueError("the config has no train_dataloader.dataset; name a folder of images instead")
    # A scope of its own for the build, so that nothing is left behind for what the caller does next.
    with DefaultScope.overwrite_default_scope(config.get("default_scope", "mmengine")):
        dataset = DATASETS.build(dict(loader["dataset"]))
    if isinstance(dataset, ArrayDataset):
        return _of_arrays(dataset, count, seed)
    chosen = _choose(len(dataset), count, seed)
    images = [_image_of(dataset[int(index)], "BGR" if _turns_to_rgb(config) else "RGB") for index in chosen]
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(f"the training images differ in shape: {sorted(shapes)[:3]}; resize them in the pipeline")
    return torch.stack(images)


def config_negatives(config: Config) -> dict[str, Negative]:
    """Every negative that a config names (``negative=dict(type=...)`` in a model, hook or pipeline), by label."""
    found: dict[str, Negative] = {}
    for settings in _find(config._cfg_dict.to_dict() if isinstance(config, Config) else config):
        found.setdefault(negative_label(settings), build_negative(settings))
    return found


def default_negatives(images: Tensor) -> tuple[dict[str, Negative], dict[str, str]]:
    """All registered negatives that do with default settings for such images, by label; the others with the reason.

    Args:
        images: A few of the images. Shape: (N, C, H, W), N at least 2.
    """
    usable, unusable = {}, {}
    for name, kind in NEGATIVES.module_dict.items():
        parameters = inspect.signature(kind).parameters.values()
        open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        needed = [each.name for each in parameters if each.default is each.empty and each.kind not in open_ended]
        if needed:
            unusable[name] = f"it needs settings ({', '.join(needed)}); name it with them"
            continue
        try:
            negative = build_negative(dict(type=name))
            negative(images[:2].float() / 127.5 - 1, generator=torch.Generator().manual_seed(0))
        except (TypeError, ValueError) as error:
            unusable[name] = str(error)
        else:
            usable[name] = negative
    return usable, unusable


def network_features(network: Mapping[str, Any] | FeatureNetwork) -> Callable[[Tensor], Tensor]:
    """A named network as the feature space of an audit.

    Args:
        network: As of :func:`~nda_mm.evaluation.feature_networks.build_feature_network`.

    Returns:
        Maps images in [-1, 1], (N, C, H, W), to features (N, D).
    """
    built = build_feature_network(network)

    def features(images: Tensor) -> Tensor:
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).byte()
        return built(pixels.expand(-1, 3, -1, -1)).features

    return features


def negative_label(settings: Mapping[str, Any]) -> str:
    """A config as a short text.

    Example:
        >>> negative_label(dict(type="nda_mm.Jigsaw", grid=4))
        'Jigsaw(grid=4)'
    """
    kind = str(settings["type"]).removeprefix(f"{SCOPE}.")
    rest = ", ".join(
        f"{name}={negative_label(value) if isinstance(value, Mapping) and 'type' in value else value}"
        for name, value in settings.items()
        if name != "type"
    )
    return f"{kind}({rest})" if rest else kind


def _find(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "negative" and isinstance(value, Mapping) and "type" in value:
                yield value
            else:
                yield from _find(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _find(value)


def _choose(total: int, count: int | None, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(total)
    return np.sort(order[:count])  # sorted reads are kind to a memory-mapped file


def _of_arrays(dataset: ArrayDataset, count: int | None, seed: int) -> Tensor:
    dataset.full_init()  # nothing to do unless the config says lazy_init
    chosen = _choose(len(dataset), count, seed)
    return torch.from_numpy(np.ascontiguousarray(dataset.images[chosen].transpose(0, 3, 1, 2)))


def _turns_to_rgb(config: Config) -> bool:
    """Whether the model's preprocessor turns BGR into RGB, so that the pipeline gives BGR (as mmcv reads files)."""
    settings = config.get("data_preprocessor") or config.get("model", {}).get("data_preprocessor") or {}
    return bool(settings.get("to_rgb") or settings.get("bgr_to_rgb"))


def _image_of(item: Mapping[str, Any], default_order: str) -> Tensor:
    """The image of an item after any host's pipeline, as (C, H, W) uint8 RGB."""
    sample = item.get("data_samples")
    candidates = [getattr(sample, "gt_img", None), item.get("inputs"), item.get("gt"), item.get("img")]
    for value in candidates:
        value = value[0] if isinstance(value, (list, tuple)) and value else value  # the first view of several
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.ascontiguousarray(value)).permute(2, 0, 1)
        if isinstance(value, Tensor) and value.ndim == 3:
            if value.dtype != torch.uint8:
                raise ValueError(f"the pipeline gives {value.dtype} images; normalise in the data preprocessor instead")
            order = getattr(sample, "gt_channel_order", None) or item.get("gt_channel_order") or default_order
            return value.flip(0) if str(order).upper() == "BGR" else value
    raise ValueError(f"the training items hold no image (H, W, C) or tensor (C, H, W); their keys: {sorted(item)}")
