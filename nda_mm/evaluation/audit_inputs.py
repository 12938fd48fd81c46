"""Images and negatives from a config or a folder, for the commands that inspect negatives."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from torch import Tensor

from nda_mm.command_line import read_config

from ..datasets.images.array_dataset import ArrayDataset
from ..datasets.images.image_folder import ImageFolder
from ..negatives import Negative, build_negative
from ..registry import NEGATIVES, SCOPE
from .networks import FeatureNetwork, build_feature_network


def read_inputs(args: argparse.Namespace, count: int) -> tuple[Tensor, dict[str, Negative]]:
    """Read the images and build the negatives selected by the options of a command.

    Args:
        args: Parsed options of :func:`~nda_mm.command_line.add_input_options`.
        count: Maximum number of images.

    Returns:
        Images, uint8 (N, C, H, W), and negatives by label: those named by the options, else those of the config, else
        all registered ones that work with these images.
    """
    config = Config()
    if args.config is not None:
        config = read_config(args.config, args.cfg_options)
    elif args.images is None:
        raise ValueError("there are no images to read: give a config, or a folder with --images")
    if args.images is not None:
        images = _of_arrays(ImageFolder(args.images, size=args.size, with_labels=False), count, args.seed)
    else:
        images = config_images(config, count=count, seed=args.seed)
    return images, _negatives_of(args, config, images)


def _negatives_of(args: argparse.Namespace, config: Config, images: Tensor) -> dict[str, Negative]:
    if args.negative:
        settings = [parse_settings(text) for text in args.negative]
        negatives = {negative_label(each): build_negative(each) for each in settings}
    else:
        negatives = {} if args.all else config_negatives(config)
        if not negatives:
            negatives, unusable = default_negatives(images)
            for name, reason in unusable.items():
                print(f"left out {name}: {reason.splitlines()[0]}", file=sys.stderr)
    for negative in negatives.values():
        negative.check_size(images.shape[-2], images.shape[-1])
    return negatives


def parse_settings(text: str) -> dict:
    """Parse ``dict(type='Jigsaw', grid=4)``, ``{'type': 'Jigsaw'}`` or ``Jigsaw`` as a literal; no code is executed.

    Example:
        >>> parse_settings("dict(type='RandomNegative', negatives=[dict(type='Jigsaw', grid=(2, 4))])")
        {'type': 'RandomNegative', 'negatives': [{'type': 'Jigsaw', 'grid': (2, 4)}]}
        >>> parse_settings("nda_mm.Jigsaw")
        {'type': 'nda_mm.Jigsaw'}
    """
    if text.replace(".", "_").isidentifier():
        return {"type": text}
    try:
        value = ast.literal_eval(_WithoutDictCalls().visit(ast.parse(text.strip(), mode="eval")))
        value["type"]  # raises if there is none
        return value
    except (SyntaxError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"settings must be written like dict(type='Jigsaw', grid=4), but got {text!r}") from error


def config_images(config: Config, *, count: int | None = None, seed: int = 0) -> Tensor:
    """Read a random selection of a config's training images, as its model sees them, but as uint8.

    Args:
        config: A recipe of any host, with a ``train_dataloader``.
        count: Maximum number of images. Defaults to None: all.
        seed: Seed of the random selection. Defaults to 0.

    Returns:
        Images, uint8, RGB or gray. Shape: (N, C, H, W).

    Raises:
        ValueError: If the config has no training data, or its items hold no image.
    """
    loader = config.get("train_dataloader")
    if not loader or "dataset" not in loader:
        raise ValueError("the config has no train_dataloader.dataset; use a folder of images instead")
    with DefaultScope.overwrite_default_scope(config.get("default_scope", "mmengine")):
        dataset = DATASETS.build(dict(loader["dataset"]))
    if isinstance(dataset, ArrayDataset):
        return _of_arrays(dataset, count, seed)
    chosen = _choose(len(dataset), count, seed)
    images = [_image_of(dataset[int(index)], "BGR" if _turns_to_rgb(config) else "RGB") for index in chosen]
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(f"training images must have one shape, but got {sorted(shapes)[:3]}; resize in the pipeline")
    return torch.stack(images)


def config_negatives(config: Config) -> dict[str, Negative]:
    """Build all negatives of a config (``negative=dict(type=...)`` in a model, hook or pipeline), by label."""
    found: dict[str, Negative] = {}
    for settings in _find(config.to_dict()):
        found.setdefault(negative_label(settings), build_negative(settings))
    return found


def default_negatives(images: Tensor) -> tuple[dict[str, Negative], dict[str, str]]:
    """Build all registered negatives that work on given images with their default settings.

    Args:
        images: A few of the images. Shape: (N, C, H, W), N at least 3.

    Returns:
        The negatives by name, and for each of the others the reason why it cannot be used.
    """
    usable, unusable = {}, {}
    for name in sorted({kind.__name__ for kind in NEGATIVES.module_dict.values()}):  # without aliases
        try:
            negative = build_negative(dict(type=name))
            negative(images[:3].float() / 127.5 - 1, generator=torch.Generator().manual_seed(0))
        except (TypeError, ValueError) as error:  # an argument without a default, or unsuitable images
            unusable[name] = str(error)
        else:
            usable[name] = negative
    return usable, unusable


def network_features(network: Mapping[str, Any] | FeatureNetwork) -> Callable[[Tensor], Tensor]:
    """Turn a feature network into the feature function of an audit.

    Args:
        network: See :func:`~nda_mm.evaluation.networks.build_feature_network`.

    Returns:
        A function that maps images in [-1, 1], (N, C, H, W), to features (N, D).
    """
    built = build_feature_network(network)

    def features(images: Tensor) -> Tensor:
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).byte()
        return built(pixels.expand(-1, 3, -1, -1)).features

    return features


def negative_label(settings: Mapping[str, Any]) -> str:
    """Format the config of a negative as a short label.

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
    return np.sort(order[:count])  # memory-mapped files are read faster in order


