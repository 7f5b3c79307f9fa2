"""Images as files: what is read, and every kind that is refused with a sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from netwright.core.error import UserError
from netwright.svg.raster import PIXELS, flattened, from_pixels, open_raster, read_raster


def pattern(height=24, width=32, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def saved(picture, form, **how):
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def about(content):
    """What the refusal of these bytes is about, or the dimensions of what was read."""
    try:
        return read_raster(content).pixels_HWC.ndim
    except UserError as refusal:
        return refusal.setting


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_a_lossless_file_is_read_back_exactly(form, tmp_path):
    pixels = pattern()
    path = tmp_path / f"image.{form.lower()}"
    path.write_bytes(saved(Image.fromarray(pixels), form))
    image = open_raster(path)
    assert (image.on_white_HWC == pixels).all()
    assert image.size == (32, 24)
    assert not image.transparent
    assert image.notes == ()


@given(content=st.binary(max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_an_image_or_one_sentence(content):
    assert about(content) in ("image", 3)


@given(cut=st.integers(1, 1200), at=st.integers(0, 1200), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_png_that_is_cut_or_has_a_bit_changed_is_read_or_refused(cut, at, bit):
    content = bytearray(saved(Image.fromarray(pattern()), "PNG"))
    content[at % len(content)] ^= 1 << bit
    assert about(bytes(content[:-cut])) in ("image", 3)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_file_that_ends_in_its_middle_is_refused(form):
    content = saved(Image.fromarray(pattern(64, 64)), form)
    with pytest.raises(UserError, match="cut short|no image"):
        read_raster(content[: len(content) // 2])


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_decompression_bomb_is_refused_before_a_pixel_is_decoded(side):
    # a header that promises 81 megapixels, or 3.6 gigapixels, over no data
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    bomb += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(UserError, match=rf"{side} x {side} pixels|too many pixels.*{PIXELS:,}"):
        read_raster(bomb)


def test_more_pixels_than_asked_for_are_refused():
    content = saved(Image.fromarray(pattern(40, 40)), "PNG")
    with pytest.raises(UserError, match="at most 1,000"):
        read_raster(content, most=1000)


def test_sixteen_bits_become_eight():
    values = (np.arange(16 * 16, dtype=np.uint16).reshape(16, 16) * 257).astype(np.uint16)
    image = read_raster(saved(Image.fromarray(values), "PNG"))
    assert (image.pixels_HWC[:, :, 0] == values // 257).all()
    assert "upper 8" in image.notes[0]


def test_cmyk_is_converted_and_said():
    image = read_raster(saved(Image.fromarray(pattern()).convert("CMYK"), "TIFF"))
    assert np.abs(image.on_white_HWC.astype(int) - pattern()).max() <= 2
    assert "CMYK" in image.notes[0]


def test_of_an_animation_the_first_picture_is_taken():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    image = read_raster(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert (image.on_white_HWC == (255, 0, 0)).all()
    assert image.notes == ("animated: the first of 3 pictures was taken",)


def test_the_orientation_of_a_camera_is_heeded():
    picture = Image.fromarray(pattern(16, 32))
    about = Image.Exif()
    about[0x0112] = 6
    image = read_raster(saved(picture, "PNG", exif=about))
    assert image.size == (16, 32)
    assert (image.on_white_HWC == np.rot90(pattern(16, 32), -1)).all()


@pytest.mark.parametrize(
    "start",
    [
        "<svg><script>1</script></svg>",
        "<?xml version='1.0'?>",
        "\ufeff  <!-- a --><svg/>",
        "<!DOCTYPE svg [<!ENTITY a 'b'>]>",
    ],
)
def test_an_svg_is_no_raster_image(start):
    with pytest.raises(UserError, match="SVG or XML"):
        read_raster(start.encode())


def test_what_is_empty_small_or_absent_is_refused_by_name(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(UserError, match="empty"):
        open_raster(tmp_path / "empty.png")
    (tmp_path / "small.png").write_bytes(saved(Image.new("RGB", (7, 80)), "PNG"))
    with pytest.raises(UserError, match="at least 8"):
        open_raster(tmp_path / "small.png")
    with pytest.raises(UserError, match="folder"):
        open_raster(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        open_raster(tmp_path / "none.png")


@pytest.mark.parametrize(
    "pixels", [np.zeros((9, 9), np.float32), np.zeros((9, 9, 2), np.uint8), np.zeros((7, 9), np.uint8),
               np.zeros((0, 9, 3), np.uint8), np.zeros(9, np.uint8)],
)  # fmt: skip
def test_an_array_that_is_no_image_is_refused(pixels):
    with pytest.raises(UserError, match="uint8 of shape"):
        from_pixels(pixels)


def test_grey_becomes_three_channels_and_opaque():
    grey = pattern(9, 9, 1)[:, :, 0]
    image = from_pixels(grey)
    assert image.pixels_HWC.shape == (9, 9, 4)
    assert (image.on_white_HWC == grey[:, :, None]).all()


def test_transparent_pixels_are_mixed_with_white():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, 4:, 3] = 255
    pixels[:, 0, 3] = 51
    image = from_pixels(pixels)
    assert image.transparent
    assert (image.on_white_HWC[:, 1:4] == 255).all()
    assert (image.on_white_HWC[:, 4:] == 0).all()
    assert (image.on_white_HWC[:, 0] == 204).all()
    assert (flattened(pixels, 0) == 0).all()


def test_equal_pixels_have_equal_digests_and_a_shape_of_their_own():
    pixels = pattern(8, 16)
    assert from_pixels(pixels).digest == from_pixels(pixels.copy(), "other").digest
    assert from_pixels(pixels).digest != from_pixels(pixels.reshape(16, 8, 3)).digest
