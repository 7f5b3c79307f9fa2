"""Tiny language models as artifacts, untrained, for tests of what reads and runs them."""

from pathlib import Path
from typing import Any

import torch

from netwright.core import artifact as artifacts
from netwright.core.artifact import Artifact
from netwright.core.recipe import plain
from netwright.data.language import byte_tokenizer
from netwright.data.tasks import Input
from netwright.data.tokenizer import Tokenizer
from netwright.models import gpt2, llama, load

LLAMA = llama.Config(width=64, depth=2, heads=4, kv_heads=2, hidden=96, positions=128, vocabulary=320)
QWEN2 = llama.Config(width=64, depth=2, heads=4, kv_heads=1, hidden=96, positions=128, vocabulary=300, bias=True,
                     tied=False)  # fmt: skip
QWEN3 = llama.Config(width=64, depth=2, heads=2, hidden=96, positions=128, vocabulary=257, head_norm=True,
                     head_width=64)  # fmt: skip
GPT2 = gpt2.Config(width=64, depth=2, heads=4, positions=128, vocabulary=257)
NETWORKS: dict[str, Any] = {"llama": LLAMA, "qwen2": QWEN2, "qwen3": QWEN3, "gpt2": GPT2}


def language_artifact(folder: Path, config: Any, tokenizer: Tokenizer | None = None, source: str = "tiny") -> Artifact:
    """A network of this Config with weights of seed 0, whose logits differ clearly from each other."""
    tokenizer = tokenizer or byte_tokenizer()
    ids = Input((None,), "int64", min(len(tokenizer), config.vocabulary), config.positions)
    inputs = {"ids": ids, "positions": Input((None,), "int64", longest=config.positions)}
    module = gpt2 if config.name == "gpt2" else llama
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = module.build(config, inputs, 0).eval()
        with torch.no_grad():
            for x in model.parameters():
                x.copy_(torch.randn(x.shape) * 0.3 if x.ndim > 1 else x + 0.1 * torch.randn(x.shape))

    def fill(draft: Path) -> None:
        load.save_model(model, draft)
        tokenizer.write(draft)

    task = {"name": "language", "classes": [], "data": "tinyshakespeare", "max_tokens": 32}
    return artifacts.create(
        folder, fill, format="torch", precision="fp32", task=task, model=plain(config), inputs=plain(inputs),
        processor=dict(tokenizer.description()), made_by={"verb": "import", "source": source, "licence": "none"},
    )  # fmt: skip
