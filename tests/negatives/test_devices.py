"""Every registered negative on a CPU and on a GPU: equal draws, equal results, on the device, without a wait for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_devices import DrawsOfTheCPU, nothing_waits
from torch import Tensor

from nda_mm.negatives import Negative, build_negative
from nda_mm.negatives.blocks import change_blocks
from nda_mm.registry import NEGATIVES

EXTERNAL = torch.randint(0, 256, (5, 3, 18, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
SMALL = EXTERNAL[:, :1, :9, :8].contiguous()  # of one channel, and resized at every call
JIGSAW, STITCH, SHUFFLE = dict(type="Jigsaw"), dict(type="Stitch"), dict(type="ShuffleFrames")
CASES: dict[str, dict[str, Any]] = {
    "Jigsaw": JIGSAW,
    "Jigsaw of 9 tiles": dict(type="Jigsaw", grid=3),
    "Jigsaw of 2 x 3 tiles": dict(type="Jigsaw", grid=(2, 3)),
    "Stitch": STITCH,
    "Mixup": dict(type="Mixup"),
    "CutMix": dict(type="CutMix"),
    "CutMix of another shape": dict(type="CutMix", beta=2.0),
    "Cutout": dict(type="Cutout"),
    "Patches": dict(type="Patches"),
    "TileMix": dict(type="TileMix", grid=3),
    "Rotate": dict(type="Rotate"),
    "Shift": dict(type="Shift"),
    "ShuffleFrames": SHUFFLE,
    "ShuffleFrames in chunks": dict(type="ShuffleFrames", chunks=3),
    "TurnPoints": dict(type="TurnPoints"),
    "ExternalImage": dict(type="ExternalImage", images=EXTERNAL),
    "ExternalImage, resized": dict(type="ExternalImage", images=SMALL),
    "ExternalStitch": dict(type="ExternalStitch", images=EXTERNAL),
    "RandomNegative": dict(type="RandomNegative", negatives=[JIGSAW, STITCH, dict(type="Cutout")], weights=[1, 2, 1]),
    "RandomNegative of external ones": dict(
        type="RandomNegative", negatives=[dict(type="Mixup"), dict(type="ExternalImage", images=EXTERNAL)]
    ),
    "IdentityLeak": dict(type="IdentityLeak", negative=dict(type="Jigsaw", grid=3), share=0.7),
    "Curriculum": dict(type="Curriculum", milestones=[(0, dict(type="Jigsaw", grid=3)), (7, dict(type="CutMix"))]),
}
CLIPS_ONLY = ("ShuffleFrames", "ShuffleFrames in chunks")
POINTS = {"TurnPoints"}
LEAKS = {"IdentityLeak"}
#: What only moves pixels must be exact. What blends or interpolates may be rounded otherwise: half a step of the dtype
#: at 2, the width of the range, or as exact as the draws, which are made in float32.
MOVES = {
    name
    for name in CASES
    if name.startswith(("Jigsaw", "Stitch", "Shift", "Shuffle", "Identity", "Patches", "TileMix"))
}
STEPS = {torch.float16: 2e-3, torch.float32: 1e-4, torch.uint8: 1}
IMAGES_AND_CLIPS = [
    *((name, False) for name in CASES if name not in CLIPS_ONLY),
    *(
        (name, True)
        for name in ("Jigsaw", "CutMix", "Rotate", "Shift", "ExternalStitch", "RandomNegative", *CLIPS_ONLY)
    ),
]


def batch(name: str, clip: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    shape = (4, 1, 1, 2) if name in POINTS else (4, 3, *([6] if clip else []), 18, 12)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (x * 255).to(dtype) if dtype == torch.uint8 else (2 * x - 1).to(dtype)


def make(name: str, x: Tensor, device: str, other: Tensor | None = None) -> Tensor:
    """Negatives of the CPU's draws, made on a device."""
    negative = build_negative(CASES[name]).to(device)
    negative.set_iteration(7)  # a curriculum's second stage
    with DrawsOfTheCPU(seed=3):
        return negative(x.to(device), other=None if other is None else other.to(device))


def test_every_registered_negative_has_a_case() -> None:
    ours = {cls.__name__ for cls in NEGATIVES.module_dict.values() if cls.__module__.startswith("nda_mm.")}
    assert ours == {case["type"] for case in CASES.values()}, "add the new negative to CASES"


@pytest.mark.parametrize(("name", "clip"), IMAGES_AND_CLIPS)
def test_equals_the_cpu_for_the_same_draws_in_either_layout(device: str, name: str, clip: bool) -> None:
    x = batch(name, clip)
    expected, result = make(name, x, "cpu"), make(name, x, device)
    assert result.device.type == device
    atol = 0 if name in MOVES else STEPS[torch.float32]
    torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=atol)
    assert (result.cpu() == x).flatten(1).all(dim=1).any() == (name in LEAKS)
    if name not in POINTS:
        memory_format = torch.channels_last_3d if clip else torch.channels_last
        result = make(name, x.to(device).contiguous(memory_format=memory_format), device)
        assert result.is_contiguous(memory_format=memory_format)
        torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8])
@pytest.mark.parametrize("name", ["Jigsaw", "Rotate"])
def test_other_dtypes_equal_the_cpus(device: str, name: str, dtype: torch.dtype) -> None:
    x = batch(name, clip=False, dtype=dtype)
    result = make(name, x, device)
    assert result.dtype == dtype
    assert (result.cpu().double() - make(name, x, "cpu").double()).abs().max() <= (name not in MOVES) * STEPS[dtype]


@pytest.mark.parametrize("name", ["Stitch", "Mixup", "CutMix", "RandomNegative"])
def test_given_partners_are_used_on_the_device(device: str, name: str) -> None:
    x, other = batch(name, clip=False), batch(name, clip=False).flip(0) - 4
    result = make(name, x, device, other)
    torch.testing.assert_close(result.cpu(), make(name, x, "cpu", other), rtol=0, atol=1e-4)
    assert result.min() < -1, "nothing came from the partners"


@pytest.mark.parametrize("negative", [JIGSAW, STITCH, SHUFFLE], ids=["Jigsaw", "Stitch", "ShuffleFrames"])
def test_blocks_of_clips_equal_the_cpus(device: str, negative: dict[str, Any]) -> None:
    blocks = torch.rand(3, 2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    results = []
    for where in ("cpu", device):
        with DrawsOfTheCPU():
            results.append(change_blocks(build_negative(negative), blocks.to(where)).cpu())
    assert torch.equal(*results)


def test_what_waits_is_noticed(device: str) -> None:
    x = torch.arange(4, device=device)
    for look in (lambda: x[0].item(), lambda: x.nonzero(), lambda: x[x > 1], lambda: bool((x > 1).any())):
        with pytest.raises(RuntimeError), nothing_waits(device):
            look()
    with nothing_waits(device):
        assert x[x.flip(0)].shape == (4,)


def seeded(device: str, seed: int) -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


@pytest.mark.parametrize(("name", "clip"), IMAGES_AND_CLIPS)
def test_draws_from_a_generator_of_the_device_without_a_wait(device: str, name: str, clip: bool) -> None:
    negative: Negative = build_negative(CASES[name]).to(device)
    x = batch(name, clip).to(device)
    generator = seeded(device, 1)
    first = negative(x, generator=generator)
    with nothing_waits(device):
        second = negative(x, generator=generator)
    assert torch.equal(first, negative(x, generator=seeded(device, 1)))
    assert not torch.equal(first, second)
