"""Families of pictures: the table holds, groups join what is alike, nothing is fetched here."""

import json
import re

import pytest

from netwright.core.error import UserError
from netwright.svg.collection import bare, families, icons, originals, select

FREE = re.compile(r"MIT|Apache-2\.0|CC0|CC-BY|ISC|OFL|GPL|public domain|BSD|GFDL|MPL")


def test_every_family_is_pinned_and_free():
    for family in families().values():
        assert re.fullmatch(r"[0-9a-f]{64}", family.source.sha256), family.name
        assert family.source.size > 0 < family.count
        assert FREE.search(family.source.licence), family.name
        assert "NC" not in family.source.licence
        assert family.source.takes
        assert family.item


def test_share_alike_icons_are_for_tests_alone():
    for family in families().values():
        if family.kind == "icon":
            assert family.test_only == ("SA" in family.source.licence), family.name


def test_there_are_many_families_of_each_kind():
    kinds = [family.kind for family in select(())]
    assert kinds.count("icon") >= 30
    assert kinds.count("photo") >= 5
    assert kinds.count("drawing") >= 5


def test_an_unknown_family_is_refused_with_the_nearest():
    with pytest.raises(UserError, match='did you mean "twemoji"'):
        select(("noto", "twemojis"))
    assert [family.name for family in select(("noto", "mdi", "noto"))] == ["noto", "mdi"]


def test_families_in_reserve_are_in_no_data_set_unless_asked_for():
    usual, reserve = select(()), select(("reserve",))
    assert {family.kind for family in reserve} == {"icon", "photo", "drawing"}
    assert not {family.name for family in usual} & {family.name for family in reserve}
    assert len(usual) + len(reserve) == len(families())
    assert select(("noto", "reserve"))[1:] == reserve
    assert select((reserve[0].name,)) == reserve[:1]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("react", "react"), ("react-original-wordmark", "react"), ("React_Icon", "react"), ("us-4x3", "us"),
        ("waving-hand-medium-dark-skin-tone", "waving-hand"), ("file-24-filled", "file"),
        ("bold", "bold"), ("arrow-left", "arrow-left"), ("home-bold-duotone", "home"),
    ],
)  # fmt: skip
def test_a_name_without_its_style_is_its_group(name, group):
    assert bare(name) == group


def iconify(folder):
    named = {f"{thing}{style}": {"body": f'<path d="M{at} 0h9v9z"/>'} for at, thing in enumerate(["cup", "hat", "sun"])
             for style in ("", "-outline", "-fill")}  # fmt: skip
    named["wide"] = {"body": "<g/>", "width": 48, "left": 2}
    named["gone"] = {"body": "<g/>", "hidden": True}
    (folder / "icons.json").write_text(json.dumps({"prefix": "a", "icons": named, "height": 24, "width": 24}))
    return folder


def test_an_icon_of_a_set_has_the_size_of_the_icon_or_of_the_set(tmp_path):
    found = {one.name: one for one in icons(families()["mdi"], iconify(tmp_path))}
    assert 'viewBox="0 0 24 24" width="24" height="24"' in found["cup"].svg
    assert 'viewBox="2 0 48 24" width="48" height="24"' in found["wide"].svg
    assert "gone" not in found


def test_one_icon_of_each_group_comes_first(tmp_path):
    folder = iconify(tmp_path)
    for seed in range(5):
        chosen = originals(families()["mdi"], folder, 4, seed)
        assert {one.group for one in chosen} == {"cup", "hat", "sun", "wide"}
    whole = originals(families()["mdi"], folder, 100, 0)
    assert len({one.name for one in whole}) == len(whole) == 10
    assert originals(families()["mdi"], folder, 4, 0) == originals(families()["mdi"], folder, 4, 0)
    assert any(
        originals(families()["mdi"], folder, 4, s) != originals(families()["mdi"], folder, 4, 0) for s in (1, 2, 3)
    )


def test_a_folder_of_svg_files_is_a_set_too(tmp_path):
    (tmp_path / "a-fill.svg").write_text("<svg/>")
    (tmp_path / "notes.txt").write_text("no icon")
    assert [(one.name, one.group, one.svg) for one in icons(families()["mdi"], tmp_path)] == [("a-fill", "a", "<svg/>")]


def test_crops_of_a_photograph_share_its_group(tmp_path):
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / name).touch()
    chosen = originals(families()["mate-nature"], tmp_path, 5, 0)
    assert [one.group for one in chosen] == [f"mate-nature/{name}.jpg" for name in "ababa"]
    assert all(one.kind == "photo" and one.file.endswith(one.name) for one in chosen)
