from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nda_mm.datasets.download import DownloadError, download

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server shall do, and what it was asked."""

    url: str = ""
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)  # bytes after which each next answer breaks off
    statuses: list[int] = field(default_factory=list)  # errors to answer before serving
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if state.statuses:
                self.send_error(state.statuses.pop(0))
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
            if start >= len(CONTENT):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = CONTENT[start:]
            self.send_response(206 if asked and state.ranges else 200)
            if asked and state.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.cut_after.pop(0)] if state.cut_after else body)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}/file.tar.gz"
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nda_mm.datasets.download.time.sleep", lambda _: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.tar.gz"


def test_whole_file(server: Server, path: Path) -> None:
    assert download(server.url, path, md5=MD5) == path
    assert path.read_bytes() == CONTENT
    download(server.url, path, md5=MD5)
    assert len(server.asked) == 1  # it is there
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_continues_where_it_broke_if_the_server_can(server: Server, path: Path, ranges: bool) -> None:
    server.ranges = ranges
    server.cut_after = [1_000_000, 500_000]
    download(server.url, path, md5=MD5)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-", "bytes=1500000-" if ranges else "bytes=500000-"]


def test_later_run_continues_an_earlier_one(server: Server, path: Path) -> None:
    server.cut_after = [1_234_567]
    with pytest.raises(DownloadError, match="in 1 attempts"):
        download(server.url, path, md5=MD5, attempts=1)
    assert not path.exists()
    download(server.url, path, md5=MD5, attempts=1)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1234567-"]


def test_wrong_checksum_leaves_nothing_behind(server: Server, path: Path) -> None:
    with pytest.raises(DownloadError, match="wrong checksum"):
        download(server.url, path, md5="0" * 32)
    assert list(path.parent.iterdir()) == []


def test_a_part_of_another_file_is_caught_by_the_checksum(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("file.tar.gz.part").write_bytes(b"x" * (len(CONTENT) + 5))
    with pytest.raises(DownloadError, match="wrong checksum"):
        download(server.url, path, md5=MD5)
    download(server.url, path, md5=MD5)
    assert path.read_bytes() == CONTENT


def test_a_busy_server_is_tried_again_and_a_missing_file_is_not(server: Server, path: Path) -> None:
    server.statuses = [503, 429]
    download(server.url, path, md5=MD5)
    assert len(server.asked) == 3
    server.statuses = [404]
    with pytest.raises(DownloadError, match="404"):
        download(server.url, path.with_name("other"), md5=MD5)
    assert len(server.asked) == 4
