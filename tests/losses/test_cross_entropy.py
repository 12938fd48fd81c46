"""InfoNCE against a loop over rows and keys in float64, outlier exposure against torch's cross-entropy."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nda_mm.losses import info_nce, mixed_keys, negative_logits, outlier_exposure

OUTSIDE = Path(__file__).parents[1] / "data" / "outside"


def features(batch: int = 5, channels: int = 7, queue: int = 11, negatives: int = 3, seed: int = 0) -> list[Tensor]:
    """Unit vectors in float64: query, key, queue, negative keys."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, channels), (batch, channels), (queue, channels), (batch, negatives, channels)]
    made = [F.normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=-1) for shape in shapes]
    made[2] = made[2].T.contiguous()
    return [part.requires_grad_() for part in made]


def by_loop(query, key, queue, negatives, temperature: float, weight: float) -> Tensor:
    """The formula as it is written, one row and one key at a time, without a logarithm of a sum's tricks."""
    total = torch.zeros((), dtype=torch.float64)
    for row, own_key, own_negatives in zip(query, key, negatives):
        positive = torch.exp(row @ own_key / temperature)
        others = sum(torch.exp(row @ other / temperature) for other in queue.T)
        made = sum(weight * torch.exp(row @ negative / temperature) for negative in own_negatives)
        total = total - torch.log(positive / (positive + others + made))
    return total / len(query)


@pytest.mark.parametrize(("temperature", "weight"), [(0.07, 0.3), (0.2, 1.0), (1.0, 4.0), (0.2, 0.0)])
def test_loss_and_gradients_equal_the_loop(temperature, weight):
    parts, copies = features(), features()
    loss = info_nce(*parts, temperature=temperature, negative_weight=weight)
    expected = by_loop(*copies, temperature, weight)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    loss.backward()
    expected.backward()
    for part, copy, name in zip(parts, copies, ("query", "key", "queue", "negatives")):
        if name == "negatives" and weight == 0.0:
            assert part.grad is None  # left out altogether
            continue
        torch.testing.assert_close(part.grad, copy.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weight_zero_is_the_plain_loss_to_the_last_bit(dtype):
    query, key, queue, negatives = (part.detach().to(dtype) for part in features())
    plain = info_nce(query, key, queue, temperature=0.2)
    assert torch.equal(info_nce(query, key, queue, negatives, temperature=0.2, negative_weight=0.0), plain)
    # and not merely close: infinite similarities would make it NaN if they were multiplied by 0
    assert torch.equal(info_nce(query, key, queue, negatives * math.inf, temperature=0.2, negative_weight=0), plain)


def test_without_a_queue_negatives_are_enough():
    query, key, _, negatives = features(negatives=1)
    empty = torch.empty(7, 0, dtype=torch.float64)
    expected = F.softplus(((query * negatives[:, 0]).sum(1) - (query * key).sum(1)) / 0.5).mean()
    torch.testing.assert_close(info_nce(query, key, empty, negatives, temperature=0.5), expected)
    with pytest.raises(ValueError, match="queue"):
        info_nce(query, key, empty, temperature=0.5)


@pytest.mark.parametrize("alpha", [1, 2, 3])
def test_equals_the_moco_of_ge_et_al(alpha):
    """Their alpha multiplies the similarity of a negative, inside the exponential."""
    kept = torch.load(OUTSIDE / "ge_moco.pt", weights_only=True)
    expected, temperature = kept["results"][f"alpha_{alpha}"], kept["temperature"]
    output = kept["query_output"].clone().requires_grad_()
    query, key = F.normalize(output, dim=1), F.normalize(kept["key_output"], dim=1)
    negatives = F.normalize(kept["negative_outputs"], dim=2)
    loss = info_nce(query, key, kept["queue"], negatives, temperature=temperature, similarity_scale=alpha)
    loss.backward()
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-13)
    torch.testing.assert_close(output.grad, expected["gradient_query_output"], rtol=1e-10, atol=1e-14)
    logits = negative_logits(query, negatives, temperature=temperature, similarity_scale=alpha)
    torch.testing.assert_close(logits, expected["logits"][:, -negatives.shape[1] :], rtol=1e-12, atol=1e-14)


