"""Placeholders for parts of mmagic, mmpretrain and mmaction2 that can't load, so that the rest loads without them.

Some parts need certain releases of diffusers, transformers or albumentations, and one was left out of mmaction2's
wheel. None of our models needs them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement

from .patch import Patch, after_import, installed_file, is_awaited

#: Releases that have every name that mmagic 1.2.0 imports from them.
DIFFUSION = ("diffusers>=0.23,<0.29", "transformers>=4.27.4,<5", "huggingface_hub<0.26")
ALBUMENTATIONS = ("albumentations",)
#: The same for the multimodal models of mmpretrain 1.2.0 and mmaction2 1.2.0.
MULTIMODAL = ("transformers>=4.28,<4.56",)

#: The modules of mmagic that need diffusers, transformers or albumentations. No GAN uses them.
DIFFUSION_MODULES = (
    "mmagic.models.archs.attention_injection",
    "mmagic.models.editors.animatediff",
    "mmagic.models.editors.controlnet",
    "mmagic.models.editors.dreambooth",
    "mmagic.models.editors.fastcomposer",
    "mmagic.models.editors.stable_diffusion",
    "mmagic.models.editors.stable_diffusion_xl",
    "mmagic.models.editors.textual_inversion",
    "mmagic.models.editors.vico",
)
ALBUMENTATIONS_MODULES = ("mmagic.datasets.transforms.albu_function",)
DRN_MODULES = ("mmaction.models.localizers.drn", "mmaction.models.localizers.drn.drn")


def unmet(requirements: Sequence[str]) -> list[str]:
    """Return the requirements that the environment does not meet, each with the installed version.

    Nothing is imported, because transformers and diffusers take longer than everything else.

    Args:
        requirements: Requirements in pip's notation.

    Returns:
        The unmet requirements, for example ``["diffusers<0.29,>=0.23 (found 0.42.1)"]``.
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


def explain(requirements: Sequence[str]) -> str:
    """Describe what a part needs, and how to install it."""
    install = " ".join(f"'{requirement}'" for requirement in requirements)
    return f"needs {', '.join(unmet(requirements))}; use a separate environment with pip install {install}"


def placeholder(name: str, reason: str) -> type:
    """Create a class that raises ImportError when it is built.

    Args:
        name: Name of the component that it replaces.
        reason: Text after the name in the error message.
    """

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise ImportError(f"{name} {reason}")

    return type(name, (), {"__init__": __init__, "__doc__": f"Placeholder for {name}."})


class PlaceholderModule(ModuleType):
    """Module with placeholders for its classes, which are created and registered when the framework requests them.

    Args:
        name: Full name of the module.
        registry: Name of the framework's registry, such as ``"MODELS"``.
        reason: Why its classes can't be built.
    """

    def __init__(self, name: str, registry: str, reason: str) -> None:
        super().__init__(name)
        self._registry, self._reason = registry, reason

    def __getattr__(self, name: str) -> type:
        if name.startswith("_"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        made = placeholder(name, self._reason)
        registries = importlib.import_module(f"{self.__name__.split('.')[0]}.registry")
        getattr(registries, self._registry).register_module(name=name, module=made)
        setattr(self, name, made)
        return made


def put_placeholders(modules: Sequence[str], registry: str, reason: str) -> None:
    """Put placeholder modules into ``sys.modules``."""
    for name in modules:
        sys.modules.setdefault(name, PlaceholderModule(name, registry, reason))


class MMagicEditors(Patch):
    """Let mmagic's GANs load with any release of diffusers, transformers and albumentations, or without them."""

    name = "mmagic-editors"
    framework = "mmagic"
    reason = "ModuleNotFoundError: No module named 'diffusers.pipelines.paint_by_example', at `import mmagic.models`"
    versions = "mmagic 1.2.0 with diffusers >= 0.29, transformers >= 5 or huggingface_hub >= 0.26, or without them"

    def needed(self) -> bool:
        return installed_file("mmagic", "__init__.py") is not None and any(
            unmet(requirements) and modules[0] not in sys.modules
            for requirements, modules in ((DIFFUSION, DIFFUSION_MODULES), (ALBUMENTATIONS, ALBUMENTATIONS_MODULES))
        )

    def apply(self) -> None:
        if unmet(DIFFUSION):
            put_placeholders(DIFFUSION_MODULES, "MODELS", explain(DIFFUSION))
            after_import("mmagic.utils.setup_env", self.hide_diffusers)
        if unmet(ALBUMENTATIONS):
            put_placeholders(ALBUMENTATIONS_MODULES, "TRANSFORMS", explain(ALBUMENTATIONS))

    @staticmethod
    def hide_diffusers(module: Any) -> None:
        """Let mmagic, which registers all models and schedulers of diffusers, find none of them."""
        try_import, empty = module.try_import, ModuleType("diffusers")
        empty.models = empty.pipelines = empty.schedulers = ModuleType("empty")  # type: ignore[attr-defined]
        module.try_import = lambda name: empty if name == "diffusers" else try_import(name)


class MMPretrainMultimodal(Patch):
    """Let mmpretrain load with any release of transformers."""

    name = "mmpretrain-multimodal"
    framework = "mmpretrain"
    reason = "TypeError: NoneType takes no arguments, at `import mmpretrain.models`"
    versions = "mmpretrain 1.2.0 with transformers >= 4.56"

    def needed(self) -> bool:
        # Without transformers, the framework leaves out its multimodal models on its own.
        installed = all(installed_file(package, "__init__.py") for package in (self.framework, "transformers"))
        return installed and bool(unmet(MULTIMODAL)) and not is_awaited(f"{self.framework}.utils.dependency")

    def apply(self) -> None:
        after_import(f"{self.framework}.utils.dependency", self.switch_off)

    @staticmethod
    def switch_off(module: Any) -> None:
        """Disable the framework's multimodal models, and register placeholders that name what they need."""

        def register(names: Iterable[str], registry: Any) -> None:
            for name in names:
                registry.register_module(name=name, module=placeholder(name, explain(MULTIMODAL)))

        module.WITH_MULTIMODAL = False
        module.register_multimodal_placeholder = register


class MMActionMultimodal(MMPretrainMultimodal):
    """Let mmaction2 load with any release of transformers."""

    name = "mmaction-multimodal"
    framework = "mmaction"
    reason = "ImportError: cannot import name 'apply_chunking_to_forward', at `import mmaction.models`"
    versions = "mmaction2 1.2.0 with transformers >= 4.56"


class MMActionDRN(Patch):
    """Let ``import mmaction.models`` succeed although a module that it imports is missing from the wheel."""

    name = "mmaction-drn"
    framework = "mmaction"
    reason = "ModuleNotFoundError: No module named 'mmaction.models.localizers.drn', at `import mmaction.models`"
    versions = "the wheel of mmaction2 1.2.0"

    def needed(self) -> bool:
        init = installed_file("mmaction", "models/localizers/__init__.py")
        if init is None or DRN_MODULES[1] in sys.modules or installed_file("mmaction", "models/localizers/drn"):
            return False
        return "from .drn" in init.read_text(encoding="utf-8")

    def apply(self) -> None:
        reason = f"is missing from the wheel of mmaction2 1.2.0, which lacks {DRN_MODULES[1]}; install from source"
        put_placeholders(DRN_MODULES, "MODELS", reason)
