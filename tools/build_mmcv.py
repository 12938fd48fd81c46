"""Build mmcv against the torch of this environment, and show that its operators run.

    python tools/build_mmcv.py mmcv==2.1.0 [--cuda auto|0|1]

About 6 minutes on two cores without CUDA operators, several times that with them. If the CUDA build fails, the
operators for the CPU are built instead, which is all that the GAN and MoCo recipes use.
torch, mmengine, setuptools, wheel, ninja and psutil must be installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECK = """
import sys, torch
from mmcv.ops import get_compiling_cuda_version, nms
boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 11., 11.], [20., 20., 30., 30.]])
kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)[1].tolist()
assert kept == [0, 2], kept
has_cuda = get_compiling_cuda_version() != "not available"
sys.exit(0 if has_cuda == (sys.argv[1] == "1") else 3)
"""


def wants_cuda(choice: str) -> bool:
    """Whether to build the CUDA operators.

    Args:
        choice: ``"1"`` or ``"0"`` as the user said, or ``"auto"``: with a compiler and a GPU that torch can use.

    Returns:
        The decision.
    """
    if choice != "auto":
        return choice == "1"
    import torch

    return find_nvcc() is not None and torch.cuda.is_available()


def find_nvcc() -> str | None:
    """The CUDA compiler, from CUDA_HOME or the search path."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    return shutil.which("nvcc", path=f"{home}/bin") or shutil.which("nvcc")


def build_environment(cuda: bool) -> dict[str, str]:
    """Environment variables for mmcv's build.

    Args:
        cuda: Whether the CUDA operators are wanted.

    Returns:
        A copy of this process's environment with what the build reads.
    """
    environment = dict(os.environ, MMCV_WITH_OPS="1", FORCE_CUDA="1" if cuda else "0")
    environment["CFLAGS"] = f"{environment.get('CFLAGS', '')} -g0".strip()  # debug symbols make the wheel 30 MB
    if not cuda:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # mmcv builds CUDA operators wherever it sees a GPU
        return environment
    # Headers that a partial CUDA installation lacks came with torch's own packages.
    headers = [str(path) for folder in sys.path for path in Path(folder).glob("nvidia/cu*/include")]
    environment["CPATH"] = os.pathsep.join([*filter(None, [environment.get("CPATH")]), *headers])
    return environment


def works(cuda: bool) -> bool:
    """Whether the installed mmcv runs an operator and has CUDA operators exactly if they are wanted."""
    return subprocess.run([sys.executable, "-c", CHECK, str(int(cuda))], stderr=subprocess.DEVNULL).returncode == 0


def install(requirement: str, cuda: bool) -> bool:
    """Install mmcv, from pip's cache if the wheel there fits and by a build if not.

    Args:
        requirement: For example ``"mmcv==2.1.0"``.
        cuda: Whether the CUDA operators are wanted.

    Returns:
        Whether it works in the end.
    """
    if works(cuda):
        return True
    # mmcv's own requirements come with the hosts; here they would only be resolved without the constraints.
    pip = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--ignore-installed"]
    # A cached wheel may have been built against another torch, or without operators: used once, then built afresh.
    for options in ([], ["--no-cache-dir"]):
        result = subprocess.run([*pip, *options, requirement], env=build_environment(cuda))
        if result.returncode == 0 and works(cuda):
            return True
    return False


def main() -> int:
    """Build as asked, with the CPU's operators as a last resort.

    Returns:
        Exit status: 1 if mmcv doesn't work in the end.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("requirement", help="for example mmcv==2.1.0")
    parser.add_argument("--cuda", choices=("auto", "0", "1"), default="auto", help="CUDA operators too (default: auto)")
    options = parser.parse_args()
    cuda = wants_cuda(options.cuda)
    print(f"== {options.requirement} with its operators for the CPU{' and CUDA' if cuda else ''} (this takes minutes)")
    if install(options.requirement, cuda):
        return 0
    if cuda:
        print("The CUDA operators could not be built; building those for the CPU, which the GAN and MoCo recipes need.")
        if install(options.requirement, cuda=False):
            return 0
    print(f"{options.requirement} could not be built; the compiler's message is above.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
