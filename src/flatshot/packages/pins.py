"""Hashes that were trusted on first use, where the catalogue knows none."""

import json
import logging
import time
from pathlib import Path
from typing import Any

from flatshot.errors import FormatError, PackageError
from flatshot.formats.files import write_bytes
from flatshot.formats.json_text import parse_json
from flatshot.packages.catalogue import Package
from flatshot.packages.sources import Source

_log = logging.getLogger("flatshot")


class Pins:
    """The hashes of a package's parts that were trusted on first use."""

    def __init__(self, path: Path, package: Package) -> None:
        self.path = path / "packages" / ".pins" / f"{package.name}@{package.version}.json"

    def _read(self) -> dict[str, Any]:
        try:
            pins = parse_json(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except FormatError as error:
            raise PackageError(
                f"{str(self.path)!r}, the hashes trusted before, is damaged: {error}"
            ) from error
        return pins if isinstance(pins, dict) else {}

    def get(self, number: int) -> str | None:
        """What part `number` was the first time."""
        pin = self._read().get(str(number))
        return pin["sha256"] if isinstance(pin, dict) else None

    def set(self, number: int, sha256: str, source: Source) -> None:
        """Keep what part `number` is, and say so."""
        when = time.strftime("%Y-%m-%d", time.gmtime())
        pins = {**self._read(), str(number): {"sha256": sha256, "url": str(source), "when": when}}
        write_bytes(self.path, json.dumps(pins, indent=1).encode())
        _log.warning(
            "no sha256 is known of %s: trusting what came first, %s (kept in %s)",
            *(source, sha256, self.path),
        )
