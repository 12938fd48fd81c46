"""Two processes without a GPU, with mmengine's own runner."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nda_mm.compat import start_process_group

on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the Runner starts its own process group")

#: A run whose ranks see different data, so that their weights agree only if gradients are exchanged, with a layer that
#: has no CPU form.
PROGRAM = """
import os, sys, time, torch
from mmengine.dist import all_gather
from mmengine.model import BaseModel
from mmengine.runner import Runner
from nda_mm.compat import apply_mends, start_process_group

class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.norm = torch.nn.SyncBatchNorm(1, affine=False)
    def forward(self, inputs, mode="tensor"):
        inputs = torch.stack(inputs)
        return dict(loss=(inputs.mean() * self.weight - 1).square().sum() + 0 * self.norm(inputs).sum())

if sys.argv[1] == "patched":
    apply_mends("mmengine")
if sys.argv[1] != "plain":
    print("started", start_process_group({launcher!r}))
runner = Runner(
    model=Line(), work_dir={work_dir!r}, launcher={launcher!r}, log_level="ERROR",
    train_dataloader=dict(dataset=[dict(inputs=torch.full((1,), float(i))) for i in range(4)],
                          sampler=dict(type="DefaultSampler", shuffle=False), batch_size=2),
    optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)), train_cfg=dict(by_epoch=True, max_epochs=1),
    experiment_name="cpu-distributed",
)
runner.train()
print("weights", [round(w.item(), 6) for w in all_gather(runner.model.module.weight.detach())])
torch.distributed.barrier()
time.sleep(0.2)  # see nda_mm.engine.launch.end_processes
torch.distributed.destroy_process_group()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_two(program: str, argument: str, names: tuple[str, str, str]) -> list[subprocess.CompletedProcess[str]]:
    """Start two processes with a launcher's variables, and wait for both."""
    base = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        base.pop(name, None)
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program, argument],
            env=base | dict(zip(names, (str(rank), "2", str(rank)), strict=True)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    return [subprocess.CompletedProcess(process.args, process.wait(), *process.communicate()) for process in started]


TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
OPENMPI = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")


@on_cpu
@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "names"), [("pytorch", TORCHRUN), ("mpi", OPENMPI)])
def test_two_ranks_train_together(tmp_path: Path, launcher: str, names: tuple[str, str, str]) -> None:
    results = run_two(PROGRAM.format(launcher=launcher, work_dir=str(tmp_path)), "patched", names)
    assert [result.returncode for result in results] == [0, 0], results[0].stderr
    # Ranks see items {0, 2} and {1, 3}: inputs of mean 1 and 2. From weight 0 the loss (m w - 1)^2 has slope -2 m, so
    # the averaged gradient is -3, and one step of 0.1 leads to 0.3 on both.
    assert ["weights [0.3, 0.3]" in result.stdout for result in results] == [True, True]
    assert ["started True" in result.stdout for result in results] == [True, True]


@on_cpu
@pytest.mark.slow
@pytest.mark.parametrize(("argument", "fault"), [("plain", "set_device"), ("group", "SyncBatchNorm")])
def test_the_faults_are_there_without_it(tmp_path: Path, argument: str, fault: str) -> None:
    results = run_two(PROGRAM.format(launcher="pytorch", work_dir=str(tmp_path)), argument, TORCHRUN)
    assert all(result.returncode != 0 for result in results)
    assert fault in results[0].stderr


def test_no_launcher_starts_nothing() -> None:
    assert start_process_group("none") is False
    assert not torch.distributed.is_initialized()


def test_unknown_launcher_is_refused() -> None:
    with pytest.raises(ValueError, match="launcher must be one of none, pytorch, slurm, mpi, but got 'horovod'"):
        start_process_group("horovod")


@on_cpu
@pytest.mark.parametrize("launcher", ["pytorch", "slurm", "mpi"])
def test_missing_variables_are_named(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_")) or name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            monkeypatch.delenv(name)
    with pytest.raises(RuntimeError, match=rf"--launcher {launcher} needs .*(RANK|PROCID)"):
        start_process_group(launcher)
