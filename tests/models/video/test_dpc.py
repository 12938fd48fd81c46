"""DPC with negatives and its ConvGRU against steps written out, in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine import MessageHub
from mmengine.registry import MODELS
from torch import Tensor, nn

from nda_mm.models.video.dpc import DPC, ConvGRU
from nda_mm.negatives import Negative

B, N, C, L, H, W, P, D = 3, 4, 2, 3, 8, 12, 2, 5


@MODELS.register_module(force=True)
class TinyBlockNetwork(nn.Module):
    """One convolution with normalization: 8x12 pixels become 2x3 places."""

    def __init__(self, width: int = D) -> None:
        super().__init__()
        self.conv = nn.Conv3d(C, width, (2, 4, 4), stride=(1, 4, 4))
        self.norm = nn.BatchNorm3d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Halve(Negative):
    """Without chance: what a test can write out itself."""

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return x.flip(-1) / 2


def build(**settings: Any) -> DPC:
    torch.manual_seed(0)
    defaults: dict[str, Any] = dict(
        backbone=dict(type="TinyBlockNetwork"),
        aggregator=dict(type="nda_mm.ConvGRU", in_channels=D, dropout=0.0),
        num_blocks=N,
        pred_steps=P,
    )
    return DPC(**{**defaults, **settings}).double()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks() -> Tensor:
    return draw(B, N, C, L, H, W, seed=1)


def written_out(model: DPC, x: Tensor, changed: Tensor | None = None, weight: float = 1.0) -> Tensor:
    """The loss from the network's parts, by loops over blocks, steps and rows."""
    network, gru, predictor = model.backbone, model.aggregator, model.predictor

    def normalized(raw: Tensor) -> Tensor:  # batch statistics over everything in the same pass
        mean = raw.mean((0, 2, 3, 4), keepdim=True)
        variance = ((raw - mean) ** 2).mean((0, 2, 3, 4), keepdim=True)
        scale, offset = (part.view(1, -1, 1, 1, 1) for part in (network.norm.weight, network.norm.bias))
        return (raw - mean) / (variance + network.norm.eps).sqrt() * scale + offset

    def encode(group: Tensor) -> Tensor:
        flat = torch.cat([group[b, n][None] for b in range(len(group)) for n in range(group.shape[1])])
        return normalized(network.conv(flat)).mean(2).view(len(group), group.shape[1], D, 2, 3)

    features = encode(x)
    state = torch.zeros(len(x), D, 2, 3, dtype=x.dtype)
    for n in range(N - P):
        state = gru(F.relu(features[:, n : n + 1]), state)[1]
    predictions = []
    for _ in range(P):
        predictions.append(predictor(state))
        state = gru(F.relu(predictions[-1])[:, None], state)[1]
    made = None if changed is None else encode(changed)
    total, rows = torch.zeros((), dtype=x.dtype), 0
    for b in range(len(x)):
        for p in range(P):
            for y in range(2):
                for z in range(3):
                    row = predictions[p][b, :, y, z]
                    real = torch.einsum("c,dnchw->dnhw", row, features[:, N - P :])
                    terms = [real.flatten()]
                    if made is not None:
                        terms.append(torch.einsum("c,chw->hw", row, made[b, p]).flatten() + math.log(weight))
                    total = total + torch.cat(terms).logsumexp(0) - real[b, p, y, z]
                    rows += 1
    return total / rows


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters())
    return dict(zip(names, torch.autograd.grad(loss, parameters)))


def test_without_negatives_it_is_dpc():
    model, x = build(samples_at_once=1), blocks()
    terms, expected = model(x, mode="loss"), written_out(model, x)
    torch.testing.assert_close(terms["loss"], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients(model, terms["loss"]), gradients(model, expected), rtol=1e-8, atol=1e-13)
    assert "negative_share" not in terms
    model.eval()
    torch.testing.assert_close(model(x), model.aggregate(model.encode(x)))


