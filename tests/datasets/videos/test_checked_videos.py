"""Videos are opened once, and again only when they have changed."""

from __future__ import annotations

import json
import os

import pytest
from tiny_videos import damage_frames, numbered_frames, write_noise, write_video

import nda_mm.datasets.videos.checked_videos as module
from nda_mm.datasets.videos.checked_videos import check_videos
from nda_mm.datasets.videos.probe import Probe

pytest.importorskip("decord")
pytest.importorskip("cv2")


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
    seen = []
    assert check_videos(root, NAMES, record, progress=lambda done, total: seen.append((done, total))) == FOUND
    assert sorted(opened) == NAMES and seen == [(1, 3), (2, 3), (3, 3)]
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


def test_what_was_seen_before_an_interruption_is_kept(videos):
    root, record, opened = videos

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_videos(root, NAMES, record, progress=stop)
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
