"""Lists in mmaction2's format, of the videos that are there and can be read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tiny_action_sets import make_hmdb51, make_ucf101
from tiny_videos import cut_off, numbered_frames, write_noise, write_video

from nda_mm.datasets.videos import probe
from nda_mm.datasets.videos.lists import CheckSettings, filter_list, find_videos, prepare_lists
from nda_mm.datasets.videos.official_splits import read_hmdb51_splits, read_ucf101_splits

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


def contents(out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in out.iterdir() if path.is_file()}


class TestLists:
    def test_all_three_splits_with_labels_and_a_link_to_the_videos(self, source, tmp_path):
        out = tmp_path / "data" / "ucf101"
        report = prepare(source, out)
        assert lines(out, "val_split_2") == [f"{MAKEUP.format(2)}.avi 0", f"{PUSHUPS.format(2)}.avi 36"]
        assert lines(out, "train_split_2") == [
            f"{key.format(i)}.avi {n}" for key, n in ((MAKEUP, 0), (PUSHUPS, 36)) for i in (1, 3)
        ]
        assert report.listed == {
            str(out / f"ucf101_{use}_split_{split}_videos.txt"): count
            for split in (1, 2, 3)
            for use, count in (("train", 4), ("val", 2))
        }
        assert report.left_out == {}
        assert (out / "videos").resolve() == (source / "UCF-101").resolve()

    def test_mmaction2_reads_them(self, source, tmp_path):
        pytest.importorskip("mmaction.datasets")
        from mmengine.registry import DATASETS, DefaultScope

        out = tmp_path / "ucf101"
        prepare(source, out)
        with DefaultScope.overwrite_default_scope("mmaction"):
            videos = DATASETS.build(
                dict(
                    type="VideoDataset",
                    ann_file=str(out / "ucf101_train_split_1_videos.txt"),
                    data_prefix=dict(video=str(out / "videos")),
                    pipeline=[dict(type="DecordInit")],
                )
            )
        assert [(videos[i]["total_frames"], videos[i]["label"]) for i in range(4)] == [
            (13, 0),
            (14, 0),
            (16, 36),
            (17, 36),
        ]

    def test_hmdb51_in_rars_within_a_rar(self, tmp_path):
        """Its archives unpack to CLASS/CLASS/NAME.avi with some tools; '#' and ';' are in the real names, too."""
        source, out = make_hmdb51(tmp_path / "download"), tmp_path / "hmdb51"
        (source / "wave").rename(source / "inner")
        (source / "inner").rename(source / "x")
        (source / "wave").mkdir()
        (source / "x").rename(source / "wave" / "wave")
        report = prepare_lists(read_hmdb51_splits(source), source, out, CheckSettings())
        assert lines(out, "val_split_3", "hmdb51") == ["brush_hair/#brush_hair;3.avi 0", "wave/wave/#wave;3.avi 50"]
        assert all(
            (out / "videos" / line.rsplit(" ", 1)[0]).is_file() for line in lines(out, "train_split_1", "hmdb51")
        )
        assert report.left_out == {}  # videos that no split uses are no strangers

    def test_short_videos_are_left_out_of_training_and_tested_on(self, source, tmp_path):
        out = tmp_path / "ucf101"
        report = prepare(source, out, min_frames=15)
        assert lines(out, "train_split_1") == [f"{PUSHUPS.format(i)}.avi 36" for i in (2, 3)]
        assert lines(out, "val_split_1") == [f"{MAKEUP.format(1)}.avi 0", f"{PUSHUPS.format(1)}.avi 36"]
        assert report.left_out == {
            "too short, left out of training lists": [
                f"{MAKEUP.format(i)}.avi ({11 + i} of 15 frames)" for i in (1, 2, 3)
            ]
        }


class TestFaults:
    def test_each_is_reported_once_and_none_is_fatal(self, source, tmp_path):
        videos, out = source / "UCF-101", tmp_path / "ucf101"
        (videos / f"{MAKEUP.format(1)}.avi").write_bytes(b"no video at all")
        (videos / f"{MAKEUP.format(2)}.avi").unlink()
        cut_off(write_noise(videos / f"{PUSHUPS.format(3)}.avi"))  # of which decord dies
        write_video(videos / f"{PUSHUPS.format(1)}.mp4.avi", numbered_frames(3))
        for number in (1, 2):
            write_video(videos / "Juggling" / f"v_{number}.avi", numbered_frames(3))
        shutil.copy(videos / f"{PUSHUPS.format(1)}.avi", videos / f"{PUSHUPS.format(1)}.mkv")
        report = prepare(source, out, workers=2)
        assert report.left_out == {
            "there twice": [
                f"{videos / PUSHUPS.format(1)}.mkv (taken is {videos / PUSHUPS.format(1)}.avi)",
            ],
            "in no list": [f"UCF-101/{PUSHUPS.format(1)}.mp4.avi"],
            "class in no list": ["UCF-101/Juggling (2 videos)"],
            "listed but not there": [MAKEUP.format(2)],
            "cannot be read": [
                f"{MAKEUP.format(1)}.avi (Error reading 15 bytes)",
                f"{PUSHUPS.format(3)}.avi (decord crashes on it; the file is damaged or cut off)",
            ],
        }
        assert lines(out, "train_split_1") == [f"{MAKEUP.format(3)}.avi 0", f"{PUSHUPS.format(2)}.avi 36"]
        assert lines(out, "val_split_1") == [f"{PUSHUPS.format(1)}.avi 36"]
        told = (out / "ucf101_left_out.txt").read_text()
        assert all(file in told for files in report.left_out.values() for file in files)

    def test_long_reports_are_cut_on_the_screen_and_whole_in_the_file(self, source, tmp_path):
        for number in range(30):
            write_video(source / "UCF-101" / "ApplyEyeMakeup" / f"v_extra_{number:02}.avi", numbered_frames(2, 16))
        report = prepare(source, tmp_path / "ucf101")
        (line,) = [line for line in report.lines() if "in no list" in line]
        assert line.startswith("30 x in no list: UCF-101/ApplyEyeMakeup/v_extra_00.avi; ")
        assert line.endswith("v_extra_19.avi and 10 more")
        assert "v_extra_29.avi" in (tmp_path / "ucf101" / "ucf101_left_out.txt").read_text()

    def test_a_space_would_break_the_lists(self, source, tmp_path):
        """mmaction2 splits a line at each space. Those above the videos' common folder do not stand in the lists."""
        (source / "UCF-101").rename(source / "my videos")
        (source / "my videos" / "new folder").mkdir()
        moved = source / "my videos" / "HandstandPushups"
        moved.rename(source / "my videos" / "new folder" / "HandstandPushups")
        out = tmp_path / "ucf101"
        report = prepare(source, out)
        assert lines(out, "val_split_1") == [f"{MAKEUP.format(1)}.avi 0"]
        assert report.left_out == {
            "space in the name, which the lists cannot hold": [f"new folder/{PUSHUPS.format(i)}.avi" for i in (1, 2, 3)]
        }

    def test_entries_that_are_no_files_are_unreadable(self, source, tmp_path):
        videos, out = source / "UCF-101", tmp_path / "ucf101"
        for number, make in ((1, os.mkfifo), (2, lambda path: path.symlink_to("nowhere")), (3, Path.mkdir)):
            (videos / f"{MAKEUP.format(number)}.avi").unlink()
            make(videos / f"{MAKEUP.format(number)}.avi")
        strange = videos / "HandstandPushups" / os.fsdecode(b"caf\xe9.avi")
        shutil.copy(videos / f"{PUSHUPS.format(1)}.avi", strange)
        report = prepare(source, out)
        assert lines(out, "val_split_1") == [f"{PUSHUPS.format(1)}.avi 36"]
        assert [name.split(" ")[0] for name in report.left_out["cannot be read"]] == [
            f"{MAKEUP.format(number)}.avi" for number in (1, 2, 3)
        ]
        assert report.left_out["in no list"] == ["UCF-101/HandstandPushups/caf\\udce9.avi"]

    def test_no_video_of_the_lists(self, source, tmp_path):
        shutil.rmtree(source / "UCF-101")
        with pytest.raises(FileNotFoundError, match=r"holds 0 videos, but none of ucf101 as CLASS/NAME.avi, such as"):
            prepare(source, tmp_path / "ucf101")
        assert not (tmp_path / "ucf101").exists()

    def test_an_empty_list_is_refused_and_old_lists_stay(self, source, tmp_path):
        out = tmp_path / "ucf101"
        prepare(source, out)
        before = lines(out, "train_split_1")
        with pytest.raises(
            ValueError, match=r"no video is left for train_split_1, .* of ucf101, of 6 in (?s:.)*6 x too short"
        ):
            prepare(source, out, min_frames=1000)
        assert lines(out, "train_split_1") == before

    @pytest.mark.parametrize("settings", [dict(min_frames=0), dict(workers=0)])
    def test_bad_settings(self, settings):
        (name,) = settings
        with pytest.raises(ValueError, match=f"{name} must be at least 1, but got 0"):
            CheckSettings(**settings)


