"""Looking at videos in other processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

pytest.importorskip("decord")
pytest.importorskip("cv2")

from tiny_videos import cut_off, damage_frames, numbered_frames, write_noise, write_video

from nda_mm.datasets.video_probe import Probe, probe_video, probe_videos


def sleep_a_little(path: str, every_frame: bool) -> Probe:
    time.sleep(0.05)
    return Probe(1)


def probe_or_die(path: str, every_frame: bool) -> Probe:
    if "deadly" in path:
        os.abort()
    return Probe(len(path))


def test_a_good_video_has_its_frames_counted(tmp_path):
    path = write_video(tmp_path / "a.avi", numbered_frames(23))
    assert probe_video(str(path)) == probe_video(str(path), every_frame=True) == Probe(23)


def test_damages_have_a_reason(tmp_path):
    text, empty = tmp_path / "text.avi", tmp_path / "empty.avi"
    text.write_bytes(b"no video at all")
    empty.write_bytes(b"")
    assert probe_video(str(text)) == Probe(0, "Error reading 15 bytes...")
    assert probe_video(str(empty)) == Probe(0, "Error reading 0 bytes...")
    found = probe_video(str(damage_frames(write_noise(tmp_path / "holes.avi"), range(3))))
    assert found.frames == 0 and "Error sending packet" in found.fault and ".cc" not in found.fault


def test_a_damage_in_the_middle_is_seen_where_every_frame_is_looked_at(tmp_path):
    path = str(damage_frames(write_noise(tmp_path / "a.avi", 300), range(150, 155)))
    assert probe_video(path) == Probe(300)
    assert "Error sending packet" in probe_video(path, every_frame=True).fault


def test_a_process_that_dies_costs_one_video(tmp_path):
    """A cut-off AVI file, of which decord 0.6 dies, among good ones."""
    paths = [str(write_video(tmp_path / f"{i}.avi", numbered_frames(3 + i))) for i in range(8)]
    cut_off(write_noise(Path(paths[4])))
    found = dict(probe_videos(paths, workers=2))
    assert found[paths[4]].fault
    assert {path: probe for path, probe in found.items() if path != paths[4]} == {
        path: Probe(3 + i) for i, path in enumerate(paths) if i != 4
    }


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("deadly", [[0], [39], [5, 6, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]])
def test_every_video_is_told_of_once_however_many_kill(workers, deadly):
    paths = ["deadly" * (i in deadly) + "x" * (i + 1) for i in range(40)]
    told = list(probe_videos(paths, workers=workers, probe=probe_or_die))
    assert sorted(path for path, _ in told) == sorted(paths)
    for path, probe in told:
        if "deadly" in path:
            assert probe == Probe(0, "decord dies of it (the file is damaged or cut off)")
        else:
            assert probe == Probe(len(path))


def test_nothing_to_look_at_and_a_number_of_workers_that_cannot_be():
    assert list(probe_videos([])) == []
    with pytest.raises(ValueError, match="workers must be at least 1, but got 0"):
        list(probe_videos(["a"], workers=0))


def test_without_decord(monkeypatch):
    import nda_mm.datasets.video_probe as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install decord"):
        list(probe_videos(["a"]))


def test_whoever_stops_listening_does_not_wait_for_the_rest():
    started = time.perf_counter()
    told = probe_videos([str(i) for i in range(400)], probe=sleep_a_little)
    next(told)
    told.close()
    assert time.perf_counter() - started < 5  # all would take 20 s
