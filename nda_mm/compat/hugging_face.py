"""Patches of mmagic, mmpretrain and mmaction2: their parts that need certain releases of diffusers or transformers.

No model of ours needs one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any, ClassVar

from packaging.requirements import Requirement

from .patch import Patch, installed_file

#: The releases that have every name that mmagic 1.2.0 imports from them.
DIFFUSION = ("diffusers>=0.23,<0.29", "transformers>=4.27.4,<5", "huggingface_hub<0.26")
ALBUMENTATIONS = ("albumentations",)
#: The same for the multimodal models of mmpretrain 1.2.0 and mmaction2 1.2.0.
MULTIMODAL = ("transformers>=4.28,<4.56",)

#: The modules of mmagic that need them, with the names under which they are built. No GAN uses one.
DIFFUSION_PARTS: dict[str, tuple[str, ...]] = {
    "mmagic.models.archs.attention_injection": ("AttentionInjection",),
    "mmagic.models.editors.animatediff": ("AnimateDiff", "animatediff", "UNet3DConditionMotionModel"),
    "mmagic.models.editors.controlnet": ("ControlStableDiffusion", "ControlStableDiffusionImg2Img"),
    "mmagic.models.editors.dreambooth": ("DreamBooth",),
    "mmagic.models.editors.fastcomposer": ("FastComposer",),
    "mmagic.models.editors.stable_diffusion": (
        *("StableDiffusion", "sd", "StableDiffusionInpaint", "sd-inpaint"),
        *("AutoencoderKL", "EditAutoencoderKL"),
    ),
    "mmagic.models.editors.stable_diffusion_xl": ("StableDiffusionXL", "sdxl"),
    "mmagic.models.editors.textual_inversion": ("TextualInversion",),
    "mmagic.models.editors.vico": ("ViCo",),
}
ALBUMENTATIONS_PARTS: dict[str, tuple[str, ...]] = {
    "mmagic.datasets.transforms.albu_function": ("AlbuCorruptFunction", "PairedAlbuTransForms"),
}


def unmet(requirements: Sequence[str]) -> list[str]:
    """The requirements that the environment does not meet, each with what is installed.

    Args:
        requirements: In pip's form.

    Returns:
        For example ``["diffusers<0.29,>=0.23 (found 0.42.1)"]``.
    """
    lacking = []
    for requirement in map(Requirement, requirements):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            lacking.append(f"{requirement} (not installed)")
        else:
            if not requirement.specifier.contains(version, prereleases=True):
                lacking.append(f"{requirement} (found {version})")
    return lacking


def placeholder(name: str, requirements: Sequence[str]) -> type:
    """A class that says what is missing when it is built.

    Args:
        name: The component that it stands for.
        requirements: What that needs, in pip's form.

    Returns:
        The class.
    """

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        install = " ".join(f"'{requirement}'" for requirement in requirements)
        raise ImportError(
            f"{name} needs {', '.join(unmet(requirements))}: pip install {install}, in an environment of its own "
            "where other packages need other releases. nda_mm put a placeholder there so that the rest loads without."
        )

    return type(name, (), {"__init__": __init__, "__doc__": f"Placeholder for {name}."})


class _Diffusion(SourceFileLoader):
    """Registers placeholders instead of running the module."""

    requirements: ClassVar[tuple[str, ...]] = DIFFUSION
    parts: ClassVar[dict[str, tuple[str, ...]]] = DIFFUSION_PARTS
    registry: ClassVar[str] = "MODELS"

    def exec_module(self, module: ModuleType) -> None:
        from mmagic import registry

        for name in self.parts[module.__name__]:
            stand_in = placeholder(name, self.requirements)
            getattr(registry, self.registry).register_module(name=name, module=stand_in)
            setattr(module, name, stand_in)


class _Albumentations(_Diffusion):
    requirements = ALBUMENTATIONS
    parts = ALBUMENTATIONS_PARTS
    registry = "TRANSFORMS"


class _NoDiffusers(SourceFileLoader):
    """Runs a module that registers all models, pipelines or schedulers of diffusers as if there were none."""

    def exec_module(self, module: ModuleType) -> None:
        from mmagic import utils

        empty: Any = ModuleType("diffusers")
        empty.models = empty.pipelines = empty.schedulers = ModuleType("empty")
        try_import = utils.try_import
        utils.try_import = lambda name: empty if name == "diffusers" else try_import(name)
        try:
            super().exec_module(module)
        finally:
            utils.try_import = try_import


class _NoMultimodal(SourceFileLoader):
    """Turns a framework's switch for its multimodal models off, with placeholders that name the releases they need."""

    def exec_module(self, module: ModuleType) -> None:
        def register_placeholders(names: Iterable[str], registry: Any) -> None:
            for name in names:
                registry.register_module(name=name, module=placeholder(name, MULTIMODAL))

        super().exec_module(module)
        module.WITH_MULTIMODAL = False  # type: ignore[attr-defined]
        module.register_multimodal_placeholder = register_placeholders  # type: ignore[attr-defined]


