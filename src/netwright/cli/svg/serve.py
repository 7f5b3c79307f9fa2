"""netwright svg serve: traces over HTTP, and the page, on this machine unless told otherwise."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser

from netwright.cli import Answer
from netwright.core.error import UserError

ABOUT = "serve: a page to drop images on, and an HTTP endpoint"
HEEDS = ("host", "port", "key", "open")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    served = parser.add_argument_group("serve")
    served.add_argument("--host", help="address to listen on; another than this machine's own needs a key")
    served.add_argument("--port", type=int, help="0 takes a free one (default: 8078)")
    served.add_argument("--key", help="what clients must send; NETWRIGHT_API_KEY says the same, and is seen by nobody")
    served.add_argument("--open", action="store_true", help="open the page in a browser")


def main(args: argparse.Namespace) -> Answer:
    """Serve until interrupted."""
    from netwright.core import web
    from netwright.core.table import extra
    from netwright.svg.server.settings import Config

    key = args.key or os.environ.get(web.KEY, "")
    if args.overrides:
        raise UserError(
            "image", " ".join(args.overrides), "serve takes none: drop them on the page", "netwright svg serve"
        )
    named = {name: getattr(args, name) for name in ("host", "port") if getattr(args, name) is not None}
    config = Config(**named, key=web.hashed(key) if key else "")
    shown = f"[{config.host}]" if ":" in config.host else config.host
    address = f"http://{shown}:{config.port}"
    if args.dry_run:
        return Answer({"address": address, "key": bool(key)}, f"would serve traces at {address}")
    for package in ("fastapi", "uvicorn"):
        extra(package, "netwright svg serve")
    for package in ("vtracer", "skia", "cv2"):
        extra(package, "tracing")
    from netwright.cli.svg.trace import predictor_of
    from netwright.svg.server.listening import Listening

    def told(address: str) -> None:
        print(f"Open {address} in a browser. Ctrl-C ends it.", file=sys.stderr, flush=True)
        if args.open:
            webbrowser.open(address)

    server = Listening(config, told, predictor_of(None))
    try:
        server.run()
    except SystemExit:  # uvicorn's word for an address that is taken
        if not server.started:
            taken = f"{config.host}:{config.port}"
            raise UserError("port", taken, "this address is taken, or is none", "--port 0") from None
        raise
    return Answer({"address": address}, "")
