"""The roofline against sums done by hand, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.core.error import UserError
from netwright.core.workload import Operator, Workload
from netwright.hardware import catalog
from netwright.hardware.device import Device
from netwright.predict import roofline

GPU = Device(name="Maker One", manufacturer="Maker", kind="gpu", rates={"bf16": 1e14}, bandwidth=1e12, memory=8e9)
CPU = Device(name="Chip", manufacturer="Maker", kind="cpu", rates={"fp32": 1e11}, bandwidth=1e10, memory=8e9)


def work(*operators: Operator, batch: int = 1, parameters: int = 10) -> Workload:
    return Workload(name="net", batch=batch, parameters=parameters, operators=operators)


def test_one_operator_bound_by_arithmetic():
    known = roofline.prior("gpu")
    latency, throughput = roofline.predict(work(Operator(name="mm", flops=1e12, dtype="bf16"), batch=4), GPU)
    assert latency.value == pytest.approx(known.slowdown[1] * 1e-2 + known.floor[1])
    assert latency.low == pytest.approx(known.slowdown[0] * 1e-2 + known.floor[0])
    assert latency.high == pytest.approx(known.slowdown[2] * 1e-2 + known.floor[2])
    assert throughput.value == pytest.approx(4 / latency.value)
    assert (throughput.low, throughput.high) == pytest.approx((4 / latency.high, 4 / latency.low))


def test_one_operator_bound_by_memory():
    operator = Operator(name="mm", flops=1e6, weight_bytes=5e9, input_bytes=3e9, output_bytes=2e9, dtype="bf16")
    small = work(operator, parameters=10)
    known = roofline.prior("gpu")
    assert roofline.predict(small, GPU)[0].value == pytest.approx(known.slowdown[1] * 1e-2 + known.floor[1])


def test_operators_add_up_and_at_best_a_compiler_fuses_what_is_no_product():
    known = roofline.prior("gpu")
    tiny = [Operator(name=name, flops=1.0, dtype="bf16") for name in ("convolution", "relu", "add", "_flash_attention")]
    latency = roofline.predict(work(*tiny), GPU)[0]
    assert latency.low == pytest.approx(2 * known.floor[0], rel=1e-6)
    assert latency.value == pytest.approx(4 * known.floor[1], rel=1e-6)
    assert latency.high == pytest.approx(4 * known.floor[2], rel=1e-6)


def test_it_is_a_prediction_and_says_so():
    latency, throughput = roofline.predict(work(Operator(name="mm", flops=1e9, dtype="bf16"), batch=3), GPU)
    for one in (latency, throughput):
        assert one.source == "predicted"
        assert one.conditions["method"] == "uncalibrated roofline"
        assert one.conditions["batch"] == 3
        assert one.conditions["dtype"] == "bf16"
        assert one.conditions["notes"] == []
        assert one.device == "Maker One"
        assert one.n == roofline.prior("gpu").devices


def test_stand_ins_are_said_and_widen_the_interval():
    operators = [Operator(name="mm", flops=1e12, dtype=dtype) for dtype in ("bf16", "fp32")]
    sure, unsure = (roofline.predict(work(one), GPU)[0] for one in operators)
    assert any("no fp32 rate is known" in note for note in unsure.conditions["notes"])
    assert any("computed in fp16 and bf16" in note for note in unsure.conditions["notes"])
    assert unsure.high / unsure.low > 2 * sure.high / sure.low


def test_eight_bits_have_an_interval_of_their_own():
    known = roofline.prior("gpu")
    device = Device(**{**vars(GPU), "rates": {"bf16": 1e14, "int8": 1e14}})
    half, eight = (
        roofline.predict(work(Operator(name="mm", flops=1e13, dtype=dtype)), device)[0] for dtype in ("bf16", "int8")
    )
    assert eight.value / half.value == pytest.approx(known.eight[1], rel=1e-3)


def test_cpus_have_constants_of_their_own():
    known = roofline.prior("cpu")
    latency = roofline.predict(work(Operator(name="mm", flops=1e10)), CPU)[0]
    assert latency.value == pytest.approx(known.slowdown[1] * 0.1 + known.floor[1])


@pytest.mark.parametrize(
    "large",
    [
        work(Operator(name="mm", flops=1.0, dtype="bf16"), parameters=5_000_000_000),
        work(Operator(name="mm", flops=1.0, input_bytes=5e9, output_bytes=4e9, dtype="bf16")),
    ],
    ids=["weights", "activations"],
)
def test_what_does_not_fit_is_refused(large):
    with pytest.raises(UserError, match=r"has 8 GB, the model needs") as caught:
        roofline.predict(large, GPU)
    assert caught.value.setting == "device"


def test_what_nothing_can_compute_is_refused():
    with pytest.raises(UserError, match="fp64"):
        roofline.predict(work(Operator(name="mm", flops=1.0, dtype="fp64")), GPU)


def test_nothing_to_do_is_refused():
    with pytest.raises(UserError, match="no operators"):
        roofline.predict(work(), GPU)


operators = st.builds(
    Operator,
    name=st.sampled_from(["mm", "relu", "convolution"]),
    flops=st.floats(0, 1e13),
    weight_bytes=st.floats(0, 1e9),
    input_bytes=st.floats(0, 1e9),
    output_bytes=st.floats(0, 1e9),
    dtype=st.sampled_from(["fp32", "bf16", "fp16", "int8", "fp8"]),
)


@given(st.lists(operators, min_size=1, max_size=5), st.sampled_from(catalog.load()), st.integers(1, 4))
def test_more_work_never_takes_less(some, device, more):
    once = roofline.predict(work(*some), device)[0]
    again = roofline.predict(work(*some, *some[:more]), device)[0]
    assert 0 < once.low <= once.value <= once.high
    assert (again.low, again.value, again.high) >= (once.low, once.value, once.high)


@given(st.lists(operators, min_size=1, max_size=5))
def test_a_faster_device_is_never_predicted_slower(some):
    base = {**vars(GPU), "rates": {"fp32": 1e13, "bf16": 1e14, "int8": 2e14}, "memory": 1e12}
    faster = {**base, "rates": {name: 2 * rate for name, rate in base["rates"].items()}, "bandwidth": 2e12}
    slow, fast = (roofline.predict(work(*some), Device(**about))[0] for about in (base, faster))
    assert fast.low <= slow.low
    assert fast.value <= slow.value
    assert fast.high <= slow.high


def test_a_prior_in_disorder_is_a_fault(tmp_path, monkeypatch):
    text = roofline.PRIOR.read_text().replace("slowdown = [", "slowdown = [9.0, ", 1)
    (tmp_path / "prior.toml").write_text(text)
    monkeypatch.setattr(roofline, "PRIOR", tmp_path / "prior.toml")
    roofline.prior.cache_clear()
    with pytest.raises(ValueError, match="not best, median, worst"):
        roofline.prior("gpu")
    roofline.prior.cache_clear()
