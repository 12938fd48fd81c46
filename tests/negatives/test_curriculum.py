"""Negatives that change with the iteration, across checkpoints too."""

import copy
import io

import pytest
import torch
from torch import nn

from nda_mm.negatives import Curriculum, Negative, RandomNegative

JIGSAW, CUTOUT = dict(type="Jigsaw"), dict(type="Cutout")


class Paint(Negative):
    """Paints a batch in one colour; says which stage made it."""

    def __init__(self, colour):
        super().__init__()
        self.colour = colour

    def make(self, x, other, generator):
        return torch.full_like(x, self.colour)


def curriculum():
    return Curriculum(
        [(0, Paint(1)), (10, Paint(2)), (20, RandomNegative([Curriculum([(0, Paint(3)), (30, Paint(4))])]))]
    )


@pytest.mark.parametrize(
    ("iteration", "colour"), [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (29, 3), (30, 4), (10**6, 4)]
)
def test_curriculum_switches_at_its_milestones_and_tells_its_stages(iteration, colour):
    negative = curriculum()
    negative.set_iteration(iteration)
    assert torch.equal(negative(torch.zeros(2, 1, 2, 2)), torch.full((2, 1, 2, 2), float(colour)))


def test_curriculum_starts_with_its_first_stage():
    assert curriculum()(torch.zeros(1, 1, 1, 1)).item() == 1


def test_curriculum_resumes_from_a_checkpoint_of_its_model():
    model = nn.ModuleDict(dict(net=nn.Linear(2, 2), negative=curriculum()))
    model["negative"].set_iteration(30)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert state["negative.iteration"].item() == 30
    resumed = nn.ModuleDict(dict(net=nn.Linear(2, 2), negative=curriculum()))
    resumed.load_state_dict(state)
    assert resumed["negative"](torch.zeros(1, 1, 1, 1)).item() == 4
    assert copy.deepcopy(resumed)["negative"](torch.zeros(1, 1, 1, 1)).item() == 4


def test_curriculum_without_its_state_is_reported_and_keeps_its_iteration():
    negative = curriculum()
    negative.set_iteration(10)
    assert "iteration" in negative.load_state_dict({}, strict=False).missing_keys
    assert negative(torch.zeros(1, 1, 1, 1)).item() == 2


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_iterations_that_are_none_are_refused(value, error):
    with pytest.raises(error, match="an iteration must"):
        curriculum().set_iteration(value)


def test_negatives_without_a_curriculum_ignore_the_iteration():
    negative = RandomNegative([JIGSAW, CUTOUT])
    negative.set_iteration(5)
    assert negative.state_dict() == {}
