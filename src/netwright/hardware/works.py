"""Three published networks as FLOPs and bytes, and how much longer they take than the roofline says.

    seconds(WORKS["resnet50"], rate=312e12, bandwidth=2.039e12)      # at best, likely, at worst

A work is the least that its publication implies: arithmetic of its layers, each activation written and read
once, weights read once a batch (nothing, with large batches). Compute and memory time add. What real
programs take in these units was measured on three GPUs by benchmarks/derived_slowdown.py; the ends of the
interval are the extremes there, widened by 1.25, because a device that was not measured is not one of those
three. `predict` knows operators and does better; this is for a table of devices.
"""

from __future__ import annotations

from dataclasses import dataclass

TIMM = "timm benchmark tables (Apache-2.0)"
SOURCE = f"benchmarks/derived_slowdown.py on {TIMM}"


@dataclass(frozen=True, kw_only=True)
class Work:
    """One forward pass with a large batch in 16 bits: `items` of `unit`, their FLOPs and their bytes."""

    name: str
    title: str
    unit: str
    items: float
    flops: float
    bytes: float
    slowdown: tuple[float, float, float]
    source: str


def seconds(work: Work, rate: float, bandwidth: float) -> tuple[float, float, float]:
    """Time of one pass at best, likely, and at worst; rate in FLOP/s, bandwidth in B/s."""
    least, likely, most = (slow * (work.flops / rate + work.bytes / bandwidth) for slow in work.slowdown)
    return least, likely, most


def transformer(layers: int, width: int, heads: int, tokens: int, vocabulary: int = 0) -> tuple[float, float]:
    """FLOPs and activation bytes (16 bits) of a forward pass over one sequence.

    A layer multiplies by 12 width^2 weights and twice tokens x tokens scores (Kaplan et al. 2020, 2.1), and
    writes 10 width numbers a token and heads tokens^2 scores: both counts give timm's 191 GMACs and 270 M
    activations of ViT-L/16 at 384 pixels within 1 %.
    """
    flops = 2.0 * layers * (12 * width**2 * tokens + 2 * tokens**2 * width) + 2.0 * tokens * width * vocabulary
    written = layers * (10 * width * tokens + heads * tokens**2) + tokens * vocabulary
    return flops, 4.0 * written


_BERT = transformer(24, 1024, 16, tokens=384)
_GPT2 = transformer(12, 768, 12, tokens=1024, vocabulary=50257)
GPT2_DECODE_BYTES = 2 * 124_439_808 + 2 * 2 * 12 * 768 * 1024
"""Read for one token after 1024 others, in 16 bits: the weights, keys and values."""

CONVOLUTION_SLOWDOWN = (0.88, 1.92, 5.09)
"""400 throughputs of ResNet-26 to -152: medians by device and mode 1.24 to 3.59."""
TRANSFORMER_SLOWDOWN = (0.64, 1.24, 2.54)
"""90 throughputs of ViT-S, -B and -L, whose layers are those of BERT and GPT-2: medians 0.92 to 1.69."""
GEMM_SLOWDOWN = (1.0, 1.33, 2.98)
"""Median and worst of predict/prior.toml, which a lower floor cannot read; at best a product runs at the peak."""

WORKS = {
    "resnet50": Work(
        name="ResNet-50", title="ResNet-50 at 224 pixels", unit="images", items=1, flops=2 * 4.11e9, bytes=4 * 11.11e6,
        slowdown=CONVOLUTION_SLOWDOWN,
        source=f"He et al. 2016, arXiv 1512.03385; 4.11 GMACs, 11.11 M activations: {TIMM}",
    ),
    "bert_large": Work(
        name="BERT-large", title="BERT-large at 384 tokens", unit="sequences", items=1, flops=_BERT[0], bytes=_BERT[1],
        slowdown=TRANSFORMER_SLOWDOWN,
        source="Devlin et al. 2019, arXiv 1810.04805: 24 layers, 1024 wide; Kaplan et al. 2020, arXiv 2001.08361",
    ),
    "gpt2": Work(
        name="GPT-2", title="GPT-2 (124 M) reading 1024 tokens", unit="tokens", items=1024,
        flops=_GPT2[0], bytes=_GPT2[1], slowdown=TRANSFORMER_SLOWDOWN,
        source="Radford et al. 2019: 12 layers, 768 wide; Kaplan et al. 2020, arXiv 2001.08361",
    ),
}  # fmt: skip
