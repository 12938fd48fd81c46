"""DPC's encoder and classifier, and temporal shift, against plain loops, formulas and mmaction2's own network."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from torch import nn

pytest.importorskip("mmaction.models")

from nda_mm.conversion.resnet import to_plain
from nda_mm.models.video.recognition import DPCEncoder, DPCHead, ShiftedBackbone

BACKBONE = dict(
    type="nda_mm.ResNet2d3d", base_channels=4, conv1_kernel=(1, 3, 3), with_pool1=False, spatial_strides=(1, 2, 2, 1)
)
AGGREGATOR = dict(type="nda_mm.ConvGRU", in_channels=16, hidden_channels=12)


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
        blocks = torch.stack([clip[:, :, 5 * n : 5 * n + 5] for n in range(4)], 1)
        # Five frames leave two places in time.
        features = [sum(model.backbone(block).unbind(2)) / 2 for block in blocks.unbind(1)]
        state = torch.zeros(2, 12, 4, 4, dtype=torch.float64)
        for feature in features:
            state = model.aggregator(feature.clamp(min=0)[:, None], state)[1]
        encoded = model.encode(blocks)
        torch.testing.assert_close(encoded, torch.stack(features, 1), rtol=1e-10, atol=1e-10)
        assert (encoded < 0).any()  # before the ReLU
        torch.testing.assert_close(model.aggregate(encoded), state, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(model(clip), state[:, :, None], rtol=1e-10, atol=1e-10)


def test_mmaction2s_recognizer_takes_it_and_its_clips(tmp_path) -> None:
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
    file, weights = tmp_path / "dpc.pth", encoder().state_dict()
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


def test_what_does_not_fit_is_refused() -> None:
    model = encoder()
    for pooled in (nn.AdaptiveAvgPool3d((2, 1, 1)), nn.Flatten()):  # a backbone without places
        model.backbone = pooled
        with pytest.raises(ValueError, match="feature map"):
            model(clips())
    with pytest.raises(ValueError, match="num_blocks"):
        encoder()(clips(frames=21))
    with pytest.raises(ValueError, match=r"aggregator\.in_channels.*16"):
        encoder(aggregator=dict(AGGREGATOR, in_channels=20))
    with pytest.raises(ValueError, match="net"):
        ShiftedBackbone(dict(type="mmpretrain.VGG", depth=11))
    narrow = dict(type="mmpretrain.ResNet_CIFAR", depth=18, stem_channels=16, base_channels=16)
    with pytest.raises(ValueError, match="num_segments"):
        ShiftedBackbone(narrow, num_segments=4)(torch.zeros(6, 3, 32, 32))


def test_scores_are_a_linear_map_of_normalized_averages() -> None:
    head = DPCHead(num_classes=3, in_channels=6, dropout_ratio=0.0).double()
    head.init_weights()
    torch.testing.assert_close(head.fc_cls.weight @ head.fc_cls.weight.T, torch.eye(3).double(), rtol=1e-5, atol=1e-5)
    assert not head.fc_cls.bias.any()
    head.norm.weight.data = torch.arange(1.0, 7.0).double()
    head.norm.bias.data = torch.arange(6.0).double() / 10
    head.fc_cls.bias.data = torch.tensor([1.0, -2.0, 3.0]).double()
    x = torch.randn(5, 6, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = x.reshape(5, 6, -1).sum(2) / 24
    scale, shift = head.norm.weight, head.norm.bias

    def scores(center: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        normal = (mean - center) / torch.sqrt(variance + 1e-5) * scale + shift
        return normal @ head.fc_cls.weight.T + head.fc_cls.bias

    torch.testing.assert_close(head(x), scores(mean.mean(0), mean.var(0, unbiased=False)))
    head.eval()  # with what one step has left of the start (0 and 1) and of the batch, nine to one
    torch.testing.assert_close(head(x), scores(0.1 * mean.mean(0), 0.9 + 0.1 * mean.var(0)))


@pytest.mark.parametrize(("depth", "shift_div"), [(18, 8), (50, 3)])
def test_features_are_those_of_mmaction2s_tsm(depth, shift_div):
    with DefaultScope.overwrite_default_scope("mmaction"):
        torch.manual_seed(0)
        theirs = ROOT_MODELS.build(
            dict(type="ResNetTSM", depth=depth, num_segments=4, shift_div=shift_div, pretrained2d=False)
        )
        for value in theirs.state_dict().values():
            if value.ndim == 1:  # normalizations that are not the identity
                value.uniform_(0.5, 1.5)
        ours = ShiftedBackbone(dict(type="mmaction.ResNet", depth=depth), num_segments=4, shift_div=shift_div)
    weights = {to_plain(name): value for name, value in theirs.state_dict().items()}
    own = ours.net.state_dict()
    ours.net.load_state_dict({name: weights[to_plain(name)] for name in own})
    theirs.eval(), ours.eval()
    frames = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        expected = theirs(frames)
        torch.testing.assert_close(ours(frames), expected, rtol=1e-6, atol=1e-6)
        unshifted = ours.net(frames.flip(0)).flip(0)
    assert (unshifted - expected).abs().max() > 0.01
