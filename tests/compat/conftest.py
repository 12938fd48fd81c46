"""What tests of patches share: fresh interpreters, in which nothing is patched yet."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helpers beside these tests; test modules have no package


@pytest.fixture
def run_fresh(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a fresh interpreter, with the test's folder first on its path and as its working directory."""

    def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"
        command = [sys.executable, "-W", "ignore", "-c", code, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run
