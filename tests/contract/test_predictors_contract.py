"""What every predictor keeps: predicted Measurements with honest intervals, or a refusal."""

import pytest

from netwright.core import table
from netwright.core.error import UserError
from netwright.core.workload import Operator, Workload
from netwright.hardware import catalog
from netwright.predict import PREDICTORS

EVERY = pytest.mark.parametrize("name", table.names(PREDICTORS, "netwright.predictors"))

NET = Workload(
    name="net",
    batch=8,
    parameters=1_000_000,
    operators=(
        Operator(name="convolution", flops=4e9, weight_bytes=4e6, input_bytes=8e6, output_bytes=3e7),
        Operator(name="relu", flops=8e6, input_bytes=3e7, output_bytes=3e7),
        Operator(name="addmm", flops=1e7, weight_bytes=1e6, input_bytes=1e5, output_bytes=1e3),
    ),
)


def predictor(name):
    return table.resolve(PREDICTORS, name, "predictor", "netwright.predictors")


@EVERY
@pytest.mark.parametrize("device", catalog.load(), ids=lambda device: device.name)
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_latency_and_throughput_with_intervals(name, device, dtype):
    work = NET.at_dtype(dtype)
    latency, throughput = predictor(name).predict(work, device)[:2]
    assert (latency.quantity, throughput.quantity) == ("latency", "throughput")
    for one in (latency, throughput):
        assert one.source == "predicted"
        assert 0 < one.low < one.value < one.high
        assert one.conditions["method"]
        assert one.workload == work.digest
        assert one.device == device.name
        assert one.conditions["batch"] == 8
        assert one.conditions["dtype"] == dtype
    assert throughput.value == pytest.approx(8 / latency.value)


@EVERY
def test_more_items_take_longer_and_cost_less_each(name):
    device = catalog.find("h100")
    few, many = (predictor(name).predict(NET.at_batch(batch), device) for batch in (1, 512))
    assert many[0].value > few[0].value
    assert many[1].value > few[1].value


@EVERY
def test_too_large_a_model_is_refused(name):
    large = Workload(name="large", batch=1, parameters=10**13, operators=NET.operators)
    with pytest.raises(UserError, match="needs"):
        predictor(name).predict(large, catalog.find("l4"))
