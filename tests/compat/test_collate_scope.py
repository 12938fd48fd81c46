"""A collate function named by a recipe of another package, with the real Runner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: A process of its own, since other tests have the mend applied.
SCRIPT = """
from mmengine.runner import Runner
from nda_mm.compat.collate_scope import CollateScope

loader = dict(
    dataset=[0, 1],
    batch_size=2,
    sampler=dict(type="DefaultSampler", shuffle=False, _scope_="mmpretrain"),
    collate_fn=dict(type="default_collate", _scope_="mmpretrain"),
)

def read():
    return next(iter(Runner.build_dataloader(loader, seed=0))).tolist()

mend = CollateScope()
try:
    read()
except TypeError as error:
    print("fault:", error)
print(mend.needed()); mend.apply(); print(mend.needed()); mend.apply()
print(read(), "_scope_" in loader["collate_fn"])
"""


@pytest.mark.slow
def test_a_scope_is_no_argument_of_the_collate_function(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "fault: default_collate() got an unexpected keyword argument '_scope_'",
        "True",
        "False",
        "[0, 1] True",  # the config that was given is left as it was
    ]
