"""A launcher's environment, with which processes meet."""

from __future__ import annotations

import os

import pytest
import torch

from nda_mm.utils.processes import start_process_group


def test_no_launcher_starts_nothing() -> None:
    assert start_process_group("none") is False
    assert not torch.distributed.is_initialized()


def test_unknown_launcher_is_refused() -> None:
    with pytest.raises(ValueError, match="launcher .*'horovod'"):
        start_process_group("horovod")


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the Runner starts its own process group")
@pytest.mark.parametrize("launcher", ["pytorch", "slurm", "mpi"])
def test_missing_variables_are_named(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_")) or name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            monkeypatch.delenv(name)
    with pytest.raises(RuntimeError, match=rf"--launcher {launcher} needs .*(RANK|PROCID)"):
        start_process_group(launcher)
