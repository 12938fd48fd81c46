"""Images of another data set, halves of them and whole."""

from collections import Counter

import pytest
import torch
from scipy import stats

from nda_mm.negatives import ForeignImage, ForeignStitch


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


GREY = torch.tensor([[0.0, 51.0], [102.0, 255.0]], dtype=torch.float64)  # 0, 1/5, 2/5, 1 of the range


@pytest.mark.parametrize(("dtype", "settings", "expected"), [
    (torch.uint8, {}, [0, 51, 102, 255]),
    (torch.float32, {}, [-1.0, -0.6, -0.2, 1.0]),
    (torch.float64, dict(value_range=(0, 1)), [0.0, 0.2, 0.4, 1.0]),
])  # fmt: skip
@pytest.mark.parametrize("source", ["uint8", "float"])
def test_foreign_images_take_the_range_of_the_batch(dtype, settings, expected, source):
    images = GREY.view(1, 1, 2, 2)
    images = images.to(torch.uint8) if source == "uint8" else images / 255
    negative = ForeignStitch(images, images_range=None if source == "uint8" else (0, 1), **settings)
    drawn = negative.draw(torch.zeros(3, 3, 2, 2, dtype=dtype))
    assert drawn.shape == (3, 3, 2, 2)
    assert drawn.dtype == dtype
    assert drawn[2, 1].flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_foreign_half_is_foreign_and_own_half_is_own():
    foreign = torch.arange(10, 20, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 1, 4, 4)
    x = torch.zeros(400, 1, 4, 4, dtype=torch.uint8)
    out = ForeignStitch(foreign)(x, generator=seeded())
    taken = out != 0
    assert torch.equal(taken.flatten(1).sum(dim=1), torch.full((400,), 8))
    colours = Counter(out.flatten(1).amax(dim=1).tolist())
    assert set(colours) == set(range(10, 20))
    assert stats.chisquare(list(colours.values())).pvalue > 0.01
    assert torch.equal(out, ForeignStitch(foreign)(x, generator=seeded()))
    assert not ForeignStitch(foreign).needs_partner


def test_foreign_images_are_resized_and_repeated_along_a_clip():
    negative = ForeignStitch(torch.full((2, 1, 9, 5), 255, dtype=torch.uint8))
    out = negative(torch.full((1, 3, 4, 6, 8), -1.0), generator=seeded())
    assert out.unique().tolist() == [-1.0, 1.0]
    assert all(torch.equal(out[:, :, 0], out[:, :, frame]) for frame in range(4))


def test_foreign_images_move_with_the_module_but_not_into_checkpoints():
    negative = ForeignStitch(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    assert negative.state_dict() == {}
    with pytest.raises(ValueError, match=r"foreign images are on meta and the batch on cpu; move .* \.to\('cpu'\)"):
        negative.to("meta")(torch.rand(1, 3, 4, 4))


def test_foreign_images_of_unknown_range_or_wrong_channels_are_refused():
    with pytest.raises(ValueError, match=r"say which by images_range=\(0, 1\)"):
        ForeignStitch(torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match="value_range must be two different values"):
        ForeignStitch(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), value_range=(1, 1))
    with pytest.raises(ValueError, match="batch has 1 channels and the foreign images 3"):
        ForeignStitch(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))(torch.rand(2, 1, 4, 4))
    with pytest.raises(ValueError, match="1 or 3 channels, but got"):
        ForeignStitch(torch.zeros(2, 4, 4, 3, dtype=torch.uint8))
    with pytest.raises(TypeError, match=r"uint8 or floating tensor .* got torch\.int64"):
        ForeignStitch(torch.zeros(2, 3, 4, 4, dtype=torch.int64))


def test_whole_foreign_images_are_drawn_alike_often_and_nothing_of_the_batch_is_left():
    foreign = torch.arange(10, 20, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 1, 4, 4)
    x = torch.zeros(400, 3, 4, 4, dtype=torch.uint8)
    out = ForeignImage(foreign)(x, generator=seeded())
    assert out.shape == x.shape and out.is_contiguous()
    assert torch.equal(out.flatten(1).amin(dim=1), out.flatten(1).amax(dim=1))  # each is one of them
    drawn = Counter(out[:, 0, 0, 0].tolist())
    assert set(drawn) == set(range(10, 20))
    assert stats.chisquare(list(drawn.values())).pvalue > 0.01
    assert torch.equal(out, ForeignImage(foreign)(x, generator=seeded()))
    assert len(ForeignImage(foreign)(x[:1])) == 1  # needs no partner


def test_a_data_set_that_breaks_the_rule_is_read_from_its_config():
    pytest.importorskip("sklearn")
    from nda_mm.datasets import Numerosity

    settings = dict(split="train", counts=[1, 3], size=20, num_images=12)
    negative = ForeignImage(dict(type="nda_mm.Numerosity", **settings))
    out = negative(torch.zeros(50, 3, 20, 20), generator=seeded())
    known = {(image.astype("float32") / 127.5 - 1).round(4).tobytes() for image in Numerosity(**settings).images}
    made = {image.permute(1, 2, 0).numpy().round(4).tobytes() for image in out}
    assert len(made) > 6 and made <= known
