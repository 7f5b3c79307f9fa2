"""netwright history: each action from the command line, refusals, and looking that makes no file."""

import json

import pytest

from netwright import cli
from netwright.chat.history import About, History


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of runs with one chat; its id."""
    monkeypatch.delenv("NETWRIGHT_DATABASE_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    runs = tmp_path / "runs"
    with History.open(runs) as history:
        chat = history.new(system="Be brief.")
        first = history.add(chat, "user", "Why is the sky blue?")
        for text in ("Paint.", "Rayleigh\x1b[2J scattering."):
            with history.begin(chat, About(model="smol"), first) as reply:
                reply.write(text)
                reply.finish("stop")
        history.tag(chat, "physics")
    return runs, chat


@pytest.fixture
def said(place, capsys):
    """Runs a command; gives the exit code, and what was printed."""

    def run(*words):
        code = cli.main(["history", *map(str, words), f"runs={place[0]}"])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


def test_list_show_and_search(place, said):
    _, chat = place
    code, text = said("list")
    assert code == 0
    for words in (chat[:8], "Why is the sky blue?", "3", "physics"):
        assert words in text
    assert "No chats" in said("list", "--tag", "other")[1]
    assert "No chats" in said("list", "--skip", "1")[1]
    _, text = said("show", chat[:6])
    assert "system: Be brief." in text
    assert "2 assistant 2/2: Rayleigh\ufffd[2J scattering." in text
    assert "\x1b" not in text
    _, text = said("search", "sky", "blu")
    assert chat[:8] in text
    assert "No message" in said("search", "NEAR(")[1]
    found = json.loads(said("search", "paint", "--json")[1])["found"]
    assert found[0]["parts"] == [["Paint", True], [".", False]]
    assert json.loads(said("show", chat, "--json")[1])["messages"][1]["siblings"] == 2


def test_out_and_in(place, said, tmp_path):
    _, chat = place
    for name in ("a.json", "a.jsonl", "a.md", "a.html"):
        code, text = said("export", "--output", tmp_path / "out" / name)
        assert code == 0, text
    assert "<!doctype html>" in (tmp_path / "out" / "a.html").read_text()
    assert "## user" in (tmp_path / "out" / "a.md").read_text()
    assert json.loads(said("export", chat[:8], "--format", "messages")[1])["messages"][0]["role"] == "system"
    assert json.loads(json.loads(said("export", "--json")[1])["text"])["format"] == "netwright-chats"
    assert said("delete", chat[:8], chat)[0] == 0
    assert "No chats" in said("list")[1]
    assert (
        "Would import 2 chats"
        in said("import", tmp_path / "out" / "a.json", tmp_path / "out" / "a.jsonl", "--dry-run")[1]
    )
    assert (
        "Imported 1 chats, 3 messages" in said("import", tmp_path / "out" / "a.json", tmp_path / "out" / "a.jsonl")[1]
    )
    assert json.loads(said("import", tmp_path / "out" / "a.jsonl", "--json")[1])["messages"] == 0


def test_feedback(place, said):
    _, chat = place
    assert said("feedback", chat[:8], "good", "well", "said")[0] == 0
    assert said("feedback", chat, "bad", "--message", "2")[0] == 0
    assert "2 assistant 2/2 bad:" in said("show", chat)[1]
    assert said("feedback", chat, "none")[0] == 0
    assert "2 assistant 2/2:" in said("show", chat)[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("lst", 'did you mean "list"'),
        ("show", "1 words for show"),
        ("list x", "0 words for list"),
        ("list --limit 0", "--limit"),
        ("list --skip -1", "--skip"),
        ("list --limit 99999999999999999999", "--limit"),
        ("show zzz", "no such conversation"),
        ("delete zzz", "no such conversation"),
        ("export zzz", "no such conversation"),
        ("export --format word", "markdown"),
        ("export --output .", "a file"),
        ("import none.json", "no such file"),
        ("feedback CHAT great", "good"),
        ("feedback CHAT good --message 1", "a reply: 2"),
        ("feedback CHAT good --message 9", "a reply: 2"),
        ("feedback CHAT good --message 0", "a reply: 2"),
        ("delete CHAT --message 3", "1 to 2"),
    ],
)
def test_refusals(place, said, words, expected):
    code, text = said(*[place[1] if word == "CHAT" else word for word in words.split()])
    assert code == 2
    assert expected in text


def test_looking_where_nothing_is_makes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("NETWRIGHT_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["history", "list"]) == 0
    assert cli.main(["history", "search", "x"]) == 0
    assert cli.main(["history", "export", "--json"]) == 0
    for words in (["list"], ["delete", "x"], ["feedback", "x", "good"], ["export", "--output", "x.json"]):
        assert cli.main(["history", *words, "--dry-run", "--json"]) == 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs").write_text("a file")
    assert cli.main(["history", "list"]) == 2


def test_a_branch_is_deleted(place, said):
    _, chat = place
    assert "Deleted message 2" in said("delete", chat[:8], "--message", "2")[1]
    assert "2 assistant: Paint." in said("show", chat)[1]
