"""Backbone and aggregator of DPC as mmaction2's backbone, against plain loops over blocks."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

pytest.importorskip("mmaction.models")

from nda_mm.models.video.recognition import DPCEncoder
from nda_mm.registry import MODELS

BACKBONE = dict(
    type="nda_mm.ResNet2d3d", base_channels=4, conv1_kernel=(1, 3, 3), with_pool1=False, spatial_strides=(1, 2, 2, 1)
)
AGGREGATOR = dict(type="nda_mm.ConvGRU", in_channels=16, hidden_channels=12)


class Sums(nn.Module):
    """A stand-in for a backbone, whose output can be computed by hand: frames are summed in pairs."""

    def __init__(self, output: str = "map") -> None:
        super().__init__()
        self.output = output

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        pairs = x.unflatten(2, (-1, 2)).sum(3)
        return {"map": pairs, "vector": x.mean((2, 3, 4)), "place": pairs.mean((3, 4), keepdim=True), "two": (x, x)}[
            self.output
        ]


@pytest.fixture
def scope():
    """What a model built here by name is found in."""
    if MODELS.get("SumsOfATest") is None:
        MODELS.register_module("SumsOfATest", module=Sums)
    yield
    MODELS.module_dict.pop("SumsOfATest")


def encoder(**settings: object) -> DPCEncoder:
    torch.manual_seed(0)
    built = DPCEncoder(**{**dict(backbone=BACKBONE, aggregator=AGGREGATOR, num_blocks=4), **settings})
    built.init_weights()
    return built


def clips(batch: int = 2, frames: int = 20) -> torch.Tensor:
    return torch.randn(batch, 3, frames, 32, 32, generator=torch.Generator().manual_seed(1))


def test_it_is_a_loop_over_blocks_then_a_loop_over_states() -> None:
    model = encoder().double().eval()
    clip = clips().double()
    with torch.no_grad():
        state = torch.zeros(2, 12, 4, 4, dtype=torch.float64)
        features = []
        for number in range(4):
            block = clip[:, :, 5 * number : 5 * number + 5]
            feature = sum(model.backbone(block).unbind(2)) / 2  # five frames leave two places in time
            features.append(feature)
            both = torch.cat([feature.clamp(min=0), state], 1)
            update, reset = model.aggregator.update_gate(both).sigmoid(), model.aggregator.reset_gate(both).sigmoid()
            both = torch.cat([feature.clamp(min=0), state * reset], 1)
            state = (1 - update) * state + update * model.aggregator.candidate(both).tanh()
        blocks = torch.stack([clip[:, :, 5 * n : 5 * n + 5] for n in range(4)], 1)
        encoded = model.encode(blocks)
        torch.testing.assert_close(encoded, torch.stack(features, 1), rtol=1e-10, atol=1e-10)
        assert (encoded < 0).any()  # before the ReLU
        torch.testing.assert_close(model.aggregate(encoded), state, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(model(clip), state[:, :, None], rtol=1e-10, atol=1e-10)


def test_blocks_keep_their_frames_and_the_mean_over_time_comes_before_the_relu(scope) -> None:
    model = encoder(backbone=dict(type="nda_mm.SumsOfATest"), aggregator=dict(AGGREGATOR, in_channels=3), num_blocks=3)
    clip = torch.arange(12.0)[None, None, :, None, None].expand(1, 3, 12, 2, 2) - 3
    blocks = clip.unflatten(2, (3, 4)).transpose(1, 2)
    # Block k has the frames 4k - 3 to 4k; pairs sum to twice the block's mean.
    expected = torch.tensor([2 * (4 * k - 1.5) for k in range(3)])
    encoded = model.encode(blocks)
    torch.testing.assert_close(encoded, expected[None, :, None, None, None].expand(1, 3, 3, 2, 2))
    seen = []
    model.aggregator.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    model(clip)
    torch.testing.assert_close(seen[0], encoded.clamp(min=0))


def test_mmaction2s_recogniser_takes_it_and_its_clips(tmp_path) -> None:
    from mmaction.registry import MODELS as MMACTION
    from mmaction.structures import ActionDataSample

    with DefaultScope.overwrite_default_scope("mmaction"):
        model = MMACTION.build(
            dict(
                type="Recognizer3D",
                backbone=dict(type="nda_mm.DPCEncoder", backbone=BACKBONE, aggregator=AGGREGATOR, num_blocks=4),
                cls_head=dict(type="nda_mm.DPCHead", num_classes=8, in_channels=12, average_clips="prob"),
            )
        )
        samples = [ActionDataSample().set_gt_label(label) for label in (1, 5)]
        losses = model.loss(clips()[:, None], samples)
        losses["loss_cls"].backward()
        assert all(p.grad is not None for p in model.parameters())
        model.eval()
        three = torch.stack([clips(), clips().flip(2), clips() * 0.5], 1)
        found = model.predict(three, samples)
        scores = torch.stack([model.cls_head(model.backbone(three[:, n])).softmax(-1) for n in range(3)]).mean(0)
        torch.testing.assert_close(torch.stack([sample.pred_score for sample in found]), scores)


def test_a_checkpoint_of_the_pretraining_fits_without_conversion(tmp_path) -> None:
    torch.manual_seed(1)
    source = encoder()
    file = tmp_path / "dpc.pth"
    weights = source.state_dict()
    torch.save({"state_dict": {**weights, "predictor.0.weight": torch.ones(3)}}, file)
    model = encoder(init_cfg=dict(type="Pretrained", checkpoint=str(file)))
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_frozen_features_do_not_drift() -> None:
    model = encoder(frozen=True)
    head = nn.Linear(12, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    assert not any(module.training for module in model.modules())
    features = model(clips())
    assert not features.requires_grad
    assert torch.equal(features, model(clips()))  # no dropout
    torch.testing.assert_close(features[:1], model(clips()[:1]), rtol=1e-4, atol=1e-5)  # nor the rest of the batch
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.1, weight_decay=0.1)
    head(features.mean((2, 3, 4))).sum().backward()
    optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_one_that_is_not_frozen_drops_and_keeps_statistics_in_training_alone() -> None:
    model = encoder()
    before = model.backbone.conv1.bn.running_mean.clone()
    assert not torch.equal(model(clips()), model(clips()))
    assert not torch.equal(model.backbone.conv1.bn.running_mean, before)
    model.eval()
    assert torch.equal(model(clips()), model(clips()))


def test_what_does_not_fit_is_refused(scope) -> None:
    with pytest.raises(ValueError, match="num_blocks must be an integer of at least 1, but got 0"):
        encoder(num_blocks=0)
    with pytest.raises(ValueError, match=r"num_blocks=4 blocks of as many frames each, but got \(2, 3, 21, 32, 32\)"):
        encoder()(clips(frames=21))
    with pytest.raises(ValueError, match="ResNet2d3d gives 16 channels and ConvGRU takes 20; set aggregator"):
        encoder(aggregator=dict(AGGREGATOR, in_channels=20))
    with pytest.raises(ValueError, match=r"blocks must have the shape \(B, N, C, L, H, W\), but got \(2, 3, 20, 32"):
        encoder().encode(clips())
    sums = {
        output: encoder(
            backbone=dict(type="nda_mm.SumsOfATest", output=output), aggregator=dict(AGGREGATOR, in_channels=3)
        )
        for output in ("vector", "place", "two")
    }
    with pytest.raises(ValueError, match=r"Sums has the shape \(16, 3\), but DPC needs one feature map"):
        sums["vector"](clips(4, 24))
    with pytest.raises(ValueError, match="Sums has several outputs, but DPC needs one feature map"):
        sums["two"](clips(2, 24))
    with pytest.raises(ValueError, match="Sums leaves a single place of frames of 32x32 pixels.*larger frames"):
        sums["place"](clips(2, 24))
    with pytest.raises(ValueError, match="ResNet2d3d leaves a single place of frames of 32x32 pixels"):
        encoder(backbone=dict(type="nda_mm.ResNet2d3d", base_channels=4))(clips())
    other = encoder(backbone=dict(type="nda_mm.SumsOfATest"), aggregator=AGGREGATOR)  # it does not say its channels
    with pytest.raises(ValueError, match="Sums gives 3 channels and ConvGRU takes 16; set aggregator.in_channels to 3"):
        other(clips(2, 24))
