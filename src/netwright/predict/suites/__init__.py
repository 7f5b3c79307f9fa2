"""Kinds of measured rows: what physics says of each, and what the learned part is told."""

SUITES = {
    "gemm": "netwright.predict.suites.gemm",
    "context_attention": "netwright.predict.suites.context_attention",
    "moe": "netwright.predict.suites.moe",
    "collective": "netwright.predict.suites.collective",
    "generation_attention": "netwright.predict.suites.generation_attention",
    "timm": "netwright.predict.suites.timm",
    "timm_cpu": "netwright.predict.suites.timm_cpu",
    "tpot": "netwright.predict.suites.tpot",
    "ttft": "netwright.predict.suites.ttft",
    "power": "netwright.predict.suites.power",
    "mlperf": "netwright.predict.suites.mlperf",
    "mlperf_server": "netwright.predict.suites.mlperf_server",
}
