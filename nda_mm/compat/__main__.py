"""``python -m nda_mm.compat [FRAMEWORK ...]``: what is installed, whether it loads, and what to do if it doesn't."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from nda_mm.utils.messages import describe_error

from .frameworks import CORE, FRAMEWORKS, Framework, find_framework, remedy_for, say_loading
from .patches import all_patches, apply_patches


@dataclass(frozen=True)
class Finding:
    """What was found out about one framework."""

    framework: Framework
    version: str | None
    error: Exception | None = None

    @property
    def state(self) -> str:
        """One or two words for the table."""
        if self.error is not None:
            return "broken" if self.version else "absent"
        return "loads" if self.version and self.framework.serves(self.version) else "loads, untried"

    @property
    def advice(self) -> str:
        """What to do about it; empty for one that loads in a version that is served."""
        name = self.framework.distribution
        if self.error is None:
            return "" if self.state == "loads" else f"{name}: {self.version} is outside the versions that were tried"
        remedy = remedy_for(self.framework, self.error)
        if self.version is not None and not self.framework.serves(self.version):
            remedy = f"version {self.version} is outside {self.framework.window}; {remedy}"
        return f"{name}: {describe_error(self.error)}\n  {remedy}"


def examine(framework: Framework) -> Finding:
    """Import a framework with its patches, and note what happens."""
    version = framework.version()
    try:
        apply_patches(framework.package)
        for module in framework.probe:
            importlib.import_module(module)
    except Exception as error:  # any failure makes the framework unusable, and goes into the table
        return Finding(framework, version, error)
    return Finding(framework, version)


def as_text(findings: Sequence[Finding]) -> str:
    """The findings as a table, with a cause and a remedy for each framework that doesn't load."""
    rows = [("framework", "version", "window", "state")]
    rows += [(each.framework.distribution, each.version or "-", each.framework.window, each.state) for each in findings]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n\n".join(["\n".join(lines), *(each.advice for each in findings if each.advice)])


def patches_as_text(applied: Sequence[str]) -> str:
    """Every patch with its state.

    Args:
        applied: Names of the patches that this process applied.
    """
    lines = ["Patches:"]
    for patch in all_patches():
        state = "applied" if patch.name in applied else "not needed"
        lines.append(f"  {patch.name} ({patch.framework}; {patch.versions}): {state}\n      {patch.reason}")
    return "\n".join(
        [*lines, "Runs without components of nda_mm get them by custom_imports = dict(imports=['nda_mm.compat.auto'])."]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report.

    Args:
        arguments: Names of frameworks, by either name. Default: all, of which torch, mmengine and whatever is installed
            count as asked for.

    Returns:
        Exit status: 1 if a framework that was asked for doesn't load, 2 if a name is unknown, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m nda_mm.compat",
        description="Which frameworks load here, and what to do about the others.",
        epilog="Exit status 1 if something asked for can't load. Nothing named: torch, mmengine and what is installed.",
    )
    known = ", ".join(each.package for each in FRAMEWORKS)
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=known)
    options = parser.parse_args(arguments)
    try:
        wanted = [find_framework(name) for name in options.frameworks]
    except ValueError as error:
        parser.error(str(error))
    packages = [each.package for each in wanted]
    say_loading(*(packages or [each.package for each in FRAMEWORKS]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks' own deprecation notices would hide the table
        applied = apply_patches(*packages)
        findings = [examine(framework) for framework in wanted or FRAMEWORKS]
    print(as_text(findings))
    if find_framework("mmengine").version() is not None:
        print("\n" + patches_as_text(applied))
    asked = [each for each in findings if wanted or each.version or each.framework.package in CORE]
    return int(any(each.error is not None for each in asked))


if __name__ == "__main__":
    sys.exit(main())
