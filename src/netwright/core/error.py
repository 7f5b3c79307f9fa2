"""The one error a person is meant to read.

It names the setting, the value, what is allowed and the next command, and ends the command line
with exit code 2 before any work was done. Everything else that is raised is a fault of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the person asked for cannot be done as asked.

    `setting` is the thing that is wrong ("train.epochs", "file", "extra"), `value` what was given,
    `allowed` what would be accepted, `next` the command or act that leads on.
    """

    exit_code = 2

    def __init__(self, setting: str, value: object, allowed: str, next: str) -> None:
        self.setting, self.value, self.allowed, self.next = setting, value, allowed, next
        name = setting if setting.isprintable() else repr(setting)
        super().__init__(f"{name[:200]} = {show(value)}: {allowed}. Next: {next}")


def show(value: object, limit: int = 120) -> str:
    """A value as it stands in a message: quoted when text, cut when long."""
    try:
        text = repr(value) if isinstance(value, str) else str(value)
    except ValueError:  # Python prints no whole number of more than 4300 digits
        text = "a number of thousands of digits"
    except RecursionError:
        text = "a value thousands of levels deep"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`' did you mean "epochs"?'` when a known name is near, the list of names otherwise."""
    names = sorted(known)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    listed = ", ".join(names) if names else "nothing"
    return f'did you mean "{near[0]}"? Allowed: {listed}' if near else f"allowed: {listed}"
