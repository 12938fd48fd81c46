"""Files of the paper authors' BigGAN code as one checkpoint of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor

from nda_mm import __version__
from nda_mm.checkpoints import compare_keys, read_checkpoint, write_checkpoint
from nda_mm.compat import apply_patches
from nda_mm.utils.files import recipe_path

from .checks import initial_model
from .official import OfficialMismatchError, OfficialNetwork, convert_official, describe_official

__all__ = ["ImportReport", "import_official"]

#: The part of the model that each file is for.
PARTS = {"generator": "generator", "ema": "generator", "discriminator": "discriminator"}
_NETWORKS = {"generator": "BigGANGenerator", "discriminator": "BigGANDiscriminator"}


@dataclass(frozen=True)
class ImportReport:
    """What became of the files.

    Args:
        out: The checkpoint written.
        config: The recipe that it is for.
        options: Changes to the recipe that the networks ask for, by dotted key.
        found: What each file holds, by part of the model.
        sources: The files, by part of the model.
        stood_in: Parts without a file, and what they were given instead.
        channel_order: Of the images in the recipe's networks.
        sn_style: Its kind of spectral norm.
    """

    out: Path
    config: str
    options: dict[str, Any]
    found: dict[str, OfficialNetwork]
    sources: dict[str, Path]
    stood_in: dict[str, str]
    channel_order: str
    sn_style: str

    def __str__(self) -> str:
        words = "".join(f" {key}={value}" for key, value in self.options.items())
        options = f" --cfg-options{words}" if words else ""
        rows = {
            **{part: f"{network}, from {self.sources[part]}" for part, network in self.found.items()},
            **self.stood_in,
            "channels": f"{self.channel_order} in the model, RGB in the files",
            "norm": f"spectral norm with sn_style={self.sn_style!r}",
            "written": str(self.out),
            "sample": f"tools/sample.py {self.config} {self.out}{options}",
            "train on": f"tools/train.py {self.config} --cfg-options load_from={self.out} "
            f"model.ema_config.start_iter=0{words}",
        }
        return "\n".join(f"{label:<14} {text}" for label, text in rows.items())


def import_official(
    config: str | Path,
    out: str | Path,
    *,
    generator: str | Path | None = None,
    ema: str | Path | None = None,
    discriminator: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> ImportReport:
    """Make one checkpoint of ours of the files that the paper's authors' BigGAN code saves.

    Width, classes and length of the noise are taken from the files; where the recipe has others, the report says what
    to change in it by ``--cfg-options``. Images and logits in ``eval`` mode are those of their code (see
    :func:`~nda_mm.conversion.official.convert_official` for spectral norm). Their networks see RGB. A recipe
    whose ``data_preprocessor`` has ``output_channel_order='BGR'`` gets the layers that touch images reversed, so that
    what it samples has the right colors and its own data the right scores.

    A generator without its EMA stands for both, and the other way around. A network for which there is no file has the
    recipe's random weights; the report says so. Their optimizers' state is not taken over: training goes on by
    ``load_from``, not by ``--resume``.

    Args:
        config: Recipe of a 32x32 BigGAN, such as ``nda_biggan_cifar10``.
        out: The checkpoint to write, whole or not at all; none of the files.
        generator: Their ``G*.pth``. Defaults to None.
        ema: Their ``G_ema*.pth``. Defaults to None.
        discriminator: Their ``D*.pth``. Defaults to None.
        options: Changes to the recipe by dotted key, before it is read. Defaults to None.

    Returns:
        The report; ``print`` shows it as a table.

    Raises:
        FileNotFoundError: If a file is not there.
        BrokenCheckpointError: If one is damaged, or could not be loaded without running code.
        OfficialMismatchError: If one holds something else, or they or the recipe's model don't fit together.
        ValueError: If no file is given, or out is one of them.
    """
    given = {"generator": generator, "ema": ema, "discriminator": discriminator}
    sources = {part: Path(file) for part, file in given.items() if file is not None}
    out = Path(out)
    if not sources:
        raise ValueError("give at least one file: generator, ema or discriminator")
    if out.exists() and any(file.exists() and out.samefile(file) for file in sources.values()):
        raise ValueError(f"{out} is one of the files to read; write to another")
    read = {part: _read(file, PARTS[part]) for part, file in sources.items()}
    found = {part: network for part, (_, network) in read.items()}

    apply_patches()
    cfg = Config.fromfile(recipe_path(str(config)))
    cfg.merge_from_dict(dict(options or {}))
    changes = _adapt(cfg, found, str(config))
    state = initial_model(cfg, seed=int(cfg.get("randomness", {}).get("seed") or 0)).state_dict()
    # mmagic takes images for BGR where nothing is said.
    order = (cfg.model.get("data_preprocessor") or {}).get("output_channel_order") or "BGR"
    targets, stood_in = _targets(found, state)
    for prefix, part in targets.items():
        settings = cfg.model[PARTS[part]]
        converted = convert_official(
            read[part][0],
            sn_style=settings.get("sn_style", "ajbrock"),
            sn_eps=settings.get("sn_eps", 1e-6),
            channel_order=order,
        )
        _fill(state, prefix, converted, f"{sources[part]} does not fit the {PARTS[part]} of {config}")
    if "generator_ema.module." in targets and "generator_ema.steps" in state:
        state["generator_ema.steps"].fill_(1)  # at 0 the first update would overwrite the average
    meta = dict(nda_mm=__version__, sources={part: file.name for part, file in sources.items()}, stood_in=stood_in)
    write_checkpoint(dict(meta=meta, state_dict=state), out)
    style = cfg.model.generator.get("sn_style", "ajbrock")
    return ImportReport(out, str(config), {**(options or {}), **changes}, found, sources, stood_in, order, style)


def _read(file: Path, kind: str) -> tuple[dict[str, Tensor], OfficialNetwork]:
    """The tensors of a file, and what network they are; refused if it is none of the kind."""
    weights = read_checkpoint(file, needed=())
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(v, Tensor) for v in weights.values()):
        raise OfficialMismatchError(
            f"{file} is not a file of the authors' code, which saves one network's tensors by name"
        )
    if all(name.startswith("module.") for name in weights):  # a network saved under DataParallel
        weights = {name.removeprefix("module."): value for name, value in weights.items()}
    try:
        network = describe_official(weights)
    except OfficialMismatchError as error:
        raise OfficialMismatchError(f"{file} is not a BigGAN of the authors for 32x32 images: {error}") from error
    if network.kind != kind:
        raise OfficialMismatchError(f"{file} holds a {network.kind}, but was given as a {kind}")
    return weights, network


def _adapt(cfg: Config, found: Mapping[str, OfficialNetwork], config: str) -> dict[str, Any]:
    """Give the recipe's model the sizes of the files, and return what was changed, by dotted key."""
    for part, name in _NETWORKS.items():
        kind = (cfg.get("model", {}).get(part) or {}).get("type")
        if str(kind).split(".")[-1] != name:
            raise OfficialMismatchError(
                f"{config} has no {name} as model.{part}, but {kind!r}; take a recipe such as nda_biggan_cifar10"
            )
    wanted: dict[str, Any] = {}
    for part, network in found.items():
        wanted[f"model.{PARTS[part]}.base_channels"] = network.width
        wanted |= dict.fromkeys(
            (f"model.{place}num_classes" for place in ("", "generator.", "discriminator.")), network.num_classes
        )
        if network.noise_size is not None:
            wanted["model.generator.noise_size"] = network.noise_size
    changes = {
        key: value
        for key, value in wanted.items()
        if reduce(lambda part, word: part.get(word), key.split("."), cfg) != value
    }
    cfg.merge_from_dict(changes)
    return changes


