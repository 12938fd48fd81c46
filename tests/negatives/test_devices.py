"""Every registered negative on a CPU and on a GPU: equal draws, equal results, on the device, without a wait for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_devices import DrawsOfTheCPU, nothing_waits
from torch import Tensor

from nda_mm.negatives import build_negative
from nda_mm.registry import NEGATIVES

EXTERNAL = torch.randint(0, 256, (5, 3, 18, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
SMALL = EXTERNAL[:, :1, :9, :8].contiguous()  # of one channel, and resized at every call
JIGSAW, STITCH = dict(type="Jigsaw", grid=3), dict(type="Stitch")
CASES: list[dict[str, Any]] = [
    dict(type="Jigsaw"),
    JIGSAW,
    STITCH,
    dict(type="Mixup"),
    dict(type="CutMix"),
    dict(type="Cutout"),
    dict(type="Patches"),
    dict(type="TileMix", grid=3),
    dict(type="Rotate"),
    dict(type="Shift"),
    dict(type="ShuffleFrames"),
    dict(type="ShuffleFrames", chunks=3),
    dict(type="TurnPoints"),
    dict(type="ExternalImage", images=SMALL),
    dict(type="ExternalStitch", images=EXTERNAL),
    dict(type="RandomNegative", negatives=[JIGSAW, STITCH, dict(type="Cutout")], weights=[1, 2, 1]),
    dict(type="IdentityLeak", negative=JIGSAW, share=0.7),
    dict(type="Curriculum", milestones=[(0, JIGSAW), (7, dict(type="CutMix"))]),
]
#: What only moves pixels must be exact. What blends or interpolates may be rounded otherwise: half a step of the dtype
#: at 2, the width of the range, or as exact as the draws, which are made in float32.
MOVES = ("Jigsaw", "Stitch", "Shift", "ShuffleFrames", "IdentityLeak", "Patches", "TileMix")
STEPS = {torch.float16: 2e-3, torch.float32: 1e-4, torch.uint8: 1}


def batches(case: dict[str, Any]) -> list[Tensor]:
    """Images or points, and clips of some negatives."""
    if case["type"] == "TurnPoints":
        return [batch((4, 1, 1, 2))]
    clips = case["type"] in ("Jigsaw", "CutMix", "Rotate", "Shift", "ExternalStitch", "RandomNegative")
    images = [] if case["type"] == "ShuffleFrames" else [batch((4, 3, 18, 12))]
    return images + [batch((4, 3, 6, 18, 12))] * (clips or not images)


def batch(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (x * 255).to(dtype) if dtype == torch.uint8 else (2 * x - 1).to(dtype)


def make(case: dict[str, Any], x: Tensor, device: str) -> Tensor:
    """Negatives of the CPU's draws, made on a device."""
    negative = build_negative(case).to(device)
    negative.set_iteration(7)  # a curriculum's second stage
    with DrawsOfTheCPU(seed=3):
        return negative(x.to(device))


def test_every_registered_negative_has_a_case() -> None:
    ours = {cls.__name__ for cls in NEGATIVES.module_dict.values() if cls.__module__.startswith("nda_mm.")}
    assert ours == {case["type"] for case in CASES}, "add the new negative to CASES"


def test_equals_the_cpu_for_the_same_draws_in_either_layout(device: str) -> None:
    for case in CASES:
        for x in batches(case):
            expected, result = make(case, x, "cpu"), make(case, x, device)
            assert result.device.type == device
            atol = 0 if case["type"] in MOVES else STEPS[torch.float32]
            if case["type"] == "ExternalImage":  # resized, then rounded to one of 256 steps
                atol += 2 / 255
            torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=atol, msg=str(case))
            assert (result.cpu() == x).flatten(1).all(dim=1).any() == (case["type"] == "IdentityLeak"), case
            memory_format = torch.channels_last_3d if x.ndim == 5 else torch.channels_last
            result = make(case, x.to(device).contiguous(memory_format=memory_format), device)
            assert result.is_contiguous(memory_format=memory_format) or case["type"] == "TurnPoints"
            torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=atol, msg=str(case))


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8])
@pytest.mark.parametrize("name", ["Jigsaw", "Rotate"])
def test_other_dtypes_equal_the_cpus(device: str, name: str, dtype: torch.dtype) -> None:
    x, case = batch((4, 3, 18, 12), dtype), dict(type=name)
    result = make(case, x, device)
    assert result.dtype == dtype
    assert (result.cpu().double() - make(case, x, "cpu").double()).abs().max() <= (name not in MOVES) * STEPS[dtype]


def test_draws_from_a_generator_of_the_device_without_a_wait(device: str) -> None:
    for case in CASES:
        negative = build_negative(case).to(device)
        for x in batches(case):
            x, generator = x.to(device), torch.Generator(device).manual_seed(1)
            first = negative(x, generator=generator)
            with nothing_waits(device):
                second = negative(x, generator=generator)
            assert torch.equal(first, negative(x, generator=torch.Generator(device).manual_seed(1))), case
            assert not torch.equal(first, second), case