class TestAgain:
    def test_a_second_run_opens_nothing_and_changes_nothing(self, source, tmp_path, monkeypatch):
        out = tmp_path / "ucf101"
        prepare(source, out)
        before = contents(out)
        monkeypatch.setattr(probe, "Prober", lambda *_: pytest.fail("no video is to be opened"))
        prepare(source, out)
        assert contents(out) == before

    def test_the_place_of_the_recipes_may_be_the_source_itself(self, source):
        """data/ucf101 with both archives in it; the link within is no second set of videos."""
        for _ in range(2):
            report = prepare(source, source)
            assert report.left_out == {}
            assert (source / "videos").resolve() == source / "UCF-101"
        (source / "videos").unlink()
        (source / "UCF-101").rename(source / "videos")  # mmaction2's own layout
        assert prepare(source, source).left_out == {}
        assert not (source / "videos").is_symlink()
        assert len(lines(source, "train_split_1")) == 4

    def test_what_stands_in_the_way_is_left_alone(self, source, tmp_path):
        (tmp_path / "ucf101" / "videos").mkdir(parents=True)
        with pytest.raises(FileExistsError, match=r"ucf101/videos should lead to .*UCF-101"):
            prepare(source, tmp_path / "ucf101")
        assert list((tmp_path / "ucf101").iterdir()) == [tmp_path / "ucf101" / "videos"]


