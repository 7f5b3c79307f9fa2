"""Models and devices that questions are about, small enough to reckon by hand."""

from netwright.core.workload import Attention, Matrix, Operator, Workload
from netwright.hardware.device import Device
from netwright.predict.llm import LLM

GPU = Device(
    name="NVIDIA L4", manufacturer="Maker", kind="gpu", rates={"bf16": 1e14, "fp32": 2e13, "fp8": 2e14}, bandwidth=1e12,
    memory=8e10, power=200.0, price=5000.0, year=2023, link=3e11, host_link=3e10, network=2.5e10,
)  # fmt: skip
"""Named like a device that prices are known of."""

BARE = Device(name="Bare", manufacturer="Maker", kind="gpu", rates={"bf16": 1e14}, bandwidth=1e12, memory=8e9)
"""What a source says least of."""

NET = Workload(
    name="net",
    batch=8,
    parameters=2_000_000,
    peak_bytes=6.4e7,
    operators=(
        Operator(
            name="mm", flops=8e9, weight_bytes=4e6, input_bytes=1.6e7, output_bytes=1.6e7, dtype="bf16",
            matrix=Matrix(m=8000, n=1000, k=500),
        ),
        Operator(name="relu", flops=8e6, input_bytes=1.6e7, output_bytes=1.6e7, dtype="bf16"),
        Operator(
            name="attention", flops=4e9, input_bytes=1.6e7, output_bytes=8e6, dtype="bf16",
            attention=Attention(batch=8, heads=4, kv_heads=4, queries=10, keys=10, head_dim=16, value_dim=16),
        ),
        Operator(
            name="mm", flops=8e9, weight_bytes=4e6, input_bytes=1.6e7, output_bytes=1.6e7, dtype="bf16",
            matrix=Matrix(m=8000, n=1000, k=500),
        ),
    ),
)  # fmt: skip

SMALL = LLM(name="small", layers=4, hidden=512, heads=8, kv_heads=2, inter=2048, vocab=32000)
