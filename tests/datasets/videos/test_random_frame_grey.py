"""Frames made grey one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("mmcv")

from nda_mm.datasets.videos.random_frame_grey import RandomFrameGrey
from nda_mm.utils.random_state import seed_global_generators


@pytest.fixture
def clip() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (3000, 2, 3, 3), dtype=np.uint8))


def channel_of(grey: np.ndarray, frame: np.ndarray) -> int | None:
    """Which channel of ``frame`` a frame shows three times, or None where it is as it was."""
    if (grey == frame).all():
        return None
    (channel,) = [c for c in range(3) if (grey == frame[..., c][..., None]).all()]
    return channel


def test_each_frame_has_a_draw_of_its_own_and_shows_any_of_its_channels(clip):
    before = np.stack(clip).copy()
    seed_global_generators(1)
    frames = RandomFrameGrey(prob=0.3)({"imgs": clip})["imgs"]
    channels = [channel_of(grey, frame) for grey, frame in zip(frames, clip)]
    grey = np.array([channel is not None for channel in channels])
    assert stats.binomtest(int(grey.sum()), 3000, 0.3).pvalue > 0.001
    assert stats.chisquare(np.bincount([c for c in channels if c is not None])).pvalue > 0.001
    # One frame tells nothing of the next.
    pairs = np.histogram2d(grey[:-1], grey[1:], bins=2)[0]
    assert stats.chi2_contingency(pairs).pvalue > 0.001
    np.testing.assert_array_equal(np.stack(clip), before)
    assert frames[0].dtype == np.uint8


def test_always_and_never(clip):
    frames = RandomFrameGrey(prob=1)({"imgs": clip[:50]})["imgs"]
    assert all((frame == frame[..., :1]).all() for frame in frames)
    assert all(a is b for a, b in zip(RandomFrameGrey(prob=0)({"imgs": clip[:50]})["imgs"], clip))


def test_the_same_seed_the_same_frames(clip):
    def draw(seed):
        seed_global_generators(seed)
        return np.stack(RandomFrameGrey()({"imgs": clip[:20]})["imgs"])

    np.testing.assert_array_equal(draw(3), draw(3))
    assert (draw(3) != draw(4)).any()


def test_refusals(clip):
    with pytest.raises(ValueError, match="prob must be within 0 and 1, but got 1.5"):
        RandomFrameGrey(prob=1.5)
    with pytest.raises(KeyError, match=r"RandomFrameGrey reads 'imgs', but the results hold \['frame_inds'\]"):
        RandomFrameGrey()({"frame_inds": [0]})
    with pytest.raises(ValueError, match=r"colour frames of \(H, W, 3\), but got \[\(4, 4\)\]; is this optical flow"):
        RandomFrameGrey()({"imgs": [np.zeros((4, 4))]})
    with pytest.raises(TypeError, match="list of frames under 'imgs', but got ndarray; it stands before FormatShape"):
        RandomFrameGrey()({"imgs": np.zeros((2, 4, 4, 3))})
