"""Numbers for hardware that is not here. Never imports torch.

What is asked and answered lies here (`estimate`, `advise`, `server`), what limits each kind of work in `suites`, what
measured rows teach in `learning`, language models and ONNX files in `llm` and `onnx`.
"""

PREDICTORS = {"learned": "netwright.predict.estimate", "roofline": "netwright.predict.roofline"}
"""Predictor name -> module with `predict(workload, device) -> list[Measurement]`, latency and throughput first."""
