"""netwright predict serve: predictions over HTTP, on this machine unless told otherwise."""

from __future__ import annotations

import argparse
import sys

from netwright.cli import Answer
from netwright.core.error import UserError


def main(args: argparse.Namespace) -> Answer:
    """Serve until interrupted."""
    from netwright.core.table import extra
    from netwright.predict import server

    if not 0 <= args.port <= 65535:
        raise UserError("port", args.port, "a whole number from 0 to 65535", "--port 8077")
    if args.root is not None and not args.root.is_dir():
        raise UserError("root", str(args.root), "a folder", "--root runs")
    address = f"http://{args.host}:{args.port}"
    if args.dry_run:
        return Answer({"address": address}, f"would serve predictions at {address}")
    extra("uvicorn", "serving predictions")
    if args.host not in ("127.0.0.1", "::1", "localhost"):
        print(f"Anyone who reaches {args.host} may ask; there is no password.", file=sys.stderr)
    print(f"Predictions at {address}. Ctrl-C ends it.", file=sys.stderr, flush=True)
    server.serve(args.root, args.host, args.port)
    return Answer({"address": address}, "Served.")
