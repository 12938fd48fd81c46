"""Videos opened in other processes, of which some crash."""

from __future__ import annotations

import pytest
from tiny_videos import cut_off, damage_frames, numbered_frames, write_noise, write_video

from nda_mm.datasets.videos.lists import DEADLY, probe_videos
from nda_mm.utils.video_files import Probe, open_video

pytest.importorskip("decord")
pytest.importorskip("cv2")


def test_damages_have_a_reason(tmp_path):
    text = tmp_path / "text.avi"
    text.write_bytes(b"no video at all")
    assert open_video(str(text)) == Probe(0, "Error reading 15 bytes")
    found = open_video(str(damage_frames(write_noise(tmp_path / "holes.avi"), range(3))))
    # Which of decord's threads gives up first is chance: "Error sending packet", or once in forty "run_.load()".
    assert found.frames == 0 and found.fault.startswith("Check failed: ") and ".cc" not in found.fault


def test_damage_in_the_middle_is_seen_if_every_frame_is_decoded(tmp_path):
    path = str(damage_frames(write_noise(tmp_path / "a.avi", 300), range(150, 155)))
    assert open_video(path) == Probe(300)
    assert open_video(path, every_frame=True).fault.startswith("Check failed: ")


@pytest.mark.parametrize(("workers", "deadly"), [(1, [0]), (3, [3, 4, 5, 9, 11])])
@pytest.mark.slow
def test_every_video_is_reported_once_however_many_crash(tmp_path, workers, deadly):
    """Cut-off AVI files, of which decord 0.6 dies, among good ones."""
    expected = {}
    for number in range(12):
        path = tmp_path / f"{number}.avi"
        if number in deadly:
            cut_off(write_noise(path))
            expected[str(path)] = Probe(0, DEADLY)
        else:
            write_video(path, numbered_frames(3 + number))
            expected[str(path)] = Probe(3 + number)
    told = list(probe_videos(expected, workers=workers))
    assert len(told) == 12 and dict(told) == expected
