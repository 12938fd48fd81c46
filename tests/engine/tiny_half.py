"""float16 on a CPU, which torch can scale and autocast and mmengine can not; not a test module, see conftest.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import mmengine.runner.amp
import pytest
import torch
from mmengine.optim.optimizer import amp_optimizer_wrapper

WRAPPER = dict(type="AmpOptimWrapper", loss_scale="dynamic", dtype="float16")


def allow_float16(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mmengine's wrapper work where a test runs: as it is on a GPU, with the CPU's scaler and autocast on a CPU."""
    if device == "cpu":
        monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
        monkeypatch.setattr(amp_optimizer_wrapper, "GradScaler", partial(torch.amp.GradScaler, "cpu"))
        monkeypatch.setattr(mmengine.runner.amp, "autocast", partial(torch.autocast, "cpu"))


def gan_settings(device: str, dtype: str) -> dict[str, Any]:
    """For tiny_gan.build: as ``--amp-dtype`` sets them; by hand for float16 on a CPU, which the command refuses."""
    if dtype != "float16" or device != "cpu":
        return dict(amp_dtype=dtype)
    parts = ("generator", "discriminator")
    by_hand = {f"optim_wrapper.{part}.{key}": value for part in parts for key, value in WRAPPER.items()}
    return dict(amp_dtype=None, **by_hand)
