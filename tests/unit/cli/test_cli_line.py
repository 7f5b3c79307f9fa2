"""The command line itself: words in any order, refusals in one form, readers that go away."""

import subprocess
import sys

import pytest

from netwright import cli


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def said(capsys, *words):
    code = cli.main(list(words))
    seen = capsys.readouterr()
    return code, seen.out, seen.err


@pytest.mark.parametrize(
    "words",
    [
        "runs show abc --dry-run runs=there --json",
        "runs show --json abc --dry-run runs=there",
        "runs --dry-run show --json runs=there abc",
        "runs show --json --dry-run -- runs=there abc",
    ],
)
def test_options_stand_anywhere(words, capsys):
    code, out, _ = said(capsys, *words.split())
    assert code == 0
    assert '"runs": "there"' in out


@pytest.mark.parametrize("words", ["hardware list runs=there", "data runs=there list", "doctor runs=there"])
def test_every_verb_takes_runs(words, capsys, tmp_path):
    assert said(capsys, *words.split())[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_an_option_keeps_its_value(capsys):
    code, _, err = said(capsys, "export", "nowhere", "--format", "onnx", "runs=there", "--format=torch", "a.b=1")
    assert code == 2
    assert "a = {'b': 1}" in err
    parsed = cli.build_parser("export").parse_args(["export", "x", "--format", "onnx", "w=1", "--format=torch", "v=2"])
    assert (parsed.format, parsed.words) == (["onnx", "torch"], ["w=1", "v=2"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "train",
            "command line = 'netwright train': the following arguments are required: recipe. Next: netwright train",
        ),
        ("train x --frsh", "option = '--frsh': did you mean \"--fresh\"?"),
        ("train x --fres", "option = '--fres': did you mean \"--fresh\"?"),
        ("--frsh", "option = '--frsh': allowed: --help, --version"),
        ("trian x", "verb = 'trian': did you mean \"train\"?"),
        ("doctor x", "command line = 'x': more words than the verb takes"),
        ("bench x --batch many", "--batch = 'many': a whole number. Next: netwright bench --help"),
        ("bench x --batch", "--batch = '': expected one value"),
        ("bench x --batch --json", "--batch = '': expected one value"),
        ("hardware probe --seconds=soon", "--seconds = 'soon': a number"),
        ("train --find-lr --find-batch tiny.toml", "one of --find-lr and --find-batch"),
    ],
)
def test_a_line_that_is_none_is_refused_in_one_message(words, message, capsys, tmp_path):
    (tmp_path / "tiny.toml").write_text('[task]\nname="synthetic"\n[model]\nname="cnn"\n')
    code, out, err = said(capsys, *words.split())
    assert (code, out) == (2, "")
    assert err.count("netwright: ") == 1 == len(err.splitlines())
    assert message in err
    assert "Next: " in err


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_is_readable_at_80_columns(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert f"netwright {verb}" in out.rsplit("Example:", 1)[1]
    usage = out.split("\n\n", maxsplit=1)[0]
    assert max(map(len, usage.splitlines())) <= 80


def test_a_reader_that_goes_away_is_no_fault():
    """`netwright hardware list | head -1`."""
    command = [sys.executable, "-m", "netwright", "hardware", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait() == 141
    assert error == b""


def test_an_interrupt_says_how_to_go_on(capsys, monkeypatch):
    def interrupted(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert said(capsys, "doctor") == (130, "", "\nInterrupted. The same command goes on where this one stopped.\n")


def test_a_full_disk_anywhere_is_told_as_one(capsys, monkeypatch):
    def full(words):
        raise OSError(28, "No space left on device", "/there/file")

    monkeypatch.setattr(cli, "_run", full)
    code, out, err = said(capsys, "doctor")
    assert (code, out) == (2, "")
    assert "disk = '/there/file': cannot be written: the disk is full" in err


def test_any_other_fault_is_not_hidden(monkeypatch):
    def broken(words):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(cli, "_run", broken)
    with pytest.raises(OSError, match="Input/output"):
        cli.main(["doctor"])


def test_a_loss_that_is_not_finite_ends_with_code_1_and_leaves_standard_output_empty(capsys, tmp_path):
    (tmp_path / "tiny.toml").write_text(
        '[task]\nname="synthetic"\n[model]\nname="mlp"\n[train]\nlr=1000.0\noptimizer="sgd"\nepochs=2\n'
    )
    code, out, err = said(capsys, "train", "tiny.toml", "--json", "train.momentum=0.99", "train.threads=1")
    assert (code, out) == (1, "")
    assert "training stopped: the loss is not finite" in err
