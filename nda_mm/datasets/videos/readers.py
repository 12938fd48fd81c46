"""mmaction2's video readers, with errors that name the file."""

from __future__ import annotations

import os
from typing import Any

from mmaction.datasets.transforms import DecordDecode, DecordInit

from nda_mm.registry import TRANSFORMS
from nda_mm.utils.video_files import reason_of

_REMEDY = "tools/prepare_data.py (ucf101, hmdb51 or video_list) finds all such files and writes lists without them"


@TRANSFORMS.register_module()
class CheckedDecordInit(DecordInit):
    """``DecordInit`` of mmaction2 1.2 that names a file it cannot open, and survives truncated files.

    The host passes the bytes of the file to decord, whose errors then do not name the file. Worse, decord 0.6 reads
    past the end of a truncated AVI file, which causes a segmentation fault. Local files are therefore opened by their
    path; the frames are the same.

    Overrides ``DecordInit._get_video_reader``. Use with :class:`CheckedDecordDecode`: most damage shows up there.

    Args:
        io_backend: As in the host. Backends other than 'disk' and 'local' read the bytes as the host does.
        kwargs: As in the host: ``num_threads`` and the arguments of the backend.

    Raises:
        FileNotFoundError: If the file does not exist.
        OSError: If decord cannot open it, or finds no frames.

    Example:
        In a config of mmaction2::

            train_pipeline = [
                dict(type='nda_mm.CheckedDecordInit'),
                dict(type='SampleFrames', clip_len=32),
                dict(type='nda_mm.CheckedDecordDecode'),
            ]
    """

    def _get_video_reader(self, filename: str) -> Any:
        from decord import VideoReader

        is_local = self.io_backend in ("disk", "local")
        if is_local and os.path.splitext(filename)[0] == filename:
            filename += ".mp4"  # as the host does
        if is_local and not os.path.isfile(filename):
            raise FileNotFoundError(f"there is no video {filename}; check ann_file and data_prefix")
        try:
            if is_local:
                reader = VideoReader(filename, num_threads=self.num_threads)
            else:
                reader = super()._get_video_reader(filename)
            if len(reader) == 0:
                raise ValueError("it holds no frames")
        except Exception as error:  # decord raises its own type, RuntimeError and others
            raise OSError(f"the video {filename} cannot be opened: {reason_of(error)}. {_REMEDY}") from error
        return reader


@TRANSFORMS.register_module()
class CheckedDecordDecode(DecordDecode):
    """``DecordDecode`` of mmaction2 1.2 that names the file if frames cannot be decoded.

    Args:
        mode: As in the host.

    Raises:
        OSError: If a requested frame is damaged.

    Example:
        In a config of mmaction2::

            train_pipeline = [
                dict(type='nda_mm.CheckedDecordInit'),
                dict(type='SampleFrames', clip_len=32),
                dict(type='nda_mm.CheckedDecordDecode'),
            ]
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Decode the frames of ``frame_inds``."""
        try:
            return super().transform(results)
        except Exception as error:
            wanted = results["frame_inds"]
            raise OSError(
                f"frames {wanted.min()} to {wanted.max()} of the video {results.get('filename')} cannot be decoded: "
                f"{reason_of(error)}. {_REMEDY}"
            ) from error
