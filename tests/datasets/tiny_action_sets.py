"""UCF101 and HMDB51 as their archives unpack, with all classes in the lists and a few videos of kilobytes."""

from __future__ import annotations

from pathlib import Path

from tiny_videos import numbered_frames, write_video

UCF_CLASSES = [f"Class{number:03}" for number in range(1, 102)]
UCF_CLASSES[0], UCF_CLASSES[36] = "ApplyEyeMakeup", "HandstandPushups"
HMDB_CLASSES = [f"class_{number:02}" for number in range(1, 52)]
HMDB_CLASSES[0], HMDB_CLASSES[50] = "brush_hair", "wave"

#: Frames of each video that is there; groups 1 to 3 of a class are tested on in splits 1 to 3.
UCF_VIDEOS = {
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01": 12,
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g02_c01": 13,
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g03_c01": 14,
    "HandstandPushups/v_HandStandPushups_g01_c01": 15,
    "HandstandPushups/v_HandStandPushups_g02_c01": 16,
    "HandstandPushups/v_HandStandPushups_g03_c01": 17,
}


def make_ucf101(folder: Path, videos: dict[str, int] | None = None) -> Path:
    """``UCF-101`` and ``ucfTrainTestlist``; the lists write the pushups in other capitals than the files."""
    videos = UCF_VIDEOS if videos is None else videos
    for key, count in videos.items():
        write_video(folder / "UCF-101" / f"{key}.avi", numbered_frames(count))
    lists = folder / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i} {name}\r\n" for i, name in enumerate(UCF_CLASSES, 1)) + "\r\n")
    for split in (1, 2, 3):
        train, test = [], []
        for key in videos:
            line = f"{key.replace('HandStand', 'Handstand')}.avi"
            label = UCF_CLASSES.index(key.split("/")[0]) + 1
            (test if f"_g0{split}_" in key else train).append((line, label))
        (lists / f"testlist0{split}.txt").write_text("".join(f"{line}\n" for line, _ in test))
        (lists / f"trainlist0{split}.txt").write_text("".join(f"{line} {label}\n" for line, label in train))
    return folder


def make_hmdb51(folder: Path) -> Path:
    """Class folders and ``testTrainMulti_7030_splits``: four videos in each of two classes, one of them never used."""
    lists = folder / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for name in HMDB_CLASSES:
        there = name in ("brush_hair", "wave")
        for number in range(4 if there else 0):
            write_video(folder / name / f"#{name};{number}.avi", numbered_frames(10 + number))
        for split in (1, 2, 3):
            uses = [0 if number == 0 else 2 if number == split else 1 for number in range(4 if there else 1)]
            rows = "".join(f"#{name};{number}.avi {use} \n" for number, use in enumerate(uses))
            (lists / f"{name}_test_split{split}.txt").write_text(rows)
    return folder
