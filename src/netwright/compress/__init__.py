"""Smaller: methods that make an artifact cheaper, and the table of them."""

METHODS = {
    "int8": "netwright.compress.int8",
    "prune": "netwright.compress.prune",
}
"""Method name -> module with `Config` and `apply(artifact, task, config, folder, run) -> Artifact`, which begins with
`check_source(artifact)`: UserError for an artifact it does not take. With a run, what takes long goes on after a kill.
"""
