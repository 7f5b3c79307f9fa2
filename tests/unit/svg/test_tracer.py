"""The tracer in its process: results, panics, deaths, limits."""

import os
import signal

import numpy as np
import pytest
import vtracer
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.svg.render import skia
from netwright.svg.setting import DEFAULT, Setting
from netwright.svg.tracer import TraceError, Tracer, encoded, version


@pytest.fixture(scope="module")
def tracer():
    with Tracer() as one:
        yield one


def square():
    pixels = np.full((32, 32, 3), 255, np.uint8)
    pixels[8:24, 8:24] = (200, 30, 40)
    return pixels


def unchecked(**values):
    """A setting that no range was applied to, as a caller of the binding could give it."""
    setting = Setting()
    for name, value in values.items():
        object.__setattr__(setting, name, value)
    return setting


def test_a_square_is_traced_and_draws_as_it_was(tracer):
    svg = tracer.trace(square(), Setting(mode="polygon"))
    assert np.abs(skia(svg, 32, 32).astype(int) - square()).max() <= 8


def test_transparent_pixels_stay_so(tracer):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[8:24, 8:24] = (200, 30, 40, 255)
    svg = tracer.trace(pixels, DEFAULT)
    assert svg.count("<path") == 1
    assert (skia(svg, 32, 32, page=17)[0, 0] == 17).all()


def test_a_panic_is_an_error_of_that_image_and_the_process_goes_on(tracer):
    before = tracer.trace(square(), DEFAULT)
    process = tracer._process.pid
    # VTracer asserts color_precision > 0; as its panics do, it passes every `except Exception`
    with pytest.raises(TraceError, match="PanicException"):
        tracer.trace(square(), unchecked(color_precision=0))
    assert tracer.trace(square(), DEFAULT) == before
    assert tracer._process.pid == process


def test_that_panic_is_no_exception():
    form, image = encoded(square())
    with pytest.raises(BaseException, match="is_same_color_a") as panic:
        vtracer.convert_raw_image_to_svg(image, img_format=form, color_precision=0)
    assert not isinstance(panic.value, Exception)


def test_a_process_that_dies_is_an_error_and_another_takes_its_place():
    with Tracer() as tracer:
        tracer.trace(square(), DEFAULT)
        first = tracer._process.pid
        os.kill(first, signal.SIGSTOP)  # so that it is still there when the image is sent
        tracer.seconds = 0.2
        with pytest.raises(TraceError, match="longer than 0.2 s"):
            tracer.trace(square(), DEFAULT)
        tracer.seconds = 60.0
        assert "<path" in tracer.trace(square(), DEFAULT)
        second = tracer._process.pid
        os.kill(second, signal.SIGKILL)
        tracer._process.wait()
        assert "<path" in tracer.trace(square(), DEFAULT)
        assert len({first, second, tracer._process.pid}) == 3


class _Dying:
    """Takes down the process that unpickles it, as a crash in native code does."""

    def __reduce__(self):
        return os._exit, (11,)


def test_a_death_while_it_traces_is_an_error(monkeypatch):
    with Tracer() as tracer:
        monkeypatch.setattr("netwright.svg.tracer.encoded", lambda _: ("bmp", _Dying()))
        with pytest.raises(TraceError, match=r"died \(exit 11\)"):
            tracer.trace(square(), DEFAULT)
        monkeypatch.undo()
        assert "<path" in tracer.trace(square(), DEFAULT)


def test_closing_twice_and_unused_is_no_error():
    tracer = Tracer()
    tracer.close()
    tracer.close()


@given(height=st.integers(8, 20), width=st.integers(8, 20), seed=st.integers(0, 99), channels=st.sampled_from([3, 4]))
@settings(max_examples=15, deadline=None)
def test_the_file_made_for_the_tracer_holds_these_pixels(height, width, seed, channels):
    import io

    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    form, content = encoded(pixels)
    found = np.asarray(Image.open(io.BytesIO(content)))
    assert form == {3: "bmp", 4: "png"}[channels]
    assert (found == pixels).all()


def test_the_version_names_the_tracer():
    assert version().startswith("vtracer 0.")
