"""Downloads that resume after a lost connection and are checked before anything reads them."""

from __future__ import annotations

import http.client
import logging
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from mmengine.logging import print_log

from nda_mm.utils.messages import Progress

_CHUNK = 1 << 20


class DownloadError(RuntimeError):
    """A file could not be downloaded, or its checksum is wrong."""


def has_md5(path: Path, md5: str) -> bool:
    """Whether a file is there, and has this checksum."""
    from torchvision.datasets.utils import check_integrity

    return bool(check_integrity(path, md5))


def download(url: str, path: str | Path, *, md5: str, attempts: int = 4, timeout: float = 30.0) -> Path:
    """Download a file unless it is there; resume what an earlier attempt, or an earlier run, has left.

    The bytes go to ``PATH.part``, which takes the final name only when it is complete and its checksum is right, so a
    file under the final name is always whole. A server without range requests is asked from the start.

    Args:
        url: http or https address.
        path: Where to save the file; its folder is made.
        md5: Expected MD5, in hexadecimal.
        attempts: How often a lost or refused connection is tried in all, after waits of 1, 2, 4, ... seconds.
        timeout: Seconds without a byte after which a connection counts as lost.

    Returns:
        The path.

    Raises:
        DownloadError: If the file cannot be downloaded or its checksum is wrong. A part with the wrong checksum is
            removed; an incomplete one is kept for the next call.
    """
    path = Path(path)
    if has_md5(path, md5):
        return path
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, attempts + 1):
        try:
            _fetch(url, part, timeout)
            break
        except (OSError, http.client.HTTPException) as error:
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 429)
            if final or attempt == attempts:
                raise DownloadError(f"{url} could not be downloaded in {attempt} attempts: {error}") from error
            print_log(f"{url}: {error}; trying again ({attempt} of {attempts - 1})", "current", logging.WARNING)
            time.sleep(2 ** (attempt - 1))
    if not has_md5(part, md5):
        part.unlink()
        raise DownloadError(f"{url} has the wrong checksum: its MD5 is not {md5}")
    os.replace(part, path)
    return path


def _fetch(url: str, part: Path, timeout: float) -> None:
    """Bring ``part`` to the full length, appending to what it holds if the server can do that."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # no byte beyond these: complete, or, as the checksum shows, another file
            return
        raise
    with response:
        start = have if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        with (
            open(part, "ab" if start else "wb") as file,
            Progress(f"downloading {part.stem}", int(length or 0) >> 20, "MiB") as progress,
        ):
            for number, chunk in enumerate(iter(lambda: response.read(_CHUNK), b""), 1):
                file.write(chunk)
                progress.update(number)
    received = part.stat().st_size
    if length is not None and received != start + int(length):
        raise ConnectionError(f"the connection ended after {received} of {start + int(length)} bytes")
