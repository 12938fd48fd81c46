"""Videos opened in other processes, and only those that have changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tiny_videos import cut_off, damage_frames, numbered_frames, write_noise, write_video

import nda_mm.datasets.videos.probe as module
from nda_mm.datasets.videos.probe import DEADLY, Probe, Prober, check_videos, probe_videos

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


def test_without_decord_no_video_is_called_broken(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text("import decord_that_is_not_there")
    monkeypatch.setattr(module.probe_process, "__file__", str(script))
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
    monkeypatch.setattr(module.probe_process, "__file__", str(script))
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


@pytest.fixture
def videos(tmp_path, monkeypatch):
    """Three videos, their record, and the names of those that are opened."""
    root = tmp_path / "videos"
    for name, count in (("a.avi", 5), ("b/c.avi", 6)):
        write_video(root / name, numbered_frames(count))
    (root / "broken.avi").write_bytes(b"no video at all")
    opened: list[str] = []
    probe_videos = module.probe_videos

    def spy(paths, **settings):
        for path, probe in probe_videos(paths, **settings):
            opened.append(os.path.relpath(path, root))
            yield path, probe

    monkeypatch.setattr(module, "probe_videos", spy)
    return root, tmp_path / "out" / "record.json", opened


NAMES = ["a.avi", "b/c.avi", "broken.avi"]
FOUND = {"a.avi": Probe(5), "b/c.avi": Probe(6), "broken.avi": Probe(0, "Error reading 15 bytes")}


def test_a_second_look_opens_nothing(videos):
    root, record, opened = videos
    assert check_videos(root, NAMES, record) == FOUND
    assert sorted(opened) == NAMES
    opened.clear()
    assert check_videos(root, NAMES, record) == FOUND
    assert opened == []


def test_only_what_has_changed_is_opened_again(videos):
    root, record, opened = videos
    check_videos(root, NAMES, record)
    opened.clear()
    write_video(root / "broken.avi", numbered_frames(7))  # mended
    os.utime(root / "a.avi", ns=(1, 1))  # of the same size
    assert check_videos(root, NAMES, record) == {**FOUND, "broken.avi": Probe(7)}
    assert sorted(opened) == ["a.avi", "broken.avi"]


def test_a_thorough_look_serves_for_a_quick_one_but_not_the_other_way_round(videos):
    root, record, opened = videos
    damage_frames(write_noise(root / "a.avi", 300), range(150, 155))
    quick = check_videos(root, NAMES, record)
    assert quick["a.avi"] == Probe(300)
    opened.clear()
    thorough = check_videos(root, NAMES, record, every_frame=True)
    assert thorough["a.avi"].fault.startswith("Check failed: ") and thorough["b/c.avi"] == Probe(6)
    assert sorted(opened) == ["a.avi", "b/c.avi"]  # what was broken at a glance is so now
    opened.clear()
    assert check_videos(root, NAMES, record) == thorough
    assert opened == []


def test_what_was_seen_before_an_interruption_is_kept(videos, monkeypatch):
    root, record, opened = videos

    class Stop(module.Progress):
        def update(self, done):
            if done == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "Progress", Stop)
        with pytest.raises(KeyboardInterrupt):
            check_videos(root, NAMES, record)
    assert len(opened) == 2
    done = set(opened)
    opened.clear()
    assert check_videos(root, NAMES, record) == FOUND
    assert set(opened) == set(NAMES) - done


@pytest.mark.parametrize("content", ["", "{", "[1]", json.dumps({"a.avi": 3, "b/c.avi": [1, 2, 3]})])
def test_a_damaged_record_is_written_anew(videos, content):
    root, record, opened = videos
    record.parent.mkdir()
    record.write_text(content)
    assert check_videos(root, NAMES, record) == FOUND
    assert sorted(opened) == NAMES
