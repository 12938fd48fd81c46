"""Hooks that stop a run if the model does not hold its pretrained weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from nda_mm.checkpoints import read_checkpoint
from nda_mm.registry import HOOKS

from .checks import refuse_other_names, refuse_other_values, require_carried, require_fit
from .formats import find_backbone, weights_of
from .resnet import is_resnet_name, to_plain


@HOOKS.register_module()
class PretrainedCheckHook(Hook):
    """Stop before training unless every weight of a part of the model comes from its pretrained checkpoint.

    mmengine's ``init_cfg=dict(type='Pretrained', checkpoint=...)`` loads the tensors that fit and leaves the rest
    random, with only a line in the log. This hook compares names and shapes before the checkpoint is loaded, and the
    values afterwards, bit for bit. A resumed run has its own weights and is not checked.

    Counters of batch normalization (``num_batches_tracked``) may be missing, because old checkpoints lack them.

    Args:
        module: Attribute path of the part to check. Defaults to 'backbone'.
        required: Whether a checkpoint must be given. If not, a part without one is trained from scratch.
            Defaults to False.
        ignore: Prefixes of names in the checkpoint that the part may lack, for example ``['fc.']`` for
            torchvision's classifiers. Defaults to none.
        new: Prefixes of names in the part that the checkpoint may lack, for layers added to the
            pretrained network. Defaults to none.

    Raises:
        ValueError: Before training, if a required checkpoint is not given, or names, shapes or values differ.
        FileNotFoundError: If the file does not exist.
        BrokenCheckpointError: If it is truncated or would run code.

    Example:
        In a config::

            model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='', prefix='backbone.')))
            custom_hooks = [dict(type='nda_mm.PretrainedCheckHook', required=True)]

        and ``--cfg-options model.backbone.init_cfg.checkpoint=work_dirs/moco_digits/epoch_20.pth`` on the command line.
    """

    priority = "VERY_HIGH"

    def __init__(
        self, module: str = "backbone", required: bool = False, ignore: Sequence[str] = (), new: Sequence[str] = ()
    ) -> None:
        for setting, value in (("ignore", ignore), ("new", new)):
            if isinstance(value, str):
                raise TypeError(f"{setting} must be a list of prefixes, but got {value!r}; write [{value!r}]")
        self.module, self.required = module, required
        self.ignore, self.new = tuple(ignore), tuple(new)
        self._expected: dict[str, tuple[str, dict[str, Tensor]]] = {}

    def before_run(self, runner: Runner) -> None:
        """Read the checkpoint and compare names and shapes, before mmengine loads anything."""
        self._expected = {}
        if self._has_other_weights(runner):
            return
        for name, part, file, prefix in self._named_files(self._part(runner)):
            self._expected[name] = file, self._read(file, prefix, part)
        if self.required and not self._expected:
            raise ValueError(
                f"this recipe needs a pretrained {self.module}; set "
                f"--cfg-options model.{self.module}.init_cfg.checkpoint=CHECKPOINT"
            )

    def before_train(self, runner: Runner) -> None:
        """Compare values, after mmengine has loaded them."""
        expected, self._expected = self._expected, {}
        parts = dict(self._part(runner).named_modules(prefix=self.module))
        for name, (file, weights) in expected.items():
            self._compare_values(name, parts[name], file, weights)
            runner.logger.info(f"{name} holds all {len(weights)} tensors of {file}.")

    def _has_other_weights(self, runner: Runner) -> bool:
        return bool(runner._resume)

    def _named_files(self, part: nn.Module) -> Iterator[tuple[str, nn.Module, str, str | None]]:
        """Yield each part that loads a file: its name, the part, the file and the prefix of its names in the file."""
        settings = _pretrained(part)
        if settings.get("checkpoint"):
            yield self.module, part, str(settings["checkpoint"]), settings.get("prefix")

    def _part(self, runner: Runner) -> nn.Module:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        try:
            return model.get_submodule(self.module)
        except AttributeError as error:
            names = ", ".join(name for name, _ in model.named_children())
            raise ValueError(f"{type(model).__name__} has no part {self.module!r}; its parts are {names}.") from error

    def _read(self, file: str, prefix: str | None, part: nn.Module) -> dict[str, Tensor]:
        """Read the file's weights by the part's names, and check that they fit."""
        weights = _read_weights(file, prefix)
        given = {name: value for name, value in weights.items() if not name.startswith(self.ignore)}
        state = {name: value for name, value in part.state_dict().items() if not name.startswith(self.new)}
        target = f"{self.module} ({type(part).__name__})"
        refuse_other_names(state, given, source=f"{file} (prefix {prefix!r})", target=target)
        return given

    def _compare_values(self, name: str, part: nn.Module, file: str, weights: Mapping[str, Tensor]) -> None:
        refuse_other_values(part.state_dict(), weights, source=file, target=name)


@HOOKS.register_module()
class VideoBackboneCheckHook(PretrainedCheckHook):
    """Check the backbone of a recognizer by architecture and values instead of names.

    mmaction2 has a second way to load weights, ``pretrained=...``. It can load a 2-D checkpoint into networks with
    different layer names (ResNet, ResNetTSM) or shapes (ResNet3d, inflated). This hook supports both ways. It compares
    the architectures before anything is loaded and the values afterwards, with inflated kernels summed over time.
    ``nda_mm.DPCEncoder`` is compared as a whole, including the aggregator, with the checkpoint of a pretraining by
    ``nda_mm.DPC``, without its predictor. A run that starts from ``load_from`` is not checked.

    Raises:
        BackboneMismatchError: Before training, if the file holds a different network, or its weights were not loaded.

    Example:
        In a config of mmaction2::

            custom_hooks = [dict(type='nda_mm.VideoBackboneCheckHook')]
    """

    def before_run(self, runner: Runner) -> None:
        """Read the checkpoint and compare architectures, or warn if no checkpoint is given."""
        super().before_run(runner)
        if not self._expected and not self._has_other_weights(runner):
            runner.logger.warning(f"No pretrained file is named for the {self.module}, which is trained from scratch.")

    def _has_other_weights(self, runner: Runner) -> bool:
        return bool(runner._resume or runner._load_from)

    def _named_files(self, part: nn.Module) -> Iterator[tuple[str, nn.Module, str, str | None]]:
        for name, module in part.named_modules(prefix=self.module):
            settings = _pretrained(module)
            if isinstance(pretrained := getattr(module, "pretrained", None), str):
                yield name, module, pretrained, None
            elif settings.get("checkpoint"):
                yield name, module, settings["checkpoint"], settings.get("prefix")

    def _read(self, file: str, prefix: str | None, part: nn.Module) -> dict[str, Tensor]:
        weights = _read_weights(file, prefix)
        # nda_mm.DPCEncoder has the names of its pretraining, and holds more than one ResNet.
        if not any(name in weights and not is_resnet_name(to_plain(name)) for name in part.state_dict()):
            weights = find_backbone(weights, where=file).weights
        require_fit(part, weights, source=file, target=self.module)
        return weights

    def _compare_values(self, name: str, part: nn.Module, file: str, weights: Mapping[str, Tensor]) -> None:
        require_carried(part, weights, source=file, target=name)


def _pretrained(part: nn.Module) -> Mapping[str, Any]:
    """Return the setting in a part's ``init_cfg`` that loads a checkpoint; empty if there is none."""
    settings = getattr(part, "init_cfg", None) or []
    listed = [settings] if isinstance(settings, Mapping) else settings
    return next((each for each in reversed(listed) if each.get("type") == "Pretrained"), {})


def _read_weights(file: str, prefix: str | None) -> dict[str, Tensor]:
    """Read the weights of a file whose names start with a prefix, and remove the prefix."""
    if "://" in file:  # mmengine downloads and caches it
        checkpoint = CheckpointLoader.load_checkpoint(file, map_location="cpu")
    else:
        checkpoint = read_checkpoint(file, needed=())
    start = f"{prefix.rstrip('.')}." if prefix else ""
    weights = weights_of(checkpoint, file)
    return {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
