"""A file, the environment and flags, of which the later win; keys are kept as hashes only."""

import pytest

from netwright.chat.server import settings
from netwright.core import web
from netwright.core.error import UserError

HASH = web.hashed("a-key-of-mine")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "serve.toml"
    path.write_text(
        f'[serve]\nport = 1\nthreads = 2\nmodels = ["a", "b=c"]\n[serve.keys.anna]\nhash = "{HASH}"\nrequests = 5\n'
    )
    return path


def test_flags_win_over_the_environment_and_that_over_the_file(file):
    environment = {"NETWRIGHT_SERVE_PORT": "2", "NETWRIGHT_SERVE_CORS": '["https://a.example"]', "HOME": "/x"}
    found = settings.gathered(file, [], {})
    assert (found.port, found.threads, found.models, found.keys["anna"].requests) == (1, 2, ("a", "b=c"), 5)
    assert settings.gathered(file, [], environment).port == 2
    found = settings.gathered(file, ["serve.port=3"], environment)
    assert (found.port, found.threads, found.cors) == (3, 2, ("https://a.example",))
    assert settings.gathered(None, [], {}) == settings.Config()


def test_a_key_of_the_environment_or_a_flag_is_kept_as_its_hash(file):
    found = settings.gathered(file, [], {web.KEY: "another-key"})
    assert set(found.keys) == {"anna", "main"}
    assert "another-key" not in repr(found)
    assert settings.gathered(None, ["serve.host=0.0.0.0"], {}, "another-key").host == "0.0.0.0"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_another_address_needs_a_key(host):
    with pytest.raises(UserError, match="without a key"):
        settings.gathered(None, [f'serve.host="{host}"'], {})
    assert settings.gathered(None, [f'serve.host="{host}"'], {web.KEY: "a-long-key"}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.3.2.1"])
def test_this_machine_needs_none(host):
    assert settings.gathered(None, [f'serve.host="{host}"'], {}).host == host


@pytest.mark.parametrize(
    ("text", "told"),
    [("[serve]\nprot = 1", 'did you mean "port"'), ("[server]\nport = 1", 'did you mean "serve"'),
     ('[serve]\nport = "1"', "whole number"), ("[serve]\nport = 70000", "65535"),
     ('[serve.keys.a]\nhash = "plain"', "new-key"), ("[serve.keys.a]\nrequests = 1", "hash"),
     (f'[serve.keys.a]\nhash = "{HASH}"\nrequest = 1', 'did you mean "requests"'), ("serve = 3", "section"),
     ("[serve]\nkeys = 3", "table"), ("[serve", "not TOML")],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_named(tmp_path, text, told):
    path = tmp_path / "serve.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=told):
        settings.gathered(path, [], {web.KEY: "a-key-of-mine"})


def test_an_unknown_name_in_the_environment():
    with pytest.raises(UserError, match="NETWRIGHT_SERVE_PRT"):
        settings.gathered(None, [], {"NETWRIGHT_SERVE_PRT": "1"})
