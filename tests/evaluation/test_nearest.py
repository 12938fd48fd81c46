"""Searches against all pairs, precision and recall in exact arithmetic, kNN against scikit-learn."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from nda_mm.evaluation import knn_scores, nearest, precision_recall
from nda_mm.evaluation.nearest import knn_distances, nearest_neighbors, topk_hits

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def normal(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("chunk", "exclude_self"), [(1 << 24, False), (100, True)])
def test_the_nearest_is_that_of_all_pairs_in_double_precision(monkeypatch, chunk: int, exclude_self: bool) -> None:
    monkeypatch.setattr(nearest, "_CHUNK", chunk)
    points = normal(40, 7, 0).float() + 100
    exclude = torch.arange(40) if exclude_self else None
    distances, indices = nearest_neighbors(points, points, exclude)
    pairs = (points.double()[:, None] - points.double()[None]).norm(dim=2)
    if exclude_self:
        pairs.fill_diagonal_(torch.inf)
    expected = pairs.min(dim=1)
    assert torch.equal(indices, expected.indices)
    torch.testing.assert_close(distances.double(), expected.values, rtol=1e-5, atol=1e-5)


def test_small_distances_do_not_drown() -> None:
    far = normal(50, 3000, 0).float()
    distances, indices = nearest_neighbors(far + 1e-4, far)
    torch.testing.assert_close(distances, torch.full((50,), 1e-4 * 3000**0.5), rtol=1e-2, atol=0)
    assert indices.tolist() == list(range(50))


def precision_recall_by_loops(real: torch.Tensor, fake: torch.Tensor, k: int) -> tuple[float, float]:
    """Kynkaanniemi et al., section 2, word by word, in rational numbers: no rounding, so ties are ties."""
    sets = [[[Fraction(value) for value in row] for row in features.tolist()] for features in (real, fake)]

    def distance(x: list[Fraction], y: list[Fraction]) -> Fraction:
        return sum(((a - b) ** 2 for a, b in zip(x, y)), Fraction(0))

    def covered(points: list, manifold: list) -> float:
        reach = [
            sorted(distance(x, y) for place, y in enumerate(manifold) if place != own)[k - 1]
            for own, x in enumerate(manifold)
        ]
        inside = [any(distance(point, x) <= radius for x, radius in zip(manifold, reach)) for point in points]
        return sum(inside) / len(inside)

    return covered(sets[1], sets[0]), covered(sets[0], sets[1])


def lattice(count: int, low: int, seed: int) -> torch.Tensor:
    """Points of a coarse lattice, far from the origin: most distances tie, and many points come twice."""
    return torch.randint(low, low + 6, (count, 3), generator=torch.Generator().manual_seed(seed)).half() + 100


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("real", "fake", "k", "chunk"),
    [
        (normal(33, 3, 0), 0.7 * normal(21, 3, 1) + 0.5, 1, 100),
        (lattice(30, 0, 0), lattice(25, 2, 1), 2, 1 << 24),
    ],
    ids=["normal", "ties"],
)
def test_precision_and_recall_are_those_of_exact_arithmetic(monkeypatch, device, real, fake, k, chunk):
    monkeypatch.setattr(nearest, "_CHUNK", chunk)
    expected = precision_recall_by_loops(real, fake, k)
    assert precision_recall(real.to(device), fake.to(device), k=k) == pytest.approx(expected)
    assert 0 < min(expected) <= max(expected) < 1


def classes(count: int, number: int, seed: int) -> torch.Tensor:
    return torch.randint(number, (count,), generator=torch.Generator().manual_seed(seed))


class TestKNN:
    def test_scikit_learn_predicts_the_same(self, monkeypatch):
        monkeypatch.setattr(nearest, "_CHUNK", 100)
        queries, bank, labels = normal(200, 8, 3), normal(500, 8, 4), classes(500, 5, 5)
        classifier = KNeighborsClassifier(
            n_neighbors=20,
            metric="cosine",
            algorithm="brute",
            weights=lambda distance: torch.tensor(-distance).div(0.07).exp().numpy(),
        )
        classifier.fit(bank.numpy(), labels.numpy())
        votes = knn_scores(queries, bank, labels, 5, k=20, temperature=0.07)
        assert votes.argmax(dim=1).tolist() == classifier.predict(queries.numpy()).tolist()
        theirs = torch.from_numpy(classifier.predict_proba(queries.numpy()))
        torch.testing.assert_close(votes / votes.sum(dim=1, keepdim=True), theirs, rtol=1e-8, atol=1e-10)

    def test_ties_at_the_last_place_share_it_whatever_the_order(self):
        """One nearest of class 0; three equal ones of classes 1, 2, 2 for the two places left."""
        bank = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, -1.0], [-1.0, 0.0]], dtype=torch.float64)
        labels = torch.tensor([0, 1, 2, 2, 1])
        query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        expected = [1.0, 2 / 3 * math.exp(-2), 4 / 3 * math.exp(-2)]
        for order in ([0, 1, 2, 3, 4], [3, 4, 2, 0, 1], [4, 2, 1, 3, 0]):
            votes = knn_scores(query, bank[order], labels[order], 3, k=3, temperature=0.5)
            assert votes[0].tolist() == pytest.approx(expected)

    def test_an_excluded_entry_has_no_vote(self):
        bank, labels = normal(30, 4, 12), classes(30, 3, 13)
        votes = knn_scores(bank, bank, labels, 3, k=5, exclude=torch.arange(30))
        for index in range(30):
            others = torch.arange(30) != index
            alone = knn_scores(bank[index : index + 1], bank[others], labels[others], 3, k=5)
            torch.testing.assert_close(votes[index : index + 1], alone)


def test_a_near_duplicates_distance_is_not_rounded():
    """As a product of unit vectors it would be."""
    queries, bank = normal(9, 6, seed=0), 7 * normal(40, 6, seed=1)
    queries[0] = 3 * bank[5] + 1e-4
    units = [features / features.norm(dim=1, keepdim=True) for features in (queries, bank)]
    expected = torch.cdist(*units, compute_mode="donot_use_mm_for_euclid_dist").sort(dim=1).values
    for k in (1, 4, 40):
        found = knn_distances(queries.float(), bank.float(), k=k)
        torch.testing.assert_close(found.double(), expected[:, k - 1], rtol=1e-3, atol=1e-6)


def test_hits_count_places_and_equal_scores_stand_in_label_order():
    scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    assert topk_hits(scores, torch.tensor([1, 0, 1, 2]), (1, 2, 3)) == [2, 3, 4]


def test_bad_input_is_refused():
    good, labels = normal(6, 3, 0), torch.zeros(6, dtype=torch.long)
    for name, call in (
        ("references", lambda: nearest_neighbors(good, torch.zeros(4, 2))),
        ("references", lambda: nearest_neighbors(good, torch.zeros(0, 3))),
        ("fake", lambda: precision_recall(good, torch.full((4, 3), math.nan), k=1)),
        ("bank", lambda: knn_scores(good, torch.zeros(4), labels, 1, k=1)),
        ("labels", lambda: knn_scores(good, good, labels[:2], 1, k=1)),
        ("temperature", lambda: knn_scores(good, good, labels, 1, k=1, temperature=0.0)),
        ("k must", lambda: knn_scores(good, good, labels, 1, k=7)),
        ("k must", lambda: knn_distances(good, good, k=0)),
        ("k must", lambda: precision_recall(good, good, k=6)),
    ):
        with pytest.raises(ValueError, match=name):
            call()
