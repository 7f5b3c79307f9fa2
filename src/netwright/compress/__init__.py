"""Smaller: methods that make an artifact cheaper, and the table of them."""

METHODS = {
    "equalize": "netwright.compress.equalize",
    "quantize": "netwright.compress.quantize",
    "qat": "netwright.compress.qat",
    "prune": "netwright.compress.prune",
    "distill": "netwright.compress.distill",
}
"""Method name -> module with `Config` and `apply(artifact, task, config, folder, run) -> Artifact`, which begins with
`check_source(artifact, config)`: UserError for an artifact it does not take. With a run, what takes long goes on after
a kill.
"""
