"""Numbers for hardware that is not here. Never imports torch."""

PREDICTORS = {"learned": "netwright.predict.estimate", "roofline": "netwright.predict.roofline"}
"""Predictor name -> module with `predict(workload, device) -> list[Measurement]`, latency and throughput first."""
