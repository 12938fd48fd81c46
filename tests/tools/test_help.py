"""What the commands answer before they import anything that takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(
    path for path in (ROOT / "tools").rglob("*.py") if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
)
COMMANDS = [*(str(path.relative_to(ROOT)) for path in SCRIPTS), "nda_mm.compat", "nda_mm.compat.auto"]
#: Runs every command in one interpreter, which imports whatever they import.
PROBE = """
import contextlib, io, json, runpy, sys
sys.path.insert(0, "tools/benchmarks")
for command in sys.argv[2:]:
    sys.argv = [command, sys.argv[1]]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            run = runpy.run_path if command.endswith(".py") else runpy.run_module
            run(command, run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code or 0
    heavy = sorted({"torch", "numpy", "mmengine", "mmcv", "pandas"} & set(sys.modules))
    print(json.dumps([command, status, out.getvalue(), err.getvalue(), heavy]))
"""


def answers(word: str, commands: list[str]) -> list[list]:
    command = [sys.executable, "-c", PROBE, word, *commands]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_help_is_printed_alone_and_imports_neither_torch_nor_a_host() -> None:
    found = answers("--help", COMMANDS)
    assert len(found) == len(COMMANDS)
    for command, status, out, err, heavy in found:
        assert (status, err, heavy) == (0, "", []), command
        assert out.startswith("usage: ") or command == "nda_mm.compat.auto"


def test_bad_options_are_refused_as_quickly() -> None:
    for command, status, _, err, heavy in answers("--no-such-option", COMMANDS[:-1]):  # auto's are another command's
        assert (status, heavy) == (2, []), command
        assert "error: " in err, command
