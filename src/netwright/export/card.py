"""The model card of an export, in Markdown: what it is, takes and answers, how it was made, how equal it is.

    (draft / FILE).write_text(written(artifact, certificate))

It lies among the artifact's files, so that whoever gets these gets it. Knows no format.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netwright.core.recipe import plain

if TYPE_CHECKING:
    from netwright.core.artifact import Artifact
    from netwright.export.verify import Certificate

FILE = "card.md"


def written(artifact: Artifact, certificate: Certificate) -> str:
    """The card of an artifact that is being made: its digest is not known yet, those of its parents are."""
    verdict = "passed" if certificate.passed else "; ".join(certificate.faults)
    unit = "tokens" if certificate.perplexity else "validation examples"
    classes = artifact.task.get("classes", [])
    same = "Estimates within 0.02 of each other" if len(classes) == 1 else "Same top class"
    rows = [
        f"# {artifact.task['name']}/{artifact.model['name']} {artifact.precision} {artifact.format}",
        "",
        f"- task: {artifact.task['name']}, {_answers(classes)}",
        f"- network: {json.dumps(plain(artifact.model), sort_keys=True)}",
        f"- format: {artifact.format}, weights in {artifact.precision}",
        f"- made by: {json.dumps(plain(artifact.made_by), sort_keys=True)}",
        f"- parents: {', '.join(artifact.parents) or 'none'}",
        "",
        "| input | shape, after the batch | dtype |",
        "|---|---|---|",
        *(f"| {name} | {plain(x)['shape']} | {plain(x)['dtype']} |" for name, x in artifact.inputs.items()),
        "",
        "What turns a raw example into these inputs stands under `processor` in artifact.json.",
        "",
        f"Certificate, on {certificate.n} {unit} beside its source: {verdict}. {same} in "
        f"{100 * certificate.agreement:.2f} % [{100 * certificate.agreement_low:.2f}, "
        f"{100 * certificate.agreement_high:.2f}], relative error {certificate.relative_error:.2g}, executed in "
        f"{certificate.executed}.{_perplexity(certificate)}",
    ]
    return "\n".join(rows) + "\n"


def _answers(classes: Sequence[str]) -> str:
    return f"a number: {classes[0]}" if len(classes) == 1 else f"{len(classes)} classes"


def _perplexity(certificate: Certificate) -> str:
    if not certificate.perplexity:
        return ""
    return f" Perplexity {certificate.perplexity:.4g}, of its source {certificate.reference_perplexity:.4g}."