class _Finder(MetaPathFinder):
    """Finds a framework's modules as usual and gives some of them another loader."""

    def __init__(self, framework: str, loaders: dict[str, type[SourceFileLoader]]) -> None:
        self.framework = framework
        self.loaders = loaders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        loader = self.loaders.get(fullname)
        spec = PathFinder.find_spec(fullname, path) if loader is not None else None
        if loader is not None and spec is not None and spec.origin is not None:
            spec.loader = loader(fullname, spec.origin)
        return spec


class _OptionalParts(Patch):
    """Replace the parts of a framework whose requirements are not met; with the right releases everything stays.

    Versions are compared and nothing is tried: importing transformers and diffusers takes longer than all the rest.
    """

    def needed(self) -> bool:
        if installed_file(self.framework, "__init__.py") is None:
            return False
        return bool(self.loaders()) and not any(
            isinstance(f, _Finder) and f.framework == self.framework for f in sys.meta_path
        )

    def apply(self) -> None:
        sys.meta_path.insert(0, _Finder(self.framework, self.loaders()))

    def loaders(self) -> dict[str, type[SourceFileLoader]]:
        """The modules to replace in this environment, and how each is loaded."""
        if installed_file("transformers", "__init__.py") is None or not unmet(MULTIMODAL):
            return {}  # without transformers the framework leaves its multimodal models out by itself
        return {f"{self.framework}.utils.dependency": _NoMultimodal}


class MMagicEditors(_OptionalParts):
    """Let mmagic's GANs load beside any release of diffusers, transformers and albumentations, or without them."""

    name = "mmagic-editors"
    framework = "mmagic"
    reason = "ModuleNotFoundError: No module named 'diffusers.pipelines.paint_by_example', at `import mmagic.models`"
    versions = "mmagic 1.2.0 with diffusers >= 0.29, transformers >= 5 or huggingface_hub >= 0.26, or without them"

    def loaders(self) -> dict[str, type[SourceFileLoader]]:
        loaders: dict[str, type[SourceFileLoader]] = {}
        if unmet(DIFFUSION):
            loaders = dict.fromkeys(DIFFUSION_PARTS, _Diffusion)
            loaders |= dict.fromkeys(("mmagic.models.archs", "mmagic.models.diffusion_schedulers"), _NoDiffusers)
        if unmet(ALBUMENTATIONS):
            loaders |= dict.fromkeys(ALBUMENTATIONS_PARTS, _Albumentations)
        return loaders


class MMPretrainMultimodal(_OptionalParts):
    """Let mmpretrain load beside any release of transformers."""

    name = "mmpretrain-multimodal"
    framework = "mmpretrain"
    reason = "TypeError: NoneType takes no arguments, at `import mmpretrain.models`"
    versions = "mmpretrain 1.2.0 with transformers >= 4.56"


class MMActionMultimodal(_OptionalParts):
    """Let mmaction2 load beside any release of transformers."""

    name = "mmaction-multimodal"
    framework = "mmaction"
    reason = "ImportError: cannot import name 'apply_chunking_to_forward', at `import mmaction.models`"
    versions = "mmaction2 1.2.0 with transformers >= 4.56"
