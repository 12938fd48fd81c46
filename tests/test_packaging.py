"""What an installed package carries, and that its recipes can be inherited from anywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

import nda_mm

HOSTS = {"gan": "mmagic", "ssl": "mmpretrain", "det": "mmdet", "video": "mmaction2"}
EXTRAS = {*HOSTS, "lite", "all", "dev", "docs"}


def recipes(project: Path) -> set[str]:
    return {str(path.relative_to(project)) for path in (project / "configs").glob("[a-z]*/*.py")}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build from, since a build leaves folders behind."""
    project = Path(__file__).resolve().parents[1]
    copy = tmp_path_factory.mktemp("checkout")
    for path in project.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy2(path, copy)
    ignore = shutil.ignore_patterns("__pycache__", ".mim")
    for name in ("nda_mm", "configs", "tools"):
        shutil.copytree(project / name, copy / name, ignore=ignore)
    return copy


def build(checkout: Path, kind: str) -> Path:
    """Build by the declared backend, without a network, as `pip wheel` and `python -m build` do."""
    target = checkout / "built"
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    target.mkdir(exist_ok=True)
    result = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return target / result.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, which therefore holds all that the wheel needs."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(build(checkout, "sdist")) as archive:
        archive.extractall(folder, filter="data")
    return build(next(folder.iterdir()), "wheel")


def test_wheel_ships_recipes_tools_types_and_licence(wheel: Path, checkout: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"nda_mm/.mim/{name}" for name in recipes(checkout)} <= names
    tools = {path.name for path in (checkout / "tools").iterdir() if path.is_file()}
    assert {f"nda_mm/.mim/tools/{name}" for name in tools} <= names
    assert {"nda_mm/py.typed", "nda_mm/.mim/model-index.yml"} <= names
    assert any(name.endswith("/LICENSE") for name in names)
    modules = [path for path in (checkout / "nda_mm").rglob("*.py") if ".mim" not in path.parts]
    assert {str(path.relative_to(checkout)) for path in modules} <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"nda_mm", f"nda_mm-{nda_mm.__version__}.dist-info"}, "nothing else may be put beside the package"


def test_metadata_says_what_is_needed(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = Parser().parsestr(archive.read(f"nda_mm-{nda_mm.__version__}.dist-info/METADATA").decode())
    requirements = metadata.get_all("Requires-Dist")
    core = {re.split(r"[<>=!~ ;]", line)[0] for line in requirements if "extra ==" not in line}
    assert core == {"torch", "mmengine", "numpy", "packaging", "scikit-learn", "filelock", "setuptools"}
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS
    assert set(metadata["Requires-Python"].split(",")) == {">=3.10", "<3.13"}
    for extra, host in HOSTS.items():
        wanted = [line for line in requirements if re.search(rf"""extra == ["']{extra}["']""", line)]
        assert any(line.startswith(host) for line in wanted), (extra, wanted)


def inherit_in(folder: Path, site: Path, recipe: str) -> subprocess.CompletedProcess[str]:
    """In a folder of its own, and with an installed copy of the package, inherit a recipe."""
    (folder / "mine.py").write_text(f"_base_ = 'nda_mm::{recipe}'\ntrain_cfg = dict(max_iters=7)\n")
    code = (
        "import nda_mm; from nda_mm.compat import apply_patches; apply_patches()\n"
        "from mmengine.config import Config; config = Config.fromfile('mine.py')\n"
        "print(nda_mm.__file__); print(config.train_cfg.max_iters, config.default_scope)"
    )
    # -S -I would lose the hosts; the installed copy is put first instead, and the checkout is not on the path.
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_recipe_is_inherited_from_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    site, mine = tmp_path / "site", tmp_path / "mine"
    mine.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    result = inherit_in(mine, site, "nda_biggan_cifar10.py")
    assert result.returncode == 0, result.stderr
    place, read = result.stdout.strip().splitlines()
    assert Path(place).is_relative_to(site)
    assert read == "7 mmagic"


@pytest.mark.slow
def test_an_editable_install_links_recipes_and_tools(checkout: Path, tmp_path: Path) -> None:
    code = f"from setuptools import build_meta; build_meta.build_editable({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=checkout, check=True, capture_output=True)
    linked = checkout / "nda_mm" / ".mim"
    assert {path.name for path in linked.iterdir()} == {"configs", "tools", "model-index.yml"}
    assert all(path.is_symlink() and path.exists() for path in linked.iterdir())
    assert recipes(linked) == recipes(checkout)
    result = inherit_in(tmp_path, checkout, "nda_biggan_cifar10.py")
    assert result.stdout.strip().endswith("7 mmagic"), result.stderr


def test_pins_are_exact_and_name_no_place(project_root: Path) -> None:
    lines = [line for line in (project_root / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pattern = re.compile(r"[A-Za-z0-9._-]+==[^ ;/@]+( ; python_version (<|>=) \"3\.1[0-2]\")?")
    assert [line for line in lines if not pattern.fullmatch(line)] == []
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    assert {"torch", "torchvision", "numpy", "mmengine", "mmcv-lite", *HOSTS.values()} <= pinned


def test_versions_agree(project_root: Path) -> None:
    assert yaml.safe_load((project_root / "CITATION.cff").read_text())["version"] == nda_mm.__version__
    assert f"## {nda_mm.__version__} " in (project_root / "CHANGELOG.md").read_text()
