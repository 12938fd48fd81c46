"""``no_sync`` of mmengine's separate DDP wrapper, with the real wrapper in a process group of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: A wrapped model of two trainable parts and one without parameters, as a GAN with its data preprocessor is.
SETUP = """
import torch
from torch import distributed, nn
from mmengine.model import MMSeparateDistributedDataParallel
from nda_mm.compat.separate_ddp import SeparateDDPNoSync

distributed.init_process_group("gloo", init_method="file://{file}", rank=0, world_size=1)
parts = nn.ModuleDict(dict(generator=nn.Linear(1, 1), discriminator=nn.Linear(1, 1), preprocessor=nn.Identity()))
model = MMSeparateDistributedDataParallel(parts, device_ids=None)
mend = SeparateDDPNoSync()

def syncing():
    return [model.module[name].require_backward_grad_sync for name in ("generator", "discriminator")]
"""

FAULT = """
try:
    with model.no_sync():
        pass
except (RuntimeError, AttributeError) as error:
    print("fault:", error)
"""

MENDED = """
print(mend.needed()); mend.apply(); print(mend.needed())
with model.no_sync():
    print(syncing())
print(syncing())
try:
    with model.no_sync():
        raise KeyError("from inside")
except KeyError as error:
    print(error, syncing())
"""


def run(code: str, tmp_path: Path) -> list[str]:
    source = SETUP.format(file=tmp_path / "group") + code + "\ndistributed.destroy_process_group()"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", source], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip().splitlines()


@pytest.mark.slow
def test_the_fault_is_there_and_the_mend_removes_it(tmp_path: Path) -> None:
    fault, *mended = run(FAULT + MENDED, tmp_path)
    assert fault == "fault: generator didn't stop"
    assert mended == [
        "True",
        "False",
        "[False, False]",  # inside, neither part exchanges gradients
        "[True, True]",  # afterwards both do
        "'from inside' [True, True]",  # also when something went wrong inside
    ]