def test_with_negatives_it_is_the_step_written_out():
    """Gradients as well: they flow through the negatives, whose batch statistics are their own."""
    weight = 0.4
    model, x = build(negative=Halve(), weight=weight), blocks()
    terms = model(x, mode="loss")
    expected = written_out(model, x, x[:, N - P :].flip(-1) / 2, weight)
    torch.testing.assert_close(terms["loss"], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients(model, terms["loss"]), gradients(model, expected), rtol=1e-8, atol=1e-13)
    shares = [terms[f"{kind}_share"] for kind in ("positive", "spatial", "temporal", "easy", "negative")]
    assert sum(shares).item() == pytest.approx(1, abs=1e-12)
    assert terms["negative_share"] > 0
    assert terms["unchanged_share"] == 0


def test_several_negatives_are_encoded_together_and_each_row_sees_all_of_its_own():
    one, three = (build(negative=Halve(), num_negatives=m) for m in (1, 3))
    x = blocks()
    loss, tripled = one(x, mode="loss")["loss"], three(x, mode="loss")["loss"]
    expected = build(negative=Halve(), weight=3.0)(x, mode="loss")["loss"]
    torch.testing.assert_close(tripled, expected, rtol=1e-12, atol=0)  # three alike weigh as much as one at weight 3
    assert tripled > loss


def test_weight_zero_is_dpc_bit_for_bit_and_draws_nothing():
    plain, zero, x = build(), build(negative=dict(type="Jigsaw"), weight=0), blocks()
    state = torch.random.get_rng_state()
    first, second = plain(x, mode="loss"), zero(x, mode="loss")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for a, b in zip(gradients(plain, first["loss"]).values(), gradients(zero, second["loss"]).values()):
        assert torch.equal(a, b)


def test_real_blocks_are_normalized_and_counted_as_without_negatives():
    plain, ours, x = build(), build(negative=dict(type="Jigsaw")), blocks()
    plain(x, mode="loss"), ours(x, mode="loss")
    for name, buffer in plain.backbone.named_buffers():
        assert torch.equal(buffer, dict(ours.backbone.named_buffers())[name]), name


def test_blocks_that_a_shuffle_leaves_as_they_were_are_left_out():
    """The first clip does not move: all its frames are one."""
    x = blocks()
    x[0] = x[0, :1, :, :1]
    model = build(negative=dict(type="ShuffleFrames"))
    terms = model(x, mode="loss")
    assert terms["unchanged_share"].item() == pytest.approx(1 / 3)
    still = x[:1].expand_as(x)
    terms, plain = model(still, mode="loss"), build()(still, mode="loss")
    assert terms["unchanged_share"] == 1
    torch.testing.assert_close(terms["loss"], plain["loss"])


def test_the_schedule_of_the_weight_and_a_curriculum_follow_the_iteration():
    curriculum = dict(type="Curriculum", milestones=[(0, Halve()), (7, dict(type="Jigsaw"))])
    model, x = build(negative=curriculum, weight=[(0, 0.0), (5, 1.0)]), blocks()
    hub = MessageHub.get_instance("test_dpc")
    hub.update_info("iter", 0)
    assert "negative_share" not in model(x, mode="loss")
    hub.update_info("iter", 7)
    assert model(x, mode="loss")["negative_share"] > 0
    assert type(model.negative.current).__name__ == "Jigsaw"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (dict(pred_steps=4), "pred_steps"),
        (dict(num_negatives=0), "num_negatives"),
        (dict(weight=-1.0), "negative_weight"),
        (dict(negative_places="some"), "negative_places"),
        (dict(negative=dict(type="ShuffleFrames", chunks=2)), "ShuffleFrames"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, name):
    with pytest.raises(ValueError, match=name):
        build(**settings)(blocks(), mode="loss")


