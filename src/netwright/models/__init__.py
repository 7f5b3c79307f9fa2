"""What learns: readable networks, one file each, and the table of them."""

MODELS = {
    "mlp": "netwright.models.mlp",
    "cnn": "netwright.models.cnn",
    "resnet9": "netwright.models.resnet",
    "transformer": "netwright.models.transformer",
}
"""Model name -> module with `Config` and `build(config, inputs, classes) -> nn.Module`.

`inputs` is the task's `inputs`, `classes` the number of classes; the module answers logits_BK.
"""
