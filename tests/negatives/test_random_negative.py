"""One of several negatives for every sample."""

from collections import Counter

import pytest
import torch
from scipy import stats

from nda_mm import functional as F
from nda_mm.negatives import Curriculum, Negative, RandomNegative

JIGSAW, STITCH, CUTOUT = dict(type="Jigsaw"), dict(type="Stitch"), dict(type="Cutout")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Paint(Negative):
    """Paints a batch in one colour; says which negative made a sample."""

    def __init__(self, colour):
        super().__init__()
        self.colour = colour

    def make(self, x, other, generator):
        return torch.full_like(x, self.colour)


def test_random_negative_gives_every_sample_one_kind_by_weight():
    negative = RandomNegative([Paint(1), Paint(2), Paint(3)], weights=[1, 2, 5])
    out = negative(torch.zeros(8000, 1, 2, 2), generator=seeded()).flatten(1)
    assert torch.equal(out.amin(dim=1), out.amax(dim=1))
    counts = Counter(out[:, 0].int().tolist())
    assert stats.chisquare([counts[1], counts[2], counts[3]], [1000, 2000, 5000]).pvalue > 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.uint8])
@pytest.mark.parametrize("batch", [2, 5])
def test_random_negative_takes_each_sample_from_the_whole_batchs_negatives(dtype, batch):
    x = (torch.rand(batch, 3, 8, 8, generator=seeded(1)) * 255).to(dtype).contiguous(memory_format=torch.channels_last)
    negative = RandomNegative([JIGSAW, STITCH])
    out = negative(x, generator=seeded(2))
    generator = seeded(2)
    choice = (torch.rand(batch, generator=generator) >= 0.5).int()
    made = [F.jigsaw(x, generator=generator), F.stitch(x, generator=generator)]
    assert torch.equal(out, torch.stack([made[kind][sample] for sample, kind in enumerate(choice.tolist())]))
    assert out.dtype == dtype
    assert out.stride() == x.stride()


def test_random_negative_needs_partners_if_one_part_does():
    assert RandomNegative([JIGSAW, STITCH]).needs_partner
    assert not RandomNegative([JIGSAW, CUTOUT]).needs_partner
    with pytest.raises(ValueError, match="stitch joins each sample with another"):
        RandomNegative([JIGSAW, STITCH])(torch.rand(1, 3, 8, 8))
    assert RandomNegative([JIGSAW, CUTOUT])(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_no_value_is_looked_at_on_the_host():
    x = torch.empty(4, 3, 8, 8, device="meta")
    assert RandomNegative([JIGSAW, STITCH, CUTOUT])(x).is_meta


def test_it_reorders_frames_if_one_part_does():
    shuffle = dict(type="ShuffleFrames")
    assert RandomNegative([JIGSAW, shuffle]).reorders_frames
    assert not RandomNegative([JIGSAW, CUTOUT]).reorders_frames
    assert Curriculum([(0, JIGSAW), (5, shuffle)]).reorders_frames
