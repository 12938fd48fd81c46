"""What the commands that look at negatives have in common: where images and negatives come from."""

from __future__ import annotations

import argparse
import ast
import sys

from mmengine.config import Config
from torch import Tensor

from nda_mm.utils.command_line import read_settings
from nda_mm.utils.files import recipe_path

from ..negatives import Negative, build_negative
from .audit_inputs import config_images, config_negatives, default_negatives, folder_images, negative_label


def open_config(args: argparse.Namespace) -> Config | None:
    """The config with its overrides, if one is named."""
    if args.config is None:
        if args.images is None:
            raise ValueError("name a config, or a folder by --images")
        return None
    config = Config.fromfile(recipe_path(args.config))
    config.merge_from_dict(read_settings(args.cfg_options))
    return config


def read_images(args: argparse.Namespace, config: Config | None, count: int) -> Tensor:
    """The images asked for, at most ``count``. uint8. Shape: (N, C, H, W)."""
    if args.images is not None:
        return folder_images(args.images, size=args.size, count=count, seed=args.seed)
    assert config is not None  # open_config saw to it
    return config_images(config, count=count, seed=args.seed)


def negatives_of(args: argparse.Namespace, config: Config | None, images: Tensor) -> dict[str, Negative]:
    """The negatives asked for by label: those named, else the config's, else all that serve such images."""
    if args.negative:
        settings = [parse_settings(text) for text in args.negative]
        negatives = {negative_label(each): build_negative(each) for each in settings}
    else:
        negatives = config_negatives(config) if config is not None and not args.all else {}
        if not negatives:
            negatives, unusable = default_negatives(images)
            for name, reason in unusable.items():
                print(f"left out {name}: {reason.splitlines()[0]}", file=sys.stderr)
    for negative in negatives.values():
        negative.check_size(images.shape[-2], images.shape[-1])
    return negatives


def parse_settings(text: str) -> dict:
    """``dict(type='Jigsaw', grid=4)``, ``{'type': 'Jigsaw'}`` or ``Jigsaw``, read as literals; nothing is executed.

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
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"settings are written like dict(type='Jigsaw', grid=4), but got {text!r}") from error
    if not isinstance(value, dict) or "type" not in value:
        raise ValueError(f"settings need a type, as in dict(type='Jigsaw', grid=4), but got {text!r}")
    return value


class _WithoutDictCalls(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            raise ValueError("only dict(...) may be called")
        if any(keyword.arg is None for keyword in node.keywords):
            raise ValueError("** is no literal")
        keys: list[ast.expr | None] = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.copy_location(ast.Dict(keys, [keyword.value for keyword in node.keywords]), node)
