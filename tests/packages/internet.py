"""A small internet on this machine: a server whose pages misbehave as real ones do."""

import http.server
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answer = Callable[["Visit"], None]


@dataclass
class Page:
    """What stands at a path.

    Attributes:
        data: the whole file.
        ranges: whether a part of it may be asked for.
        etag: what the server calls this version, or None.
        cuts: how many answers end too early, each after `cut_after` bytes.
        length: the length it claims, where that is not the true one.
        redirect: where it leads instead.
        status: of the answer, where it is not 200.
        drip: seconds between the bytes, which come one by one.
        encoding: the content encoding that it claims.
        chunked: whether it says no length.
        wrong_range: whether it answers a range with another one.
    """

    data: bytes = b""
    ranges: bool = True
    etag: str | None = '"one"'
    cuts: int = 0
    cut_after: int = 0
    length: int | None = None
    redirect: str | None = None
    status: int = 200
    drip: float = 0.0
    encoding: str | None = None
    chunked: bool = False
    wrong_range: bool = False


@dataclass
class Internet:
    """The server's address, its pages, and what was asked of it: (path, Range header)."""

    address: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, path: str) -> str:
        """The URL of the page at `path`."""
        return f"{self.address}{path}"

    def put(self, path: str, page: Page) -> str:
        """Put a page there, and give its URL."""
        self.pages[path] = page
        return self.url(path)


class Visit(http.server.BaseHTTPRequestHandler):
    """One request."""

    internet: Internet

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer as the page would."""
        wanted = self.headers.get("Range")
        self.internet.asked.append((self.path, wanted))
        page = self.internet.pages.get(self.path, Page(status=404))
        if page.redirect is not None:
            self.send_response(302)
            self.send_header("Location", page.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if page.status != 200:
            self.send_error(page.status)
            return
        start = self._start(page, wanted)
        if start is not None:
            self._send(page, start)

    def _start(self, page: Page, wanted: str | None) -> int | None:
        """Send the head; where the body begins, or None where there is none."""
        size = len(page.data)
        same = self.headers.get("If-Range") in (None, page.etag)
        start = 0
        if wanted and page.ranges and same:
            found = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert found
            start = int(found[1])
            if start >= size:
                self.send_error(416)
                return None
            self.send_response(206)
            shown = start + 1 if page.wrong_range else start
            self.send_header("Content-Range", f"bytes {shown}-{size - 1}/{size}")
        else:
            self.send_response(200)
        if page.etag is not None:
            self.send_header("ETag", page.etag)
        if page.encoding is not None:
            self.send_header("Content-Encoding", page.encoding)
        if not page.chunked:
            length = size - start if page.length is None else page.length
            self.send_header("Content-Length", str(length))
        self.end_headers()
        return start

    def _send(self, page: Page, start: int) -> None:
        body = page.data[start:]
        if page.cuts > 0:
            page.cuts -= 1
            body = body[: page.cut_after]
        try:
            if not page.drip:
                self.wfile.write(body)
                return
            for number in range(len(body)):
                self.wfile.write(body[number : number + 1])
                self.wfile.flush()
                time.sleep(page.drip)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the visitor lost patience


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def internet() -> Iterator[Internet]:
    """A server on a free port, for the time of the block."""
    net = Internet()
    handler = type("Handler", (Visit,), {"internet": net})
    with _Server(("127.0.0.1", 0), handler) as server:
        net.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield net
        finally:
            server.shutdown()
            thread.join()
