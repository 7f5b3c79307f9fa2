"""Pictures made of originals: sizes, pages, crops, and what shows nothing."""

import numpy as np
import pytest
from PIL import Image

from netwright.svg import picture
from netwright.svg.collection import Original
from netwright.svg.picture import SIDES, EmptyError, make

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'


def icon(body='<path d="M4 4h16v16H4z" fill="currentColor"/>', head=HEAD):
    return Original("mdi", "a", "a", "icon", svg=f"{head}{body}</svg>")


def photograph(folder, kind="photo", alpha=False, size=(300, 200)):
    values = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    file = Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)
    if alpha:
        mask = Image.new("L", size)
        mask.paste(255, (40, 20, size[0] - 40, size[1] - 20))
        file.putalpha(mask)
    path = folder / "photo.png"
    file.save(path)
    return Original("mate-nature", "photo.png", "mate-nature/photo.png", kind, file=str(path))


def seen(original, count, **how):
    return [make(original, np.random.default_rng(seed), **how) for seed in range(count)]


def test_icons_have_the_sizes_listed_and_show_something():
    found = seen(icon(), 60)
    assert {max(one.pixels_HWC.shape[:2]) for one in found} <= set(SIDES["icon"])
    assert len({one.pixels_HWC.shape for one in found}) >= 3
    assert any(one.change for one in found)
    assert any((one.pixels_HWC[:, :, 3] < 255).any() for one in found)
    assert any((one.pixels_HWC[0, 0, :3] != 255).any() for one in found)
    for one in found:
        assert one.pixels_HWC.dtype == np.uint8
        assert one.pixels_HWC.shape[2] == 4
        assert len(np.unique(one.pixels_HWC.reshape(-1, 4), axis=0)) > 1


def test_the_same_seed_makes_the_same_picture():
    one, other = (make(icon(), np.random.default_rng(7)) for _ in range(2))
    assert (one.pixels_HWC == other.pixels_HWC).all()
    assert one.change == other.change


def test_a_white_icon_gets_a_page_on_which_it_is_seen(monkeypatch):
    monkeypatch.setattr(picture, "SPOILT", 0.0)
    for one in seen(icon('<path d="M4 4h16v16H4z" fill="#fff"/>'), 12):
        assert not (one.pixels_HWC[0, 0] == 255).all()


@pytest.mark.parametrize("body", ["", "<g/>", '<path d="M4 4h.01v.01z"/>', "<script>1</script>"])
def test_an_icon_that_shows_nothing_is_refused(body):
    with pytest.raises(EmptyError):
        make(icon(body), np.random.default_rng(0))


def test_an_icon_of_a_strange_shape_is_refused():
    wide = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 24">'
    with pytest.raises(EmptyError, match="10.0 times"):
        make(icon(head=wide), np.random.default_rng(0))


def test_crops_differ_and_have_the_sizes_listed(tmp_path):
    found = seen(photograph(tmp_path), 20)
    assert {max(one.pixels_HWC.shape[:2]) for one in found} <= set(SIDES["photo"])
    assert len({one.pixels_HWC.tobytes() for one in found}) == 20
    assert all((one.pixels_HWC[:, :, 3] == 255).all() for one in found)


def test_a_picture_cut_out_of_its_page_is_taken_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "SPOILT", 0.0)
    for one in seen(photograph(tmp_path, "drawing", alpha=True), 10):
        height, width = one.pixels_HWC.shape[:2]
        assert width / height == pytest.approx(1.5, abs=0.02)
        corner, middle = one.pixels_HWC[0, 0], one.pixels_HWC[height // 2, width // 2]
        assert (corner != middle).any()


def test_bare_sky_shows_nothing(tmp_path):
    path = tmp_path / "sky.png"
    Image.new("RGB", (200, 200), (90, 140, 220)).save(path)
    with pytest.raises(EmptyError, match="no crop"):
        make(Original("mate-nature", "sky.png", "g", "photo", file=str(path)), np.random.default_rng(0))


def test_a_damaged_file_is_an_error_of_that_file(tmp_path):
    original = photograph(tmp_path)
    whole = (tmp_path / "photo.png").read_bytes()
    (tmp_path / "photo.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match="truncated|broken"):
        make(original, np.random.default_rng(0))
