"""Video files of kilobytes whose frames tell their own numbers, and damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

#: Gray levels between one frame and the next, more than JPEG's rounding of an even area.
STEP = 3


def numbered_frames(count: int, size: int = 32, step: int = STEP) -> np.ndarray:
    """RGB frames of one level each: ``step`` times the frame's number, which must stay below 256."""
    levels = (np.arange(count) * step).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, size, size, 3)).copy()


def read_numbers(pixels: np.ndarray, step: int = STEP) -> np.ndarray:
    """The numbers of the frames that pixels are from, after the codec's rounding."""
    return np.rint(np.asarray(pixels, dtype=float) / step).astype(int)


def write_video(path: Path, frames: np.ndarray, codec: str = "MJPG") -> Path:
    """RGB frames as Motion JPEG, or as XVID, most of whose frames are told by those before them."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, frames.shape[1:3][::-1])
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def write_noise(path: Path, count: int = 50, size: int = 32) -> Path:
    """A video whose frames have something to lose."""
    return write_video(path, np.random.default_rng(count).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def cut_off(path: Path, share: float = 0.5) -> Path:
    """Keep the first bytes of a file, as a broken download does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def damage_frames(path: Path, numbers: range) -> Path:
    """Spoil the Huffman tables of some of the frames: the file opens and counts them all, and cannot decode those."""
    content = bytearray(path.read_bytes())
    frames, place = [], 0
    while (place := content.find(b"00dc", place)) >= 0:
        if content[place + 8 : place + 10] == b"\xff\xd8":  # where a JPEG begins; not the file's index
            frames.append(place)
        place += 4
    for number in numbers:
        table = content.index(b"\xff\xc4", frames[number])
        content[table + 2 : table + 4] = b"\xff\xff"
    path.write_bytes(content)
    return path
