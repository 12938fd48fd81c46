"""``python -m nda_mm.compat [FRAMEWORK ...]``: report which frameworks load, and what to do about the others."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Mapping, Sequence

from nda_mm.utils.messages import describe_error

from .frameworks import CORE, FRAMEWORKS, Framework, find_framework, remedy_for, say_loading
from .patches import all_patches, apply_patches


def import_error(framework: Framework) -> Exception | None:
    """Import a framework and return the exception that this raises, or None."""
    try:
        for module in framework.probe:
            importlib.import_module(module)
    except Exception as error:  # any failure makes the framework unusable and goes into the table
        return error
    return None


def judge(framework: Framework, error: Exception | None) -> tuple[str, str]:
    """Return the state of a framework for the table, and advice if something is wrong."""
    name, version = framework.distribution, framework.version()
    served = version is not None and framework.serves(version)
    if error is None:
        return ("loads", "") if served else ("loads, untried", f"{name}: {version} is outside {framework.window}")
    outside = "" if version is None or served else f"version {version} is outside {framework.window}; "
    advice = f"{name}: {describe_error(error)}\n  {outside}{remedy_for(framework, error)}"
    return ("broken" if version else "absent"), advice


def as_text(errors: Mapping[Framework, Exception | None]) -> str:
    """Format the table of frameworks, with the cause and the remedy for each one that doesn't load."""
    judged = {framework: judge(framework, error) for framework, error in errors.items()}
    rows = [("framework", "version", "window", "state")]
    rows += [(each.distribution, each.version() or "-", each.window, state) for each, (state, _) in judged.items()]
    lines = [f"{name:<19}{version:<15}{window:<19}{state}" for name, version, window, state in rows]
    return "\n\n".join(["\n".join(lines), *(advice for _, advice in judged.values() if advice)])


def patches_as_text(applied: Sequence[str]) -> str:
    """List every patch with its state.

    Args:
        applied: Names of the patches that this process applied.
    """
    lines = ["Patches:"]
    for patch in all_patches():
        state = "applied" if patch.name in applied else "not needed"
        lines.append(f"  {patch.name} ({patch.framework}; {patch.versions}): {state}\n      {patch.reason}")
    return "\n".join(
        [*lines, "To use them without components of nda_mm: custom_imports = dict(imports=['nda_mm.compat.auto'])."]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report.

    Args:
        arguments: Import or distribution names of frameworks. Defaults to all; the exit status then depends only on
            torch, mmengine and the installed frameworks.

    Returns:
        Exit status: 1 if a requested framework doesn't load, 2 if a name is unknown, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m nda_mm.compat",
        description="Report which frameworks load here, and what to do about the others.",
        epilog="Exits with 1 if a named framework doesn't load; by default: torch, mmengine and installed frameworks.",
    )
    known = ", ".join(each.package for each in FRAMEWORKS)
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=known)
    options = parser.parse_args(arguments)
    try:
        wanted = [find_framework(name) for name in options.frameworks]
    except ValueError as error:
        parser.error(str(error))
    # Import the named frameworks, or all of them, and report.
    packages = [each.package for each in wanted]
    say_loading(*(packages or [each.package for each in FRAMEWORKS]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks' own deprecation notices would hide the table
        applied = apply_patches(*packages)
        errors = {framework: import_error(framework) for framework in wanted or FRAMEWORKS}
    print(as_text(errors))
    if find_framework("mmengine").version() is not None:
        print("\n" + patches_as_text(applied))
    # A framework that is not installed counts as a failure only if it was named or everything needs it.
    asked = [each for each in errors if wanted or each.version() or each.package in CORE]
    return int(any(errors[each] is not None for each in asked))


if __name__ == "__main__":
    sys.exit(main())
