"""Numbers for hardware that is not here. Never imports torch."""

PREDICTORS = {"roofline": "netwright.predict.roofline"}
"""Predictor name -> module with `predict(workload, device) -> list[Measurement]`."""
