"""The small GAN recipe in mixed precision: both networks train, nothing overflows for good, the loss scale lives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

pytest.importorskip("mmagic", reason="the recipe needs mmagic")
pytest.importorskip("sklearn", reason="the recipe's digits come with scikit-learn")
import tiny_contrast
import tiny_gan
import tiny_half

STEPS = 200
JIGSAW = dict(_delete_=True, type="Jigsaw", grid=2)
PARTS = ("generator", "discriminator")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_both_networks_train(tmp_path: Path, device: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_half.allow_float16(device, monkeypatch)
    options = {"train_cfg.max_iters": STEPS, "model.negative": JIGSAW, "hooks": [dict(type="LossesHook")]}
    runner = tiny_gan.build(tmp_path, **options, **tiny_half.gan_settings(device, dtype))
    start = {name: value.clone() for name, value in runner.model.named_parameters()}
    runner.train()

    seen = tiny_contrast.hook(runner, "LossesHook").seen
    assert len(seen) == STEPS
    assert {"loss_disc_real", "loss_disc_fake", "loss_disc_negative"} <= set(seen[-1])
    assert all(math.isfinite(value) for entry in seen for value in entry.values())
    weights = dict(runner.model.named_parameters())
    assert next(iter(weights.values())).device.type == device
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    for part in PARTS:
        learnt = {name: weights[name] for name in weights if name.startswith(f"{part}.")}
        assert all(value.dtype == torch.float32 for value in learnt.values())
        moved = [not torch.equal(value, start[name].to(value.device)) for name, value in learnt.items()]
        assert sum(moved) > 0.9 * len(moved), part
        wrapper = runner.optim_wrapper[part]
        steps = {int(state["step"]) for state in wrapper.optimizer.state.values()}
        if dtype == "bfloat16":
            assert steps == {STEPS}
            continue
        # Alive: the scale that it starts with, 2 ** 16, was halved a few times at most; all other steps were taken.
        assert isinstance(wrapper.loss_scaler, torch.amp.GradScaler)
        assert 2**6 <= wrapper.loss_scaler.get_scale() <= 2**16
        halved = 16 - round(math.log2(wrapper.loss_scaler.get_scale()))
        assert steps == {STEPS - halved}
