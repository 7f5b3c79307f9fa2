"""What can be set of a server: a TOML file, then the environment, then flags, of which the later win.

    config = gathered(Path("serve.toml"), ["serve.port=9000"], os.environ)

A file has one section, [serve], and under [serve.keys.NAME] a table for each key. Of the environment
NETWRIGHT_SERVE_PORT=9000 says the same, for every setting that is no table; NETWRIGHT_API_KEY is a key itself. Keys
are kept as salted hashes: `netwright serve --new-key` makes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.recipe import Range
from netwright.core.web import KEY, check_bind, hashed

BODY = 10_000_000
"""Bytes of a request at most, where nobody says."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key, and what may be done with it. 0 is no limit."""

    hash: str
    """sha256:SALT:DIGEST, as `netwright serve --new-key` prints it."""
    requests: Annotated[int, Range(0, 1_000_000_000)] = 0
    """A minute."""
    tokens: Annotated[int, Range(0, 1_000_000_000_000)] = 0
    """A minute, of prompts and replies."""
    at_once: Annotated[int, Range(0, 1_000_000)] = 0
    """Requests under way."""
    body: Annotated[int, Range(1, 1_000_000_000)] = BODY
    """Bytes of a request's body."""

    def __post_init__(self) -> None:
        kind, _, rest = self.hash.partition(":")
        salt, _, digest = rest.partition(":")
        if kind != "sha256" or not salt or len(digest) != 64:
            raise UserError("serve.keys", self.hash[:12], "hash = sha256:SALT:DIGEST", "netwright serve --new-key")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The section [serve]."""

    host: str = "127.0.0.1"
    """Address to listen on; another than this machine's own needs a key."""
    port: Annotated[int, Range(0, 65535)] = 8000
    """0: a free one."""
    models: tuple[str, ...] = ()
    """Runs, artifacts or names to import, each also as ID=PLACE; the first answers where a request names none."""
    threads: Annotated[int, Range(0, 4096)] = 0
    """Of each model; 0: as many as this process may use."""
    streams: Annotated[int, Range(1, 1024)] = 64
    """Replies that a model reads together."""
    max_tokens: Annotated[int, Range(1, 1_000_000)] = 1024
    """Of a reply, where a request names no number."""
    long: Literal["refuse", "slide"] = "refuse"
    """A conversation longer than the context is refused, or loses its oldest turns."""
    memory: Annotated[float, Range(0, 1_000_000)] = 0.0
    """GB for all models together; 0: what the machine has."""
    body: Annotated[int, Range(1, 1_000_000_000)] = BODY
    """Bytes of a request's body, without a key."""
    waiting: Annotated[int, Range(1, 100_000)] = 256
    """Requests under way in all; more are told to come again."""
    stall_s: Annotated[float, Range(0.1, 86_400)] = 30.0
    """Seconds after which a client that does not read, or does not send its request, is given up."""
    drain_s: Annotated[float, Range(0, 86_400)] = 30.0
    """Seconds that replies may take to end when the server is told to stop."""
    cors: tuple[str, ...] = ()
    """Origins of web pages that may ask, such as https://chat.example.org."""
    hosts: tuple[str, ...] = ()
    """Names under which the server may be asked, beside localhost."""
    log: bool = True
    """A line of JSON for each request, on standard error; texts are never in it."""
    history: bool = True
    """Serve the page, and keep its conversations."""
    evaluate_hours: Annotated[float, Range(0, 10_000)] = 0.0
    """Evaluate the models again after so many hours; 0: never."""
    evaluate_text: str = ""
    """A file of texts for that: perplexity."""
    evaluate_tasks: str = ""
    """A file of questions for that, as `netwright evaluate --tasks` takes it."""
    keys: dict[str, Key] = field(default_factory=dict)
    """Name -> key; without any, the server is open to this machine."""

    def __post_init__(self) -> None:
        if self.evaluate_hours and not (self.evaluate_text or self.evaluate_tasks):
            raise UserError(
                "serve.evaluate_hours", self.evaluate_hours, "with a file to evaluate on", "serve.evaluate_text=FILE"
            )
        check_bind("serve.host", self.host, bool(self.keys), f"set {KEY}, or --key")


SECTIONS = {"serve": Config}


def gathered(path: Path | None, overrides: Sequence[str], environment: Mapping[str, str], key: str = "") -> Config:
    """The settings of a file, of which the environment replaces some, and `section.key=value` words others.

    `key`, or else NETWRIGHT_API_KEY, is added to the keys of the file under the name "main". Raises UserError.
    """
    values = recipe.read_toml(path) if path else {}
    values.pop("safety", None)  # `chat.safety.rules` reads it
    told = values.get("serve", {})
    plain = key or environment.get(KEY, "")
    if plain and isinstance(told, dict) and isinstance(told.get("keys", {}), dict):
        values["serve"] = {**told, "keys": {**told.get("keys", {}), "main": {"hash": hashed(plain)}}}
    words = recipe.from_environment(environment, SECTIONS)
    found: Config = recipe.parse(recipe.merged(values, [*words, *overrides], path or Path("-")), SECTIONS)["serve"]
    return found
