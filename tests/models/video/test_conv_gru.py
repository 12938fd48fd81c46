"""The convolutional GRU against PyTorch's own cells and a plain loop."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from nda_mm.models.video.conv_gru import ConvGRU


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_biases(unit: ConvGRU) -> ConvGRU:
    for number, conv in enumerate((unit.update_gate, unit.reset_gate, unit.candidate)):
        conv.bias.data = draw(*conv.bias.shape, seed=10 + number).to(conv.bias)
    return unit.double().eval()


def plain(unit: ConvGRU, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """The equations, entry by entry of the gates' inputs, with weights for input and state apart."""
    size, given = unit.update_gate.kernel_size[0], unit.in_channels
    parts = {
        name: (conv.weight[:, :given], conv.weight[:, given:], conv.bias[None, :, None, None])
        for name, conv in (("u", unit.update_gate), ("r", unit.reset_gate), ("c", unit.candidate))
    }

    def gate(name: str, state: torch.Tensor) -> torch.Tensor:
        of_input, of_state, bias = parts[name]
        return conv2d(step, of_input, padding=size // 2) + conv2d(state, of_state, padding=size // 2) + bias

    states = []
    for number in range(x.shape[1]):
        step = x[:, number]
        update, reset = 1 / (1 + torch.exp(-gate("u", hidden))), 1 / (1 + torch.exp(-gate("r", hidden)))
        hidden = hidden + update * (torch.tanh(gate("c", hidden * reset)) - hidden)
        states.append(hidden)
    return torch.stack(states, 1)


@pytest.mark.parametrize(("kernel_size", "started"), [(1, False), (3, True)])
def test_it_follows_the_equations(kernel_size, started) -> None:
    unit = with_biases(ConvGRU(5, 7, kernel_size))
    x, hidden = draw(2, 4, 5, 3, 6), draw(2, 7, 3, 6, seed=1)
    steps, last = unit(x, hidden) if started else unit(x)
    expected = plain(unit, x, hidden if started else torch.zeros_like(hidden))
    torch.testing.assert_close(steps, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(last, steps[:, -1])


def test_with_kernels_of_one_every_place_has_a_plain_gru_of_its_own() -> None:
    """PyTorch's GRUCell resets after the matrix product, which is the same if the reset gate is open."""
    unit = with_biases(ConvGRU(5, 7))
    unit.reset_gate.weight.data.zero_()
    unit.reset_gate.bias.data.fill_(40.0)
    cell = torch.nn.GRUCell(5, 7).double()
    update, candidate = unit.update_gate, unit.candidate
    zeros = torch.zeros_like(update.weight)
    # The cell keeps what ours replaces: its update gate is one minus ours.
    both = torch.cat([zeros, -update.weight, candidate.weight])[..., 0, 0]
    cell.weight_ih.data, cell.weight_hh.data = both[:, :5].contiguous(), both[:, 5:].contiguous()
    cell.bias_ih.data = torch.cat([torch.full((7,), 40.0).double(), -update.bias, candidate.bias]).detach()
    cell.bias_hh.data.zero_()
    x = draw(2, 4, 5, 3, 2)
    state = torch.zeros(2 * 3 * 2, 7, dtype=torch.float64)
    for step in x.unbind(1):
        state = cell(step.permute(0, 2, 3, 1).reshape(-1, 5), state)
    expected = state.unflatten(0, (2, 3, 2)).permute(0, 3, 1, 2)
    torch.testing.assert_close(unit(x)[1], expected, rtol=1e-10, atol=1e-10)


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


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size"):
        ConvGRU(4, kernel_size=2)
