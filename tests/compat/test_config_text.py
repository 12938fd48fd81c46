"""Ctrl-C while mmengine formats or writes a config, with the real formatter interrupted by the real signal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: A process of its own, since other tests have the patch applied. The formatter gets the signal in its midst.
SCRIPT = """
import os, signal, sys
import mmengine.config.config as module
from mmengine.config import Config
from nda_mm.compat.config_text import ConfigText

config = Config(dict(a=1, b=dict(c=[2, 3])))
whole = config.pretty_text
patch = ConfigText()
print(patch.needed()); patch.apply(); print(patch.needed()); patch.apply()
assert config.pretty_text == whole == config.dump()
config.dump("config.py")
assert open("config.py").read() == whole
config.dump("config.json")
assert Config.fromfile("config.json").b.c == [2, 3]

def interrupted(text, **kwargs):
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    return text, True

module.FormatCode = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in a shell's background starts without
signal.signal(signal.SIGTERM, lambda *args: sys.exit(143))
Config(dict(a=2)).dump(sys.argv[2])
"""


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *words], cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def test_an_interrupt_ends_the_process_as_one_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    status, said, error = run(tmp_path, "SIGINT", "config.py")
    assert said.splitlines() == ["True", "False"], error
    assert status == -2, error  # a shell's 130
    assert "SyntaxError" not in error and "KeyboardInterrupt" in error
    assert "a = 1" in (tmp_path / "config.py").read_text()
    assert run(tmp_path, "SIGTERM", "new.py")[0] == 143
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "config.py"]
