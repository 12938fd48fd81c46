"""Prepare a CUDA machine that has no network, and run the tests, benchmarks and studies of commands.txt on it.

    python tools/bare_machine/run.py packed setup
    python tools/bare_machine/run.py packed setup data tests benchmarks --minutes 9.5
    python tools/bare_machine/run.py packed study --out results

``packed`` holds parts that pack.py made, all or some of them; what they bring is kept in ``--work``, so that parts may
come one after the other. ``setup`` lays the wheels over the machine's own Python, in a folder of its own, and builds
mmcv unless a wheel of it came along; the wheel it builds is left in ``--out``, to be packed the next time. The other
steps are those of commands.txt. What a command says goes to ``--out``/NAME.log, its small results beside it, and how
long it took to ``--out``/times.csv. What has succeeded is not run again (``--again NAME`` does), so the same line may
be given until all is done: the exit status is 0 then, 1 if a command failed, 3 if there is more to do.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overlay import PROJECT, Overlay

COMMANDS = Path(__file__).with_name("commands.txt")
#: The exit status of a command that has more to do, when more data or time is there, and is to be called again.
CONTINUE = 3
#: Seconds that a command gets at least, and that it must leave to end in, if it is told how long it has.
LEAST, MARGIN = 90, 30
MACHINE = """
import json, platform, torch, torchvision, numpy
gpu = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
print(json.dumps({"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda,
    "cudnn": torch.backends.cudnn.version(), "torchvision": torchvision.__version__, "numpy": numpy.__version__,
    "gpu": gpu and gpu.name, "gpu_gib": gpu and round(gpu.total_memory / 2**30, 1)}))
