"""Local files that are either the old ones or the new ones, never half of each."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


class AtomicLocalBackend(LocalBackend):
    """mmengine's local storage, with writes that a crash, a full disk or a power cut can't leave half done.

    A file is written beside its target under a hidden name, flushed to the disk, and renamed over the target; then the
    folder's entry is flushed. Registered under :attr:`NAME`, for ``backend_args=dict(backend="nda_mm_atomic")``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> AtomicLocalBackend().put_text("kept", path)
        >>> path.read_text()
        'kept'
    """

    NAME = "nda_mm_atomic"

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes, all or nothing.

        Args:
            obj: The bytes.
            filepath: Where to; missing folders are made.

        Raises:
            OSError: If they can't be written; what stood there before is untouched, and nothing is left behind.
        """
        target = Path(filepath).absolute()
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(unfinished, "wb") as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, target)
        except BaseException as error:  # Ctrl-C too
            with suppress(OSError):
                unfinished.unlink()
            if not isinstance(error, OSError):
                raise
            raise OSError(
                error.errno,
                f"{error.strerror}; {len(obj):,} bytes are needed, {_free_bytes(target.parent)} are free",
                str(target),
            ) from error
        self._flush_folder(target.parent)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text, all or nothing; see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)

    @staticmethod
    def remove_unfinished(folder: str | Path) -> list[Path]:
        """Remove what killed processes left half written.

        Args:
            folder: Where checkpoints are.

        Returns:
            The files removed.
        """
        leftovers = sorted(Path(folder).glob(".*.unfinished"))
        for path in leftovers:
            path.unlink(missing_ok=True)
        return leftovers

    @staticmethod
    def _flush_folder(folder: Path) -> None:
        # Not every file system can flush a folder; the file itself is on the disk by now.
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _free_bytes(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free:,}"
    except OSError:
        return "an unknown number"


# force: the module may be imported anew (in a test, or a notebook), and the name is ours.
register_backend(AtomicLocalBackend.NAME, AtomicLocalBackend, force=True)
