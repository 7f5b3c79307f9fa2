"""Networks of the transformers library in tiny sizes, whose classes nobody wrote for this."""

from __future__ import annotations

from typing import Any

import torch
from architectures import Case, ids, noise
from torch import nn
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    ConvNextConfig,
    ConvNextForImageClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
ENCODER = {("stream", 16): 1, ("head", 4): 2, ("unit", 24): 2}


def bert() -> tuple[nn.Module, Any]:
    model = BertForSequenceClassification(BertConfig(vocab_size=30, max_position_embeddings=16, **TINY))
    return model, {"input_ids": ids(2, 5), "attention_mask": torch.ones(2, 5, dtype=torch.long)}


def albert() -> tuple[nn.Module, Any]:
    config = AlbertConfig(vocab_size=30, max_position_embeddings=16, embedding_size=8, **TINY)
    return AlbertForSequenceClassification(config), ids(2, 5)


def deberta() -> tuple[nn.Module, Any]:
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 4}
    config = DebertaV2Config(vocab_size=30, max_position_embeddings=16, **relative, **TINY)
    return DebertaV2ForSequenceClassification(config), ids(2, 5)


def gpt2() -> tuple[nn.Module, Any]:
    return GPT2LMHeadModel(GPT2Config(vocab_size=30, n_positions=16, n_embd=16, n_layer=2, n_head=4)), ids(2, 5)


def llama(**changes: Any) -> tuple[nn.Module, Any]:
    config = LlamaConfig(vocab_size=30, max_position_embeddings=16, num_key_value_heads=2, **TINY, **changes)
    return LlamaForCausalLM(config), ids(2, 5)


def vit() -> tuple[nn.Module, Any]:
    return ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, num_labels=3, **TINY)), noise(2, 3, 8, 8)


def resnet(layer: str = "basic") -> tuple[nn.Module, Any]:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[2, 1], layer_type=layer, num_labels=3)
    return ResNetForImageClassification(config), noise(2, 3, 32, 32)


def convnext() -> tuple[nn.Module, Any]:
    config = ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, num_labels=3, layer_scale_init_value=0.5)
    return ConvNextForImageClassification(config), noise(2, 3, 32, 32)


def swin() -> tuple[nn.Module, Any]:
    config = SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[2, 1], num_heads=[2, 4], window_size=4)
    return SwinForImageClassification(config), noise(2, 3, 32, 32)


CASES = {
    "albert": Case(albert, {("stream", 8): 1, ("stream", 16): 1, ("head", 4): 1, ("unit", 24): 1, ("unit", 16): 1}),
    "deberta_v2": Case(deberta, {**ENCODER, ("unit", 16): 2}),
    "swin": Case(
        swin,
        {("stream", 8): 1, ("stream", 16): 1, ("head", 2): 2, ("head", 4): 1, ("unit", 32): 2, ("unit", 64): 1},
    ),
    "bert": Case(bert, {**ENCODER, ("unit", 16): 1}),
    "gpt2": Case(gpt2, {("stream", 16): 1, ("head", 4): 2, ("unit", 64): 2}),
    "llama": Case(llama, {("stream", 16): 1, ("head", 2): 2, ("unit", 24): 2}),
    "llama_tied": Case(lambda: llama(tie_word_embeddings=True), {("stream", 16): 1, ("head", 2): 2, ("unit", 24): 2}),
    "vit": Case(vit, ENCODER),
    "resnet_basic": Case(resnet, {("stream", 8): 1, ("channel", 8): 2, ("channel", 16): 1, ("stream", 16): 1}),
    "resnet_bottleneck": Case(
        lambda: resnet("bottleneck"), {("stream", 8): 1, ("stream", 16): 1, ("channel", 2): 4, ("channel", 4): 2}
    ),
    "convnext": Case(convnext, {("stream", 8): 1, ("stream", 16): 1, ("unit", 32): 1, ("unit", 64): 1}),
}
