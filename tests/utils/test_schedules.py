"""Schedules at, between, before and after their milestones, and what they refuse."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nda_mm.utils.schedules import INTERPOLATIONS, Schedule, as_schedule

MILESTONES = [(10, 1.0), (20, 0.5), (40, 0.25)]


@pytest.mark.parametrize(
    ("interpolate", "expected"),
    [
        ("step", {0: 1.0, 10: 1.0, 19: 1.0, 20: 0.5, 30: 0.5, 40: 0.25, 10**9: 0.25}),
        ("linear", {0: 1.0, 10: 1.0, 15: 0.75, 20: 0.5, 30: 0.375, 40: 0.25, 10**9: 0.25}),
        ("cosine", {0: 1.0, 10: 1.0, 15: 0.75, 20: 0.5, 30: 0.375, 40: 0.25, 10**9: 0.25}),
    ],
)
def test_values(interpolate, expected):
    schedule = Schedule(MILESTONES, interpolate=interpolate)
    assert {iteration: schedule(iteration) for iteration in expected} == pytest.approx(expected, abs=1e-15)


def test_cosine_between_its_midpoints():
    schedule = Schedule([(0, 1.0), (100, 0.0)], interpolate="cosine")
    for iteration in range(101):
        assert schedule(iteration) == pytest.approx((1 + math.cos(math.pi * iteration / 100)) / 2, abs=1e-15)


@given(
    iterations=st.lists(st.integers(0, 1000), min_size=1, max_size=6, unique=True).map(sorted),
    values=st.lists(st.floats(-5, 5), min_size=6, max_size=6),
    interpolate=st.sampled_from(INTERPOLATIONS),
    at=st.integers(0, 1100),
)
def test_never_leaves_the_range_of_its_values_and_meets_every_milestone(iterations, values, interpolate, at):
    schedule = Schedule(list(zip(iterations, values)), interpolate=interpolate)
    assert min(values[: len(iterations)]) == schedule.lowest
    assert max(values[: len(iterations)]) == schedule.highest
    assert schedule.lowest - 1e-12 <= schedule(at) <= schedule.highest + 1e-12
    assert all(schedule(iteration) == pytest.approx(value, abs=1e-12) for iteration, value in schedule.milestones)


@pytest.mark.parametrize("value", [0.25, [(0, 0.25)], dict(milestones=[[0, 0.25]]), Schedule([(0, 0.25)])])
def test_as_schedule_accepts_each_form(value):
    assert as_schedule(value) == Schedule([(0, 0.25)])
    assert as_schedule(value)(123) == 0.25


def test_as_schedule_keeps_the_interpolation():
    assert as_schedule(dict(milestones=[(0, 0.0), (10, 1.0)], interpolate="linear"))(5) == 0.5


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "at least one"),
        ([(5, 1.0), (5, 0.5)], r"rise strictly in iteration, but got \[5, 5\]"),
        ([(5, 1.0), (3, 0.5)], r"rise strictly in iteration, but got \[5, 3\]"),
        ([(-1, 1.0)], "start at iteration -1"),
        ([(0, float("nan"))], "must be finite, but got nan at iteration 0"),
        (float("inf"), "must be finite, but got inf"),
        (dict(milestones=[(0, 1.0)], interpolate="cubic"), "one of step, linear, cosine, but got 'cubic'"),
        (dict(milestone=[(0, 1.0)]), r"keys 'milestones' and, if wanted, 'interpolate', but got \['milestone'\]"),
    ],
)
def test_bad_values_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        as_schedule(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.25", "a schedule is a number"),
        (None, "a schedule is a number"),
        (True, "value of a milestone must be a number, but got True"),
        ([(0.5, 1.0)], "iteration of a milestone must be an integer, but got 0.5"),
        ([(0, "a")], "value of a milestone must be a number, but got 'a'"),
        ([0, 1], r"a milestone is a pair \(iteration, value\), but got 0"),
    ],
)
def test_values_of_another_type_are_refused(value, message):
    with pytest.raises(TypeError, match=message):
        as_schedule(value)


def test_bounds():
    assert as_schedule([(0, 1.0), (10, 0.25)], bounds=(0, 1))(10) == 0.25
    for bad in (0.0, 1.5, [(0, 1.0), (10, 0.0)]):
        with pytest.raises(ValueError, match=r"must lie in \(0, 1\] here, but got"):
            as_schedule(bad, bounds=(0, 1))
