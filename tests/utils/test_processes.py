"""A launcher's environment, with which processes meet."""

from __future__ import annotations

import os
import socket

import pytest
import torch

from nda_mm.utils.processes import start_process_group


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
@pytest.mark.parametrize("launcher", ["pytorch", "slurm", "mpi"])
def test_missing_variables_are_named(environment: pytest.MonkeyPatch, launcher: str) -> None:
    with pytest.raises(RuntimeError, match=rf"--launcher {launcher} needs .*(RANK|PROCID)"):
        start_process_group(launcher)


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
