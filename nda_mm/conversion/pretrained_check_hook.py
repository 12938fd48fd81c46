"""Stop a run whose model only seems to be pretrained."""

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

    mmengine's ``init_cfg=dict(type='Pretrained', checkpoint=...)`` loads what fits and leaves the rest random, with a
    line in the log. This hook reads the checkpoint before that, compares names and shapes, and afterwards compares the
    values, bit for bit. A resumed run, which has weights of its own, is not checked.

    Counters of batch normalization (``num_batches_tracked``), which old checkpoints lack, may be absent.

    Args:
        module (str): The part, as a path of attributes. Defaults to 'backbone'.
        required (bool): Whether a checkpoint must be given. If not, a part without one is trained from scratch.
            Defaults to False.
        ignore (Sequence[str]): Prefixes of names in the checkpoint that the part need not have; for example ``['fc.']``
            for torchvision's classifiers. Defaults to none.
        new (Sequence[str]): Prefixes of names in the part that the checkpoint need not have, for layers that were added
            to what was pretrained. Defaults to none.

    Raises:
        ValueError: Before training, if no checkpoint is given, or names, shapes or values do not fit.
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
        """Read what is named and compare names and shapes, before mmengine loads anything."""
        self._expected = {}
        if self._has_other_weights(runner):
            return
        for name, part, file, prefix in self._named_files(self._part(runner)):
            self._expected[name] = file, self._read(file, prefix, part)
        if self.required and not self._expected:
            raise ValueError(
                f"this recipe needs a pretrained {self.module}: "
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
        """Which file each part was told to load: name, part, file and the prefix of its names there."""
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
        """The file's weights by the part's names; refused if they don't fit."""
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
    """The same check for recognizers, by architecture and value instead of by name.

    mmaction2 has a second way to load, ``pretrained=...``, by which a 2-D file also fills networks whose layers have
    other names (ResNet, ResNetTSM) or other shapes (ResNet3d, inflated). This hook serves both ways: before anything is
    loaded it compares the architectures, and afterwards the values, those of inflated kernels summed over time. The
    whole of ``nda_mm.DPCEncoder``, aggregator included, is compared with the checkpoint of a pretraining by
    ``nda_mm.DPC``, whose predictor is left out. A run that starts from ``load_from`` is not checked.

    Raises:
        BackboneMismatchError: Before training, if the file is another network's, or did not arrive.

    Example:
        In a config of mmaction2::

            custom_hooks = [dict(type='nda_mm.VideoBackboneCheckHook')]
    """

    def before_run(self, runner: Runner) -> None:
        """Read what is named and compare architectures, or warn that nothing is named."""
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
        # nda_mm.DPCEncoder has the pretraining's own names, and more in it than one ResNet.
        if not any(name in weights and not is_resnet_name(to_plain(name)) for name in part.state_dict()):
            weights = find_backbone(weights, where=file).weights
        require_fit(part, weights, source=file, target=self.module)
        return weights

    def _compare_values(self, name: str, part: nn.Module, file: str, weights: Mapping[str, Tensor]) -> None:
        require_carried(part, weights, source=file, target=name)


def _pretrained(part: nn.Module) -> Mapping[str, Any]:
    """The setting of a part's ``init_cfg`` that loads a checkpoint; empty if there is none."""
    settings = getattr(part, "init_cfg", None) or []
    listed = [settings] if isinstance(settings, Mapping) else settings
    return next((each for each in reversed(listed) if each.get("type") == "Pretrained"), {})


def _read_weights(file: str, prefix: str | None) -> dict[str, Tensor]:
    """The weights of a file whose names begin with a prefix, without it."""
    if "://" in file:  # mmengine downloads and caches it
        checkpoint = CheckpointLoader.load_checkpoint(file, map_location="cpu")
    else:
        checkpoint = read_checkpoint(file, needed=())
    start = f"{prefix.rstrip('.')}." if prefix else ""
    weights = weights_of(checkpoint, file)
    return {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
