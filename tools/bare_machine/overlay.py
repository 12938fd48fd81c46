"""A folder of packages that lie over those of a machine's own Python, which stays as it is.

Filled from wheels without a network, and from mmcv's source archive, which is built where no wheel of it fits.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tools"))
from build_mmcv import build_environment  # noqa: E402

#: Whether mmcv's operators run, on the CPU; the GAN and MoCo use none on a GPU.
CHECK_MMCV = "import torch; from mmcv.ops import nms; nms(torch.tensor([[0., 0., 1., 1.]]), torch.ones(1), 0.5)"


@dataclass(frozen=True)
class Overlay:
    """The folder, and the way to use it.

    Attributes:
        folder: Where the packages go; made anew when the wheels have changed.
        python: The machine's Python.
    """

    folder: Path
    python: str = sys.executable

    def environment(self) -> dict[str, str]:
        """Environment variables under which the machine's Python sees the overlay, and this project before it."""
        path = [str(PROJECT), str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        quiet = {
            "HF_HUB_OFFLINE": "1",
            "MPLBACKEND": "Agg",
            "NO_ALBUMENTATIONS_UPDATE": "1",
            "PYTHONWARNINGS": "ignore::SyntaxWarning,ignore::FutureWarning",  # of the carried packages, in every log
            # The carried transformers and diffusers would load what the machine has of other frameworks, for years
            # younger than themselves.
            "USE_FLAX": "0",
            "USE_TF": "0",
            # What deterministic algorithms ask of CUDA's matrix products, before the first of them.
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        }
        return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}

    def fill(self, wheels: Sequence[Path]) -> bool:
        """Install the wheels, unless just these are installed.

        Returns:
            Whether anything was done.

        Raises:
            ValueError: If there are no wheels.
            subprocess.CalledProcessError: If pip fails; its message is on the screen.
        """
        if not wheels:
            raise ValueError("no wheels: the part that holds them, part_0, must come first")
        names = [f"{wheel.name} {wheel.stat().st_size}" for wheel in sorted(wheels)]
        key = hashlib.sha256("\n".join(names).encode()).hexdigest()
        stamp = self.folder / ".filled"
        if stamp.is_file() and stamp.read_text() == key:
            return False
        shutil.rmtree(self.folder, ignore_errors=True)
        self._pip("install", "--target", str(self.folder), *map(str, wheels))
        stamp.write_text(key)
        return True

    def install(self, wheel: Path) -> None:
        """Add one wheel, in the place of an older one of the same package."""
        self._pip("install", "--upgrade", "--target", str(self.folder), str(wheel))

    def has_mmcv(self) -> bool:
        """Whether mmcv is there and runs an operator."""
        command = [self.python, "-c", CHECK_MMCV]
        return subprocess.run(command, env=self.environment(), capture_output=True).returncode == 0

    def build_mmcv(self, source: Path, out: Path) -> Path:
        """Build a wheel of mmcv with its operators for the CPU, against the torch that is there.

        Args:
            source: mmcv's source archive.
            out: Folder for the wheel.

        Returns:
            The wheel.
        """
        settings = {**build_environment(cuda=False), "MAX_JOBS": os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))}
        environment = {**self.environment(), **{name: settings[name] for name in settings if name != "PYTHONPATH"}}
        out.mkdir(parents=True, exist_ok=True)
        self._pip("wheel", "--no-build-isolation", "--wheel-dir", str(out), str(source), environment=environment)
        return max(out.glob("mmcv-*.whl"), key=lambda path: path.stat().st_mtime)

    def _pip(self, verb: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        options = ["--quiet", "--no-index", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
        options += ["--no-compile"] if verb == "install" else []
        command = [self.python, "-m", "pip", verb, *options, *arguments]
        subprocess.run(command, env=environment or self.environment(), check=True)
