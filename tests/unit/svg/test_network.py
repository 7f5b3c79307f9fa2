import torch

from netwright.svg import patches, statistics
from netwright.svg.amounts import TARGETS
from netwright.svg.network import Distance, Ensemble, Matched, Member
from netwright.svg.setting import COLUMNS, Setting, draw, vectors

NAMES = statistics.columns()


def matched(setting: Setting) -> dict[str, float]:
    """What is read at a setting, when each feature is its own place."""
    places = torch.arange(float(len(NAMES)))[None]
    return {NAMES[round(x)]: x for x in Matched()(places, torch.from_numpy(vectors([setting])))[0].tolist()}


def test_features_are_read_at_the_settings_number_of_bits():
    for bits in statistics.BITS:
        read = matched(Setting(color_precision=bits, layer_difference=1))
        assert {f"piece border {bits}", f"whole wide4 {bits}", f"ssim {min(bits, 6)}", "piece step1"} <= set(read)
        assert f"piece left {bits} 1" in read


def test_patches_are_read_at_the_smallest_size_that_is_kept():
    for bits, looked in ((2, 3), (3, 3), (4, 4), (6, 6), (7, 6), (8, 6)):
        for speckle, side in ((0, 0), (1, 2), (2, 2), (8, 8), (16, 16)):
            read = matched(Setting(color_precision=bits, filter_speckle=speckle))
            assert {f"{said} {looked} {side}" for said in patches.SAID} <= set(read), (bits, speckle)
    places = torch.arange(float(len(NAMES)))[None]
    between = Matched()(places, torch.from_numpy(vectors([Setting(filter_speckle=6)])))[0].tolist()
    low, high = NAMES.index("patches 6 4"), NAMES.index("patches 6 8")
    assert any(low + 1 < value < high - 1 for value in between)


def test_between_two_columns_it_is_interpolated():
    read = Matched()(torch.arange(float(len(NAMES)))[None], torch.from_numpy(vectors([Setting(layer_difference=24)])))[
        0
    ]
    between = NAMES.index("piece step16"), NAMES.index("piece step32")
    assert any(between[0] + 0.5 < value < between[1] - 0.3 for value in read.tolist())


def test_an_ensemble_is_the_mean_of_its_members_and_doubts_where_they_differ():
    torch.manual_seed(0)
    members = [Member(len(NAMES)).eval() for _ in range(3)]
    features, settings = torch.randn(1, len(NAMES)), torch.from_numpy(vectors(draw(7)))
    with torch.inference_mode():
        mean, spread = Ensemble(members)(features, settings)
        alone = torch.stack([member(features, settings)[0] for member in members])
    assert mean.shape == spread.shape == (7, len(TARGETS))
    assert torch.allclose(mean, alone.mean(0), atol=1e-6)
    assert (spread >= alone.std(0, unbiased=False) - 1e-6).all()


def test_one_image_with_settings_is_as_many_rows():
    member = Member(len(NAMES)).eval()
    features, settings = torch.randn(1, len(NAMES)), torch.from_numpy(vectors(draw(5)))
    with torch.inference_mode():
        once, often = member(features, settings)[0], member(features.repeat(5, 1), settings)[0]
    assert settings.shape[1] == len(COLUMNS)
    assert torch.allclose(once, often, atol=1e-5)


def test_distance_is_that_to_the_nearest_landmark():
    measure = Distance(torch.zeros(3), torch.eye(3)[:, :2], torch.tensor([[0.0, 0.0], [10.0, 0.0]]))
    assert torch.allclose(measure(torch.tensor([[3.0, 4.0, 99.0], [10.0, 1.0, 0.0]])), torch.tensor([5.0, 1.0]))
