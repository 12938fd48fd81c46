"""The state of every host as a table: what is installed, whether it loads, and what to do if it doesn't."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from nda_mm.utils.messages import describe_error

from .hosts import CORE, HOSTS, Host, find_host, remedy_for, say_loading
from .mends import all_mends, apply_mends


@dataclass(frozen=True)
class Finding:
    """What was found out about one host."""

    host: Host
    version: str | None
    loads: bool
    asked: bool
    error: Exception | None = None

    @property
    def state(self) -> str:
        """One or two words for the table."""
        if self.loads:
            in_window = self.version is not None and self.host.serves(self.version)
            return "loads" if in_window else "loads, untried"
        return "broken" if self.version else "absent"


def examine(names: Sequence[str] = ()) -> list[Finding]:
    """Import every installed host with its mends, and note what happens.

    Args:
        names: Hosts asked for, by either name; only these are examined. Default: all, of which the core and whatever is
            installed count as asked for.

    Returns:
        One finding per host.

    Raises:
        ValueError: If a name is unknown.
    """
    hosts = [find_host(name) for name in names] or list(HOSTS)
    return [_examine(host, asked=bool(names) or host.package in CORE or host.version() is not None) for host in hosts]


def _examine(host: Host, *, asked: bool) -> Finding:
    version = host.version()
    try:
        apply_mends(host.package)
        for module in host.probe:
            importlib.import_module(module)
    except Exception as error:  # any failure makes the host unusable, and its cause goes into the table
        return Finding(host, version, loads=False, asked=asked, error=error)
    return Finding(host, version, loads=True, asked=asked)


def as_text(findings: Sequence[Finding]) -> str:
    """The findings as a table, with a cause and a remedy below it for each host that doesn't load.

    Args:
        findings: From :func:`examine`.

    Returns:
        Several lines.
    """
    rows = [("host", "version", "window", "state")]
    rows += [(item.host.distribution, item.version or "-", item.host.window, item.state) for item in findings]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    for item in findings:
        if item.error is not None:
            lines += ["", f"{item.host.distribution}: {describe_error(item.error)}", f"  {_remedy(item, item.error)}"]
        elif item.state != "loads":
            lines += ["", f"{item.host.distribution}: {item.version} is outside the versions that were tried"]
    return "\n".join(lines)


def _remedy(item: Finding, error: Exception) -> str:
    remedy = remedy_for(item.host, error)
    if item.version is not None and not item.host.serves(item.version):
        return f"version {item.version} is outside {item.host.window}; {remedy}"
    return remedy


def mends_as_text(applied: Sequence[str]) -> str:
    """Every mend with its state.

    Args:
        applied: Names of the mends that this process applied.

    Returns:
        Several lines.
    """
    lines = ["Mends:"]
    for mend in all_mends():
        state = "applied" if mend.name in applied else "not needed"
        lines.append(f"  {mend.name} ({mend.host}; {mend.versions}): {state}\n      {mend.reason}")
    lines.append(
        "Runs without any component of nda_mm get them by custom_imports = dict(imports=['nda_mm.compat.auto'])."
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report.

    Args:
        arguments: Names of hosts; see :func:`examine`.

    Returns:
        Exit status: 1 if a host that was asked for doesn't load, 2 if a name is unknown, else 0.
    """
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m nda_mm.compat",
        description="Which host frameworks load here, and what to do about the others.",
        epilog="Exit status 1 if something asked for can't load. Nothing named: torch, mmengine and what is installed.",
    )
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=", ".join(host.package for host in HOSTS))
    options = parser.parse_args(arguments)
    try:
        wanted = [find_host(name).package for name in options.hosts]
    except ValueError as error:
        parser.error(str(error))
    say_loading(*(wanted or [host.package for host in HOSTS]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the hosts' own deprecation notices would bury the table
        applied = apply_mends(*wanted)
        findings = examine(wanted)
    print(as_text(findings))
    if find_host("mmengine").version() is not None:
        print("\n" + mends_as_text(applied))
    return int(any(item.asked and not item.loads for item in findings))
