"""Reading .xz within limits: the standard library's own reader takes what memory a header asks."""

import io
import lzma
from pathlib import Path

# `xz -9` asks for 65 MiB.
_MOST_MEMORY = 256 << 20
_CHUNK = 64 << 10


class XzFile(io.RawIOBase):
    """The decompressed bytes of a .xz file, streams one after the other as one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._decompressor = self._fresh()
        self._input = b""

    @staticmethod
    def _fresh() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, at least one before the end.

        Raises:
            EOFError: the file ends within a stream, or is damaged.
        """
        most = _CHUNK if size < 0 else size
        try:
            while True:
                data = self._step(most)
                if data is None or data:
                    return data or b""
        except lzma.LZMAError as error:
            raise EOFError(f"damaged .xz: {error}") from error

    def _step(self, most: int) -> bytes | None:
        """Some bytes, none yet, or None at the end."""
        if self._decompressor.eof:
            rest = self._decompressor.unused_data.lstrip(b"\0")
            while not rest and (more := self._file.read(_CHUNK)):
                rest = more.lstrip(b"\0")  # streams may be padded
            if not rest:
                return None
            self._decompressor, self._input = self._fresh(), rest
        if self._decompressor.needs_input and not self._input:
            self._input = self._file.read(_CHUNK)
            if not self._input:
                raise EOFError("the .xz ends too early")
        given, self._input = self._input, b""
        return self._decompressor.decompress(given, most)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
