"""The dense score against loops over rows and columns in float64, its gradients and what is counted included."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nda_mm.losses import dense_contrast

OUTSIDE = Path(__file__).parents[1] / "data" / "outside"
B, N, C, H, W, M = 3, 2, 5, 2, 3, 2
KINDS = ("positive", "spatial", "temporal", "easy", "negative")


def features(seed: int = 0, scale: float = 1.0) -> list[Tensor]:
    """Predictions, targets and negatives in float64."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(B, N, C, H, W), (B, N, C, H, W), (B, M, N, C, H, W)]
    made = [scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [part.requires_grad_() for part in made]


def by_loop(prediction, target, negatives, weight, own, usable, temperature):
    """The definition as it is written: one row, one column, one channel at a time."""

    def similarity(row: tuple[int, ...], other: Tensor) -> Tensor:
        b, n, y, x = row
        return sum(prediction[b, n, c, y, x] * other[c] for c in range(C)) / temperature

    places = [(y, x) for y in range(H) for x in range(W)]
    cells = [(b, n, y, x) for b in range(B) for n in range(N) for y, x in places]
    total, tops = torch.zeros((), dtype=torch.float64), {1: 0, 3: 0, 5: 0}
    masses = dict.fromkeys(KINDS, 0.0)
    for row in cells:
        b, n, y, x = row
        terms: list[tuple[str, Tensor]] = []
        for other in cells:
            score = torch.exp(similarity(row, target[other[0], other[1], :, other[2], other[3]]))
            if other == row:
                kind = "positive"
            elif other[0] != b:
                kind = "easy"
            else:
                kind = "temporal" if other[2:] == (y, x) else "spatial"
            terms.append((kind, score))
        for m in range(M):
            for yy, xx in places:
                if usable[b, m, n] and (not own or (yy, xx) == (y, x)):
                    terms.append(("negative", weight * torch.exp(similarity(row, negatives[b, m, n, :, yy, xx]))))
        denominator = sum(term for _, term in terms)
        positive = next(term for kind, term in terms if kind == "positive")
        total = total - torch.log(positive / denominator)
        better = sum(bool(term >= positive) for kind, term in terms if kind != "positive")
        for k in tops:
            tops[k] += better < k
        for kind, term in terms:
            masses[kind] += (term / denominator).item()
    shares = {f"{kind}_share": mass / len(cells) for kind, mass in masses.items()}
    return total / len(cells), {**shares, **{f"top{k}_accuracy": hits / len(cells) for k, hits in tops.items()}}


@pytest.mark.parametrize(
    ("weight", "places", "samples_at_once"),
    [(0.3, "all", 1), (2.5, "own", None), (1.0, "own", 2)],
)
def test_all_of_it_equals_the_loop(weight, places, samples_at_once):
    parts, copies = features(), features()
    usable = torch.ones(B, M, N, dtype=torch.bool)
    usable[1, 0, 1] = usable[2, :, 0] = False
    terms = dense_contrast(
        *parts,
        negative_weight=weight,
        negative_places=places,
        usable=usable,
        temperature=0.7,
        samples_at_once=samples_at_once,
    )
    expected, counted = by_loop(*copies, weight, places == "own", usable, 0.7)
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-12)
    assert set(terms) == {"loss", *counted}
    for name, value in counted.items():
        assert terms[name].item() == pytest.approx(value, abs=1e-12), name
        assert not terms[name].requires_grad
    terms["loss"].backward()
    expected.backward()
    for part, copy, name in zip(parts, copies, ("prediction", "target", "negatives")):
        torch.testing.assert_close(part.grad, copy.grad, rtol=1e-9, atol=1e-13, msg=name)