def test_links_are_followed_but_not_round_and_round(tmp_path):
    write_video(tmp_path / "elsewhere" / "A" / "a.AVI", numbered_frames(2, 16))
    (tmp_path / "set" / ".hidden").mkdir(parents=True)
    (tmp_path / "set" / ".hidden" / "b.avi").touch()
    (tmp_path / "set" / "notes.txt").touch()
    (tmp_path / "set" / "classes").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "A" / "back").symlink_to(tmp_path / "set")
    assert find_videos(tmp_path / "set") == [tmp_path / "set" / "classes" / "A" / "a.AVI"]


class TestFilter:
    @pytest.fixture
    def kinetics(self, tmp_path) -> tuple[Path, Path]:
        """A list as mmaction2's tools write it, of which one video is missing and one broken."""
        videos = tmp_path / "videos_train"
        for name, count in (("a", 20), ("b", 5)):
            write_video(videos / "abseiling" / f"{name}.mp4.avi", numbered_frames(count))
        cut_off(write_noise(videos / "abseiling" / "c.avi"))
        source = tmp_path / "train_list_videos.txt"
        names = ("a.mp4.avi", "b.mp4.avi", "c.avi", "gone.avi")
        source.write_text("".join(f"abseiling/{name} {label}\n" for label, name in enumerate(names)) + "\n")
        return source, videos

    def test_a_list_without_what_cannot_be_read(self, kinetics, tmp_path):
        source, videos = kinetics
        before, out = source.read_text(), tmp_path / "checked.txt"
        report = filter_list(source, videos, out, CheckSettings(min_frames=10))
        assert out.read_text() == "abseiling/a.mp4.avi 0\n"
        assert source.read_text() == before
        assert report.lines() == [
            f"{out}: 1 videos",
            "1 x listed but not there: abseiling/gone.avi",
            "1 x too short, left out of training lists: abseiling/b.mp4.avi (5 of 10 frames)",
            "1 x cannot be read: abseiling/c.avi (decord crashes on it; the file is damaged or cut off)",
        ]

    @pytest.mark.parametrize("labels", ["{}", "{} 3", ""])
    @pytest.mark.parametrize("delimiter", [" ", ",", "\t"])
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
        assert report.left_out == {"listed but not there": ["not here/d.avi"]}
        assert report.listed == {str(out): 3}
        told = [eval(note.split("delimiter=")[1].split()[0]) for note in report.notes]
        assert told == ([","] if delimiter == " " or not labels else [])
        many = dict(multi_class=True, num_classes=9) if labels == "{} 3" else {}
        data = VideoDataset(str(out), [], delimiter=(told or [delimiter])[0], **many)
        found = [(item["filename"], item["label"]) for item in data.load_data_list()]
        expected = {"{}": list(range(3)), "{} 3": [[number, 3] for number in range(3)], "": [-1] * 3}[labels]
        assert found == list(zip(names, expected, strict=True))

    def test_entries_that_are_no_files_are_reported(self, kinetics, tmp_path):
        source, videos = kinetics
        bad = os.fsdecode(b"abseiling/caf\xe9.avi")
        os.mkfifo(videos / "abseiling" / "fifo.avi")
        (videos / "abseiling" / "round.avi").symlink_to("round.avi")
        (videos / "abseiling" / "folder.avi").mkdir()
        shutil.copy(videos / "abseiling" / "a.mp4.avi", videos / bad)
        with open(source, "ab") as file:
            file.write(b"".join(b"abseiling/%s.avi 1\n" % name for name in (b"fifo", b"round", b"folder", b"caf\xe9")))
        out = tmp_path / "checked.txt"
        report = filter_list(source, videos, out, CheckSettings())
        assert out.read_text() == "abseiling/a.mp4.avi 0\nabseiling/b.mp4.avi 1\n"
        left_out = " ".join(name for names in report.left_out.values() for name in names)
        for name in ("fifo", "round", "folder", "caf\\udce9"):
            assert left_out.count(f"abseiling/{name}.avi (") + left_out.count(f"abseiling/{name}.avi ") >= 1
        "\n".join(report.lines()).encode()

    def test_in_place(self, kinetics):
        source, videos = kinetics
        filter_list(source, videos, source, CheckSettings())
        assert source.read_text() == "abseiling/a.mp4.avi 0\nabseiling/b.mp4.avi 1\n"

    def test_nothing_left(self, kinetics, tmp_path):
        source, _ = kinetics
        with pytest.raises(
            ValueError, match=r"of the 4 videos in .*videos.txt, none is left in .*elsewhere:\n  4 x listed"
        ):
            filter_list(source, tmp_path / "elsewhere", tmp_path / "out.txt", CheckSettings())
        with pytest.raises(FileNotFoundError, match="absent.txt"):
            filter_list(tmp_path / "absent.txt", tmp_path, tmp_path / "out.txt", CheckSettings())
