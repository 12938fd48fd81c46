"""The order of frames."""

import itertools

import pytest
import torch
from tiny_pixels import assert_equally_likely, channels_last, numbered, seeded

from nda_mm import functional as F
from nda_mm.functional.temporal import apply_order


def test_all_orders_of_three_chunks_match_the_loop():
    permutations = torch.tensor(list(itertools.permutations(range(3))))
    x = numbered(6, 2, 6, 2, 3)
    expected = torch.stack(
        [torch.cat([clip[:, 2 * k : 2 * k + 2] for k in order], dim=1) for clip, order in zip(x, permutations.tolist())]
    )
    for batch in (x, channels_last(x)):
        assert torch.equal(apply_order(batch, permutations), expected)


def test_all_other_orders_are_equally_likely():
    x = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(23 * 200, 1, 4, 1, 1)
    orders = map(tuple, F.shuffle_frames(x, generator=seeded()).flatten(1).int().tolist())
    assert_equally_likely(orders, list(itertools.permutations(range(4)))[1:])


def test_chunks_stay_together():
    x = torch.arange(6.0).view(1, 1, 6, 1, 1)
    assert F.shuffle_frames(x, chunks=2).flatten().tolist() == [3, 4, 5, 0, 1, 2]


def test_what_has_no_order_is_refused():
    for x, chunks in (((2, 3, 8, 8), None), ((2, 3, 1, 8, 8), None), ((2, 3, 8, 4, 4), 5), ((2, 3, 8, 4, 4), 1)):
        with pytest.raises(ValueError, match="clips|chunks|shape"):
            F.shuffle_frames(torch.rand(x), chunks)
