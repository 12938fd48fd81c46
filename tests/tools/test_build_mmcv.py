"""How mmcv is built, and the check of the result on the mmcv that is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from tools.build_mmcv import build_environment, wants_cuda, works


def test_the_cpu_build_hides_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-O1")
    environment = build_environment(cuda=False)
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert (environment["MMCV_WITH_OPS"], environment["FORCE_CUDA"]) == ("1", "0")
    assert environment["CFLAGS"] == "-O1 -g0"
    assert "MMCV_WITH_OPS" not in os.environ, "the process's own environment stays as it is"


def test_the_cuda_build_finds_the_headers_that_came_with_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = tmp_path / "nvidia" / "cu13" / "include"
    headers.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("CPATH", "/opt/mine")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    environment = build_environment(cuda=True)
    assert environment["FORCE_CUDA"] == "1"
    assert environment["CPATH"].split(os.pathsep) == ["/opt/mine", str(headers)]
    assert environment["CUDA_VISIBLE_DEVICES"] == "3"


def test_the_users_word_goes_before_the_machine() -> None:
    assert wants_cuda("1") is True
    assert wants_cuda("0") is False
    if not torch.cuda.is_available():
        assert wants_cuda("auto") is False


@pytest.mark.slow
def test_the_installed_mmcv_is_judged_rightly() -> None:
    pytest.importorskip("mmcv")
    from mmcv.ops import get_compiling_cuda_version

    has_cuda = get_compiling_cuda_version() != "not available"
    assert works(cuda=has_cuda)
    assert not works(cuda=not has_cuda)
