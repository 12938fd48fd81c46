"""Convert a checkpoint to a file that a framework's ``init_cfg=dict(type='Pretrained', checkpoint=...)`` can load."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from nda_mm import __version__
from nda_mm.checkpoints import read_checkpoint, write_checkpoint
from nda_mm.functional.checks import check_choice

from .checks import check_config
from .formats import FoundBackbone, find_backbone
from .resnet import BackboneMismatchError, ResNetArchitecture, describe, host_names, require_whole

HOSTS = ("mmdet", "mmaction2", "mmpretrain", "torchvision")
REMINDER = (
    "color order, mean and std of the inputs and the style of the blocks (pytorch: stride in the 3x3 convolution; "
    "caffe: in the 1x1) must be those of the pretraining; the file cannot show a mistake in them"
)


@dataclass(frozen=True)
class ConversionReport:
    """Summary of a conversion, which ``print`` shows as a table.

    Args:
        source: The checkpoint.
        out: The file that was written.
        host: The framework that the names in the file belong to.
        found: The backbone that was found in the checkpoint.
        architecture: Architecture of a ResNet; None for other networks.
        checked: Number of tensors that were loaded into each model built from a config.
    """

    source: Path
    out: Path
    host: str
    found: FoundBackbone
    architecture: ResNetArchitecture | None
    checked: dict[str, int]

    def __str__(self) -> str:
        prefix = f", prefix {self.found.prefix}" if self.found.prefix else ""
        rows = [
            ("source", f"{self.source}: {self.found.format}{prefix}"),
            ("backbone", str(self.architecture or "not a ResNet; its names are unchanged")),
            ("taken", f"{len(self.found.weights)} tensors: {_groups(self.found.weights, 1)}"),
            ("dropped", f"{len(self.found.dropped)} tensors: {_groups(self.found.dropped, 2)}"),
            *(("checked", f"{target} holds {count} of {count} tensors") for target, count in self.checked.items()),
            ("written", f"{self.out}, with the names of {self.host}"),
            ("mind", REMINDER),
        ]
        return "\n".join(f"{label:<9} {text}" for label, text in rows)


def convert_backbone(
    source: str | Path, out: str | Path, host: str, *, encoder: str = "query", config: str | None = None
) -> ConversionReport:
    """Extract the backbone of a checkpoint, and write it with the tensor names of another framework.

    Supported are checkpoints of OpenMMLab models (ours, classifiers and self-supervised models of mmpretrain, 2-D
    models of mmdet and mmaction2, saved with or without DDP), of facebookresearch/moco and moco-v3, and plain backbone
    files such as torchvision's. No code in the file is run. The new file is written completely or not at all.

    A detector's shared head (mmdet's ``ResLayer``) loads its stage from the same file with the same ``init_cfg``,
    because the names ``layer4...`` are the same in both. mmaction2 has a second way to load weights,
    ``pretrained=...``, which reads torchvision's names and inflates the kernels for 3-D networks. For it, convert to
    'torchvision' (or 'mmpretrain' for a ResNet with a small stem). From a checkpoint of ``nda_mm.DPC``, or of a
    recognizer trained on its encoder, the 2D3D-ResNet is extracted, for ``nda_mm.ResNet2d3d`` in mmaction2.

    Args:
        source: The checkpoint.
        out: The file to write; must not be the source.
        host: Framework to convert to: 'mmdet', 'mmaction2', 'mmpretrain' or 'torchvision'.
        encoder: 'query', the trained network, or 'key', its EMA. Defaults to 'query'.
        config: A config (or ``torchvision.resnet50``) to check the new file with before it is written: the backbone is
            built, loaded from it and compared. Defaults to None.

    Returns:
        The report; ``print`` shows it as a table.

    Raises:
        FileNotFoundError: If the checkpoint or the config does not exist.
        BrokenCheckpointError: If the checkpoint is damaged, or can't be loaded without running code.
        BackboneMismatchError: If layers are missing, or the host or the config has a different network.
        ValueError: If the format is unknown, or out is the source.

    Example:
        >>> import tempfile
        >>> from torchvision.models import resnet18
        >>> folder = Path(tempfile.mkdtemp())
        >>> torch.save(resnet18().state_dict(), folder / "r18.pth")
        >>> report = convert_backbone(folder / "r18.pth", folder / "video.pth", "mmaction2")
        >>> print(report.architecture, report.found.dropped)
        ResNet-18 (7x7 stem, width 64) ['fc.weight', 'fc.bias']
        >>> list(torch.load(folder / "video.pth")["state_dict"])[:2]
        ['conv1.conv.weight', 'conv1.bn.weight']
    """
    source, out = Path(source), Path(out)
    check_choice(host, "host", HOSTS)
    if out.exists() and source.exists() and out.samefile(source):
        raise ValueError(f"{out} is the source; write to a different file")
    # Find the backbone, and check that the host has a network for it.
    found = find_backbone(read_checkpoint(source, needed=()), encoder, where=str(source))
    try:
        architecture = describe(found.weights)
    except BackboneMismatchError as error:
        raise BackboneMismatchError(f"{source} is not a whole backbone: {error}.") from error
    _require_served(found, architecture, host, source, config)

    # Rename the tensors as the host expects.
    names = host_names(found.weights, host) if architecture else {name: name for name in found.weights}
    converted = {
        "meta": {
            "nda_mm": __version__,
            "source": source.name,
            "format": found.format,
            "encoder": encoder,
            "prefix": found.prefix,
            "host": host,
            "architecture": str(architecture),
        },
        "state_dict": {names[name]: value.detach().clone().contiguous() for name, value in found.weights.items()},
    }
    # Check in a temporary folder, so that a file that the config can't load is never left at `out`.
    checked: dict[str, int] = {}
    if config is not None:
        with tempfile.TemporaryDirectory() as folder:
            candidate = Path(folder) / out.name
            torch.save(converted, candidate)
            checked = check_config(config, candidate, found.weights, str(source))
    write_checkpoint(converted, out)
    return ConversionReport(source, out, host, found, architecture, checked)


def _require_served(
    found: FoundBackbone, architecture: ResNetArchitecture | None, host: str, source: Path, config: str | None
) -> None:
    """Raise BackboneMismatchError if the host has no network for the weights."""
    if architecture is None:
        holds = f"{source} does not hold a ResNet, but a network of {_groups(found.weights, 1)}"
        if host in ("mmaction2", "torchvision"):
            raise BackboneMismatchError(f"{holds}; only ResNets are converted for {host}")
        if found.format != "OpenMMLab model" or config is None:
            raise BackboneMismatchError(f"{holds}; check its names in {host} with a config (--check)")
        return
    require_whole(found.weights, architecture, str(source))
    if architecture.late_time and host != "mmaction2":
        raise BackboneMismatchError(
            f"{source} holds a {architecture}, a video network, and {host} has none; convert with --to mmaction2"
        )
    plain = architecture.stem == 7 and architecture.width == 64 and not architecture.pooled_shortcut
    if host in ("mmaction2", "torchvision") and not plain and not architecture.late_time:
        raise BackboneMismatchError(
            f"{source} holds a {architecture}, and {host} has only ResNets with a 7x7 stem and width 64; convert with "
            "--to mmpretrain, whose networks mmaction2 can use too (backbone type='mmpretrain.ResNet_CIFAR')"
        )


def _groups(names: Iterable[str], levels: int) -> str:
    """Group names by their first levels, with the number of tensors in each group.

    Example:
        >>> _groups(["neck.mlp.0.weight", "neck.mlp.0.bias", "queue"], 1)
        'neck (2), queue'
    """
    counts = Counter(".".join(name.split(".")[:levels]) for name in names)
    return ", ".join(f"{group} ({count})" if count > 1 else group for group, count in counts.items()) or "none"
