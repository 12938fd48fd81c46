"""Each negative binds the settings of its function and refuses those that will not do."""

import copy
import inspect

import pytest
import torch

from nda_mm import functional as F
from nda_mm.negatives import (
    Curriculum,
    CutMix,
    Cutout,
    ExternalStitch,
    Jigsaw,
    Mixup,
    Patches,
    RandomNegative,
    Rotate,
    Shift,
    ShuffleFrames,
    Stitch,
    TileMix,
    build_negative,
)

BOUND = [
    (Jigsaw(grid=(1, 4)), lambda x, g: F.jigsaw(x, (1, 4), generator=g)),
    (Stitch(), lambda x, g: F.stitch(x, generator=g)),
    (Mixup(alpha=3, min_share=0.2), lambda x, g: F.mixup(x, 3.0, min_share=0.2, generator=g)),
    (CutMix(beta=2, min_area=0.2), lambda x, g: F.cutmix(x, 2.0, 0.2, generator=g)),
    (Cutout(size=(0.5, 0.9)), lambda x, g: F.cutout(x, (0.5, 0.9), generator=g)),
    (Rotate(degrees=60), lambda x, g: F.rotate(x, 60.0, generator=g)),
    (Shift(share=(0.1, 0.9)), lambda x, g: F.shift(x, (0.1, 0.9), generator=g)),
    (TileMix(grid=(2, 4)), lambda x, g: F.tilemix(x, (2, 4), generator=g)),
    (Patches(size=(0.25, 0.5)), lambda x, g: F.patches(x, (0.25, 0.5), generator=g)),
    (ShuffleFrames(chunks=2), lambda x, g: F.shuffle_frames(x, 2, generator=g)),
]
NAMES = [type(negative).__name__ for negative, _ in BOUND]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(batch=4):
    return torch.rand(batch, 3, 4, 8, 8, generator=seeded(9))


@pytest.mark.parametrize(("negative", "function"), BOUND, ids=NAMES)
def test_a_negative_is_its_function_with_settings(negative, function):
    assert torch.equal(negative(clips(), generator=seeded(3)), function(clips(), seeded(3)))


@pytest.mark.parametrize("cls", [type(negative) for negative, _ in BOUND if not isinstance(negative, Stitch)])
def test_the_defaults_are_those_of_the_function(cls):
    function = F.shuffle_frames if cls is ShuffleFrames else getattr(F, cls.__name__.lower())
    of_class, of_function = (inspect.signature(each).parameters for each in (cls, function))
    assert {name: each.default for name, each in of_class.items()} == {
        name: each.default for name, each in of_function.items() if name not in ("x", "other", "generator")
    }


@pytest.mark.parametrize("negative", [negative for negative, _ in BOUND], ids=NAMES)
def test_a_negative_survives_copying_and_its_state_is_empty(negative):
    twin = copy.deepcopy(negative)
    twin.load_state_dict(negative.state_dict())
    assert repr(twin) == repr(negative)
    assert torch.equal(twin(clips(), generator=seeded()), negative(clips(), generator=seeded()))
    assert negative.state_dict() == {}


def test_only_those_that_join_two_samples_need_a_partner():
    joining = [name for (each, _), name in zip(BOUND, NAMES) if each.needs_partner]
    assert joining == ["Stitch", "Mixup", "CutMix", "TileMix"]
    for negative, _ in BOUND:
        if isinstance(negative, TileMix):
            with pytest.raises(ValueError, match="two other images"):
                negative(clips(2))
            with pytest.raises(ValueError, match="one partner is too few"):
                negative(clips(4), other=1 - clips(4))
        elif negative.needs_partner:
            with pytest.raises(ValueError, match="batch has one sample"):
                negative(clips(1))
            assert negative(clips(1), other=1 - clips(1)).shape == clips(1).shape
        else:
            assert negative(clips(1)).shape == clips(1).shape


@pytest.mark.parametrize(("settings", "error", "message"), [
    (dict(type="Jigsaw", grid=1), ValueError, "grid"),
    (dict(type="Mixup", alpha=0), ValueError, "alpha"),
    (dict(type="Mixup", min_share=0.01), ValueError, "min_share"),
    (dict(type="CutMix", beta=-1), ValueError, "beta"),
    (dict(type="CutMix", min_area=[0.1]), TypeError, "min_area"),
    (dict(type="Cutout", size=(0.6, 0.3)), ValueError, "size"),
    (dict(type="Rotate", degrees=(0, 90)), ValueError, "degrees"),
    (dict(type="Shift", share=(0.5, 2)), ValueError, "share"),
    (dict(type="ShuffleFrames", chunks=1), ValueError, "chunks"),
    (dict(type="TileMix", grid=1), ValueError, "grid"),
    (dict(type="Patches", size=(0.1, 0.9)), ValueError, "size"),
])  # fmt: skip
def test_settings_are_refused_when_it_is_built(settings, error, message):
    with pytest.raises(error, match=message):
        build_negative(settings)


@pytest.mark.parametrize(("negative", "size", "message"), [
    (Jigsaw(3), (32, 32), "does not divide"), (Stitch(), (1, 8), "2 x 2"), (CutMix(), (1, 8), "no box"),
    (Cutout(), (8, 1), "2 x 2"), (Rotate(), (1, 8), "2 x 2"), (Shift(), (8, 1), "got one of 1"),
    (TileMix(3), (32, 32), "does not divide"), (Patches(), (3, 9), "4 x 4"),
    (ShuffleFrames(3), (8, 8, 4), "do not divide clips of 4"),
    (RandomNegative([Jigsaw(), Jigsaw(3)]), (32, 32), "does not divide"),
    (Curriculum([(0, Jigsaw(4)), (9, Jigsaw(3))]), (32, 32), "does not divide"),
    (ExternalStitch(torch.zeros(1, 1, 2, 2, dtype=torch.uint8)), (1, 4), "2 x 2"),
])  # fmt: skip
def test_sizes_are_refused_before_training(negative, size, message):
    negative.check_size(36, 36, 6)
    with pytest.raises(ValueError, match=message):
        negative.check_size(*size)
