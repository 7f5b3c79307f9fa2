"""Alerts reach the log, a command and a webhook, once a kind, and never stop a training."""

import http.server
import json
import math
import sys
import threading

import pytest

from netwright.core.error import UserError
from netwright.train.alerts import Watch


def watch(to=(), plateau=3):
    notes = []
    return Watch(to, notes.append, plateau), notes


def test_nan_divergence_and_plateau_are_told_once_each():
    seen, notes = watch()
    for step in range(100):
        seen.loss(step, 1.0)
    for step in range(100, 200):
        seen.loss(step, 10.0)
    seen.loss(200, math.nan)
    seen.loss(201, math.inf)
    for evaluations in range(6):
        seen.stale(evaluations)
    assert [note.split(":")[0] for note in notes] == ["Alert (divergence)", "Alert (nan)", "Alert (plateau)"]


def test_a_noisy_but_falling_loss_is_quiet():
    seen, notes = watch()
    for step in range(500):
        seen.loss(step, 2.0 * math.exp(-step / 200) + 0.5 * math.sin(7 * step) ** 2)
    assert notes == []


def test_a_plateau_of_zero_never_alerts():
    seen, notes = watch(plateau=0)
    seen.stale(10_000)
    assert notes == []


def test_a_command_gets_the_message(tmp_path):
    script = f"import os,pathlib; pathlib.Path({str(tmp_path / 'told')!r}).write_text(os.environ['NETWRIGHT_ALERT'])"
    seen, _ = watch([f'command:{sys.executable} -c "{script}"'])
    seen.loss(7, math.nan)
    assert (tmp_path / "told").read_text() == "the loss is nan at step 7"


def test_a_webhook_gets_json():
    told = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        seen, _ = watch([f"http://127.0.0.1:{server.server_port}/"])
        seen.send("plateau", "nothing moves")
        thread.join(10)
    assert told == [{"kind": "plateau", "message": "nothing moves"}]


@pytest.mark.parametrize("to", ["command:/no/such/program", "http://127.0.0.1:9/", "command:false"])
def test_a_destination_that_fails_is_noted_and_goes_on(to):
    seen, notes = watch([to])
    seen.send("nan", "x")
    assert len(notes) == 2
    assert "did not reach" in notes[1]


@pytest.mark.parametrize("to", ["mailto:x", "", "file:///etc/passwd", "ftp://x"])
def test_other_destinations_are_refused(to):
    with pytest.raises(UserError, match="train.alerts"):
        watch([to])
