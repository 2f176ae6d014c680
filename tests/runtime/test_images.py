"""Decoding and resizing, against Pillow, OpenCV and the formula."""

import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from flatshot.errors import ConfigError, FileError, ImageError
from flatshot.runtime import images

PILLOW = int(PIL.__version__.split(".")[0])
SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))


def picture(height: int = 37, width: int = 53, mode: str = "RGB") -> Image.Image:
    """Smooth colours with noise on them, every extent different."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([y * 5 % 256, x * 4 % 256, (x + y) * 2 % 256], axis=2)
    noisy = np.clip(rgb + rng.integers(-20, 21, rgb.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def by_pillow(data: bytes) -> npt.NDArray[np.uint8]:
    """What Pillow decodes."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGB", "JPEG", {"quality": 90, "subsampling": 0}),
        ("RGB", "JPEG", {"quality": 50, "subsampling": 1}),
        ("RGB", "JPEG", {"quality": 75, "subsampling": 2}),
        ("RGB", "JPEG", {"quality": 75, "progressive": True}),
        ("RGB", "JPEG", {"quality": 75, "keep_rgb": True, "subsampling": 0}),
        ("L", "JPEG", {"quality": 75}),
        ("CMYK", "JPEG", {"quality": 75}),
        ("RGB", "PNG", {}),
        ("L", "PNG", {}),
        ("1", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("LA", "PNG", {}),
        ("P", "PNG", {}),
        ("P", "GIF", {}),
        ("RGB", "BMP", {}),
        ("RGB", "WEBP", {"lossless": True}),
        ("RGB", "TIFF", {}),
    ],
)
def test_decodes_as_pillow_does(mode: str, kind: str, options: dict[str, Any]) -> None:
    """To the bit."""
    data = encoded(picture(mode=mode), kind, **options)
    got = images.decode(data)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, by_pillow(data))


