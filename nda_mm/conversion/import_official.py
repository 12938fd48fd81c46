"""From files of the authors' BigGAN code to a checkpoint that our recipes sample, test and train on from."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from nda_mm import __version__
from nda_mm.checkpoints import AtomicLocalBackend, compare_keys, read_checkpoint
from nda_mm.compat import apply_mends
from nda_mm.utils.files import recipe_path
from nda_mm.utils.random_state import isolated_rng

from .built import quietly
from .official_biggan import OfficialMismatchError, OfficialNetwork, convert_official, describe_official

#: A part of the model by the file that may be given for it.
PARTS = {"generator": "generator", "ema": "generator", "discriminator": "discriminator"}
_NETWORKS = {"generator": "BigGANGenerator", "discriminator": "BigGANDiscriminator"}


@dataclass(frozen=True)
class ImportReport:
    """What became of the files.

    Args:
        out: The checkpoint written.
        config: The recipe whose model it serves.
        options: Changes to the recipe that the networks ask for, by dotted key.
        found: What each file holds, by part of the model.
        sources: The files, likewise.
        stood_in: Parts without a file of their own, and what they were given instead.
        channel_order: Of the images in the recipe's networks.
        sn_style: Its manner of spectral norm.
    """

    out: Path
    config: str
    options: dict[str, Any]
    found: dict[str, OfficialNetwork]
    sources: dict[str, Path]
    channel_order: str
    sn_style: str
    stood_in: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        words = " ".join(f"{key}={value}" for key, value in self.options.items())
        options = f" --cfg-options {words}" if words else ""
        colours = "as in the files" if self.channel_order == "RGB" else "red and blue exchanged, as the recipe has them"
        rows = [
            *((part, f"{network}, from {self.sources[part]}") for part, network in self.found.items()),
            *((part, what) for part, what in self.stood_in.items()),
            ("channels", f"{self.channel_order}: {colours}"),
            ("norm", f"spectral norm in the manner of sn_style={self.sn_style!r}"),
            ("written", str(self.out)),
            ("sample", f"tools/sample.py {self.config} {self.out}{options}"),
            (
                "train on",
                f"tools/train.py {self.config} --cfg-options load_from={self.out} model.ema_config.start_iter=0"
                f"{' ' + words if words else ''}",
            ),
        ]
        return "\n".join(f"{label:<14} {text}" for label, text in rows)


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
    :func:`~nda_mm.conversion.official_biggan.convert_official` for spectral norm). Their networks see RGB. A recipe
    whose ``data_preprocessor`` has ``output_channel_order='BGR'`` gets the layers that touch images turned round, so
    that what it samples has the right colours and its own data the right scores.

    A generator without its moving average stands for both, and the other way around. A network for which there is no
    file has the recipe's random weights; the report says so. Their optimizers' state is not taken over: training goes
    on by ``load_from``, not by ``--resume``.

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
        raise ValueError("give at least one file: a generator, its moving average or a discriminator")
    if out.exists() and any(file.exists() and out.samefile(file) for file in sources.values()):
        raise ValueError(f"{out} is one of the files to read; write to another")
    weights = {part: _read(file) for part, file in sources.items()}
    found = {part: _describe(weights[part], sources[part], PARTS[part]) for part in sources}
    _require_one_model(found, sources)

    apply_mends()
    cfg = Config.fromfile(recipe_path(str(config)))
    cfg.merge_from_dict(dict(options or {}))
    changes = _adapt(cfg, found, str(config))
    model = _build(cfg)
    style, order = cfg.model.generator.get("sn_style", "ajbrock"), _channel_order(cfg)
    state = model.state_dict()
    targets, stood_in = _targets(found, state, str(config))
    for target, part in targets.items():
        settings = cfg.model[PARTS[part]]
        converted = convert_official(
            weights[part],
            sn_style=settings.get("sn_style", "ajbrock"),
            sn_eps=settings.get("sn_eps", 1e-6),
            channel_order=order,
        )
        _fill(state, target, converted, f"{sources[part]} does not fit the {PARTS[part]} of {config}")
    if "generator_ema.steps" in state and "generator_ema." in targets:
        state["generator_ema.steps"].fill_(1)  # at 0 the first update would overwrite the average
    meta = dict(nda_mm=__version__, sources={part: file.name for part, file in sources.items()}, stood_in=stood_in)
    buffer = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=state), buffer)
    AtomicLocalBackend().put(buffer.getvalue(), out)
    return ImportReport(out, str(config), {**(options or {}), **changes}, found, sources, order, style, stood_in)


def _read(file: Path) -> dict[str, Tensor]:
    weights = read_checkpoint(file, needed=())
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(v, Tensor) for v in weights.values()):
        raise OfficialMismatchError(
            f"{file} is no file of the authors' code, which saves the tensors of one network by name. A checkpoint of "
            "an OpenMMLab model needs no import."
        )
    prefix = "module."  # from a network saved under DataParallel
    wrapped = all(name.startswith(prefix) for name in weights)
    return {name.removeprefix(prefix) if wrapped else name: value for name, value in weights.items()}


def _describe(weights: Mapping[str, Tensor], file: Path, kind: str) -> OfficialNetwork:
    try:
        network = describe_official(weights)
    except OfficialMismatchError as error:
        raise OfficialMismatchError(f"{file} is no BigGAN of the authors for 32x32 images: {error}.") from error
    if network.kind != kind:
        raise OfficialMismatchError(f"{file} holds a {network.kind}, but was given as a {kind}.")
    return network


def _require_one_model(found: Mapping[str, OfficialNetwork], sources: Mapping[str, Path]) -> None:
    if {"generator", "ema"} <= found.keys() and found["generator"] != found["ema"]:
        raise OfficialMismatchError(
            f"{sources['ema']} is no moving average of {sources['generator']}: the first is a {found['ema']}, the "
            f"second a {found['generator']}."
        )
    if len({network.num_classes for network in found.values()}) > 1:
        said = ", ".join(f"{sources[part]} is a {network}" for part, network in found.items())
        raise OfficialMismatchError(f"The files don't belong together, their numbers of classes differ: {said}.")


def _adapt(cfg: Config, found: Mapping[str, OfficialNetwork], config: str) -> dict[str, Any]:
    """Give the recipe's model the sizes of the files, and say what was changed, by dotted key."""
    for part, name in _NETWORKS.items():
        settings = cfg.get("model", {}).get(part) or {}
        if str(settings.get("type", "")).split(".")[-1] != name:
            raise OfficialMismatchError(
                f"{config} has no {name} as model.{part}, but {settings.get('type')!r}; take a recipe of a 32x32 "
                "BigGAN such as nda_biggan_cifar10."
            )
    network = next(iter(found.values()))
    wanted: dict[str, Any] = {
        f"model.{place}num_classes": network.num_classes for place in ("", "generator.", "discriminator.")
    }
    for part, other in found.items():
        wanted[f"model.{PARTS[part]}.base_channels"] = other.width
        if other.noise_size is not None:
            wanted["model.generator.noise_size"] = other.noise_size
    changes = {key: value for key, value in wanted.items() if _at(cfg, key) != value}
    cfg.merge_from_dict(changes)
    return changes


