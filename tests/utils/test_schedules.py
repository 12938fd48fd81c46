"""Schedules at, between, before and after their milestones, and what they refuse."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nda_mm.utils.schedules import INTERPOLATIONS, Schedule, as_schedule

MILESTONES = [(10, 1.0), (20, 0.5), (40, 0.25)]


@pytest.mark.parametrize(
    ("interpolate", "at_15", "at_22"),
    [("step", 1.0, 0.5), ("linear", 0.75, 0.475), ("cosine", 0.75, 0.375 + math.cos(0.1 * math.pi) / 8)],
)
def test_values(interpolate, at_15, at_22):
    schedule = Schedule(MILESTONES, interpolate=interpolate)
    expected = {0: 1.0, 10: 1.0, 15: at_15, 20: 0.5, 22: at_22, 40: 0.25, 10**9: 0.25}
    assert {iteration: schedule(iteration) for iteration in expected} == pytest.approx(expected, abs=1e-15)


@given(
    iterations=st.lists(st.integers(0, 1000), min_size=1, max_size=6, unique=True).map(sorted),
    values=st.lists(st.floats(-5, 5), min_size=6, max_size=6),
    interpolate=st.sampled_from(INTERPOLATIONS),
    at=st.integers(0, 1100),
)
def test_never_leaves_the_range_of_its_values_and_meets_every_milestone(iterations, values, interpolate, at):
    schedule = Schedule(list(zip(iterations, values)), interpolate=interpolate)
    low, high = min(schedule.values), max(schedule.values)
    assert low - 1e-12 <= schedule(at) <= high + 1e-12
    assert all(schedule(iteration) == pytest.approx(value, abs=1e-12) for iteration, value in schedule.milestones)


@pytest.mark.parametrize(
    ("value", "at_5"),
    [
        (0.25, 0.25),
        ([(0, 0.25)], 0.25),
        (dict(milestones=[[0, 0.25]]), 0.25),
        (dict(milestones=[(0, 0.0), (10, 1.0)], interpolate="linear"), 0.5),
    ],
)
def test_each_form_of_a_setting(value, at_5):
    assert as_schedule(value)(5) == at_5


@pytest.mark.parametrize(
    "value",
    [
        [],
        [(5, 1.0), (5, 0.5)],
        [(-1, 1.0)],
        [(0, float("nan"))],
        [(0.5, 1.0)],
        dict(milestones=[(0, 1.0)], interpolate="cubic"),
        dict(milestone=[(0, 1.0)]),
        "0.25",
        None,
    ],
)
def test_bad_settings_are_refused_by_name(value):
    with pytest.raises((TypeError, ValueError), match="^weight"):
        as_schedule(value, "weight")
