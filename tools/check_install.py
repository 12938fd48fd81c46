"""Find packages that an interrupted installation left incomplete, and install them again.

    python tools/check_install.py [--repair]

pip takes a package for installed once its metadata is there, even if it was stopped before the last file was written.
Every file that a package's own record names is therefore looked for. Needs nothing but Python and pip.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path


def is_complete(distribution: Distribution) -> bool:
    """Whether every file is there that the package's record names.

    Args:
        distribution: An installed package.

    Returns:
        False where a file or the record itself is missing. Byte code is not looked at: it comes and goes.
    """
    files = distribution.files
    if not files:
        return False
    return all(file.suffix == ".pyc" or Path(str(file.locate())).exists() for file in files)


def incomplete_packages() -> list[str]:
    """The incomplete packages of the running environment.

    Returns:
        Requirements such as ``"torch==2.11.0"``, sorted.
    """
    broken = set()
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name and not is_complete(distribution):
            broken.add(f"{name}=={distribution.version}")
    return sorted(broken)


def main() -> int:
    """Report, and repair if asked to.

    Returns:
        Exit status: 1 if something is incomplete in the end.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repair", action="store_true", help="install the incomplete packages again")
    options = parser.parse_args()
    broken = incomplete_packages()
    if broken and options.repair:
        print("Incomplete, installing again:", ", ".join(broken))
        # Not --force-reinstall: it first uninstalls, and refuses to where the record is missing.
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-installed", *broken]
        subprocess.run(command, check=True)
        broken = incomplete_packages()
    if broken:
        print("Incomplete:", ", ".join(broken), file=sys.stderr)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
