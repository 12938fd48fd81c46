"""The frameworks that this package builds on: supported versions, distribution names, and how to install them."""

from __future__ import annotations

import sys
from typing import NamedTuple

from nda_mm.utils.processes import launched_rank


class Framework(NamedTuple):
    """A framework that parts of nda_mm need.

    Not a dataclass, because importing ``dataclasses`` would slow down ``--help`` of every command.

    Args:
        package: Import name.
        name: Name of its usual distribution.
        versions: Supported versions, in pip's notation.
        probe: Modules to import, in this order, to check that it works.
        remedy: What to do if it is missing.
        others: Other distributions of the same package, with their supported versions: mmcv without compiled
            operators, and maintained forks. None of the forks was tested.
    """

    package: str
    name: str
    versions: str
    probe: tuple[str, ...]
    remedy: str
    others: tuple[tuple[str, str], ...] = ()

    @property
    def distribution(self) -> str:
        """Name of the installed distribution, or of the usual one if none is installed."""
        return self._installed()[0]

    @property
    def window(self) -> str:
        """Supported versions of the installed distribution, in pip's notation."""
        return self._installed()[1]

    def version(self) -> str | None:
        """Return the installed version, or None, without importing the package."""
        return self._installed()[2]

    def serves(self, version: str) -> bool:
        """Return whether a version such as ``"2.11.0+cu130"`` is supported."""
        from packaging.specifiers import SpecifierSet  # here, because `--help` of every command imports this module

        return SpecifierSet(self.window).contains(version, prereleases=True)

    def _installed(self) -> tuple[str, str, str | None]:
        import importlib.metadata

        for name, versions in ((self.name, self.versions), *self.others):
            try:
                return name, versions, importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return self.name, self.versions, None


#: All registered components need these two.
CORE = ("torch", "mmengine")

#: All frameworks of the report. Those that others import come first.
FRAMEWORKS: tuple[Framework, ...] = (
    Framework("torch", "torch", ">=2.6.0", ("torch",), "pip install torch"),
    Framework(
        "mmengine",
        "mmengine",
        ">=0.10.4,<0.11.0",
        ("mmengine.runner",),
        "pip install 'mmengine>=0.10.4,<0.11'",
        (("onedl-mmengine", ">=0.10.8,<0.11.0"),),
    ),
    Framework(
        "mmcv",
        "mmcv",
        ">=2.1.0,<2.2.0",
        ("mmcv", "mmcv.ops"),
        "pip install 'nda_mm[lite]', no compiler needed; a broken compiled mmcv must be uninstalled first",
        (("mmcv-lite", ">=2.1.0,<2.2.0"), ("onedl-mmcv", ">=2.3.0,<2.4.0")),
    ),
    Framework("mmagic", "mmagic", ">=1.2.0,<1.3.0", ("mmagic", "mmagic.models"), "pip install 'nda_mm[gan]'"),
    Framework(
        "mmpretrain",
        "mmpretrain",
        ">=1.2.0,<1.3.0",
        ("mmpretrain.models",),
        "pip install 'nda_mm[ssl]'",
        (("onedl-mmpretrain", ">=1.3.0,<1.4.0"),),
    ),
    Framework(
        "mmdet",
        "mmdet",
        ">=3.3.0,<3.4.0",
        ("mmdet.models",),
        "pip install 'nda_mm[det]'",
        (("onedl-mmdetection", ">=3.4.0,<3.6.0"),),
    ),
    Framework("mmaction", "mmaction2", ">=1.2.0,<1.3.0", ("mmaction.models",), "pip install 'nda_mm[video]'"),
)


def find_framework(name: str) -> Framework:
    """Look up a framework by its import name or by the name of a distribution.

    Args:
        name: For example ``"mmaction"`` or ``"mmaction2"``.

    Returns:
        The framework.

    Raises:
        ValueError: If the name is unknown. The message lists the known names.
    """
    for framework in FRAMEWORKS:
        if name in (framework.package, framework.name, *(other for other, _ in framework.others)):
            return framework
    raise ValueError(f"the framework must be one of {', '.join(each.package for each in FRAMEWORKS)}, but got {name!r}")


def remedy_for(framework: Framework, error: BaseException) -> str:
    """Return what to do about a framework that fails to load.

    Args:
        framework: The framework.
        error: The exception that its import raised.

    Returns:
        The framework's own remedy, or that of mmcv if the error blames mmcv.
    """
    # Whether mmcv is missing, has the wrong version or was built for a different torch, the message names it.
    blames_mmcv = isinstance(error, (ImportError, AssertionError)) and "mmcv" in str(error).lower()
    return find_framework("mmcv").remedy if blames_mmcv else framework.remedy


def say_loading(*packages: str) -> None:
    """Print to stderr which frameworks are about to be imported, since that takes seconds. Only rank 0 prints.

    Args:
        packages: Import names of frameworks. Those already loaded or not installed are skipped.

    Example:
        >>> say_loading("no_such_framework")
    """
    loading = [each for each in FRAMEWORKS if each.package in packages and each.package not in sys.modules]
    named = ", ".join(f"{each.distribution} {each.version()}" for each in loading if each.version())
    if named and not launched_rank():
        print(f"loading {named} ...", file=sys.stderr, flush=True)
