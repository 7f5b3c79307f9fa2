import json

import numpy as np
import onnx
import pytest
from PIL import Image

from netwright.core.error import UserError
from netwright.svg import tracer
from netwright.svg.measured import Subject
from netwright.svg.predictor import LEVEL, Predictor
from netwright.svg.raster import Raster, from_pixels
from netwright.svg.setting import DEFAULT, MENU, Setting, draw


def drawing(side: int = 160) -> Raster:
    """Discs of three colours, with soft edges."""
    y, x = np.mgrid[:side, :side] / side
    pixels = np.full((side, side, 3), 255.0)
    for place, colour in (((0.3, 0.4), (220, 40, 30)), ((0.6, 0.6), (30, 90, 200)), ((0.7, 0.3), (250, 200, 20))):
        inside = np.clip((0.2 - np.hypot(y - place[0], x - place[1])) * side, 0, 1)[:, :, None]
        pixels = pixels * (1 - inside) + np.array(colour) * inside
    return from_pixels(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load()


def test_the_packaged_one_speaks_for_the_tracer_and_says_what_it_learned_from(predictor):
    assert predictor.about["tracer"] == tracer.version()
    assert predictor.about["level"] == LEVEL
    assert predictor.about["images"] >= 2000
    assert len(predictor.about["families"]) >= 20


def test_the_packaged_file_is_below_five_megabytes():
    from importlib import resources

    assert len((resources.files("netwright.svg") / "model" / "quality.onnx").read_bytes()) < 5_000_000


def test_amounts_lie_in_their_intervals(predictor):
    guess = predictor.predict(predictor.features(drawing()), draw(64))
    for name in ("ssim", "ssim_active", "bytes", "tracer_bytes", "paths", "corners"):
        middle, low, high = (getattr(guess, f"{name}{end}") for end in ("", "_low", "_high"))
        assert middle.shape == (64,)
        assert (low <= middle).all()
        assert (middle <= high).all()
        assert (low < high).all()
    assert (guess.ssim <= 1.001).all()
    assert (guess.bytes >= 1).all()


def test_a_setting_is_predicted_alone_as_among_others(predictor):
    about, settings = predictor.features(drawing()), draw(9)
    among = predictor.predict(about, settings)
    alone = [predictor.predict(about, [one]) for one in settings]
    assert np.allclose(among.bytes, [one.bytes[0] for one in alone], rtol=1e-4)
    assert np.allclose(among.ssim, [one.ssim[0] for one in alone], atol=1e-5)


def test_it_knows_what_the_parameters_do(predictor):
    about = predictor.features(drawing())
    guess = predictor.predict(about, [DEFAULT, MENU["polygon"], Setting(color_precision=2), Setting(path_precision=8)])
    assert guess.tracer_bytes[1] < 0.6 * guess.tracer_bytes[0] < guess.tracer_bytes[3]
    assert guess.bytes[1] < guess.bytes[0] < guess.tracer_bytes[0]
    assert guess.ssim[2] < guess.ssim[0]


def test_what_is_measured_lies_mostly_in_the_intervals(predictor):
    raster, settings = drawing(), draw(16, seed=3)
    guess = predictor.predict(predictor.features(raster), settings)
    subject = Subject(raster)
    with tracer.Tracer() as own:
        measured = np.array([subject.measure(own, one).bytes for one in settings])
    assert ((guess.bytes_low <= measured) & (measured <= guess.bytes_high)).mean() >= 0.5


def test_noise_is_unfamiliar_and_a_plain_drawing_is_not(predictor):
    noise = from_pixels(np.random.default_rng(0).integers(0, 2, (200, 300, 3), dtype=np.uint8) * 255)
    assert predictor.features(noise).unfamiliar
    assert not predictor.features(drawing()).unfamiliar


@pytest.mark.parametrize("size", [(8, 8), (8, 900), (1500, 1000)])
def test_every_size_is_read(predictor, size):
    pixels = np.asarray(Image.effect_noise(size, 40).convert("RGB"))
    assert np.isfinite(predictor.predict(predictor.features(from_pixels(pixels)), [DEFAULT]).bytes).all()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match="is no predictor"):
        Predictor.load(tmp_path / "x.onnx")
    with pytest.raises(UserError, match="is no predictor"):
        Predictor.load(tmp_path / "missing.onnx")


def test_a_predictor_of_another_tracer_is_refused(tmp_path):
    from importlib import resources

    model = onnx.load_model_from_string((resources.files("netwright.svg") / "model" / "quality.onnx").read_bytes())
    about = json.loads(model.metadata_props[0].value) | {"tracer": "vtracer 9.9.9"}
    onnx.helper.set_model_props(model, {"netwright": json.dumps(about)})
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(UserError, match=r"speaks for vtracer 9\.9\.9"):
        Predictor.load(tmp_path / "other.onnx")
