"""Images in, traces out, over real sockets; and everything that a stranger may send instead of an image."""

import contextlib
import http.client
import io
import json
import struct
import zlib

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from netwright.svg.render import skia
from netwright.svg.setting import MENU, Setting
from svg_server import logo, noise, png, served

LOGO = png(logo())


def post(server, path="/v1/trace", content=LOGO, **options):
    return httpx.post(server.at + path, content=content, timeout=60, **options)


def lines(reply):
    assert reply.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in reply.text.splitlines()]


def fault(reply, status, code):
    assert reply.status_code == status, reply.text
    told = reply.json()["error"]
    assert set(told) == {"message", "code", "setting", "next"}
    assert told["code"] == code
    assert "/" not in told["message"].replace("GET /", "").replace("POST /", "").replace(" /", "")
    return told


def test_an_image_becomes_an_svg(server):
    found = post(server).json()
    assert found["svg"].endswith("</svg>\n")
    assert (found["width"], found["height"], found["transparent"]) == (48, 48, True)
    assert found["granted"]
    assert found["needed"] == ""
    assert found["measured"]["bytes"] == len(found["svg"].encode())
    assert 0.5 < found["measured"]["ssim"] <= 1
    assert Setting(**found["setting"]).plain() == found["setting"]
    assert len(found["tried"]) >= len(MENU)
    assert skia(found["svg"], 48, 48)[24, 24, 0] > 200, "the disc is yellow"
    best = next(one["measured"] for one in found["tried"] if one["preset"] == "default")
    assert found["measured"]["bytes"] <= best["bytes"]


def test_a_form_with_the_wish_in_it_says_the_same_as_a_query(server):
    """With a preset: what a search finds depends on how long traces take."""
    query = post(server, "/v1/trace?mode=curves&preset=photo").json()
    form = httpx.post(
        f"{server.at}/v1/trace", files={"image": ("logo.png", LOGO)}, data={"mode": "curves", "preset": "photo"},
        timeout=60,
    ).json()  # fmt: skip
    assert query["svg"] == form["svg"]
    assert [one["preset"] for one in form["tried"]] == [one["preset"] for one in query["tried"]] == ["photo"]


def test_a_wish_is_kept_or_it_is_said_that_it_is_not(server):
    small = post(server, "/v1/trace?mode=polygon&max_bytes=1").json()
    assert not small["granted"]
    assert small["needed"]
    assert small["measured"]["bytes"] == min(one["measured"]["bytes"] for one in small["tried"])
    few = post(server, "/v1/trace?max_paths=2").json()
    assert few["granted"] == (few["measured"]["paths"] <= 2)
    like = post(server, "/v1/trace?min_ssim=0.2").json()
    assert like["granted"]
    assert like["measured"]["bytes"] <= min(one["measured"]["bytes"] for one in like["tried"] if one["preset"])


def test_a_preset_is_the_only_one_that_is_traced(server):
    found = post(server, "/v1/trace?preset=small%20polygon").json()
    assert found["setting"] == MENU["small polygon"].plain()
    assert [one["preset"] for one in found["tried"]] == ["small polygon"]


def test_a_trace_is_streamed_where_that_is_asked(server):
    told = lines(post(server, "/v1/trace?stream=true&preset=polygon"))
    assert [one["event"] for one in told] == ["image", "progress", "done"]
    assert told[1]["why"] == "preset polygon"
    assert told[-1]["svg"].startswith("<svg ")
    assert abs(told[-1]["verified"] - told[-1]["measured"]["ssim"]) < 0.02


def test_a_front_is_streamed_point_by_point(server):
    told = lines(post(server, "/v1/front?more=3"))
    assert [one["event"] for one in told] == ["image", *["point"] * (len(MENU) + 3), "done"]
    assert told[0]["planned"] == len(MENU) + 3
    assert {one["preset"] for one in told[1:-1]} == {*MENU, ""}
    assert all(one["measured"]["bytes"] == len(one["svg"].encode()) for one in told[1:-1])
    settings = [json.dumps(one["setting"]) for one in told[1:-1]]
    assert len(set(settings)) == len(settings)


def test_a_large_image_is_made_smaller_and_it_is_said(server):
    found = post(server, "/v1/trace?preset=polygon", png(logo(400, "RGB"))).json()
    assert found["width"] * found["height"] <= 40_000
    assert "400 x 400 to 200 x 200" in found["notes"][0]
    found = post(server, "/v1/trace?preset=polygon&side=32").json()
    assert (found["width"], found["height"]) == (32, 32)


def test_what_is_known_beforehand(server):
    about = httpx.get(f"{server.at}/v1/about").json()
    assert about["tracer"].startswith("vtracer ")
    assert about["presets"] == {name: one.plain() for name, one in MENU.items()}
    assert about["limits"]["body"] == 300_000
    assert about["predictor"] is False
    assert httpx.get(f"{server.at}/health").json() == {"status": "ready", "under_way": 0, "waiting": 0}


def test_the_pages_files_and_no_others(server):
    page = httpx.get(f"{server.at}/")
    assert page.text.startswith("<!doctype html>")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "img-src 'self' blob: data:" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "text/javascript" in httpx.get(f"{server.at}/svg.js").headers["content-type"]
    assert "text/css" in httpx.get(f"{server.at}/svg.css").headers["content-type"]