def test_half_precision_is_promoted():
    query, key, queue, negatives = (part.detach() for part in features())
    expected = info_nce(query, key, queue, negatives, temperature=0.01)
    loss = info_nce(*(part.half() for part in (query, key, queue, negatives)), temperature=0.01)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), abs=0.05)
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).mul(100).half()
    torch.testing.assert_close(outlier_exposure(logits), outlier_exposure(logits.float()))


def test_what_does_not_fit_is_refused():
    query, key, queue, negatives = features()
    for wrong, error in ((-0.1, ValueError), (math.inf, ValueError), ("one", TypeError)):
        with pytest.raises(error, match="negative_weight"):
            info_nce(query, key, queue, temperature=1.0, negative_weight=wrong)
    with pytest.raises(ValueError, match="negative_weight"):
        negative_logits(query, negatives, temperature=1.0, negative_weight=0.0)
    with pytest.raises(ValueError, match="similarity_scale"):
        info_nce(query, key, queue, negatives, temperature=0.5, similarity_scale=0.0)
    with pytest.raises(ValueError, match="temperature"):
        info_nce(query, key, queue, temperature=0.0)
    for parts, name in (
        ((query, key[:4], queue), "key"),
        ((query[:0], key[:0], queue), "query"),
        ((query, key, queue.T), "queue"),
        ((query, key, queue, negatives[:, 0]), "negative_keys"),
        ((query, key, queue, negatives[:4]), "negative_keys"),
    ):
        with pytest.raises(ValueError, match=name):
            info_nce(*parts, temperature=1.0)
    with pytest.raises(TypeError, match="queue"):
        info_nce(query, key, queue.long(), temperature=1.0)
    for shape in ((3,), (0, 4)):
        with pytest.raises(ValueError, match="logits"):
            outlier_exposure(torch.zeros(shape))


def test_mixed_keys_equal_the_loop():
    query, _, queue, _ = features(batch=3, queue=20)
    generator, again = (torch.Generator().manual_seed(4) for _ in range(2))
    query.requires_grad_()
    found = mixed_keys(query, queue, hardest=6, mixed=5, with_query=4, generator=generator)
    assert (found.dtype, found.shape, found.requires_grad) == (torch.float64, (3, 9, 7), False)
    assert torch.allclose(found.norm(dim=2), torch.ones(3, 9, dtype=torch.float64))
    # The same draws, in their order.
    shares = torch.rand(3, 5, 1, generator=again, dtype=torch.float64)
    first, second = (torch.randint(6, (3, 5), generator=again) for _ in range(2))
    own_shares = torch.rand(3, 4, 1, generator=again, dtype=torch.float64) / 2
    third = torch.randint(6, (3, 4), generator=again)
    for row in range(3):
        keys = sorted(queue.T, key=lambda key: -(key @ query[row]).item())
        for place in range(9):
            if place < 5:
                share, left = shares[row, place], keys[int(first[row, place])]
                right = keys[int(second[row, place])]
            else:
                share, left = own_shares[row, place - 5], query[row].detach()
                right = keys[int(third[row, place - 5])]
                assert share < 0.5
            expected = share * left + (1 - share) * right
            torch.testing.assert_close(found[row, place], expected / expected.norm())


@pytest.mark.parametrize("change", [dict(hardest=0), dict(hardest=12), dict(mixed=-1), dict(with_query=-1)])
def test_mixed_keys_that_cannot_be_made_are_refused(change):
    query, _, queue, _ = features()
    with pytest.raises(ValueError, match=next(iter(change))):
        mixed_keys(query, queue, **{"hardest": 3, "mixed": 2, **change})
    assert mixed_keys(query, queue, hardest=3, mixed=0).shape == (5, 0, 7)


def test_it_is_the_cross_entropy_to_the_uniform_distribution() -> None:
    logits = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(logits, torch.full((7, 5), 0.2, dtype=torch.float64))
    found = outlier_exposure(logits)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(each, logits)[0] for each in (found, expected)))
