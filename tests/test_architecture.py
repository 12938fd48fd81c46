"""The two rules of the package's build: arrows run downwards, and a file knows at most one host.

The order of the layers is a contract of import-linter in pyproject.toml; what a layers contract cannot say is here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "nda_mm"
HOSTS = {"mmagic", "mmpretrain", "mmdet", "mmaction", "mmcv"}
FRAMEWORKS = HOSTS | {"mmengine"}


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


def offenders(paths: Iterable[Path], packages: set[str], allowed: int = 0) -> dict[str, list[str]]:
    """The files that import more of some packages than are allowed, and which."""
    paths = [path for path in paths if ".mim" not in path.parts]
    assert paths
    found = {path: imported_packages(path.read_text(encoding="utf-8")) & packages for path in paths}
    return {str(path): sorted(names) for path, names in found.items() if len(names) > allowed}


def test_the_reader_of_imports_sees_every_form() -> None:
    source = (
        "import mmagic.models\n"
        "def late():\n    from mmdet.models import X\n    import_module('mmcv.ops')\n"
        "from . import mmpretrain\n"
        "from .mmaction import Y\n"
    )
    assert imported_packages(source) == {"mmagic", "mmdet", "mmcv"}


def test_a_file_knows_at_most_one_host() -> None:
    assert offenders(PACKAGE.rglob("*.py"), HOSTS, allowed=1) == {}


def test_mathematics_needs_torch_alone_and_negatives_no_host() -> None:
    pure = [*PACKAGE.glob("functional/*.py"), *PACKAGE.glob("losses/*.py"), PACKAGE / "utils" / "schedules.py"]
    assert offenders(pure, FRAMEWORKS) == {}
    assert offenders([PACKAGE / "registry.py", *PACKAGE.glob("negatives/*.py")], HOSTS) == {}


def test_what_is_imported_imports_no_framework() -> None:
    code = (
        "import sys; before = set(sys.modules); import nda_mm\n"
        "print(sorted(set(sys.modules) - before))\n"
        f"import nda_mm.functional, nda_mm.losses; print(sorted({FRAMEWORKS!r} & set(sys.modules)))\n"
        f"import nda_mm.registry; print(sorted({HOSTS!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['nda_mm']", "[]", "[]"]
