"""The two rules of the package's build: arrows run downwards, and a file knows at most one host.

The order of the layers is a contract of import-linter in pyproject.toml; what a layers contract cannot say is here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "nda_mm"
HOSTS = {"mmagic", "mmpretrain", "mmdet", "mmaction", "mmcv"}
FRAMEWORKS = HOSTS | {"mmengine"}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if ".mim" not in path.parts)

#: The mathematics: torch alone.
PURE = [*(PACKAGE / "functional").glob("*.py"), *(PACKAGE / "losses").glob("*.py"), PACKAGE / "utils" / "schedules.py"]
#: Registered, but at home under every host.
HOSTLESS = [PACKAGE / "negatives.py", PACKAGE / "registry.py", *sorted((PACKAGE / "negatives").glob("*.py"))]


def imported_packages(source: str) -> set[str]:
    """Top-level packages that a module imports, wherever in the module the import stands.

    Imports for type checkers only count too: a file that speaks of two hosts knows two hosts. Names given to
    ``import_module`` count as well.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value.split(".")[0])
    return found


def label(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def test_the_reader_of_imports_sees_every_form() -> None:
    source = (
        "import mmagic.models\n"
        "def late():\n    from mmdet.models import X\n    import_module('mmcv.ops')\n"
        "from . import mmpretrain\n"
        "from .mmaction import Y\n"
    )
    assert imported_packages(source) == {"mmagic", "mmdet", "mmcv"}


@pytest.mark.parametrize("path", FILES, ids=label)
def test_a_file_knows_at_most_one_host(path: Path) -> None:
    hosts = imported_packages(path.read_text(encoding="utf-8")) & HOSTS
    assert len(hosts) <= 1, f"{label(path)} imports {sorted(hosts)}; split it, one file a host"


@pytest.mark.parametrize("path", PURE, ids=label)
def test_mathematics_needs_torch_alone(path: Path) -> None:
    frameworks = imported_packages(path.read_text(encoding="utf-8")) & FRAMEWORKS
    assert not frameworks, f"{label(path)} imports {sorted(frameworks)}; it may import torch and the standard library"


@pytest.mark.parametrize("path", [path for path in HOSTLESS if path.exists()], ids=label)
def test_negatives_and_registry_need_no_host(path: Path) -> None:
    hosts = imported_packages(path.read_text(encoding="utf-8")) & HOSTS
    assert not hosts, f"{label(path)} imports {sorted(hosts)}; it may import torch and mmengine"


def run_fresh(code: str) -> str:
    """What a statement prints in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import nda_mm; print(sorted(set(sys.modules) - before))"
    assert run_fresh(code).strip() == "['nda_mm']"


def test_functions_and_losses_import_no_framework() -> None:
    code = f"import sys; import nda_mm.functional, nda_mm.losses\nprint(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    assert run_fresh(code).strip() == "[]"


def test_the_registry_imports_no_host() -> None:
    code = f"import sys; import nda_mm.registry; print(sorted({HOSTS!r} & set(sys.modules)))"
    assert run_fresh(code).strip() == "[]"
