"""A launcher's environment, with which processes meet."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys

import pytest
import torch

from nda_mm.utils.processes import start_process_group

MEMORY = """
import resource
import torch
from nda_mm.utils.processes import keep_freed_memory

def fetched_pages(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        torch.ones(2**24).add(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = fetched_pages(10)
keep_freed_memory()
fetched_pages(10)  # the heap grows
print(given_back, fetched_pages(10))
"""


def test_no_launcher_starts_nothing_and_an_unknown_one_is_refused() -> None:
    assert start_process_group("none") is False
    assert not torch.distributed.is_initialized()
    with pytest.raises(ValueError, match="launcher .*'horovod'"):
        start_process_group("horovod")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No launcher's variables; what a test sets is taken back."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "PORT"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    for name in [name for name in os.environ if name.startswith(("SLURM_", "OMPI_"))]:
        monkeypatch.delenv(name)
    return monkeypatch


on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the Runner starts its own process group")


@on_cpu
def test_missing_variables_are_named(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="--launcher slurm needs .*SLURM_PROCID"):
        start_process_group("slurm")


@on_cpu
def test_a_group_starts_from_the_launchers_own_variables(environment: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        environment.setenv("PORT", str(probe.getsockname()[1]))
    for name, value in dict(RANK="0", SIZE="1", LOCAL_RANK="0").items():
        environment.setenv(f"OMPI_COMM_WORLD_{name}", value)
    assert start_process_group("mpi") is True
    assert start_process_group("mpi") is False  # there is one
    assert (os.environ["RANK"], torch.distributed.get_world_size()) == ("0", 1)
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_freed_memory_is_used_again() -> None:
    result = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    given_back, kept = map(int, result.stdout.split())
    assert kept < given_back / 10
