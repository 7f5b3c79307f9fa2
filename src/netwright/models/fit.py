"""Does this network fit this task? A refusal in one sentence where it does not."""

from __future__ import annotations

from collections.abc import Mapping

from netwright.core.error import UserError
from netwright.data.tasks import Input


def only_input(model: str, inputs: Mapping[str, Input], wanted: str) -> tuple[int, ...]:
    """The shape of the input a model takes. Raises UserError when the task offers another."""
    shape = inputs[wanted].shape if wanted in inputs else ()
    if not shape or None in shape:
        raise UserError(
            "model.name",
            model,
            f"it takes an input named {wanted} of fixed shape; this task has {', '.join(inputs)}",
            "use model.name=transformer for text, cnn, resnet9 or mlp for images",
        )
    return tuple(size for size in shape if size is not None)


def ids_vocabulary(model: str, inputs: Mapping[str, Input], positions: int) -> int:
    """The number of token ids of a task of text. Raises UserError for any other task, and for longer texts."""
    if "ids" not in inputs or "mask" not in inputs or inputs["ids"].vocabulary < 1:
        raise UserError(
            "model.name",
            model,
            f"it takes token ids and a mask; this task has {', '.join(inputs)}",
            "use model.name=cnn, resnet9 or mlp for images",
        )
    longest = inputs["ids"].longest
    if longest > positions:
        raise UserError(
            "model.positions", positions, f"at least the {longest} tokens that texts of this task have",
            f"model.positions={longest}",
        )  # fmt: skip
    return inputs["ids"].vocabulary


def next_ids(model: str, inputs: Mapping[str, Input], positions: int, known: int = 0) -> int:
    """How many ids a network must know: `known` where it says so itself, else those of the task of language.

    Raises UserError for any other task, for longer texts, and where the tokenizer has ids that it does not know.
    """
    if "ids" not in inputs or "mask" in inputs or inputs["ids"].vocabulary < 1:
        raise UserError(
            "model.name", model, f"it predicts the next token of a text; this task has {', '.join(inputs)}",
            "use model.name=transformer to classify texts, cnn, resnet9 or mlp for images",
        )  # fmt: skip
    if inputs["ids"].longest > positions:
        longest = inputs["ids"].longest
        raise UserError(
            "model.positions", positions, f"at least the {longest} tokens that texts of this task have",
            f"task.max_tokens={positions}",
        )  # fmt: skip
    ids = inputs["ids"].vocabulary
    if known and ids > known:
        raise UserError("task.tokenizer", f"{ids:,} ids", f"this model knows {known:,}", "leave task.tokenizer out")
    return known or ids
