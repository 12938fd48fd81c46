"""Draws: never the identity, the rest equally likely, from the generator that was given."""

import itertools

import pytest
import torch
from scipy import stats
from tiny_pixels import assert_equally_likely, seeded

from nda_mm.functional import sampling
from nda_mm.functional.sampling import (
    permutation_table,
    random_beta,
    random_integers,
    random_partners,
    random_permutations,
)

CPU = torch.device("cpu")


def test_the_table_lists_all_permutations_in_order():
    assert list(map(tuple, permutation_table(8, CPU).tolist())) == list(itertools.permutations(range(8)))


@pytest.mark.parametrize("length", [3, 4])
def test_every_permutation_but_the_identity_is_equally_likely(length):
    others = list(itertools.permutations(range(length)))[1:]
    drawn = random_permutations(500 * len(others), length, generator=seeded())
    assert_equally_likely(map(tuple, drawn.tolist()), others)


def test_long_permutations_put_every_element_everywhere_alike():
    length = 9
    drawn = random_permutations(20000, length, generator=seeded())
    assert torch.equal(drawn.sort(dim=1).values, torch.arange(length).expand_as(drawn))
    assert not (drawn == torch.arange(length)).all(dim=1).any()
    for place in range(length):
        assert_equally_likely(drawn[:, place].tolist(), range(length), 1e-4)


def test_a_long_identity_is_moved_and_nothing_else():
    identity, other = torch.arange(10), torch.arange(10).flip(0)
    tail = torch.tensor([[1, 0, 2], [1, 2, 0]])
    moved = sampling._move_the_unmoved(torch.stack((identity, other)), tail)
    assert moved.tolist() == [[0, 1, 2, 3, 4, 5, 6, 8, 7, 9], other.tolist()]


def test_the_table_serves_gradients_after_inference_mode():
    permutation_table.cache_clear()
    with torch.inference_mode():
        random_permutations(2, 5)
    x = torch.rand(120, 5, requires_grad=True)
    x.gather(1, permutation_table(5, CPU)).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_partners_form_one_cycle_and_all_cycles_are_equally_likely():
    cycles = [p for p in itertools.permutations(range(4)) if p[0] != 0 and p[p[0]] != 0 and p[p[p[0]]] != 0]
    generator = seeded()
    assert len(cycles) == 6
    assert_equally_likely((tuple(random_partners(4, generator=generator).tolist()) for _ in range(3000)), cycles)
    with pytest.raises(ValueError, match="batch"):
        random_partners(1)


@pytest.mark.parametrize("concentration", [0.2, 1.0, 25.0])
def test_beta_draws_follow_the_beta_distribution(concentration):
    draws = random_beta(concentration, 20000, generator=seeded(1)).double().numpy()
    assert ((draws >= 0) & (draws <= 1)).all()
    # Near 0 and 1 a small concentration gathers more draws than float32 can tell apart; compare on a grid.
    points = [0.01, 0.1, 0.25, 0.4, 0.45, 0.5, 0.52, 0.6, 0.75, 0.9, 0.99]
    share = [(draws <= point).mean() for point in points]
    assert share == pytest.approx(stats.beta(concentration, concentration).cdf(points), abs=0.012)
    if concentration >= 1:
        assert stats.kstest(draws, stats.beta(concentration, concentration).cdf).pvalue > 0.01


def test_integers_include_both_bounds_and_follow_bounds_per_sample():
    same = random_integers(3, 5, 3000, like=torch.zeros(1), generator=seeded())
    assert_equally_likely(same.tolist(), [3, 4, 5])
    high = torch.arange(2000) % 4
    each = random_integers(0, high, 2000, like=high, generator=seeded())
    assert (each >= 0).all() and (each <= high).all()
    assert_equally_likely(each[high == 3].tolist(), range(4))
