"""An end to waiting for an answer's head, which may come a byte at a time, or never be the last."""

import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any


class Deadline:
    """Shuts the connections of a request when its time is up; a context manager.

    The HTTP client bounds the wait for each byte and not for all of them. It tells of each
    connection that it makes, and shutting it ends whatever waits for it.

    Attributes:
        passed: whether the time was up before the block ended.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpx calls as a request goes on, as its extension "trace"."""
        if event.endswith((".connect_tcp.complete", ".connect_unix_socket.complete")):
            found = info["return_value"].get_extra_info("socket")
            if isinstance(found, socket.socket):
                self._sockets.append(found)

    def _shut(self) -> None:
        self.passed = True
        for one in self._sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was closed before

    def __enter__(self) -> "Deadline":
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
