"""Looking at videos in other processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_videos import cut_off, damage_frames, numbered_frames, write_noise, write_video

import nda_mm.datasets.videos.probe as module
from nda_mm.datasets.videos.probe import DEADLY, Probe, Prober, probe_videos

pytest.importorskip("decord")
pytest.importorskip("cv2")


def look_at(path: Path, **settings) -> Probe:
    ((told, found),) = probe_videos([str(path)], **settings)
    assert told == str(path)
    return found


def test_a_good_video_has_its_frames_counted(tmp_path):
    path = write_video(tmp_path / "a b\u00e9.avi", numbered_frames(23))
    assert look_at(path) == look_at(path, every_frame=True) == Probe(23)


def test_damages_have_a_reason(tmp_path):
    text, empty = tmp_path / "text.avi", tmp_path / "empty.avi"
    text.write_bytes(b"no video at all")
    empty.write_bytes(b"")
    assert look_at(text) == Probe(0, "Error reading 15 bytes")
    assert look_at(empty) == Probe(0, "Error reading 0 bytes")
    assert "No such file" in look_at(tmp_path / "absent.avi").fault
    found = look_at(damage_frames(write_noise(tmp_path / "holes.avi"), range(3)))
    # Which of decord's threads gives up first is chance: "Error sending packet", or once in forty "run_.load()".
    assert found.frames == 0 and found.fault.startswith("Check failed: ") and ".cc" not in found.fault


def test_a_damage_in_the_middle_is_seen_where_every_frame_is_looked_at(tmp_path):
    path = damage_frames(write_noise(tmp_path / "a.avi", 300), range(150, 155))
    assert look_at(path) == Probe(300)
    assert look_at(path, every_frame=True).fault.startswith("Check failed: ")


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("deadly", [[0], [11], [3, 4, 5, 9, 11], list(range(12))])
@pytest.mark.slow
def test_every_video_is_told_of_once_however_many_kill(tmp_path, workers, deadly):
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


def test_nothing_to_look_at_and_a_number_of_workers_that_cannot_be():
    assert list(probe_videos([])) == []
    with pytest.raises(ValueError, match="workers must be at least 1, but got 0"):
        list(probe_videos(["a"], workers=0))


def test_without_decord_no_video_is_called_broken(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text("import decord_that_is_not_there")
    monkeypatch.setattr(module.video_probe_process, "__file__", str(script))
    with pytest.raises(ModuleNotFoundError, match="decord, which cannot be imported: pip install decord"):
        list(probe_videos(["a"]))


def test_whoever_stops_listening_does_not_wait_for_the_rest_and_leaves_no_process(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\nprint('ready', flush=True)\n"
        "for number, line in enumerate(sys.stdin):\n"
        f"    if number:\n        time.sleep(60)\n        open({str(tmp_path / 'waited_for')!r}, 'w')\n"
        "    print('[1, \"\"]', flush=True)\n"
    )
    monkeypatch.setattr(module.video_probe_process, "__file__", str(script))
    processes = []
    start = Prober._start
    monkeypatch.setattr(Prober, "_start", lambda self: processes.append(start(self)) or processes[-1])
    told = probe_videos([str(i) for i in range(400)], workers=2)
    assert next(told)[1] == Probe(1)
    told.close()
    assert not (tmp_path / "waited_for").exists()
    assert 1 <= len(processes) <= 2
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)
