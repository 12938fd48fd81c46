"""Weighted kNN against a slow loop in float64, a case by hand, and scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch

from nda_mm.evaluation.knn import knn_scores, topk_hits


def features(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(count: int, number: int, seed: int) -> torch.Tensor:
    return torch.randint(number, (count,), generator=torch.Generator().manual_seed(seed))


def by_loops(queries, bank, labels, number, k, temperature):
    """Wu et al., section 3.4, word by word; no ties in the data."""

    def cosine(x, y):
        return sum(a * b for a, b in zip(x, y)) / math.hypot(*x) / math.hypot(*y)

    rows = []
    for query in queries.tolist():
        similar = sorted(((cosine(query, entry), label) for entry, label in zip(bank.tolist(), labels.tolist())))[::-1]
        votes = [0.0] * number
        for similarity, label in similar[:k]:
            votes[label] += math.exp(similarity / temperature)
        rows.append([vote / math.exp(similar[0][0] / temperature) for vote in votes])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 7, 40])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("chunk_elements", [1, 100, 1 << 24])
def test_votes_equal_the_loop(k, temperature, chunk_elements):
    queries, bank, labels = features(11, 6, 0), features(40, 6, 1), classes(40, 4, 2)
    votes = knn_scores(queries, bank, labels, 4, k=k, temperature=temperature, chunk_elements=chunk_elements)
    torch.testing.assert_close(votes, by_loops(queries, bank, labels, 4, k, temperature), rtol=1e-10, atol=1e-12)


def test_a_case_by_hand():
    """Angles of 0, 60 and 90 degrees: votes 1, e^(-0.5/0.5) and, for k = 3, e^(-1/0.5)."""
    bank = torch.tensor([[3.0, 0.0], [1.0, math.sqrt(3)], [0.0, 0.1]], dtype=torch.float64)
    query = torch.tensor([[0.5, 0.0]], dtype=torch.float64)
    labels = torch.tensor([2, 0, 0])
    two = knn_scores(query, bank, labels, 3, k=2, temperature=0.5)
    assert two[0].tolist() == pytest.approx([math.exp(-1), 0, 1])
    three = knn_scores(query, bank, labels, 3, k=3, temperature=0.5)
    assert three[0].tolist() == pytest.approx([math.exp(-1) + math.exp(-2), 0, 1])


def test_scikit_learn_predicts_the_same():
    neighbors = pytest.importorskip("sklearn.neighbors")
    queries, bank, labels = features(200, 8, 3), features(500, 8, 4), classes(500, 5, 5)
    temperature = 0.07
    classifier = neighbors.KNeighborsClassifier(
        n_neighbors=20,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: torch.tensor(-distance).div(0.07).exp().numpy(),
    )
    classifier.fit(bank.numpy(), labels.numpy())
    votes = knn_scores(queries, bank, labels, 5, k=20, temperature=temperature)
    assert votes.argmax(dim=1).tolist() == classifier.predict(queries.numpy()).tolist()
    theirs = torch.from_numpy(classifier.predict_proba(queries.numpy()))
    torch.testing.assert_close(votes / votes.sum(dim=1, keepdim=True), theirs, rtol=1e-8, atol=1e-10)


def test_ties_at_the_last_place_share_it_whatever_the_order():
    """One nearest of class 0; three equal ones of classes 1, 2, 2 for the two places left."""
    bank = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, -1.0], [-1.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 2, 1])
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    expected = [1.0, 2 / 3 * math.exp(-2), 4 / 3 * math.exp(-2)]
    for order in ([0, 1, 2, 3, 4], [3, 4, 2, 0, 1], [4, 2, 1, 3, 0]):
        votes = knn_scores(query, bank[order], labels[order], 3, k=3, temperature=0.5)
        assert votes[0].tolist() == pytest.approx(expected)


def test_a_small_temperature_leaves_the_nearest_alone_and_stays_finite():
    queries, bank, labels = features(9, 4, 6), features(30, 4, 7), classes(30, 3, 8)
    votes = knn_scores(queries, bank, labels, 3, k=30, temperature=1e-5)
    nearest = (torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(bank).T).argmax(dim=1)
    assert bool(votes.isfinite().all())
    assert votes.argmax(dim=1).tolist() == labels[nearest].tolist()


def test_half_precision_is_computed_in_float32_and_the_input_is_left_alone():
    queries, bank, labels = features(5, 4, 9).half(), features(20, 4, 10).half(), classes(20, 3, 11)
    before = queries.clone(), bank.clone()
    votes = knn_scores(queries, bank, labels, 3, k=5)
    assert votes.dtype == torch.float32
    assert torch.equal(votes, knn_scores(queries.float(), bank.float(), labels, 3, k=5))
    assert torch.equal(queries, before[0])
    assert torch.equal(bank, before[1])


def test_no_query_no_vote():
    assert knn_scores(features(0, 4, 0), features(3, 4, 1), torch.tensor([0, 1, 1]), 2, k=1).shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(k=4), "k must be from 1 to the size of the bank, 3, but is 4"),
        (dict(k=0), "k must be from 1 to the size of the bank, 3, but is 0"),
        (dict(temperature=0.0), "temperature must be above 0, but is 0.0"),
        (dict(labels=torch.tensor([0, 1, 2])), r"labels must be in \[0, 2\), but reach from 0 to 2"),
        (dict(labels=torch.tensor([0, 1])), r"but got \(2, 4\), \(3, 4\) and \(2,\)"),
        (dict(bank=torch.full((3, 4), math.nan)), "features of bank hold values that are infinite or not a number"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = dict(queries=features(2, 4, 0), bank=features(3, 4, 1), labels=torch.tensor([0, 1, 1]), num_classes=2, k=2)
    with pytest.raises(ValueError, match=message):
        knn_scores(**{**given, **change})


def test_hits_count_places_and_equal_scores_stand_in_label_order():
    scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    assert topk_hits(scores, torch.tensor([1, 0, 1, 2]), (1, 2, 3)) == [2, 3, 4]


def test_hits_agree_with_torchs_topk_where_nothing_ties():
    scores, labels = features(300, 12, 12), classes(300, 12, 13)
    expected = [int((scores.topk(count).indices == labels[:, None]).any(dim=1).sum()) for count in (1, 5)]
    assert topk_hits(scores, labels, (1, 5)) == expected
