"""Lists in mmaction2's format, of the videos that are there and can be read."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest
from tiny_action_sets import make_hmdb51, make_ucf101
from tiny_videos import cut_off, numbered_frames, write_noise, write_video

from nda_mm.datasets.videos import lists
from nda_mm.datasets.videos.lists import CheckSettings, check_videos, filter_list, prepare_lists
from nda_mm.datasets.videos.official_splits import read_hmdb51_splits, read_ucf101_splits
from nda_mm.utils.video_files import Probe

pytest.importorskip("decord")
pytest.importorskip("cv2")

MAKEUP = "ApplyEyeMakeup/v_ApplyEyeMakeup_g0{}_c01"
PUSHUPS = "HandstandPushups/v_HandStandPushups_g0{}_c01"


@pytest.fixture
def source(tmp_path) -> Path:
    return make_ucf101(tmp_path / "download")


def lines(out: Path, split: str, name: str = "ucf101") -> list[str]:
    return (out / f"{name}_{split}_videos.txt").read_text().splitlines()


def prepare(source: Path, out: Path, **settings):
    return prepare_lists(read_ucf101_splits(source), source, out, CheckSettings(**settings))


class TestLists:
    def test_all_three_splits_with_labels_and_a_link_to_the_videos(self, source, tmp_path):
        out = tmp_path / "data" / "ucf101"
        report = prepare(source, out)
        assert lines(out, "val_split_2") == [f"{MAKEUP.format(2)}.avi 0", f"{PUSHUPS.format(2)}.avi 36"]
        assert lines(out, "train_split_2") == [
            f"{key.format(i)}.avi {n}" for key, n in ((MAKEUP, 0), (PUSHUPS, 36)) for i in (1, 3)
        ]
        assert report.found == {}
        assert (out / "videos").resolve() == (source / "UCF-101").resolve()

    def test_the_place_of_the_recipes_may_be_the_source_itself(self, source):
        """data/ucf101 with both archives in it; the link within is no second set of videos."""
        for _ in range(2):
            assert prepare(source, source).found == {}
            assert (source / "videos").resolve() == source / "UCF-101"
        (source / "videos").unlink()
        (source / "UCF-101").rename(source / "videos")  # mmaction2's own layout
        assert prepare(source, source).found == {}
        assert not (source / "videos").is_symlink()

    def test_hmdb51_with_classes_at_another_depth(self, tmp_path):
        """'#' and ';' are in the real names, too."""
        source, out = make_hmdb51(tmp_path / "download"), tmp_path / "hmdb51"
        shutil.copytree(source / "wave", source / "new" / "wave")
        shutil.rmtree(source / "wave")
        report = prepare_lists(read_hmdb51_splits(source), source, out, CheckSettings())
        assert lines(out, "val_split_3", "hmdb51") == ["brush_hair/#brush_hair;3.avi 0", "new/wave/#wave;3.avi 50"]
        assert report.found == {}

    def test_short_videos_are_left_out_of_training_and_tested_on(self, source, tmp_path):
        out = tmp_path / "ucf101"
        report = prepare(source, out, min_frames=15)
        assert lines(out, "train_split_1") == [f"{PUSHUPS.format(i)}.avi 36" for i in (2, 3)]
        assert lines(out, "val_split_1") == [f"{MAKEUP.format(1)}.avi 0", f"{PUSHUPS.format(1)}.avi 36"]
        assert [len(files) for files in report.found.values()] == [3]


class TestFaults:
    def test_each_is_reported_once_and_none_is_fatal(self, source, tmp_path):
        videos, out = source / "UCF-101", tmp_path / "ucf101"
        (videos / f"{MAKEUP.format(1)}.avi").write_bytes(b"no video at all")
        (videos / f"{MAKEUP.format(2)}.avi").unlink()
        cut_off(write_noise(videos / f"{PUSHUPS.format(3)}.avi"))  # of which decord dies
        write_video(videos / "Juggling" / "v_1.avi", numbered_frames(3))  # in no list
        shutil.copy(videos / f"{PUSHUPS.format(1)}.avi", videos / f"{PUSHUPS.format(1)}.mkv")
        report = prepare(source, out, workers=2)
        assert {kind: [file.split(" (")[0] for file in files] for kind, files in report.found.items()} == {
            "there twice": [f"{videos / PUSHUPS.format(1)}.mkv"],
            "listed but not there": [MAKEUP.format(2)],
            "cannot be read": [f"{MAKEUP.format(1)}.avi", f"{PUSHUPS.format(3)}.avi"],
        }
        assert lines(out, "train_split_1") == [f"{MAKEUP.format(3)}.avi 0", f"{PUSHUPS.format(2)}.avi 36"]
        assert lines(out, "val_split_1") == [f"{PUSHUPS.format(1)}.avi 36"]

    def test_a_space_would_break_the_lists(self, source, tmp_path):
        """mmaction2 splits a line at each space. Those above the videos' common folder do not stand in the lists."""
        (source / "UCF-101").rename(source / "my videos")
        (source / "my videos" / "new folder").mkdir()
        moved = source / "my videos" / "HandstandPushups"
        moved.rename(source / "my videos" / "new folder" / "HandstandPushups")
        out = tmp_path / "ucf101"
        report = prepare(source, out)
        assert lines(out, "val_split_1") == [f"{MAKEUP.format(1)}.avi 0"]
        assert report.found == {lists.SPACE: [f"new folder/{PUSHUPS.format(i)}.avi" for i in (1, 2, 3)]}

    def test_an_empty_list_is_refused_and_old_lists_stay(self, source, tmp_path):
        out = tmp_path / "ucf101"
        prepare(source, out)
        before = lines(out, "train_split_1")
        with pytest.raises(ValueError, match=r"train_split_1(?s:.)*6 x too short"):
            prepare(source, out, min_frames=1000)
        assert lines(out, "train_split_1") == before


