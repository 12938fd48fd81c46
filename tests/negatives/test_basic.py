"""Each negative binds the settings of its function and refuses those that will not do."""

import inspect
import math

import pytest
import torch
from tiny_pixels import seeded

from nda_mm import functional as F
from nda_mm import negatives as N

BOUND = [
    (N.Jigsaw(grid=(1, 4)), lambda x, g: F.jigsaw(x, (1, 4), generator=g)),
    (N.Stitch(), lambda x, g: F.stitch(x, generator=g)),
    (N.Mixup(alpha=3, min_share=0.2), lambda x, g: F.mixup(x, 3.0, min_share=0.2, generator=g)),
    (N.CutMix(beta=2, min_area=0.2), lambda x, g: F.cutmix(x, 2.0, 0.2, generator=g)),
    (N.Cutout(size=(0.5, 0.9)), lambda x, g: F.cutout(x, (0.5, 0.9), generator=g)),
    (N.Rotate(degrees=60), lambda x, g: F.rotate(x, 60.0, generator=g)),
    (N.Shift(share=(0.1, 0.9)), lambda x, g: F.shift(x, (0.1, 0.9), generator=g)),
    (N.TileMix(grid=(2, 4)), lambda x, g: F.tilemix(x, (2, 4), generator=g)),
    (N.Patches(size=(0.25, 0.5)), lambda x, g: F.patches(x, (0.25, 0.5), generator=g)),
    (N.ShuffleFrames(chunks=2), lambda x, g: F.shuffle_frames(x, 2, generator=g)),
]
NAMES = [type(negative).__name__ for negative, _ in BOUND]


def clips(batch=4):
    return torch.rand(batch, 3, 4, 8, 8, generator=seeded(9))


@pytest.mark.parametrize(("negative", "function"), BOUND, ids=NAMES)
def test_a_negative_is_its_function_with_settings(negative, function):
    assert torch.equal(negative(clips(), generator=seeded(3)), function(clips(), seeded(3)))
    assert negative.state_dict() == {}


def test_the_defaults_are_those_of_the_function():
    for cls in (type(negative) for negative, _ in BOUND):
        function = F.shuffle_frames if cls is N.ShuffleFrames else getattr(F, cls.__name__.lower())
        of_class, of_function = (inspect.signature(each).parameters for each in (cls.__init__, function))
        assert {name: each.default for name, each in of_class.items() if cls is not N.Stitch and name != "self"} == {
            name: each.default for name, each in of_function.items() if name not in ("x", "other", "generator")
        }


def test_only_those_that_join_two_samples_need_a_partner():
    joining = [name for (each, _), name in zip(BOUND, NAMES) if each.needs_partner]
    assert joining == ["Stitch", "Mixup", "CutMix", "TileMix"]
    for negative, _ in BOUND:
        if isinstance(negative, N.TileMix):
            with pytest.raises(ValueError, match="batch"):
                negative(clips(2))
            with pytest.raises(ValueError, match="TileMix"):
                negative(clips(4), other=1 - clips(4))
        elif negative.needs_partner:
            with pytest.raises(ValueError, match="one sample"):
                negative(clips(1))
            assert negative(clips(1), other=1 - clips(1)).shape == clips(1).shape
        else:
            assert negative(clips(1)).shape == clips(1).shape


def test_settings_are_refused_when_it_is_built():
    for kind, settings in (
        ("Jigsaw", dict(grid=1)), ("Mixup", dict(alpha=0)), ("Mixup", dict(min_share=0.01)), ("CutMix", dict(beta=-1)),
        ("CutMix", dict(min_area=0)), ("Cutout", dict(size=(0.6, 0.3))), ("Rotate", dict(degrees=(0, 90))),
        ("Shift", dict(share=(0.5, 2))), ("ShuffleFrames", dict(chunks=1)), ("TileMix", dict(grid=1)),
        ("Patches", dict(size=(0.1, 0.9))),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(settings))):
            N.build_negative(dict(type=kind, **settings))


@pytest.mark.parametrize(("negative", "size"), [
    (N.Jigsaw(3), (32, 32)), (N.Stitch(), (1, 8)), (N.CutMix(), (1, 8)), (N.Cutout(), (8, 1)), (N.Rotate(), (1, 8)),
    (N.Shift(), (8, 1)), (N.TileMix(3), (32, 32)), (N.Patches(), (3, 9)), (N.ShuffleFrames(3), (8, 8, 4)),
    (N.RandomNegative([N.Jigsaw(), N.Jigsaw(3)]), (32, 32)),
    (N.Curriculum([(0, N.Jigsaw(4)), (9, N.Jigsaw(3))]), (32, 32)),
    (N.ExternalStitch(torch.zeros(1, 1, 2, 2, dtype=torch.uint8)), (1, 4)),
])  # fmt: skip
def test_sizes_are_refused_before_training_as_by_the_negative_itself(negative, size):
    negative.check_size(36, 36, 6)
    with pytest.raises(ValueError, match=str(min(size))) as before:
        negative.check_size(*size)
    if not list(negative.parts()):
        height, width, *frames = size
        with pytest.raises(ValueError) as itself:
            negative(torch.rand(3, 1, *frames, height, width))
        assert str(itself.value) == str(before.value)


@pytest.mark.parametrize("degrees", [22.5, 300])
def test_turned_points_are_multiplied_by_a_unit_number_to_either_side(degrees):
    x = torch.randn(500, 1, 1, 2, dtype=torch.float64, generator=seeded(1))
    out = N.TurnPoints(degrees)(x, generator=seeded())
    before, after = torch.view_as_complex(x.reshape(-1, 2)), torch.view_as_complex(out.reshape(-1, 2).contiguous())
    turn = torch.angle(after / before)
    side = math.remainder(math.radians(degrees), 2 * math.pi)
    torch.testing.assert_close(after.abs(), before.abs())
    torch.testing.assert_close(turn.abs(), torch.full_like(turn, abs(side)))
    assert 0.4 < (turn > 0).double().mean() < 0.6
    assert torch.equal(out, N.TurnPoints(degrees)(x, generator=seeded()))


def test_what_is_no_point_is_not_turned():
    for degrees in (0, 359):
        with pytest.raises(ValueError, match="degrees"):
            N.TurnPoints(degrees)
    for x in (torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 1, 2, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="points"):
            N.TurnPoints()(x)
