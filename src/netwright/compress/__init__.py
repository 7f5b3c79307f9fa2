"""Smaller: methods that make an artifact cheaper, and the table of them."""

METHODS = {
    "int8": "netwright.compress.int8",
}
"""Method name -> module with `Config` and `apply(artifact, task, config, folder) -> Artifact`, which begins with
`check_source(artifact)`: UserError for an artifact it does not take."""
