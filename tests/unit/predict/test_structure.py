import numpy as np
import pytest

from netwright.core.workload import Attention, Matrix, Operator, Workload
from netwright.predict import structure

NONE = float("nan")


def workload(*operators, batch=2):
    return Workload(name="net", batch=batch, parameters=10, operators=operators)


def bytes_of(moved, weights=0.0, dtype="fp32"):
    width = {"fp32": 4, "bf16": 2}[dtype]
    return {"input_bytes": moved / 2 * width, "output_bytes": moved / 2 * width, "weight_bytes": weights * width}


def test_counts_are_for_one_item_and_in_numbers_whatever_the_dtype():
    for dtype in ("fp32", "bf16"):
        made = structure.of(workload(Operator(name="mm", flops=8e4, dtype=dtype, **bytes_of(1000.0, 50.0, dtype))))
        assert made["linear1.flops"] == 4e4  # 80 FLOPs for each of the 1000 numbers
        assert made["linear1.numbers"] == 500
        assert made["linear1.weights"] == 50
        assert made["products"] == made["calls"] == made["runs"] == 1


@pytest.mark.parametrize(("intensity", "at"), [(10, 0), (100, 1), (300, 2), (900, 3), (5000, 4)])
def test_products_are_kept_apart_by_intensity(intensity, at):
    made = structure.of(workload(Operator(name="convolution", flops=intensity * 1e3, **bytes_of(1e3, 9.0))))
    assert [i for i in range(5) if made[f"conv{i}.flops"]] == [at]


def test_kinds_of_operators():
    depthwise = Matrix(m=8, n=1, k=9, count=16)
    grouped = Matrix(m=8, n=4, k=36, count=4)
    attention = Attention(batch=2, heads=4, kv_heads=4, queries=8, keys=8, head_dim=16, value_dim=16)
    made = structure.of(
        workload(
            Operator(name="convolution", flops=depthwise.flops, matrix=depthwise, **bytes_of(64.0, 144.0)),
            Operator(name="Conv", flops=grouped.flops, matrix=grouped, **bytes_of(64.0, 144.0)),
            Operator(name="depthwise_convolution", flops=10.0, **bytes_of(64.0, 144.0)),
            Operator(name="fused_thing", flops=attention.flops, attention=attention, **bytes_of(64.0)),
            Operator(name="bmm", flops=10.0, **bytes_of(64.0)),
            Operator(name="native_batch_norm", flops=10.0, **bytes_of(64.0)),
            Operator(name="native_layer_norm", flops=10.0, **bytes_of(64.0)),
            Operator(name="linalg_vector_norm", flops=10.0, **bytes_of(64.0)),
            Operator(name="cat", flops=0.0, **bytes_of(64.0)),
        )
    )
    assert made["depthwise.flops"] == depthwise.flops / 2 + 5
    assert made["grouped.flops"] == grouped.flops / 2
    assert made["attention.flops"] == attention.flops / 2
    assert made["batched.flops"] == 5
    assert [made[f"{kind}.numbers"] for kind in ("batch_norm", "norm", "point", "move")] == [32] * 4


def test_a_compiler_leaves_one_pass_between_two_products():
    product = Operator(name="mm", flops=1e3, **bytes_of(10.0, 5.0))
    passes = [Operator(name=name, flops=1.0, **bytes_of(n)) for name, n in (("add", 30.0), ("gelu", 20.0))]
    made = structure.of(workload(product, *passes, product, passes[1], batch=1))
    assert made["fused.numbers"] == 30 + 20
    assert made["runs"] == 4
    assert made["calls"] == 5


def test_the_table_holds_what_is_known_of_published_networks():
    known = structure.known()
    assert len(known.names) > 1500
    at = known.places["resnet50", 224.0]
    assert known.parameters[at] == 25_557_032  # torchvision's and timm's documentation
    assert np.exp(known.counts[0, at]) / 2 == pytest.approx(4.11e9, rel=0.01)  # timm: 4.11 GMACs
    assert np.isfinite(known.table).all()
    assert (known.table >= 0).all()


def test_a_network_of_the_table_is_taken_as_it_is():
    known = structure.known()
    found = structure.like("resnet50", 224, 4.11, 11.11, 25.6e6)
    assert (found == known.table[known.places["resnet50", 224.0]]).all()


def test_another_image_size_grows_with_the_pixels_or_to_the_counts_that_are_stated():
    small = structure.like("vgg16", 224, NONE, NONE, NONE)
    large = structure.like("vgg16", 448, NONE, NONE, NONE)
    flops, weights = structure.FIELDS.index("conv4.flops"), structure.FIELDS.index("conv4.weights")
    assert large[flops] == pytest.approx(4 * small[flops])
    assert large[weights] == small[weights]


def test_an_unknown_network_is_made_up_from_its_nearest_relative():
    known = structure.known()
    at = known.places["convnext_tiny", 224.0]
    counts = np.exp(known.counts[:, at])
    found = structure.like("convnext_tiny_unheard_of", 224, 2 * counts[0] / 2e9, counts[1] / 1e6, counts[2])
    products = [structure.FIELDS.index(f"{kind}.flops") for kind in structure.PRODUCTS]
    assert found[products].sum() == pytest.approx(2 * known.table[at][products].sum(), rel=1e-6)
    depthwise = structure.FIELDS.index("depthwise.flops")
    assert found[depthwise] > 0


def test_a_stranger_without_counts_is_unknown_and_with_counts_is_like_some_network():
    assert np.isnan(structure.like("zzz", 224, NONE, NONE, NONE)).all()
    assert np.isfinite(structure.like("zzz", 224, 4.0, 11.0, 25e6)).all()


def test_a_table_is_read_as_it_was_written_and_another_version_is_refused(tmp_path):
    work = structure.of(workload(Operator(name="mm", flops=8e4, **bytes_of(1000.0, 50.0))))
    path = tmp_path / "networks.csv.gz"
    structure.write({("b", 32): (7, work), ("a", 64): (5, work)}, path)
    first = path.read_bytes()
    known = structure.known(path)
    assert known.names == ("a", "b")
    assert known.parameters.tolist() == [5, 7]
    assert known.table[0] == pytest.approx([work[field] for field in structure.FIELDS], rel=0.01)
    structure.write({("a", 64): (5, work), ("b", 32): (7, work)}, path)
    assert path.read_bytes() == first
    structure.write({}, other := tmp_path / "other.csv.gz")
    import gzip

    other.write_bytes(gzip.compress(b"name,side,parameters,flops\n"))
    with pytest.raises(ValueError, match="other columns"):
        structure.known(other)
