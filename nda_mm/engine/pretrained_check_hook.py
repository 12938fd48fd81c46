"""Refuses to train on a backbone that only seems to be pretrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from nda_mm.checkpoints import compare_keys, read_checkpoint
from nda_mm.registry import HOOKS
from nda_mm.utils.messages import shorten


@HOOKS.register_module()
class PretrainedCheckHook(Hook):
    """Stop before training unless every weight of a part of the model comes from its pretrained checkpoint.

    mmengine's ``init_cfg=dict(type='Pretrained', checkpoint=...)`` loads what fits and leaves the rest random, with a
    line in the log. This hook reads the checkpoint before that, compares names and shapes, and looks afterwards that
    the part holds its values, bit for bit. A resumed run is passed over: it continues with weights of its own.

    Counters of batch normalisation (``num_batches_tracked``), which old checkpoints lack, may be absent.

    Args:
        module (str): The part, as a path of attributes. Defaults to 'backbone'.
        required (bool): Whether a checkpoint must be given. If not, a part without one is trained from scratch, and
            only what is given is checked. Defaults to False.
        ignore (Sequence[str]): Names in the checkpoint that need no place in the part begin with one of these; for
            example ``['fc.']`` for torchvision's classifiers. Defaults to none.
        new (Sequence[str]): Names in the part that need no place in the checkpoint begin with one of these, for layers
            that the part adds to what was pretrained. Defaults to none.

    Raises:
        ValueError: Before training, if no checkpoint is given, or names or shapes do not fit; with what to do.
        FileNotFoundError: If there is no such file.
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
                raise TypeError(
                    f"{setting} must be a list of beginnings of names, but got {value!r}; write [{value!r}]."
                )
        self.module, self.required = module, required
        self.ignore, self.new = tuple(ignore), tuple(new)
        self._expected: dict[str, Tensor] = {}

    def before_run(self, runner: Runner) -> None:
        """Compare names and shapes, before mmengine loads anything."""
        self._expected = {}
        if runner._resume:
            return
        part = self._part(runner)
        settings = _pretrained(getattr(part, "init_cfg", None))
        checkpoint = settings.get("checkpoint")
        if not checkpoint:
            if self.required:
                raise ValueError(
                    f"This recipe trains on a pretrained {self.module}, but none is given; name its checkpoint: "
                    f"--cfg-options model.{self.module}.init_cfg.checkpoint=CHECKPOINT"
                )
            return
        self._expected = self._read(str(checkpoint), settings.get("prefix"), part)

    def before_train(self, runner: Runner) -> None:
        """Look that the part holds the checkpoint's values, after mmengine has loaded them."""
        expected, self._expected = self._expected, {}
        state = self._part(runner).state_dict()
        wrong = [
            name for name, value in expected.items() if not torch.equal(state[name].cpu(), value.to(state[name].dtype))
        ]
        if wrong:
            raise ValueError(
                f"{self.module} does not hold what its checkpoint says: {shorten(wrong)}. Something initialised it "
                "again after the checkpoint was loaded; look at init_cfg of the model and at load_from."
            )

    def _part(self, runner: Runner) -> nn.Module:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        try:
            return model.get_submodule(self.module)
        except AttributeError as error:
            names = ", ".join(name for name, _ in model.named_children())
            raise ValueError(f"{type(model).__name__} has no part {self.module!r}; its parts are {names}.") from error

    def _read(self, checkpoint: str, prefix: str | None, part: nn.Module) -> dict[str, Tensor]:
        found = _weights(checkpoint)
        start = f"{prefix.rstrip('.')}." if prefix else ""
        given = {name[len(start) :]: value for name, value in found.items() if name.startswith(start)}
        given = {name: value for name, value in given.items() if not (self.ignore and name.startswith(self.ignore))}
        state = {
            name: value for name, value in part.state_dict().items() if not (self.new and name.startswith(self.new))
        }
        faults = compare_keys(state, given)
        if not faults:
            return given
        raise ValueError(
            f"{checkpoint} does not fit {self.module} ({type(part).__name__}"
            f"{f', prefix {prefix!r}' if prefix else ''}) of {len(state)} weights: {faults}. "
            + self._advice(found, state)
        )

    @staticmethod
    def _advice(found: dict[str, Tensor], state: dict[str, Tensor]) -> str:
        for name in found:  # is the part in there under another prefix?
            first = next(iter(state))
            if name.endswith(f".{first}") and all(f"{name[: -len(first)]}{other}" in found for other in state):
                return f"All its names stand there behind {name[: -len(first)]!r}; set init_cfg.prefix to that."
        return (
            "Take the depth, width and type of the backbone that was pretrained, or bring the file into this one's "
            "names with tools/convert_backbone.py."
        )


def _pretrained(init_cfg: Any) -> Mapping[str, Any]:
    """The setting that loads a checkpoint, among those of a part's initialisation."""
    settings = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    chosen = [each for each in settings if isinstance(each, Mapping) and each.get("type") == "Pretrained"]
    return chosen[-1] if chosen else {}


def _weights(checkpoint: str) -> dict[str, Tensor]:
    if "://" in checkpoint:  # mmengine fetches and keeps it
        content: Any = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    else:
        content = read_checkpoint(checkpoint, needed=())
    weights = content.get("state_dict", content)
    return {name: value for name, value in weights.items() if isinstance(value, Tensor)}
