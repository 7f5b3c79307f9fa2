import numpy as np
import pytest

from netwright.svg.raster import TILE, from_pixels
from netwright.svg.views import FACTS, PIECE, WHOLE, views


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 700), (PIECE, PIECE), (PIECE + 1, 31), (901, 640)])
def test_every_size_gives_the_same_shapes(height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 4), dtype=np.uint8)
    whole, piece, facts = views(from_pixels(pixels))
    assert whole.shape == (3, WHOLE, WHOLE)
    assert piece.shape == (3, PIECE, PIECE)
    assert whole.dtype == piece.dtype == np.uint8
    assert facts.shape == (len(FACTS),)
    assert np.isfinite(facts).all()


def test_an_image_no_larger_than_a_piece_is_taken_whole_and_mirrored():
    pixels = np.random.default_rng(1).integers(0, 256, (100, 150, 3), dtype=np.uint8)
    piece = views(from_pixels(pixels))[1].transpose(1, 2, 0)
    assert (piece[:100, :150] == pixels).all()
    assert (piece[100:, :150] == pixels[: 100 - PIECE - 1 : -1][: PIECE - 100]).all()


def test_pieces_begin_where_blocks_of_eight_do():
    row = np.arange(1000, dtype=np.uint32)
    pixels = np.zeros((TILE, 1000, 3), np.uint8)
    pixels[:, :, 0], pixels[:, :, 1] = row % 256, row // 256
    piece = views(from_pixels(pixels))[1]
    low, high = piece[:2, 0].astype(int)
    at = low + 256 * high
    assert (at[::TILE] % 8 == 0).all()
    assert (np.diff(at.reshape(-1, TILE), axis=1) == 1).all()


def test_transparency_is_counted():
    pixels = np.full((20, 20, 4), 255, np.uint8)
    pixels[:5, :, 3], pixels[5:10, :, 3] = 0, 100
    facts = dict(zip(FACTS, views(from_pixels(pixels))[2], strict=True))
    assert facts["clear"] == facts["partly clear"] == 0.25
