"""Downloads that resume after a lost connection and are checked before anything reads them."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from mmengine.logging import print_log

from nda_mm.utils.messages import Progress

_CHUNK = 1 << 20


class DownloadError(RuntimeError):
    """A file could not be fetched, or what was fetched is not what was promised."""


def file_md5(path: str | Path) -> str:
    """MD5 of a file as hexadecimal digits (a check against damage, not against malice).

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     file_md5(file.name)
        'd41d8cd98f00b204e9800998ecf8427e'
    """
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(
    url: str,
    path: str | Path,
    *,
    md5: str | None = None,
    attempts: int = 4,
    timeout: float = 30.0,
    wait: float = 1.0,
) -> Path:
    """Download a file; resume what an earlier attempt, or an earlier run, has left.

    The bytes go to ``PATH.part``, which takes the final name only when it is complete and its checksum is right, so a
    file under the final name is always whole. A server without range requests is asked from the start.

    Args:
        url: http or https address.
        path: Where to save the file; its folder is made.
        md5: Expected MD5, in hexadecimal. Default: not checked.
        attempts: How often a cut or refused connection is tried again, in all.
        timeout: Seconds without a byte after which a connection counts as cut.
        wait: Seconds before the second attempt; doubled before each further one.

    Returns:
        The path.

    Raises:
        DownloadError: If the file cannot be had or its checksum is wrong. A part with the wrong checksum is removed;
            one that was merely cut is kept for the next call.
        ValueError: If the address is not http(s).
    """
    if not re.match(r"https?://", url, flags=re.IGNORECASE):
        raise ValueError(f"only http and https addresses are fetched, but got {url!r}")
    path = Path(path)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, attempts + 1):
        try:
            _fetch(url, part, timeout)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise DownloadError(f"{url} answers {error.code} {error.reason}") from error
            failure: Exception = error
        except (OSError, http.client.HTTPException) as error:
            failure = error
        if attempt == attempts:
            kept = (
                f"; {part.stat().st_size} bytes are kept in '{part}' and continued next time" if part.exists() else ""
            )
            raise DownloadError(f"{url} could not be fetched in {attempts} attempts ({failure}){kept}") from failure
        print_log(f"{url}: {failure}; trying again ({attempt} of {attempts - 1})", "current", logging.WARNING)
        time.sleep(wait * 2 ** (attempt - 1))
    if md5 is not None and (found := file_md5(part)) != md5:
        size = part.stat().st_size
        part.unlink()
        raise DownloadError(f"{url} has the wrong checksum: MD5 {found} over {size} bytes, expected {md5}")
    os.replace(part, path)
    return path


def _fetch(url: str, part: Path, timeout: float) -> None:
    """Bring ``part`` to the full length, appending to what it holds if the server can do that."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # The server holds no byte beyond what is here: it is complete, or it is of another file.
            size = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
            if size and int(size.group(1)) == have:
                return
            part.unlink()
            return _fetch(url, part, timeout)
        raise
    with response:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        continues = response.status == 206 and span is not None and int(span.group(1)) == have
        start = have if continues else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        name = part.name.removesuffix(".part")
        with (
            open(part, "ab" if continues else "wb") as file,
            Progress(f"fetching {name}", int(length or 0) >> 20, "MiB") as progress,
        ):
            for chunk_number, chunk in enumerate(iter(lambda: response.read(_CHUNK), b""), 1):
                file.write(chunk)
                progress.update(chunk_number)
    received = part.stat().st_size
    if total is not None and received != total:
        raise ConnectionError(f"the connection ended after {received} of {total} bytes")
