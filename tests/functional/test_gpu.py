"""On a GPU: the same results from the same draws, a generator of its own, and no wait for the device."""

import functools

import pytest
import torch

from nda_mm import functional as F
from nda_mm.functional import boxes, erasing, geometry, mixing, temporal, tiles
from nda_mm.negatives import build_negative

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8]
BOXES = boxes.Boxes(*torch.tensor([[0, 1, 2], [3, 5, 4], [1, 0, 2], [4, 4, 4]]))
PARTNERS = torch.tensor([1, 2, 0])
APPLY = {
    "tiles": lambda x, to: tiles.apply_tiles(x, to(torch.tensor([[1, 0, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3]])), (2, 2)),
    "halves": lambda x, to: tiles.apply_halves(x, to(torch.tensor([0, 2, 3])), to(PARTNERS)),
    "blend": lambda x, to: mixing.apply_blend(x, to(torch.tensor([0.25, 0.5, 0.75])), to(PARTNERS)),
    "boxes": lambda x, to: boxes.apply_boxes(x, boxes.Boxes(*map(to, BOXES)), to(PARTNERS)),
    "cutout": lambda x, to: erasing.apply_cutout(x, boxes.Boxes(*map(to, BOXES))),
    "rotation": lambda x, to: geometry.apply_rotation(x, to(torch.tensor([45.0, 90.0, 200.0]))),
    "shift": lambda x, to: geometry.apply_shift(x, to(torch.tensor([1, 2, 3])), to(torch.tensor([3, 2, 1]))),
    "order": lambda x, to: temporal.apply_order(x, to(torch.tensor([[1, 0], [1, 0], [0, 1]]))),
}


def batch(dtype=torch.float32, size=6):
    x = torch.rand(3, 2, 4, size, size, generator=torch.Generator().manual_seed(0)) * 255
    return x.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", APPLY)
@pytest.mark.parametrize("channels_last", [False, True])
def test_equal_draws_give_the_results_of_the_cpu(name, dtype, channels_last):
    x = batch(dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    expected = APPLY[name](x, lambda draws: draws)
    result = APPLY[name](x.cuda(), lambda draws: draws.cuda()).cpu()
    # Interpolation and means are rounded in another order; a selection of pixels must be exact.
    steps = {torch.float64: 1e-9, torch.float32: 1e-3, torch.uint8: 1}.get(dtype, 2.0)
    tolerance = steps if name in ("blend", "cutout", "rotation") else 0
    assert (result.double() - expected.double()).abs().max() <= tolerance


@pytest.mark.parametrize("name", sorted(F.__all__))
def test_the_generator_of_the_device_is_honoured(name):
    x = batch(size=16).cuda()
    generator = torch.Generator("cuda").manual_seed(1)
    first, second = (getattr(F, name)(x, generator=generator) for _ in range(2))
    again = getattr(F, name)(x, generator=torch.Generator("cuda").manual_seed(1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not (first == x).flatten(1).all(dim=1).any()
    with pytest.raises(ValueError, match=r"generator is on cpu and the batch on cuda:0.*torch.Generator\('cuda:0'\)"):
        getattr(F, name)(x, generator=torch.Generator())


@pytest.mark.parametrize("name", [*sorted(F.__all__), "9 tiles", "RandomNegative", "Curriculum"])
def test_nothing_waits_for_the_device(name):
    x = batch(size=18).cuda()
    configs = {
        "9 tiles": dict(type="Jigsaw", grid=3),
        "RandomNegative": dict(type="RandomNegative", negatives=[dict(type="Jigsaw"), dict(type="Stitch")]),
        "Curriculum": dict(type="Curriculum", milestones=[(0, dict(type="Jigsaw", grid=3))]),
    }
    make = functools.partial(build_negative(configs[name]).cuda() if name in configs else getattr(F, name), x)
    make()
    torch.cuda.set_sync_debug_mode("error")
    try:
        make()
    finally:
        torch.cuda.set_sync_debug_mode("default")
