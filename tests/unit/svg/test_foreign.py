"""SVG from elsewhere: what is dropped, what is refused, and that nothing outside is ever touched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg import foreign
from netwright.svg.foreign import ForeignError, checked, draw

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 24 24">'
SQUARE = '<rect x="6" y="6" width="12" height="12" fill="#f00"/>'


def svg(*parts):
    return f"{HEAD}{''.join(parts)}</svg>"


def test_an_icon_is_drawn_with_its_transparency():
    pixels = draw(checked(svg(SQUARE)), 48, 48)
    assert (pixels[12:36, 12:36] == (255, 0, 0, 255)).all()
    assert (pixels[:12, :, 3] == 0).all()


def test_a_drawing_of_other_proportions_stands_in_the_middle():
    pixels = draw(checked(svg('<rect width="24" height="24"/>')), 60, 20)
    assert pixels.shape == (20, 60, 4)
    assert (pixels[:, 20:40, 3] == 255).all()
    assert pixels[:, :19, 3].max() == 0


@pytest.mark.parametrize(
    "part",
    [
        "<script>alert(1)</script>",
        '<script href="http://example.org/a.js"/>',
        '<image href="file:///etc/passwd" width="9" height="9"/>',
        '<image href="data:image/png;base64,AAAA"/>',
        '<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">a</p></foreignObject>',
        '<style>@import url("http://example.org/a.css");</style>',
        '<a xlink:href="javascript:alert(1)"><rect width="1" height="1"/></a>',
        '<animate attributeName="href" to="http://example.org"/>',
        '<set attributeName="onload" to="alert(1)"/>',
        '<g xmlns="http://www.w3.org/1999/xhtml"><script>1</script></g>',
        '<feImage href="http://example.org/a.png"/>',
        '<?xml-stylesheet href="http://example.org/a.css"?>',
    ],
)
def test_what_runs_or_leads_out_is_dropped(part):
    assert checked(svg(part, SQUARE)) == checked(svg(SQUARE))


@pytest.mark.parametrize(
    "attribute",
    [
        'onload="alert(1)"', 'OnClick="alert(1)"', 'href="http://example.org/#a"', 'xlink:href="other.svg#a"',
        'fill="url(http://example.org/#a)"', "style=\"fill:url('file:///etc/passwd#a')\"", 'fill="url(  //a/b#c )"',
        'style="fill:u\\72l(http://example.org)"', 'style="@import url(#a)"', 'filter="url(#a) url(http://b)"',
        'fill="url(http://a"', 'xml:base="http://example.org/"', 'src="javascript:alert(1)"', 'href=" #a b"',
    ],
)  # fmt: skip
def test_attributes_that_lead_out_are_dropped(attribute):
    assert checked(svg(f'<rect width="9" height="9" {attribute}/>')) == checked(svg('<rect width="9" height="9"/>'))


def test_links_to_places_inside_are_kept_and_drawn():
    inside = svg(
        '<defs><linearGradient id="g"><stop stop-color="#00f"/></linearGradient>',
        '<rect id="r" width="24" height="24"/></defs>',
        '<use href="#r" fill="url(#g)"/>',
    )
    assert (draw(checked(inside), 24, 24) == (0, 0, 255, 255)).all()
    assert (draw(checked(inside.replace('use href="#r"', 'use xlink:href="#r"')), 24, 24) == (0, 0, 255, 255)).all()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + svg("<text>&b;</text>"), "document type"),
        ('<!doctype svg SYSTEM "http://example.org/a.dtd">' + svg(), "document type"),
        (svg("<text>&bomb;</text>"), "no XML"),
        (svg("<g>"), "no XML"),
        ("", "no XML"),
        ("<html/>", "is no SVG"),
        ("<svg/>", "is no SVG"),
        (svg("<g>" * 100 + "</g>" * 100), "deeper than 64"),
        (svg("<g/>" * 20_001), "more than 20,000 elements"),
        (svg("a" * foreign.BYTES), "bytes: at most"),
        (svg('<g id="a"><use href="#a"/></g>'), "refers to itself"),
        (svg('<pattern id="a"><rect fill="url(#a)"/></pattern>'), "refers to itself"),
        (svg("<title>\ud800</title>"), "no UTF-8"),
    ],
)
def test_bombs_and_what_is_no_svg_are_refused(text, why):
    with pytest.raises(ForeignError, match=why):
        checked(text)


def test_the_encoding_that_it_states_is_passed_over():
    assert checked('<?xml version="1.0" encoding="no-such"?>' + svg(SQUARE)) == checked(svg(SQUARE))


def test_use_that_multiplies_into_millions_is_refused():
    layers = "".join(f'<g id="l{at}">' + f'<use href="#l{at - 1}"/>' * 10 + "</g>" for at in range(1, 9))
    with pytest.raises(ForeignError, match="more than 20,000"):
        checked(svg(f'<defs><g id="l0">{SQUARE}</g>{layers}</defs><use href="#l8"/>'))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_than_utf_8_is_refused(encoding):
    with pytest.raises(ForeignError):
        checked(svg("<title>\u00e4</title>").encode(encoding))


@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_refused_or_become_an_svg(content):
    try:
        text = checked(content)
    except ForeignError:
        return
    assert text.startswith("<svg")


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_nothing_that_leads_out_survives_any_nesting(data):
    parts = st.sampled_from(
        ["<g>", "</g>", "<defs>", "</defs>", SQUARE, "<script>x</script>", '<image href="http://o/"/>',
         '<g onload="x">',
         '<use href="//o/#a"/>', "<style>a</style>"]
    )  # fmt: skip
    try:
        text = checked(svg(*data.draw(st.lists(parts, max_size=12))))
    except ForeignError:
        return
    assert not any(word in text for word in ("script", "image", "onload", "//o/", "style"))
    assert checked(text) == text


@pytest.mark.parametrize("size", [(0, 9), (9, 100_000), (-1, 9)])
def test_sizes_beyond_the_bounds_are_refused(size):
    with pytest.raises(ForeignError, match="a side has"):
        draw(checked(svg(SQUARE)), *size)


def test_what_cannot_be_drawn_is_an_error():
    with pytest.raises(ForeignError, match="does not draw"):
        draw("<svg", 9, 9)


def test_it_is_drawn_as_the_renderer_of_results_draws_it():
    from netwright.svg.render import resvg

    assert np.array_equal(draw(checked(svg(SQUARE)), 24, 24)[6:18, 6:18, :3], resvg(svg(SQUARE), 24, 24)[6:18, 6:18])