@pytest.mark.parametrize(("name", "samples_at_once"), [("three_blocks", None), ("two_blocks", 1)])
def test_equals_the_authors_dpc(name, samples_at_once):
    kept = torch.load(OUTSIDE / "dpc_loss.pt", weights_only=True)
    case = kept["cases"][name]
    prediction, target = (case[each].clone().requires_grad_() for each in ("prediction", "target"))
    terms = dense_contrast(prediction, target, samples_at_once=samples_at_once)
    assert terms["loss"].item() == pytest.approx(case["loss"], rel=1e-13)
    for k in (1, 3, 5):
        assert terms[f"top{k}_accuracy"].item() == pytest.approx(case[f"top{k}_accuracy"], abs=1e-6)
    terms["loss"].backward()
    torch.testing.assert_close(prediction.grad, case["gradient_prediction"], rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(target.grad, case["gradient_target"], rtol=1e-10, atol=1e-14)
    rows = len(case["labels"])
    probability, mask = case["score"].reshape(rows, rows).softmax(dim=1), case["mask"].reshape(rows, rows)
    assert torch.equal((mask == kept["mask_meaning"]["positive"]).nonzero()[:, 1], case["labels"])
    for kind in ("positive", "temporal", "spatial", "easy"):
        share = probability[mask == kept["mask_meaning"][kind]].sum() / rows
        assert terms[f"{kind}_share"].item() == pytest.approx(share.item(), rel=1e-12), kind


def test_weight_zero_is_no_negatives_to_the_last_bit():
    prediction, target, negatives = features(2)
    plain = dense_contrast(prediction, target)
    weighted = dense_contrast(prediction, target, negatives, negative_weight=0.0)
    assert all(torch.equal(plain[name], weighted[name]) for name in plain)


def test_negatives_that_are_not_usable_might_as_well_be_anything():
    prediction, target, negatives = (part.detach() for part in features(5))
    usable = torch.zeros(B, M, N, dtype=torch.bool)
    terms = dense_contrast(prediction, target, negatives, usable=usable)
    plain = dense_contrast(prediction, target)
    assert terms["negative_share"] == pytest.approx(0, abs=1e-12)
    assert torch.equal(terms["loss"], plain["loss"])


def test_a_tie_counts_against_the_positive():
    same = torch.ones(B, N, C, H, W)
    terms = dense_contrast(same, same)
    assert terms["top1_accuracy"] == terms["top5_accuracy"] == 0
    assert terms["loss"].item() == pytest.approx(math.log(B * N * H * W), rel=1e-6)


def test_large_scores_stay_finite_in_mixed_precision():
    parts = [part.detach().to(torch.bfloat16).requires_grad_() for part in features(6, scale=60.0)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = dense_contrast(*parts)["loss"]
    assert loss.dtype == torch.float32
    loss.backward()
    wide = [part.detach().double() for part in parts]
    assert loss.item() == pytest.approx(dense_contrast(*wide)["loss"].item(), rel=1e-5)
    assert all(torch.isfinite(part.grad).all() for part in parts)


def test_the_score_is_bounded_by_making_it_in_parts(monkeypatch):
    """No product is larger than the rows of the samples at a time."""
    largest = []
    original = Tensor.__matmul__

    def watched(self, other):
        made = original(self, other)
        largest.append(made.numel())
        return made

    monkeypatch.setattr(Tensor, "__matmul__", watched)
    prediction, target, _ = features(7)
    rows = N * H * W
    dense_contrast(prediction, target)
    assert max(largest) == (B * rows) ** 2
    largest.clear()
    dense_contrast(prediction, target, samples_at_once=1)
    assert max(largest) == rows * B * rows


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(target=torch.zeros(B, N, C, H, 1)), ValueError, "prediction and target"),
        (dict(target=torch.zeros(B, N, C, H, W).long()), TypeError, "target"),
        (dict(negatives=torch.zeros(B, 1, N, C, H, 1)), ValueError, "negatives"),
        (dict(usable=torch.ones(B, N, dtype=torch.bool)), ValueError, "usable"),
        (dict(negative_weight=-1.0), ValueError, "negative_weight"),
        (dict(negative_places="some"), ValueError, "negative_places"),
        (dict(temperature=0.0), ValueError, "temperature"),
        (dict(samples_at_once=0), ValueError, "samples_at_once"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, message):
    prediction, target, negatives = features()
    with pytest.raises(error, match=message):
        dense_contrast(**{**dict(prediction=prediction, target=target, negatives=negatives), **change})


def test_a_single_cell_has_nothing_to_contrast_with():
    cell = torch.zeros(1, 1, C, 1, 1)
    with pytest.raises(ValueError, match="contrast"):
        dense_contrast(cell, cell)
    assert dense_contrast(cell, cell, cell[:, None])["loss"].item() == pytest.approx(math.log(2))