def _of_arrays(dataset: ArrayDataset, count: int | None, seed: int) -> Tensor:
    dataset.full_init()  # does nothing unless the config sets lazy_init
    chosen = _choose(len(dataset), count, seed)
    return torch.from_numpy(np.ascontiguousarray(dataset.images[chosen].transpose(0, 3, 1, 2)))


def _turns_to_rgb(config: Config) -> bool:
    """Whether the model's preprocessor converts BGR to RGB, which means that the pipeline gives BGR (mmcv's order)."""
    settings = config.get("data_preprocessor") or config.get("model", {}).get("data_preprocessor") or {}
    return bool(settings.get("to_rgb") or settings.get("bgr_to_rgb"))


def _image_of(item: Mapping[str, Any], default_order: str) -> Tensor:
    """Extract the image from an item of any host's pipeline, as (C, H, W) uint8 RGB."""
    sample = item.get("data_samples")
    candidates = [getattr(sample, "gt_img", None), item.get("inputs"), item.get("gt"), item.get("img")]
    for value in candidates:
        value = value[0] if isinstance(value, (list, tuple)) and value else value  # first view
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.ascontiguousarray(value)).permute(2, 0, 1)
        if isinstance(value, Tensor) and value.ndim == 3:
            if value.dtype != torch.uint8:
                raise ValueError(f"the pipeline must give uint8, but got {value.dtype}; normalize in data_preprocessor")
            order = getattr(sample, "gt_channel_order", None) or item.get("gt_channel_order") or default_order
            return value.flip(0) if str(order).upper() == "BGR" else value
    raise ValueError(f"training items must hold an image (H, W, C) or tensor (C, H, W), but got keys {sorted(item)}")


class _WithoutDictCalls(ast.NodeTransformer):
    """Turns ``dict(a=1)`` into ``{'a': 1}``; other calls are left unchanged, and literal_eval rejects them."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            return node
        keys: list[ast.expr | None] = [ast.Constant(each.arg) if each.arg else None for each in node.keywords]
        return ast.copy_location(ast.Dict(keys, [each.value for each in node.keywords]), node)