def test_a_palette_with_transparency() -> None:
    """Pillow warns when such an image is converted at once; the colours are the palette's."""
    image = picture(mode="P")
    data = encoded(image, "PNG", transparency=bytes(range(256)))
    np.testing.assert_array_equal(images.decode(data), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_photos_are_turned_as_viewers_turn_them(kind: str, orientation: int) -> None:
    """By the EXIF orientation, as Pillow's own exif_transpose; numbers that are none do nothing."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(images.decode(data), upright)


def test_a_listed_size_decides() -> None:
    """A photo is turned where only that gives the size; and left where it has the size anyway."""
    exif = Image.Exif()
    exif[0x0112] = 6  # held by 90 degrees
    data = encoded(picture(), "JPEG", exif=exif)
    assert images.decode(data, (37, 53)).shape == (53, 37, 3)
    assert images.decode(data, (53, 37)).shape == (37, 53, 3)
    assert images.decode(data, (20, 20)).shape == (37, 53, 3)
    assert images.decode(data, "stored").shape == (37, 53, 3)
    exif[0x0112] = 3  # upside down: the size tells nothing
    data = encoded(picture(), "JPEG", exif=exif)
    np.testing.assert_array_equal(images.decode(data, (53, 37)), images.decode(data, "stored"))


@given(st.data())
def test_damaged_exif_is_no_damaged_image(draw: st.DataObject) -> None:
    """Whatever stands in the segment: the pixels, turned or not."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(8, 8), "JPEG", exif=exif)
    at = data.index(b"Exif")
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 6))):
        damaged[at + draw.draw(st.integers(6, 31))] = draw.draw(st.integers(0, 255))
    assert images.decode(bytes(damaged)).shape == (8, 8, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_their_high_byte(kind: str) -> None:
    """Pillow clips them at 255, and all is white."""
    grey = np.asarray(picture(mode="L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    got = images.decode(encoded(deep, kind))
    np.testing.assert_array_equal(got, np.repeat(grey[:, :, None], 3, axis=2))


def test_16_bits_of_a_pgm() -> None:
    """Big-endian, and in numbers of 32 bits where Pillow keeps them so."""
    grey = np.asarray(picture(mode="L"))
    data = b"P5\n53 37\n65535\n" + (grey.astype(">u2") * 257).tobytes()
    np.testing.assert_array_equal(images.decode(data)[:, :, 1], grey)


def test_12_bits_in_16_are_said_to_be_dark(caplog: pytest.LogCaptureFixture) -> None:
    """Thermal cameras write such; black pictures without a word help nobody."""
    deep = Image.fromarray(np.full((9, 9), 4000, np.uint16))
    assert images.decode(encoded(deep, "PNG")).max() == 15
    assert "uses only 4001 of its 65536 levels" in caplog.text


@pytest.mark.parametrize(
    ("pixels", "says"), [(np.float32(0.5), "floating-point"), (np.int32(70_000), "32-bit")]
)
def test_numbers_without_a_range_are_refused(pixels: Any, says: str) -> None:
    """And never white or black in silence."""
    image = Image.fromarray(np.full((9, 9), pixels))
    with pytest.raises(ImageError, match=f"{says} pixels, whose range"):
        images.decode(encoded(image, "TIFF"))


def test_colour_spaces_without_a_way_to_rgb_are_refused() -> None:
    """By name, and not as damaged."""
    if PILLOW >= 13:  # 12 cannot read the TIFF that it wrote itself
        data = encoded(picture(mode="RGB").convert("YCbCr"), "TIFF")
        assert images.decode(data).shape == (37, 53, 3)
    lab = Image.frombytes("LAB", (2, 2), bytes(12))
    with pytest.raises(ImageError, match="LAB"):
        images.decode(encoded(lab, "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated_images_are_errors(kind: str, part: float) -> None:
    """And not a picture that turns grey halfway."""
    data = encoded(picture(200, 300), kind)
    with pytest.raises(ImageError, match=r"truncated or damaged|no image"):
        images.decode(data[: int(len(data) * part)])


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"hello", bytes(1000)])
def test_what_is_no_image(data: bytes) -> None:
    """The message says so."""
    says = r"no image of a known format|not an image of a known format|begins as a JPEG image does"
    with pytest.raises(ImageError, match=says):
        images.decode(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<!DOCTYPE html><html>", "a web page (HTML), not an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC photo, not an image"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "a video"),
        (b"II*\0" + bytes(40), "of a kind that is not read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript file"),
    ],
)
def test_what_is_something_else(data: bytes, says: str) -> None:
    """Told by name."""
    with pytest.raises(ImageError) as caught:
        images.decode(data)
    assert says in str(caught.value)


@given(st.data())
def test_damage_gives_pixels_or_an_image_error(draw: st.DataObject) -> None:
    """Any byte flipped in the head or anywhere: never another exception."""
    kind = draw.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF"]))
    data = bytearray(encoded(picture(20, 30), kind))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        assert images.decode(bytes(data)).ndim == 3
    except ImageError:
        return


def test_bombs_are_refused() -> None:
    """A few bytes that unfold to more than a quarter of a gigabyte."""
    head = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    chunks = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(name + body))
        chunks += struct.pack(">I", len(body)) + name + body + crc
    with pytest.raises(ImageError, match=r"more pixels|more than"):
        images.decode(chunks)
    jpeg = bytearray(encoded(picture(), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    with pytest.raises(ImageError, match=r"more pixels|more than"):
        images.decode(bytes(jpeg))


def test_load_names_the_file(tmp_path: Path) -> None:
    """In the message of either error."""
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"bad\.jpg: 7 bytes that are no image"):
        images.load(tmp_path / "bad.jpg")
    with pytest.raises(FileError, match=r"missing\.jpg"):
        images.load(tmp_path / "missing.jpg")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg: an empty file, not an image"):
        images.load(tmp_path / "empty.jpg")
    with pytest.raises(FileError, match="null"):
        images.load("a\0b.jpg")
    with pytest.raises(FileError, match="directory"):
        images.load(tmp_path)
    (tmp_path / "good.png").write_bytes(encoded(picture(), "PNG"))
    assert images.load(tmp_path / "good.png").shape == (37, 53, 3)


def formula(
    pixels: npt.NDArray[Any], height: int, width: int, half_pixel: bool
) -> npt.NDArray[np.float64]:
    """Bilinear interpolation in double precision, a sample at a time along each axis."""

    def matrix(size: int, wanted: int) -> npt.NDArray[np.float64]:
        weights = np.zeros((wanted, size))
        for i in range(wanted):
            at = (i + 0.5) * size / wanted - 0.5 if half_pixel else i * size / wanted
            at = min(max(at, 0), size - 1)
            low = int(at)
            weights[i, low] += 1 - (at - low)
            weights[i, min(low + 1, size - 1)] += at - low
        return weights

    rows, columns = matrix(pixels.shape[0], height), matrix(pixels.shape[1], width)
    down = np.tensordot(rows, pixels.astype(np.float64), 1)
    return np.asarray(np.einsum("ywc,xw->yxc", down, columns))


@given(SIZES, SIZES, st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_tensorflow_resize_is_its_formula(
    old: tuple[int, int], new: tuple[int, int], channels: int, seed: int
) -> None:
    """Samples at x * in / out, no antialiasing, larger or smaller."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*old, channels), np.uint8)
    got = images.resize(pixels, *new, "tensorflow")
    assert got.dtype == np.float32
    # Places below 90 in float32 are off by up to 4e-6, and 255 levels of slope make that 1e-3 at
    # a place; the mean of them is far below.
    np.testing.assert_allclose(got, formula(pixels, *new, False), atol=2e-3)


@given(SIZES, SIZES, st.integers(0, 2**32 - 1))
def test_tensorflow_resize_is_its_kernel(
    old: tuple[int, int], new: tuple[int, int], seed: int
) -> None:
    """Places in float32 as TensorFlow's kernel computes them: i * (in / out)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*old, 3), np.uint8)

    def matrix(size: int, wanted: int) -> npt.NDArray[np.float64]:
        scale = np.float32(size) / np.float32(wanted)
        at = np.arange(wanted, dtype=np.float32) * scale
        low = np.minimum(at.astype(int), size - 1)
        weights = np.zeros((wanted, size))
        part = (at - low).astype(np.float64)
        np.add.at(weights, (np.arange(wanted), low), 1 - part)
        np.add.at(weights, (np.arange(wanted), np.minimum(low + 1, size - 1)), part)
        return weights

    rows, columns = matrix(old[0], new[0]), matrix(old[1], new[1])
    want = np.einsum("ab,bcd,ec->aed", rows, pixels.astype(np.float64), columns)
    # Three float32 operations on levels up to 255: 255 * 3 * 2**-24 is 4.6e-5.
    np.testing.assert_allclose(images.resize(pixels, *new, "tensorflow"), want, rtol=0, atol=1e-4)


def test_tensorflow_resize_at_the_size_of_a_network(rng: np.random.Generator) -> None:
    """A photograph's size to 300 x 300, smooth as photographs are."""
    y, x = np.mgrid[0:427, 0:640]
    waves = [np.sin(x / 37 + k) * np.cos(y / 23) * 100 + 128 for k in range(3)]
    pixels = np.stack(waves, axis=2).astype(np.uint8)
    got = images.resize(pixels, 300, 300, "tensorflow")
    # Ten levels between neighbours times places off by up to 3e-5 (float32 at 640).
    np.testing.assert_allclose(got, formula(pixels, 300, 300, False), atol=1e-3)


@given(SIZES, SIZES, st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_opencv_resize_is_within_one_level(
    old: tuple[int, int], new: tuple[int, int], channels: int, seed: int
) -> None:
    """OpenCV computes in fixed point, so the last level may differ."""
    import cv2

    pixels = np.random.default_rng(seed).integers(0, 256, (*old, channels), np.uint8)
    want = cv2.resize(pixels, new[::-1], interpolation=cv2.INTER_LINEAR).reshape(*new, channels)
    got = images.resize(pixels, *new, "opencv")
    assert got.dtype == np.uint8
    assert np.abs(got.astype(int) - want.astype(int)).max() <= 1


@given(SIZES, SIZES, st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_pillow_resize_is_pillow(
    old: tuple[int, int], new: tuple[int, int], channels: int, seed: int
) -> None:
    """To the bit, channel by channel, as Pillow 13 does; older ones round in another order."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*old, channels), np.uint8)
    got = images.resize(pixels, *new, "pillow")
    # Each order is within a level of the true value: half is lost between the passes, half after.
    off = 0 if PILLOW >= 13 else 2
    for channel in range(channels):
        plane = Image.fromarray(pixels[:, :, channel])
        want = np.asarray(plane.resize(new[::-1], Image.Resampling.BILINEAR))
        assert np.abs(got[:, :, channel] - want.astype(int)).max() <= off


def test_pillow_resize_is_the_same_with_every_pillow() -> None:
    """Tall, wide and square pictures, each in the one order of passes."""
    numbers = np.arange(90 * 90 * 3, dtype=np.int64)
    pixels = (numbers**2 % 251).astype(np.uint8).reshape(90, 90, 3)
    sizes = [(90, 90), (90, 40), (40, 90), (90, 80), (80, 90), (60, 61), (20, 90), (90, 20)]
    made = [images.resize(pixels[:h, :w], 30, 30, "pillow").tobytes() for h, w in sizes]
    assert hashlib.sha256(b"".join(made)).hexdigest()[:16] == "3802e9c00504bd9a"


@pytest.mark.parametrize("mode", images.RESIZE_MODES)
@given(old=SIZES, new=SIZES, seed=st.integers(0, 2**32 - 1))
def test_normalised_is_what_the_steps_make(
    mode: images.Resize, old: tuple[int, int], new: tuple[int, int], seed: int
) -> None:
    """Doubled, divided by 255, less 1, each rounded to float32: to the bit."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*old, 3), np.uint8)
    want = images.resize(pixels, *new, mode).astype(np.float32)
    want = want * np.float32(2) / np.float32(255) - np.float32(1)
    got = images.resize(pixels, *new, mode, normalise=True)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("band", [1, 700, 10**9])
def test_the_size_of_a_band_changes_nothing(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row at a time, several, all at once: to the bit."""
    pixels = np.random.default_rng(8).integers(0, 256, (97, 61, 3), np.uint8)
    want = images.bilinear(pixels, 41, 83, False)
    monkeypatch.setattr(images, "_BAND", band)
    np.testing.assert_array_equal(images.bilinear(pixels, 41, 83, False), want)


def test_an_unknown_resize() -> None:
    """The message lists what there is."""
    with pytest.raises(ConfigError, match="'nearest'; there are tensorflow, pillow, opencv"):
        images.resize(np.zeros((2, 2, 3), np.uint8), 1, 1, "nearest")  # type: ignore[arg-type]


def test_real_photographs_decode_as_pillow_does(data: Path) -> None:
    """Twenty of COCO's, of which some are grey."""
    folder = data / "coco_val2017_310" / "val2017"
    for path in sorted(folder.glob("*.jpg"))[::15]:
        content = path.read_bytes()
        np.testing.assert_array_equal(images.decode(content), by_pillow(content))
