"""Alerts: a run that goes wrong says so, to the log, a command or a webhook.

Knows the losses only. A destination that fails is noted once and never stops the training.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import urllib.request
from collections.abc import Callable, Sequence
from typing import Literal

from netwright.core.error import UserError

Kind = Literal["nan", "divergence", "plateau"]
DIVERGED = 3.0
"""A smoothed loss of three times the lowest one, after 50 steps, is no longer noise."""


class Watch:
    """Looks at every loss and validation value, and alerts once a kind.

    `to` holds destinations: "log" (always on), a URL that gets a JSON POST, or "command:..." that is run
    with the message in NETWRIGHT_ALERT.
    """

    def __init__(self, to: Sequence[str], note: Callable[[str], None], plateau: int) -> None:
        self.to, self.note, self.plateau = check(to), note, plateau
        self.sent: set[Kind] = set()
        self.smooth, self.lowest, self.seen = 0.0, math.inf, 0

    def loss(self, step: int, loss: float) -> None:
        """A training loss. NaN alerts; so does a smoothed loss far above its lowest."""
        if not math.isfinite(loss):
            self.send("nan", f"the loss is {loss} at step {step}")
            return
        self.seen += 1
        self.smooth += (loss - self.smooth) * max(0.05, 1 / self.seen)
        if self.seen > 50:
            if self.smooth > DIVERGED * self.lowest:
                self.send("divergence", f"the loss rose from {self.lowest:.3g} to {self.smooth:.3g} by step {step}")
            self.lowest = min(self.lowest, self.smooth)

    def stale(self, evaluations: int) -> None:
        """So many evaluations since the best one."""
        if self.plateau and evaluations >= self.plateau:
            self.send("plateau", f"no better validation value for {evaluations} evaluations")

    def send(self, kind: Kind, message: str) -> None:
        if kind in self.sent:
            return
        self.sent.add(kind)
        self.note(f"Alert ({kind}): {message}")
        for destination in self.to:
            try:
                _deliver(destination, kind, message)
            except (OSError, subprocess.SubprocessError) as fault:
                self.note(f"The alert did not reach {destination}: {fault}")


def check(to: Sequence[str]) -> tuple[str, ...]:
    """Refuse a destination that is none, before any work."""
    for destination in to:
        if destination != "log" and not destination.startswith(("http://", "https://", "command:")):
            raise UserError(
                "train.alerts", destination, 'allowed: "log", "command:...", "http://..." or "https://..."',
                'train.alerts=["log"]',
            )  # fmt: skip
        if destination.startswith("command:"):
            _command(destination)
    return tuple(to)


def _command(destination: str) -> list[str]:
    """The words of a command, as a shell would split them."""
    try:
        words = shlex.split(destination.removeprefix("command:"))
    except ValueError as fault:
        raise UserError("train.alerts", destination, f"not a command: {fault}", "mend the quotes") from None
    if not words:
        raise UserError("train.alerts", destination, "a command after the colon", 'train.alerts=["command:mail me"]')
    return words


def _deliver(destination: str, kind: Kind, message: str) -> None:
    if destination.startswith("command:"):
        environment = {**os.environ, "NETWRIGHT_ALERT": message, "NETWRIGHT_ALERT_KIND": kind}
        subprocess.run(_command(destination), env=environment, timeout=10, check=True, capture_output=True)
    elif destination != "log":
        body = json.dumps({"kind": kind, "message": message}).encode()
        request = urllib.request.Request(destination, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=3).close()
