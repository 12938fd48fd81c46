"""DTD, Places365 and Tiny ImageNet in their official layouts, with four images each: contents by name."""

from __future__ import annotations

from pathlib import Path

from tiny_archives import noise

TEXTURES = ("banded/banded_0002", "banded/banded_0005", "zigzagged/zigzagged_0001", "zigzagged/zigzagged_0002")
NOTES = "".join(f"val_{number}.JPEG\tn0{number % 2}\t0\t0\t9\t9\n" for number in range(4))

MEMBERS: dict[str, dict[str, bytes]] = {
    "dtd": {
        **{f"images/{name}.jpg": noise() for name in TEXTURES},
        "labels/test1.txt": b"banded/banded_0002.jpg\n",
        "imdb/imdb.mat": b"x",
    },
    "places365": {f"val_256/Places365_val_{number:08d}.jpg": noise() for number in range(1, 5)},
    "tiny_imagenet": {
        "wnids.txt": b"n01\nn00\n",
        "words.txt": b"n00\tthing\n",
        **{f"val/images/val_{number}.JPEG": noise() for number in range(4)},
        "val/val_annotations.txt": NOTES.encode(),
        "train/n01/images/n01_0.JPEG": noise(),
        "test/images/test_0.JPEG": noise(),
    },
}


def write_set(root: Path, name: str) -> Path:
    """Write the files of one of these sets; the folder."""
    for member, content in MEMBERS[name].items():
        path = root / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
