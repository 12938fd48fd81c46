"""The frameworks that this package builds on: which versions are served, what they are called, how to install them."""

from __future__ import annotations

import sys
from typing import NamedTuple

from nda_mm.utils.processes import launched_rank


class Framework(NamedTuple):
    """A package that parts of nda_mm need; no dataclass, whose import would lengthen ``--help`` of every command.

    Args:
        package: Import name.
        name: Name under which it is usually installed.
        versions: Versions that are served, in pip's form.
        probe: Modules whose import shows that it works, in the order of import.
        remedy: What to type if it is missing.
        others: Further names under which the same import is installed, with their versions: mmcv without compiled
            operators, and maintained forks. None of the forks was tried.
    """

    package: str
    name: str
    versions: str
    probe: tuple[str, ...]
    remedy: str
    others: tuple[tuple[str, str], ...] = ()

    @property
    def distribution(self) -> str:
        """The name under which it is installed, or its usual one if it is not."""
        return self._installed()[0]

    @property
    def window(self) -> str:
        """The versions served of the distribution that is installed, in pip's form."""
        return self._installed()[1]

    def version(self) -> str | None:
        """Return the installed version, or None; found without importing the package."""
        return self._installed()[2]

    def serves(self, version: str) -> bool:
        """Whether a version such as ``"2.11.0+cu130"`` is served."""
        from packaging.specifiers import SpecifierSet  # here, since `--help` of every command imports this module

        return SpecifierSet(self.window).contains(version, prereleases=True)

    def _installed(self) -> tuple[str, str, str | None]:
        import importlib.metadata

        for name, versions in ((self.name, self.versions), *self.others):
            try:
                return name, versions, importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return self.name, self.versions, None


#: Without these two none of the registered components works.
CORE = ("torch", "mmengine")

#: Every package that the report knows, those that the others import first.
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
    """Look a framework up by its import name or by a name it is installed under.

    Args:
        name: For example ``"mmaction"`` or ``"mmaction2"``.

    Returns:
        Its record.

    Raises:
        ValueError: If the name is unknown; the message lists those that are known.
    """
    for framework in FRAMEWORKS:
        if name in (framework.package, framework.name, *(other for other, _ in framework.others)):
            return framework
    raise ValueError(f"the framework must be one of {', '.join(each.package for each in FRAMEWORKS)}, but got {name!r}")


def remedy_for(framework: Framework, error: BaseException) -> str:
    """Return what to do about a framework that fails to load.

    Args:
        framework: The framework.
        error: What its import raised.

    Returns:
        Its own remedy, or mmcv's if it is installed but has no mmcv that it can use.
    """
    # Absent, of a refused version, or built against another torch: the messages of all three name it.
    blames_mmcv = isinstance(error, (ImportError, AssertionError)) and "mmcv" in str(error).lower()
    return find_framework("mmcv").remedy if blames_mmcv else framework.remedy


def say_loading(*packages: str) -> None:
    """Print to stderr what is about to be imported, which takes seconds; in the first of several processes only.

    Args:
        packages: Import names of frameworks. Those that are loaded already or absent are left out.

    Example:
        >>> say_loading("no_such_framework")
    """
    loading = [each for each in FRAMEWORKS if each.package in packages and each.package not in sys.modules]
    named = ", ".join(f"{each.distribution} {each.version()}" for each in loading if each.version())
    if named and not launched_rank():
        print(f"loading {named} ...", file=sys.stderr, flush=True)