def _targets(
    found: Mapping[str, OfficialNetwork], state: Mapping[str, Tensor]
) -> tuple[dict[str, str], dict[str, str]]:
    """Which file fills the tensors behind which prefix; and what the parts without a file hold."""
    averaged = any(name.startswith("generator_ema.") for name in state)
    if {"generator", "ema"} <= found.keys() and not averaged:
        raise OfficialMismatchError("the model keeps no EMA of its generator (model.ema_config); give one of the two")
    prefixes = {"generator": "generator.", "discriminator": "discriminator."}
    if averaged:
        prefixes["ema"] = "generator_ema.module."
    other = {"generator": "ema", "ema": "generator"}
    targets, stood_in = {}, {}
    for part, prefix in prefixes.items():
        file = part if part in found else other.get(part, part)
        if file in found:
            targets[prefix] = file
        if part not in found:
            stood_in[part] = f"not given: the {file} stands for it" if file in found else "not given: random weights"
    return targets, stood_in


def _fill(state: dict[str, Tensor], prefix: str, converted: Mapping[str, Tensor], failure: str) -> None:
    """Put a network's tensors into a model's, all of them or none."""
    wanted = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if faults := compare_keys(wanted, converted):
        raise OfficialMismatchError(f"{failure}: {faults}")
    for name, value in converted.items():
        state[prefix + name].copy_(value)
