"""netwright serve: language models over HTTP, for OpenAI's clients, on this machine unless told otherwise."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from netwright.cli import Answer, add_words

HELP = "answer OpenAI's clients with language models on this machine: MODEL ... are runs, artifacts or names to import"
EXAMPLE = "netwright serve smollm2-135m-instruct --port 8000"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    add_words(parser)
    parser.add_argument("--host", help="address to listen on; another than this machine's own needs a key")
    parser.add_argument("--port", type=int, help="0 takes a free one (default: 8000)")
    parser.add_argument("--key", help="what clients must send; NETWRIGHT_API_KEY says the same, and is seen by nobody")
    parser.add_argument(
        "--model", action="append", default=[], metavar="ID=PLACE", help="one more model, called ID by clients"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="a TOML file with the section [serve]")
    parser.add_argument(
        "--safety", action="store_true", help="filter what is asked and answered; [safety] in the file says how"
    )
    parser.add_argument("--threads", type=int, help="of each model (default: as many as this process may use)")
    parser.add_argument("--new-key", action="store_true", help="make a key and its hash for the file, and end")


def main(args: argparse.Namespace) -> Answer:
    """Serve until interrupted, or say what would be."""
    from netwright.chat.server import settings
    from netwright.core import web
    from netwright.hardware import detect

    if args.new_key:
        key = web.new_key()
        made = {"key": key, "hash": web.hashed(key)}
        return Answer(made, f'{key}\n\n[serve.keys.NAME]\nhash = "{made["hash"]}"')
    words = [word for word in args.overrides if word.startswith("serve.")]
    models = [word for word in args.overrides if not word.startswith("serve.")] + args.model
    for name in ("host", "port", "threads"):
        if getattr(args, name) is not None:
            words.append(f"serve.{name}={_quoted(getattr(args, name))}")
    if models:
        words.append(f"serve.models=[{', '.join(map(_quoted, models))}]")
    config = settings.gathered(args.config, words, os.environ, args.key or "")
    detect.check_threads("--threads", config.threads)
    address = f"http://{config.host}:{config.port}/v1"
    named = list(config.models) or ["smollm2-135m-instruct"]
    if args.dry_run:
        about = {"address": address, "models": named, "keys": list(config.keys)}
        return Answer(about, f"would serve {', '.join(named)} at {address}")
    return _served(config, args)


def _served(config: Any, args: argparse.Namespace) -> Answer:
    from netwright.core.table import extra

    for package in ("fastapi", "uvicorn", "websockets"):
        extra(package, "netwright serve")
    import psutil

    from netwright.chat.history.store import History
    from netwright.chat.safety import guard
    from netwright.chat.server import opening
    from netwright.chat.server.listening import Listening
    from netwright.chat.server.shelf import Shelf

    guarding, runs = guard.opened(args.config, args.safety), args.runs
    volumes = opening.prepared(config, runs)
    shelf = Shelf(volumes, lambda: psutil.virtual_memory().available, int(config.memory * 1e9))

    def told(address: str) -> None:
        models = ", ".join(volumes)
        page = f"Open {address} in a browser. " if config.history else ""
        print(f"{page}{address}/v1 answers with {models}. Ctrl-C ends it.", file=sys.stderr, flush=True)

    history = History.open(runs) if config.history else None
    server = Listening(shelf, config, told, history, runs, guarding)
    try:
        server.run()
    except SystemExit:  # uvicorn's word for an address that is taken
        from netwright.core.error import UserError

        if not server.started:
            address = f"{config.host}:{config.port}"
            raise UserError("serve.port", address, "this address is taken, or is none", "--port 0") from None
        raise
    finally:
        if history is not None:
            history.close()
    return Answer({"served": list(volumes)}, "")


def _quoted(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
