"""Feature networks from mmpretrain: any recipe with a checkpoint, or one of ours, trained on first use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmpretrain.registry import MODELS
from torch import Tensor

from nda_mm.checkpoints import load_strictly, read_checkpoint
from nda_mm.command_line import read_config
from nda_mm.negatives.external import resize_images
from nda_mm.utils.files import recipe_path

from .feature_network import FeatureNetwork, FeaturesAndProbs
from .train_classifier import ensure_checkpoint


class MMPretrainNetwork(FeatureNetwork):
    """An mmpretrain classifier; its features are the input of the last layer of its head.

    Args:
        config: Path of the recipe, or the file name of one of ours (``'classifier_digits.py'``).
        checkpoint: Path of the weights. Defaults to None: the recipe's weights in the cache.
        train_if_missing: Whether to train the recipe once if the cache has no weights. This takes seconds on a CPU for
            the digits; CIFAR-10 needs a GPU. Defaults to False.
        cfg_options: Overrides of the recipe, for example the folder of its data:
            ``{'train_dataloader.dataset.data_root': ..., 'val_dataloader.dataset.data_root': ...}``. Defaults to None.
        cache_dir: Folder of the cache. Defaults to ``'work_dirs/feature_networks'``.
        size: Side length in pixels to which images are resized (bilinear, antialiased). Defaults to None: the recipe's
            variable ``size``, or no resizing if the recipe has none.
        name: Prefix of the results. Defaults to the recipe's file name without its extension.

    Raises:
        FileNotFoundError: If the recipe or the checkpoint is missing.
        ValueError: If the checkpoint does not fit the recipe's model.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str | None = None,
        *,
        train_if_missing: bool = False,
        cfg_options: Mapping[str, Any] | None = None,
        cache_dir: str = "work_dirs/feature_networks",
        size: int | None = None,
        name: str | None = None,
    ) -> None:
        # The recipe, its weights, and the line that describes them in reports.
        recipe = recipe_path(config)
        path = Path(checkpoint or ensure_checkpoint(config, cache_dir, train=train_if_missing, cfg_options=cfg_options))
        cfg = read_config(str(recipe), cfg_options)
        saved = read_checkpoint(path, needed=())
        accuracy = saved.get("meta", {}).get("accuracy")
        size = cfg.get("size") if size is None else size
        super().__init__(
            name or recipe.stem,
            f"{recipe.name}, weights {path.name}"
            + ("" if accuracy is None else f" ({accuracy:.2f} % right on its held-out images)")
            + (", images as they are" if size is None else f", images at {size}x{size} (else resized, bilinear)"),
        )
        self.size = size
        self.accuracy = accuracy
        self.model: Any = _build(cfg)
        load_strictly(self.model, saved, source=f"The checkpoint {path}", target=f"the model of {recipe.name}")

    @torch.no_grad()
    def forward(self, images: Tensor) -> FeaturesAndProbs:
        """See :meth:`FeatureNetwork.forward`."""
        pixels = images.float()
        if self.size is not None:
            pixels = resize_images(pixels, (self.size, self.size))
        preprocessor = self.model.data_preprocessor
        if preprocessor.to_rgb:  # the preprocessor expects BGR and converts it itself
            pixels = pixels.flip(1)
        inputs = preprocessor(dict(inputs=pixels))["inputs"]
        stages = self.model.extract_feat(inputs)
        features = self.model.extract_feat(inputs, stage="pre_logits")
        return FeaturesAndProbs(features.flatten(1), self.model.head(stages).softmax(dim=1))


def _build(cfg: Config) -> torch.nn.Module:
    # Only the build runs in mmpretrain's scope; a training run keeps its own default scope (mmagic).
    if DefaultScope.get_current_instance() is None:
        init_default_scope("mmpretrain")
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = dict(cfg.model)
        if "data_preprocessor" not in model and "data_preprocessor" in cfg:
            model["data_preprocessor"] = dict(type="ClsDataPreprocessor", **cfg.data_preprocessor)
        return MODELS.build(model)
