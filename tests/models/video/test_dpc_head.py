"""DPC's classifier against the formula, and its start."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("mmaction.models")

from mmengine.registry import DefaultScope

from nda_mm.models.video.recognition import DPCHead


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


def features() -> torch.Tensor:
    return torch.randn(5, 6, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_scores_are_a_linear_map_of_normalised_averages() -> None:
    head = DPCHead(num_classes=3, in_channels=6, dropout_ratio=0.0).double()
    head.init_weights()
    head.norm.weight.data = torch.arange(1.0, 7.0).double()
    head.norm.bias.data = torch.arange(6.0).double() / 10
    head.fc_cls.bias.data = torch.tensor([1.0, -2.0, 3.0]).double()
    x = features()
    mean = x.reshape(5, 6, -1).sum(2) / 24
    scale, shift = head.norm.weight, head.norm.bias

    def scores(centre: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        normal = (mean - centre) / torch.sqrt(variance + 1e-5) * scale + shift
        return normal @ head.fc_cls.weight.T + head.fc_cls.bias

    torch.testing.assert_close(head(x), scores(mean.mean(0), mean.var(0, unbiased=False)))
    head.eval()  # with what one step has left of the start (0 and 1) and of the batch, nine to one
    torch.testing.assert_close(head(x), scores(0.1 * mean.mean(0), 0.9 + 0.1 * mean.var(0)))


def test_dropout_falls_on_the_normalised_features() -> None:
    head = DPCHead(num_classes=400, in_channels=400, dropout_ratio=0.5)
    head.fc_cls.weight.data = torch.eye(400)
    head.fc_cls.bias.data.zero_()
    x = torch.randn(50, 400, 1, 2, 2)
    torch.manual_seed(0)
    scores = head(x)
    kept = scores != 0
    assert float(kept.float().mean()) == pytest.approx(0.5, abs=0.018)  # five standard errors
    head.dropout.p = 0.0
    torch.testing.assert_close(scores[kept], 2 * head(x)[kept])


def test_the_linear_layer_starts_orthogonal() -> None:
    head = DPCHead(num_classes=10)
    head.init_weights()
    weight = head.fc_cls.weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(10), rtol=1e-5, atol=1e-5)
    assert not head.fc_cls.bias.any()
    assert (head.norm.weight == 1).all() and not head.norm.bias.any()


def test_what_it_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dropout_ratio must be in \[0, 1\), but got 1"):
        DPCHead(3, dropout_ratio=1)
    with pytest.raises(ValueError, match=r"takes features \(B, 256, T, H, W\), but got \(2, 16, 1, 4, 4\)"):
        DPCHead(3)(torch.zeros(2, 16, 1, 4, 4))
    with pytest.raises(ValueError, match=r"takes features \(B, 256, T, H, W\), but got \(2, 256\)"):
        DPCHead(3)(torch.zeros(2, 256))