"""


@dataclass(frozen=True)
class Command:
    """A line of commands.txt."""

    step: str
    name: str
    seconds: float
    line: str

    @property
    def continues(self) -> bool:
        """Whether it is told how long it has, so that any time will do."""
        return "{minutes}" in self.line


def read_commands(path: Path) -> list[Command]:
    """The lines of commands.txt.

    Raises:
        ValueError: If a line is no command, or two have one name.
    """
    commands = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split(maxsplit=3)
        if len(parts) < 4 or not parts[2].isdecimal():
            raise ValueError(f"{path}, line {number}: expected STEP NAME SECONDS COMMAND, but got {line!r}")
        commands.append(Command(parts[0], parts[1], float(parts[2]), parts[3]))
    names = [command.name for command in commands]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: names must differ, but these do not: {', '.join(repeated)}")
    return commands


@dataclass
class Run:
    """Where things are, how long there is, and what is written down."""

    packed: Path
    work: Path
    out: Path
    overlay: Overlay
    deadline: float = float("inf")

    def parts(self) -> list[Path]:
        """The parts that are here, or the folder itself where it is one."""
        return sorted(self.packed.glob("part_*")) or [self.packed]

    def note(self, step: str, name: str, status: str, seconds: float) -> None:
        """Say how a command went, here and in times.csv."""
        print(f"== {step:<12} {name:<24} {status:<10} {seconds:7.1f} s", flush=True)
        table = self.out / "times.csv"
        new = not table.exists()
        with table.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "name", "status", "seconds"])
            writer.writerow([step, name, status, round(seconds, 1)])

    def setup(self) -> str:
        """Overlay and mmcv; the status."""
        started = time.perf_counter()
        kept = self.work / "wheels"
        kept.mkdir(parents=True, exist_ok=True)
        for part in self.parts():
            for file in [*part.glob("wheels/*.whl"), *part.glob("sources/*.tar.gz")]:
                shutil.copy(file, kept)
        wheels = sorted(path for path in kept.glob("*.whl") if not path.name.startswith("mmcv-"))
        changed = self.overlay.fill(wheels)
        self.note("setup", "overlay", "done" if changed else "was there", time.perf_counter() - started)

        started = time.perf_counter()
        status = "was there" if self.overlay.has_mmcv() else self._install_mmcv(kept)
        self.note("setup", "mmcv", status, time.perf_counter() - started)
        described = subprocess.run(
            [self.overlay.python, "-c", MACHINE], env=self.overlay.environment(), capture_output=True, text=True
        )
        machine = json.loads(described.stdout.splitlines()[-1]) if described.returncode == 0 else {}
        machine |= {"cores": os.cpu_count(), "system": platform.platform()}
        (self.out / "machine.json").write_text(json.dumps(machine, indent=1))
        print(json.dumps(machine), flush=True)
        return "failed" if status == "failed" or not machine.get("torch") else "done"

    def _install_mmcv(self, kept: Path) -> str:
        tag = f"-cp{platform.python_version_tuple()[0]}{platform.python_version_tuple()[1]}-"
        for wheel in kept.glob(f"mmcv-*{tag}*.whl"):
            self.overlay.install(wheel)
            if self.overlay.has_mmcv():
                return "from wheel"
            print(f"{wheel.name} does not work here; mmcv is built from its source.", flush=True)
        for source in kept.glob("mmcv-*.tar.gz"):
            wheel = self.overlay.build_mmcv(source, self.work / "built")
            self.overlay.install(wheel)
            if self.overlay.has_mmcv():
                shutil.copy(wheel, kept)
                shutil.copy(wheel, self.out)
                return "built"
        return "failed"

    def run(self, command: Command, again: bool) -> str:
        """One command; what became of it."""
        stamp = self.work / "stamps" / f"{command.step}-{command.name}"
        if stamp.exists() and not again:
            return "was done"
        seconds = min(command.seconds, self.deadline - time.monotonic())
        if seconds < (LEAST if command.continues else command.seconds):
            return "no time"
        fill = {"python": self.overlay.python, "out": self.out, "packed": self.packed, "work": self.work}
        line = command.line.format(**fill, minutes=f"{(seconds - MARGIN) / 60:.2f}")
        started = time.perf_counter()
        log = self.out / f"{command.name}.log"
        earlier = log.stat().st_size if log.exists() else 0
        code = self._call(line, seconds, log)
        if code == 0:
            status = "done"
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
        else:
            status = {CONTINUE: "to go on", None: "timed out"}.get(code, f"failed {code}")
            said = log.read_bytes()[earlier:].decode(errors="replace").splitlines()
            print("\n".join(said[-30:]), flush=True)
        self.note(command.step, command.name, status, time.perf_counter() - started)
        return status

    def _call(self, line: str, seconds: float, log: Path) -> int | None:
        """The exit status of a command line; None if it had to be ended."""
        with log.open("ab") as file:
            file.write(f"$ {line}\n".encode())
            file.flush()
            process = subprocess.Popen(
                ["bash", "-c", line],
                cwd=PROJECT,
                env=self.overlay.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that all it has started can be ended with it
            )
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)  # a training saves its state
                with suppress(subprocess.TimeoutExpired):
                    process.wait(MARGIN / 2)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None


def main(argv: list[str] | None = None) -> int:
    """Parse, run, and the exit status."""
    commands = read_commands(COMMANDS)
    steps = list(dict.fromkeys(command.step for command in commands))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packed", type=Path, help="folder of the parts that pack.py made")
    parser.add_argument("steps", nargs="+", choices=["setup", *steps], help="in this order")
    parser.add_argument("--work", type=Path, default=PROJECT / "work_dirs" / "bare_machine", help="kept between calls")
    parser.add_argument(
        "--out", type=Path, help="folder for the results (default: RESULTS in the environment, or work/results)"
    )
    parser.add_argument("--zip", type=Path, help="put all results into this file too, where only a few may be fetched")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="start nothing that may end later than this"
    )
    parser.add_argument("--only", nargs="+", help="of the steps, only the commands of these names")
    parser.add_argument("--again", nargs="+", default=[], metavar="NAME", help="run these though they are done")
    args = parser.parse_args(argv)

    work = args.work.resolve()
    out = (args.out or Path(os.environ.get("RESULTS", work / "results"))).resolve()
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * args.minutes
    run = Run(args.packed.resolve(), work, out, Overlay(work / "site"), deadline)
    statuses = []
    for step in args.steps:
        if step == "setup":
            statuses.append(run.setup())
        for command in commands:
            if command.step == step and (args.only is None or command.name in args.only):
                statuses.append(run.run(command, command.name in args.again))
    if args.zip:
        with zipfile.ZipFile(args.zip, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(
                path for path in out.rglob("*") if path.is_file() and path.resolve() != args.zip.resolve()
            ):
                archive.write(path, path.relative_to(out))
    if any(status == "timed out" or status.startswith("failed") for status in statuses):
        return 1
    if waiting := statuses.count("no time") + statuses.count("to go on"):
        print(f"{waiting} commands have more to do: give the same line again.")
        return CONTINUE
    return 0


if __name__ == "__main__":
    sys.exit(main())
