"""Rotate, shift and shuffled frames against loops."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tiny_pixels import assert_equally_likely, by_loop, channels_last, numbered, seeded

from nda_mm import functional as F
from nda_mm.functional import geometry
from nda_mm.functional.geometry import apply_order, apply_rotation, apply_shift, check_degrees, check_distances


def slow_rotation(image, degrees):
    """Turn one plane about its center, counter-clockwise, magnified until every source lies inside."""
    height, width = image.shape
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    half_height, half_width = (height - 1) / 2, (width - 1) / 2
    # The turned frame's extent, as a multiple of the image's, decides how much to magnify.
    zoom = max(
        (abs(cos) * half_width + abs(sin) * half_height) / half_width,
        (abs(sin) * half_width + abs(cos) * half_height) / half_height,
    )
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            right, up = (j - half_width) / zoom, (half_height - i) / zoom
            # What arrives here was turned counter-clockwise, so it came from the place turned clockwise.
            source_right, source_up = cos * right + sin * up, -sin * right + cos * up
            y, x = half_height - source_up, half_width + source_right
            assert -1e-9 <= y <= height - 1 + 1e-9, "no empty corner"
            assert -1e-9 <= x <= width - 1 + 1e-9, "no empty corner"
            top, left = min(int(max(y, 0)), height - 2), min(int(max(x, 0)), width - 2)
            v, u = y - top, x - left
            out[i, j] = (
                (1 - v) * ((1 - u) * image[top, left] + u * image[top, left + 1])
                + v * ((1 - u) * image[top + 1, left] + u * image[top + 1, left + 1])
            )  # fmt: skip
    return out


@pytest.mark.parametrize("shape", [(6, 1, 4, 7), (6, 2, 2, 6, 3)])
def test_rotation_matches_the_loop(shape):
    x = torch.randn(shape, dtype=torch.float64)
    degrees = torch.tensor([30.0, 90.0, 137.5, 180.0, 270.0, 330.0])
    out = apply_rotation(x, degrees)
    for sample, angle in enumerate(degrees.tolist()):
        for plane, turned in zip(x[sample].flatten(0, -3).numpy(), out[sample].flatten(0, -3).numpy()):
            np.testing.assert_allclose(turned, slow_rotation(plane, angle), atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8])
def test_rotation_keeps_a_plain_image_exactly(dtype):
    plain = torch.full((4, 1, 9, 9), 1, dtype=dtype)
    assert torch.equal(F.rotate(plain), plain)


def test_angles_are_uniform_and_differ_per_sample(monkeypatch):
    seen = []
    monkeypatch.setattr(geometry, "apply_rotation", lambda x, degrees: seen.append(degrees) or x)
    F.rotate(torch.rand(4000, 1, 2, 2), (30, 330), generator=seeded())
    assert stats.kstest(seen[0].numpy(), stats.uniform(30, 300).cdf).pvalue > 0.01


@pytest.mark.parametrize("degrees", [-60.0, (5, 355), (-355, -5), (370, 700)])
def test_other_angles_are_allowed(degrees):
    assert check_degrees(degrees) == (degrees if isinstance(degrees, tuple) else (degrees, degrees))


@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 6), st.integers(2, 6)),
        st.tuples(*[st.integers(1, 3)] * 3, st.integers(2, 5), st.integers(2, 5)),
    ),
    data=st.data(),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_shift_matches_the_loop(shape, data):
    x, (height, width) = numbered(*shape), shape[-2:]
    down, right = (torch.tensor([data.draw(st.integers(0, size - 1)) for _ in x]) for size in (height, width))
    expected = by_loop(x, lambda sample, i, j: (sample, (i - down[sample]) % height, (j - right[sample]) % width))
    for batch in (x, channels_last(x)):
        assert torch.equal(apply_shift(batch, down, right), expected)


def test_distances_are_the_authors_and_independent_per_sample_and_axis():
    x = torch.zeros(6000, 1, 32, 32)
    x[:, 0, 0, 0] = 1
    place = F.shift(x, generator=seeded()).flatten(1).argmax(dim=1)
    down, right = place // 32, place % 32
    for distance in (down, right):
        assert_equally_likely(distance.tolist(), range(10, 25))
    table = np.histogram2d(down.numpy(), right.numpy(), bins=5)[0]
    assert stats.chi2_contingency(table).pvalue > 0.01


@pytest.mark.parametrize(("share", "size", "bounds"), [
    ((0.3125, 0.75), 32, (10, 24)), ((0.0625, 0.9375), 8, (1, 7)), ((0.9375, 0.9375), 8, (7, 7)),
    ((0.3, 0.35), 5, (2, 2)), ((0.3125, 0.75), 2, (1, 1)), ((0.9, 0.92), 3, (2, 2)),
])  # fmt: skip
def test_distances_never_reach_zero_or_the_full_size(share, size, bounds):
    assert check_distances(share, size) == bounds


def test_all_orders_of_three_chunks_match_the_loop():
    permutations = torch.tensor(list(itertools.permutations(range(3))))
    x = numbered(6, 2, 6, 2, 3)
    expected = torch.stack(
        [torch.cat([clip[:, 2 * k : 2 * k + 2] for k in order], dim=1) for clip, order in zip(x, permutations.tolist())]
    )
    for batch in (x, channels_last(x)):
        assert torch.equal(apply_order(batch, permutations), expected)


def test_chunks_stay_together():
    x = torch.arange(6.0).view(1, 1, 6, 1, 1)
    assert F.shuffle_frames(x, chunks=2).flatten().tolist() == [3, 4, 5, 0, 1, 2]


def test_what_has_no_order_is_refused():
    for x, chunks in (((2, 3, 8, 8), None), ((2, 3, 1, 8, 8), None), ((2, 3, 8, 4, 4), 5), ((2, 3, 8, 4, 4), 1)):
        with pytest.raises(ValueError, match="clips|chunks|shape"):
            F.shuffle_frames(torch.rand(x), chunks)
