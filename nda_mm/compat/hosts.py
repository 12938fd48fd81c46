"""The frameworks that this package is a guest of: which versions serve, what they are called, how to get them."""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import dataclass

from nda_mm.utils.processes import launched_rank


@dataclass(frozen=True)
class Host:
    """One package that parts of nda_mm need.

    Args:
        package: Import name.
        name: Name under which it is usually installed.
        minimum: Lowest version that serves, inclusive.
        below: First version that doesn't, or that nobody has tried; None where no end is known.
        probe: Modules whose import shows that it works, in the order of import.
        remedy: What to type where it is missing.
        others: Further names under which the same import is installed, with their windows: mmcv without compiled
            operators, and maintained forks. The windows of forks hold what nda_mm asks of them; none was tried.
    """

    package: str
    name: str
    minimum: str
    below: str | None
    probe: tuple[str, ...]
    remedy: str
    others: tuple[tuple[str, str, str | None], ...] = ()

    @property
    def distribution(self) -> str:
        """The name under which it is installed, or its usual one where it is not."""
        return self._installed()[0]

    @property
    def window(self) -> str:
        """The served versions in the form that pip takes."""
        _, minimum, below, _ = self._installed()
        return f">={minimum}" + (f",<{below}" if below else "")

    def version(self) -> str | None:
        """The installed version, or None; found without importing the package."""
        return self._installed()[3]

    def _installed(self) -> tuple[str, str, str | None, str | None]:
        usual = (self.name, self.minimum, self.below)
        for name, minimum, below in (usual, *self.others):
            try:
                return name, minimum, below, importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return *usual, None

    def serves(self, version: str) -> bool:
        """Whether a version lies in the window.

        Args:
            version: A version such as ``"2.1.0"`` or ``"2.11.0+cu130"``.

        Returns:
            True inside the window.
        """
        _, minimum, below, _ = self._installed()
        number = _release(version)
        return _release(minimum) <= number and (below is None or number < _release(below))


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version's release part: ``2.11.0+cu130`` is (2, 11, 0), ``2.0.0rc4`` is (2, 0, 0)."""
    numbers: list[int] = []
    for part in version.split("+")[0].split("."):
        digits = ""
        for character in part:
            if not character.isdigit():
                break
            digits += character
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    while numbers and numbers[-1] == 0:  # 2.1 and 2.1.0 are one release
        numbers.pop()
    return tuple(numbers)


#: Without these two none of the registered components works.
CORE = ("torch", "mmengine")

#: Every package that the report knows, the ones that all others stand on first.
HOSTS: tuple[Host, ...] = (
    Host("torch", "torch", "2.6.0", None, ("torch",), "pip install torch"),
    Host(
        "mmengine",
        "mmengine",
        "0.10.4",
        "0.11.0",
        ("mmengine.runner",),
        "pip install 'mmengine>=0.10.4,<0.11'",
        (("onedl-mmengine", "0.10.8", "0.11.0"),),
    ),
    Host(
        "mmcv",
        "mmcv",
        "2.1.0",
        "2.2.0",
        ("mmcv", "mmcv.ops"),
        "pip install 'nda_mm[lite]', no compiler needed; a broken compiled mmcv must be uninstalled first",
        (("mmcv-lite", "2.1.0", "2.2.0"), ("onedl-mmcv", "2.3.0", "2.4.0")),
    ),
    Host("mmagic", "mmagic", "1.2.0", "1.3.0", ("mmagic", "mmagic.models"), "pip install 'nda_mm[gan]'"),
    Host(
        "mmpretrain",
        "mmpretrain",
        "1.2.0",
        "1.3.0",
        ("mmpretrain.models",),
        "pip install 'nda_mm[ssl]'",
        (("onedl-mmpretrain", "1.3.0", "1.4.0"),),
    ),
    Host(
        "mmdet",
        "mmdet",
        "3.3.0",
        "3.4.0",
        ("mmdet.models",),
        "pip install 'nda_mm[det]'",
        (("onedl-mmdetection", "3.4.0", "3.6.0"),),
    ),
    Host("mmaction", "mmaction2", "1.2.0", "1.3.0", ("mmaction.models",), "pip install 'nda_mm[video]'"),
)


def find_host(name: str) -> Host:
    """Look a host up by its import name or by the name it is installed under.

    Args:
        name: For example ``"mmaction"`` or ``"mmaction2"``.

    Returns:
        Its record.

    Raises:
        ValueError: If the name is unknown; the message lists those that are known.
    """
    for host in HOSTS:
        if name in (host.package, host.name, *(other for other, *_ in host.others)):
            return host
    raise ValueError(f"Unknown host {name!r}; known are {', '.join(host.package for host in HOSTS)}.")


def remedy_for(host: Host, error: BaseException) -> str:
    """What to do about a host that fails to load, judged by its error.

    Args:
        host: The host.
        error: What its import raised.

    Returns:
        The host's own remedy, or mmcv's where a host that is there has no mmcv that it can use.
    """
    # Absent, of a refused version, or built against another torch: the messages of all three name it.
    blames_mmcv = isinstance(error, (ImportError, AssertionError)) and "mmcv" in str(error).lower()
    return find_host("mmcv").remedy if blames_mmcv else host.remedy


def say_loading(*packages: str) -> None:
    """Say on stderr what is about to be imported, which takes seconds; in the first of several processes only.

    Args:
        packages: Import names of hosts. Those that are loaded already or absent are left out.

    Example:
        >>> say_loading("no_such_host")
    """
    hosts = [host for host in HOSTS if host.package in packages and host.package not in sys.modules and host.version()]
    if hosts and not launched_rank():
        named = ", ".join(f"{host.distribution} {host.version()}" for host in hosts)
        print(f"loading {named} ...", file=sys.stderr, flush=True)
