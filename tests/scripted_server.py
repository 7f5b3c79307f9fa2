"""A server in a thread, over engines that know their lines."""

import asyncio
import contextlib
import threading
import time
from dataclasses import replace

from netwright.chat.batch import InTurn
from netwright.chat.engine import Engine
from netwright.chat.scripted import Scripted
from netwright.chat.server.listening import Listening
from netwright.chat.server.settings import Config
from netwright.chat.server.shelf import Shelf, Volume
from netwright.data.language import byte_tokenizer
from netwright.data.template import DEFAULT

PLAIN = byte_tokenizer()
TOKENIZER = replace(PLAIN, template=DEFAULT)
END = PLAIN.stop[0]


class Slow(Scripted):
    """A script whose every token takes its time; how many it said is `count`."""

    def __init__(self, lines, seconds=0.0, vocabulary=257, longest=1 << 20):
        super().__init__(lines, vocabulary, longest)
        self.seconds, self.count = seconds, 0

    def feed(self, ids, all=False):
        time.sleep(self.seconds)
        self.count += 1
        return super().feed(ids, all)


def saying(text, seconds=0.0, tokenizer=TOKENIZER, longest=1 << 20):
    """A batch that answers everything with a text, and its decoder."""
    decoder = Slow([*tokenizer.literal(text), END], seconds, len(tokenizer), longest)
    return InTurn([Engine(decoder, tokenizer, lookup=False)]), decoder


def endless(letter="a", seconds=0.0, tokenizer=TOKENIZER, longest=1 << 20):
    """A batch that says one letter for ever."""
    decoder = Slow(lambda ids: ord(letter) - 33, seconds, len(tokenizer), longest)
    return InTurn([Engine(decoder, tokenizer, lookup=False)]), decoder


@contextlib.contextmanager
def served(volumes, available=lambda: 1 << 40, memory=0, history=None, guard=None, **settings):
    """Within: a server of these models, and its address without a path."""
    models = {name: one if isinstance(one, Volume) else Volume(lambda one=one: one) for name, one in volumes.items()}
    config = Config(port=0, log=settings.pop("log", False), **settings)
    ready, box = threading.Event(), {}

    def run():
        async def main():
            box["server"] = Listening(Shelf(models, available, memory), config, told, history, guard=guard)
            await box["server"].serve()

        def told(address):
            box["address"] = address
            ready.set()

        asyncio.run(main())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(20), "the server did not begin"
    server = box["server"]
    server.thread, server.at = thread, box["address"]
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not end"