def test_blocks_that_do_not_fit_are_refused():
    for wrong in (blocks()[:, :3], blocks().flatten(0, 1)):
        with pytest.raises(ValueError, match="blocks"):
            build()(wrong, mode="loss")
    with pytest.raises(ValueError, match="Stitch"):
        build(negative=dict(type="Stitch"))(blocks()[:1], mode="loss")
    build(negative=dict(type="Stitch"), weight=0)(blocks()[:1], mode="loss")  # never made
    with pytest.raises(ValueError, match="kernel_size"):
        ConvGRU(4, kernel_size=2)
    with pytest.raises(NotImplementedError, match="mode"):
        build()(blocks(), mode="predict")


def gru_written_out(unit: ConvGRU, x: Tensor, hidden: Tensor) -> Tensor:
    """The equations, entry by entry of the gates' inputs, with weights for input and state apart."""
    size, given = unit.update_gate.kernel_size[0], unit.in_channels
    parts = {
        name: (conv.weight[:, :given], conv.weight[:, given:], conv.bias[None, :, None, None])
        for name, conv in (("u", unit.update_gate), ("r", unit.reset_gate), ("c", unit.candidate))
    }

    def gate(name: str, state: Tensor) -> Tensor:
        of_input, of_state, bias = parts[name]
        return F.conv2d(step, of_input, padding=size // 2) + F.conv2d(state, of_state, padding=size // 2) + bias

    states = []
    for number in range(x.shape[1]):
        step = x[:, number]
        update, reset = 1 / (1 + torch.exp(-gate("u", hidden))), 1 / (1 + torch.exp(-gate("r", hidden)))
        hidden = hidden + update * (torch.tanh(gate("c", hidden * reset)) - hidden)
        states.append(hidden)
    return torch.stack(states, 1)


@pytest.mark.parametrize(("kernel_size", "started"), [(1, False), (3, True)])
def test_it_follows_the_equations(kernel_size, started) -> None:
    unit = ConvGRU(5, 7, kernel_size).double().eval()
    for number, conv in enumerate((unit.update_gate, unit.reset_gate, unit.candidate)):
        conv.bias.data = draw(*conv.bias.shape, seed=10 + number)
    x, hidden = draw(2, 4, 5, 3, 6), draw(2, 7, 3, 6, seed=1)
    steps, last = unit(x, hidden) if started else unit(x)
    expected = gru_written_out(unit, x, hidden if started else torch.zeros_like(hidden))
    torch.testing.assert_close(steps, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(last, steps[:, -1])


def test_weights_start_orthogonal_and_biases_at_zero() -> None:
    for conv in (unit := ConvGRU(24, 16)).update_gate, unit.reset_gate, unit.candidate:
        matrix = conv.weight[..., 0, 0]
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(16), rtol=1e-5, atol=1e-5)
        assert not conv.bias.any()
    assert (unit.update_gate.weight - unit.candidate.weight).abs().max() > 0.1


def test_dropout_falls_on_the_state_that_is_carried_on_and_rests_in_evaluation() -> None:
    unit = ConvGRU(6, 50, dropout=0.4)
    torch.manual_seed(0)
    steps, _ = unit(torch.randn(4, 3, 6, 5, 5))
    for number in range(3):
        assert float((steps[:, number] == 0).float().mean()) == pytest.approx(0.4, abs=0.035)  # 5 standard errors
    # With the update gate shut nothing but the dropout changes the state: what survives is scaled up.
    unit.update_gate.weight.data.zero_()
    unit.update_gate.bias.data.fill_(-200.0)
    hidden = torch.ones(4, 50, 5, 5)
    steps, _ = unit(torch.randn(4, 2, 6, 5, 5), hidden)
    assert set(steps[:, 0].flatten().mul(0.6).round(decimals=4).tolist()) == {0.0, 1.0}
    assert (steps[:, 1][steps[:, 0] == 0] == 0).all()
    assert torch.equal(unit.eval()(torch.randn(4, 2, 6, 5, 5), hidden)[1], hidden)