def _at(cfg: Config, key: str) -> Any:
    value: Any = cfg
    for word in key.split("."):
        value = value.get(word)
    return value


def _build(cfg: Config) -> nn.Module:
    """The recipe's model with its own random weights; the caller's random numbers go on as if none had been drawn."""
    seed = int(cfg.get("randomness", {}).get("seed") or 0)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmagic")), quietly(), isolated_rng(seed):
        model = MODELS.build(cfg.model)
        model.init_weights()
    return model


def _channel_order(cfg: Config) -> str:
    # mmagic takes images for BGR where nothing is said, and so does nda_mm.generation.as_rgb
    order = (cfg.model.get("data_preprocessor") or {}).get("output_channel_order")
    return "RGB" if order == "RGB" else "BGR"


def _targets(
    found: Mapping[str, OfficialNetwork], state: Mapping[str, Tensor], config: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Which file goes where in the model, by prefix; and, by part, what stands in for files that were not given."""
    averaged = any(name.startswith("generator_ema.") for name in state)
    if "generator" in found and "ema" in found and not averaged:
        raise OfficialMismatchError(
            f"The model of {config} keeps no moving average of its generator (model.ema_config); give one of the two."
        )
    targets, stood_in = {}, {}
    source = "generator" if "generator" in found else "ema"
    if source in found:
        targets["generator."] = source
        if source == "ema":
            stood_in["generator"] = "its moving average stands for it"
        if averaged:
            targets["generator_ema."] = "ema" if "ema" in found else "generator"
            if "ema" not in found:
                stood_in["ema"] = "the generator stands for its moving average"
    else:
        stood_in["generator"] = "not given: random weights, nothing to sample"
    if "discriminator" in found:
        targets["discriminator."] = "discriminator"
    else:
        stood_in["discriminator"] = "not given: random weights, its scores mean nothing"
    return targets, stood_in


def _fill(state: dict[str, Tensor], prefix: str, converted: Mapping[str, Tensor], failure: str) -> None:
    """Put a network's tensors into a model's, all of them or none."""
    inner = prefix + ("module." if prefix == "generator_ema." else "")
    wanted = {name.removeprefix(inner): value for name, value in state.items() if name.startswith(inner)}
    if faults := compare_keys(wanted, converted):
        raise OfficialMismatchError(f"{failure}: {faults}.")
    for name, value in converted.items():
        state[inner + name].copy_(value)
