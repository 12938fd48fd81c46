"""Pack what a CUDA machine without a network needs, into parts that are small enough to be sent to it.

    python tools/bare_machine/pack.py packed --images cifar10=cifar10_train.zip,cifar10_test.zip
    python tools/bare_machine/pack.py packed --part-size 60 --wheel results/mmcv-2.1.0-cp312-cp312-linux_x86_64.whl

Run it in an environment of ``make setup``, with a network. Wheels of the packages in wheels.txt are fetched for the
Python and the platform of that machine, in the versions of constraints.txt; mmcv's source archive, for there is no
wheel of it; images as lossless sheets. All goes to ``packed/part_0``, ``part_1`` ..., each of at most ``--part-size``
MiB. On the machine, tools/bare_machine/run.py takes any of the parts, as they come.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
#: Tags of wheels that run on any Linux of the last years; pip takes each literally.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 12, 5)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
MIB = 2**20


def wanted(lines: Iterable[str]) -> list[str]:
    """The packages named in wheels.txt."""
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def fetch_wheels(out: Path, packages: list[str], python: str, platforms: list[str]) -> None:
    """Download one wheel of each package, for another machine than this."""
    options = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    options += [option for platform in platforms for option in ("--platform", platform)]
    _download(out, *options, *packages)


def fetch_source(out: Path, package: str) -> None:
    """Download the source archive of a package; pip asks it for its name, for which it must find torch here."""
    _download(out, f"--no-binary={package}", "--no-build-isolation", package)


def _download(out: Path, *arguments: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(out)]
    subprocess.run([*command, "--constraint", str(PROJECT / "constraints.txt"), *arguments], check=True)


def split_into_parts(files: dict[Path, int], shared: dict[Path, int], limit: int) -> list[list[Path]]:
    """Share files out to parts, each to the first part that has room.

    Args:
        files: Files and their sizes in bytes, in the order of their importance.
        shared: Files that go into every part.
        limit: Most bytes of a part.

    Returns:
        The files of each part, without the shared ones.

    Raises:
        ValueError: If a file is larger than a part.
    """
    room = limit - sum(shared.values())
    parts: list[list[Path]] = []
    left: list[int] = []
    for path, size in files.items():
        if size > room:
            raise ValueError(f"{path.name} has {size / MIB:.1f} MiB, and a part has room for {room / MIB:.1f}")
        number = next((number for number, free in enumerate(left) if free >= size), len(parts))
        if number == len(parts):
            parts.append([])
            left.append(room)
        parts[number].append(path)
        left[number] -= size
    return parts


def move_to_parts(gathered: Path, out: Path, limit: int) -> list[tuple[Path, int, int]]:
    """Copy what was gathered to ``out/part_N``, lists of sheets to each; the folder, files and bytes of each."""
    everything = {path: path.stat().st_size for path in sorted(gathered.rglob("*")) if path.is_file()}
    shared = {path: size for path, size in everything.items() if path.suffix == ".json"}
    rest = [path for path in everything if path not in shared]
    rest.sort(key=lambda path: path.suffix == ".webp")  # what the set-up needs comes with the first part
    for old in out.glob("part_*"):
        shutil.rmtree(old)
    report = []
    for number, part in enumerate(split_into_parts({path: everything[path] for path in rest}, shared, limit)):
        folder = out / f"part_{number}"
        for path in [*part, *shared]:
            target = folder / path.relative_to(gathered)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        report.append((folder, len(part), sum(everything[path] for path in [*part, *shared])))
    return report


def main(argv: list[str] | None = None) -> int:
    """Gather, share out, and say what became of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the parts; its part_* are replaced")
    parser.add_argument("--python", default="3.12", help="of the machine (default: 3.12)")
    parser.add_argument("--platform", nargs="+", default=PLATFORMS, help="tags of wheels that run there")
    parser.add_argument("--images", nargs="*", default=[], metavar="NAME=ZIP[,ZIP]", help="data sets of small images")
    parser.add_argument("--wheel", nargs="*", default=[], type=Path, help="wheels made earlier, such as mmcv's")
    parser.add_argument("--part-size", type=float, default=56, help="most MiB of a part (default: 56)")
    args = parser.parse_args(argv)

    gathered = args.out / "gathered"
    shutil.rmtree(gathered, ignore_errors=True)
    fetch_wheels(
        gathered / "wheels", wanted((HERE / "wheels.txt").read_text().splitlines()), args.python, args.platform
    )
    fetch_source(gathered / "sources", "mmcv")
    for wheel in args.wheel:
        shutil.copy(wheel, gathered / "wheels")
    for images in args.images:
        from nda_mm.datasets.files.image_sheets import write_sheets

        name, _, sources = images.partition("=")
        write_sheets(sources.split(","), gathered / "images" / name)
    for folder, files, size in move_to_parts(gathered, args.out, int(args.part_size * MIB)):
        print(f"{folder}: {files} files, {size / MIB:.1f} MiB")
    shutil.rmtree(gathered)
    return 0


if __name__ == "__main__":
    sys.exit(main())