@pytest.mark.parametrize(
    "path",
    ["/../server/app.py", "/..%2f..%2fserver/app.py", "/%2e%2e/%2e%2e/pyproject.toml", "/svg.css/../../server/app.py",
     "//etc/passwd", "/svg.js%00.png", "/.", "/page/index.html", "/index.html", "/v1", "/v1/", "/v1/front/x"],
)  # fmt: skip
def test_no_other_file_can_be_named(server, path):
    with contextlib.closing(http.client.HTTPConnection(server.at.removeprefix("http://"), timeout=20)) as raw:
        raw.request("GET", path)  # as it is: httpx would tidy it
        reply = raw.getresponse()
        told = reply.read()
    assert reply.status == 404
    assert json.loads(told)["error"]["code"] == "not_found"
    assert b"passwd" not in told


def bomb(side=60_000):
    """A PNG of some hundred bytes that says it has billions of pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(side // 8 + 1) * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


HOSTILE = {
    "nothing": b"",
    "text": b"hello",
    "a truncated PNG": LOGO[: len(LOGO) // 2],
    "a truncated JPEG": png(noise(), "JPEG")[:700],
    "a bomb": bomb(),
    "an image of too many pixels": png(Image.new("1", (1001, 1000))),
    "an image of one pixel": png(Image.new("RGB", (1, 1))),
    "an SVG with a script": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "an XML bomb": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage",
    "a damaged PNG": LOGO[:60] + b"\xff" * 20 + LOGO[80:],
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("path", ["/v1/trace", "/v1/front"])
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_image_is_refused_in_one_sentence(server, path, content):
    told = fault(post(server, path, content), 400, "invalid_value")
    assert told["setting"] == "image"
    assert told["message"].startswith("the image ")


@pytest.mark.parametrize(
    ("picture", "form"),
    [(noise(16), "BMP"), (logo(16, "L"), "PNG"), (logo(16, "P"), "GIF"), (noise(16).convert("CMYK"), "TIFF"),
     (noise(16).convert("CMYK"), "JPEG"), (Image.new("I;16", (16, 16), 40_000), "PNG"), (logo(8), "WEBP"),
     (Image.new("1", (8, 300)), "PNG")],
    ids=["BMP", "PNG grey", "GIF palette", "TIFF CMYK", "JPEG CMYK", "PNG 16 bits", "WebP clear", "PNG 1 bit"],
)  # fmt: skip
def test_every_kind_of_image_is_traced(server, picture, form):
    found = post(server, "/v1/trace?preset=polygon", png(picture, form))
    assert found.status_code == 200, found.text
    assert (found.json()["width"], found.json()["height"]) == picture.size


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.integers(0, len(LOGO) - 1), st.binary(min_size=1, max_size=8), st.integers(0, len(LOGO)))
def test_a_damaged_image_is_traced_or_refused(server, at, other, end):
    damaged = (LOGO[:at] + other + LOGO[at + len(other) :])[:end]
    reply = post(server, "/v1/trace?preset=polygon&side=24", damaged)
    assert reply.status_code in (200, 400), reply.text


@pytest.mark.parametrize("path", ["/v1/trace", "/v1/front"])
def test_a_body_that_is_too_large_is_refused_before_it_was_read_and_while_it_comes(server, path):
    told = fault(post(server, path, bytes(10_500_000)), 413, "too_large")
    assert "0.3 MB" in told["message"]

    def parts():
        for _ in range(200):
            yield bytes(10_000)

    fault(httpx.post(server.at + path, content=parts(), timeout=30), 413, "too_large")


@pytest.mark.parametrize(
    "query",
    ["min_ssim=2", "min_ssim=nan", "min_ssim=0", "max_bytes=0", "max_bytes=-5", "max_paths=many", "mode=cubes",
     "preset=none", "side=1", "min_sim=0.9", "stream=perhaps"],
)  # fmt: skip
def test_wrong_wishes_are_told(server, query):
    name, value = query.split("=")
    assert fault(post(server, f"/v1/trace?{query}"), 400, "invalid_value")["setting"] == name
    reply = httpx.post(f"{server.at}/v1/trace", files={"image": ("x", LOGO)}, data={name: value}, timeout=30)
    assert fault(reply, 400, "invalid_value")["setting"] == name


def test_methods_that_are_not_served(server):
    fault(httpx.get(f"{server.at}/v1/trace"), 405, "method_not_allowed")
    fault(httpx.post(f"{server.at}/health"), 405, "method_not_allowed")


def test_the_svg_has_no_script_whatever_the_image_carries(server):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Title", "<script>alert(1)</script>")
    file = io.BytesIO()
    logo().save(file, "PNG", pnginfo=info)
    svg = post(server, "/v1/trace?preset=polygon", file.getvalue()).json()["svg"]
    assert "<script" not in svg
    assert "href" not in svg


def test_a_predictor_is_asked_and_its_guesses_stand_beside_what_was_measured():
    class Guess:
        """A guess that is always the same."""

    for what, value in {"ssim": 0.9, "bytes": 1000.0, "paths": 7.0, "corners": 9.0}.items():
        for end in ("", "_low", "_high"):
            setattr(Guess, what + end, [value] * 1000)

    class Told:
        def features(self, raster):
            return raster.size

        def predict(self, about, asked):
            assert about == (48, 48)
            return Guess()

    with served(Told()) as one:
        told = lines(post(one, "/v1/front?more=2"))
        assert httpx.get(f"{one.at}/v1/about").json()["predictor"] is True
    assert all(point["predicted"]["ssim"] == 0.9 and point["predicted"]["paths_high"] == 7 for point in told[1:-1])
    assert len(told) == len(MENU) + 4
