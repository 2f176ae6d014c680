"""Images that ran programs, took minutes, or gave tracebacks: attacks 02, 04 and 16."""

import io
import struct
import sys
from pathlib import Path

import pytest
from PIL import Image

from flatshot.errors import ImageError
from flatshot.runtime import images, opening
from tests.hostile.children import outcomes

LOAD = """
import flatshot.runtime.images as images
from PIL import EpsImagePlugin, Image
Image.init()
EpsImagePlugin.Ghostscript = lambda *_: print("GHOSTSCRIPT")
limit()
for path in sys.argv[1:]:
    tell(lambda: images.load(path).shape)
"""


@pytest.mark.parametrize("folder", ["02-eps-runs-ghostscript", "16-images-foreign"])
def test_hostile_files_are_refused(data: Path, folder: str) -> None:
    """By an ImageError; no interpreter of PostScript is asked."""
    files = [path for path in (data / "attacks" / folder).iterdir() if path.name != "README"]
    for path, line in zip(files, outcomes(LOAD, *files), strict=True):
        assert line.startswith(f"REFUSED ImageError {path}: "), line


def test_postscript_in_every_guise_is_refused(tmp_path: Path) -> None:
    """Plain, with a preview in front, and under the suffix that it has by right."""
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n"
    preview = struct.pack("<IIIIIIIH", 0xC6D3D0C5, 30, len(program), 0, 0, 0, 0, 0xFFFF) + program
    for name, content in (("a.eps", program), ("b.jpg", preview)):
        (tmp_path / name).write_bytes(content)
    lines = outcomes(LOAD, tmp_path / "a.eps", tmp_path / "b.jpg")
    assert len(lines) == 2
    assert all(line.startswith("REFUSED ImageError") for line in lines)


def scanned(side: int, scans: int) -> bytes:
    """A grey progressive JPEG that goes over all of its pixels once more in 100 bytes or so."""

    def table(kind: int, counts: list[int], symbols: list[int]) -> bytes:
        body = bytes([kind, *counts, *[0] * (16 - len(counts)), *symbols])
        return b"\xff\xc4" + struct.pack(">H", 2 + len(body)) + body

    def scan(first: int, last: int, bits: str) -> bytes:
        bits += "1" * (-len(bits) % 8)
        packed = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
        return b"\xff\xda\0\x08\x01\x01\0" + bytes([first, last, 0]) + packed

    blocks = ((side + 7) // 8) ** 2
    return b"".join(
        [
            b"\xff\xd8\xff\xdb\0\x43\0" + bytes([1] * 64),
            b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\x01\x11\0",
            table(0x00, [1], [0]) + table(0x10, [1, 1], [0xE0, 0]),
            scan(0, 0, "0" * blocks),
            # A run of 2**14 + 2**14 - 1 blocks without a coefficient, as often as it takes.
            *[scan(1, 63, ("0" + "1" * 14) * (blocks // 32767 + 1))] * scans,
            b"\xff\xd9",
        ]
    )


def test_few_scans_are_decoded_and_many_refused() -> None:
    """Before decoding; both decoders would go through them one by one."""
    assert images.decode(scanned(64, 20)).shape == (64, 64, 3)
    with pytest.raises(ImageError, match="64 x 64 pixels in 101 scans"):
        images.decode(scanned(64, 100))
    with pytest.raises(ImageError, match="8000 x 8000 pixels in 41 scans"):
        images.decode(scanned(8000, 40))


def test_scans_within_another_format_are_counted(tmp_path: Path) -> None:
    """A TIFF may hold JPEGs."""
    file = io.BytesIO()
    Image.new("L", (64, 64)).save(file, "TIFF", compression="jpeg")
    data = file.getvalue()
    assert images.decode(data).shape == (64, 64, 3)
    with pytest.raises(ImageError, match="scans"):
        images.decode(data + opening._SCAN * 101)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
def test_more_pixels_than_bytes_can_hold_are_refused(kind: str) -> None:
    """Nine million pixels of nothing, in as few bytes as the format takes."""
    if kind == "WEBP" and not opening._known(("WEBP",)):
        pytest.skip("this Pillow has no WebP")
    file = io.BytesIO()
    Image.new("L" if kind != "WEBP" else "RGB", (3000, 3000)).save(file, kind)
    data = file.getvalue()
    if len(data) * 4096 < 9_000_000:
        with pytest.raises(ImageError, match="made to fill the memory"):
            images.decode(data)
    else:
        assert images.decode(data).shape == (3000, 3000, 3)


@pytest.mark.parametrize("size", [(8193, 8192), (2**31 - 1, 2**31 - 1)])
def test_more_pixels_than_are_taken(size: tuple[int, int]) -> None:
    """Whatever the file's length."""
    with pytest.raises(ImageError, match="more than the 67108864 that are taken"):
        opening.check_size(sys.maxsize, *size)


def test_a_large_photograph_is_taken() -> None:
    """Sixty-one million pixels of a tenth of a byte each."""
    opening.check_size(6_000_000, 9504, 6336)