class TestFilter:
    def test_a_list_without_what_cannot_be_read(self, tmp_path):
        """A list as mmaction2's tools write it, of which one video is missing and one broken."""
        videos, source, out = tmp_path / "videos_train", tmp_path / "train_list_videos.txt", tmp_path / "checked.txt"
        for name, count in (("a", 20), ("b", 5)):
            write_video(videos / "abseiling" / f"{name}.mp4.avi", numbered_frames(count))
        cut_off(write_noise(videos / "abseiling" / "c.avi"))
        names = ("a.mp4.avi", "b.mp4.avi", "c.avi", "gone.avi")
        before = "".join(f"abseiling/{name} {label}\n" for label, name in enumerate(names)) + "\n"
        source.write_text(before)
        report = filter_list(source, videos, out, CheckSettings(min_frames=10))
        assert out.read_text() == "abseiling/a.mp4.avi 0\n"
        assert source.read_text() == before
        filter_list(source, videos, source, CheckSettings())  # in place
        assert source.read_text() == "abseiling/a.mp4.avi 0\nabseiling/b.mp4.avi 1\n"
        assert [files[0].split(" (")[0] for files in report.found.values()] == [
            f"abseiling/{name}" for name in ("gone.avi", "c.avi", "b.mp4.avi")
        ]

    @pytest.mark.parametrize(("delimiter", "labels"), [(" ", "{}"), (",", "{} 3"), ("\t", "")])
    def test_paths_with_spaces_are_whole_and_the_host_can_read_the_list(self, tmp_path, delimiter, labels):
        pytest.importorskip("mmaction.datasets")
        from mmaction.datasets import VideoDataset

        videos, source, out = tmp_path / "videos", tmp_path / "list.txt", tmp_path / "out.txt"
        names = ["air drumming/a b 2.avi", "abseiling/c.avi", "abseiling/12 3.avi"]
        for name in names:
            write_video(videos / name, numbered_frames(3))
        rows = [(name, labels.format(number)) for number, name in enumerate([*names, "not here/d.avi"])]
        source.write_text("".join(delimiter.join((name, *given.split())) + "\n" for name, given in rows))
        report = filter_list(source, videos, out, CheckSettings())
        assert report.found == {"listed but not there": ["not here/d.avi"]}
        other = [eval(note.split("delimiter=")[1].split()[0]) for note in report.notes if "delimiter" in note]
        assert other == ([","] if delimiter == " " or not labels else [])
        many = dict(multi_class=True, num_classes=9) if labels == "{} 3" else {}
        data = VideoDataset(str(out), [], delimiter=(other or [delimiter])[0], **many)
        found = [(item["filename"], item["label"]) for item in data.load_data_list()]
        expected = {"{}": list(range(3)), "{} 3": [[number, 3] for number in range(3)], "": [-1] * 3}[labels]
        assert found == list(zip(names, expected, strict=True))


class TestCheckVideos:
    NAMES = ("a.avi", "b/c.avi", "broken.avi", "fifo.avi")

    @pytest.fixture
    def opened(self, monkeypatch) -> list[str]:
        """The videos that are opened, in place of which a probe is made up."""
        opened: list[str] = []

        def probe_videos(paths, **settings):
            for path in paths:
                opened.append(Path(path).name)
                yield path, Probe(0, "broken") if "broken" in path else Probe(5)

        monkeypatch.setattr(lists, "probe_videos", probe_videos)
        return opened

    @pytest.fixture
    def check(self, tmp_path):
        (tmp_path / "b").mkdir()
        for name in self.NAMES[:3]:
            (tmp_path / name).write_text(name)
        os.mkfifo(tmp_path / "fifo.avi")

        def check(**settings) -> dict[str, Probe]:
            return check_videos(tmp_path, self.NAMES, tmp_path / "out" / "record.json", CheckSettings(**settings))

        return check

    def test_only_what_has_changed_is_opened_again(self, check, opened, tmp_path):
        found = check()
        assert [found[name].frames for name in self.NAMES] == [5, 5, 0, 0]
        assert opened == ["a.avi", "c.avi", "broken.avi"]
        opened.clear()
        assert check() == found
        assert opened == []
        os.utime(tmp_path / "a.avi", ns=(1, 1))  # of the same size
        assert check() == found
        assert opened == ["a.avi"]

    def test_what_was_found_before_an_interruption_is_kept(self, check, opened, monkeypatch):
        probe_videos = lists.probe_videos

        def stop(paths, **settings):
            yield from itertools.islice(probe_videos(paths), 2)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(lists, "probe_videos", stop)
            with pytest.raises(KeyboardInterrupt):
                check()
        opened.clear()
        check()
        assert opened == ["broken.avi"]

    @pytest.mark.parametrize("content", ["{", '{"a.avi": 3, "b/c.avi": [1, 2, 3]}'])
    def test_a_damaged_record_is_written_anew(self, check, opened, tmp_path, content):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "record.json").write_text(content)
        check()
        assert opened == ["a.avi", "c.avi", "broken.avi"]
