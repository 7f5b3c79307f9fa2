"""Recipes: what is written comes back, what is wrong is named, nothing else is ever raised."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.core import recipe
from netwright.core.error import UserError
from netwright.core.recipe import Range, load

shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@dataclass(frozen=True)
class Schedule:
    warmup: Annotated[float, Range(0, 1)] = 0.1
    shape: Literal["cosine", "step"] = "cosine"


@dataclass(frozen=True)
class Train:
    epochs: Annotated[int, Range(1)] = 3
    rate: Annotated[float, Range(0)] = 1e-3
    note: str = ""
    clip: float | None = None
    amp: bool = False
    layers: tuple[int, ...] = (1, 2)
    names: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)
    stages: tuple[Schedule, ...] = ()

    def __post_init__(self) -> None:
        if self.note == "impossible":
            raise ValueError("a note cannot be impossible")


@dataclass(frozen=True)
class Task:
    name: str
    limit: Annotated[int, Range(0, 10)]


SECTIONS = {"train": Train, "task": Task}
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(0, allow_infinity=False, allow_nan=False)
schedules = st.builds(Schedule, warmup=st.floats(0, 1), shape=st.sampled_from(["cosine", "step"]))
trains = st.builds(
    Train,
    epochs=st.integers(1, 2**63 - 1),
    rate=numbers,
    note=text.filter(lambda t: t != "impossible"),
    clip=st.none() | st.floats(allow_infinity=False, allow_nan=False),
    amp=st.booleans(),
    layers=st.lists(st.integers(-(2**63) + 1, 2**63 - 1), max_size=4).map(tuple),
    names=st.lists(text, max_size=3).map(tuple),
    weights=st.dictionaries(text, numbers, max_size=3),
    schedule=schedules,
    stages=st.lists(schedules, max_size=2).map(tuple),
)


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "recipe.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@shared_folder
@given(trains, text)
def test_a_resolved_recipe_comes_back_the_same(tmp_path, train, name):
    before = recipe.Recipe({"train": train, "task": Task(name, 3)}, Path("-"))
    after = load(write(tmp_path, before.toml()), [], SECTIONS)
    assert after["train"] == train
    assert after.digest == before.digest


def test_defaults_and_comments_change_no_digest(tmp_path):
    short = load(write(tmp_path, '[task]\nname="a"\nlimit=1\n'), [], SECTIONS)
    long = load(write(tmp_path, '# x\n[task]\nlimit=1\nname="a"\n[train]\nepochs=3\n'), [], SECTIONS)
    other = load(write(tmp_path, '[task]\nlimit=2\nname="a"\n'), [], SECTIONS)
    assert short.digest == long.digest != other.digest


@dataclass(frozen=True)
class Whole:
    share: float = 5000


def test_a_whole_default_of_a_float_has_the_digest_of_its_written_value(tmp_path):
    before = load(write(tmp_path, ""), [], {"whole": Whole})
    assert load(write(tmp_path, before.toml()), [], {"whole": Whole}).digest == before.digest


BASE = '[task]\nname = "a"\nlimit = 1\n'


@pytest.mark.parametrize(
    ("content", "setting", "said"),
    [
        (BASE + "[train]\nepoch = 3\n", "train.epoch", 'did you mean "epochs"'),
        (BASE + "[trian]\nepochs = 3\n", "trian", 'did you mean "train"'),
        (BASE + '[train]\nepochs = "3"\n', "train.epochs", "expected a whole number >= 1"),
        (BASE + "[train]\nepochs = 3.0\n", "train.epochs", "expected a whole number"),
        (BASE + "[train]\nepochs = true\n", "train.epochs", "expected a whole number"),
        (BASE + "[train]\nepochs = 0\n", "train.epochs", "expected a whole number >= 1"),
        (BASE + f"[train]\nepochs = {2**63}\n", "train.epochs", "expected a whole number"),
        (BASE + f"[train]\nepochs = 0x{'f' * 5000}\n", "train.epochs", "thousands of digits"),
        (BASE + "[train]\nrate = inf\n", "train.rate", "expected a number"),
        (BASE + "[train]\nrate = nan\n", "train.rate", "expected a number"),
        (BASE + f"[train]\nrate = 1{'0' * 400}\n", "train.rate", "expected a number"),
        (BASE + "[train]\nrate = 1979-05-27\n", "train.rate", "expected a number"),
        (BASE + "[train]\namp = 1\n", "train.amp", "true or false"),
        (BASE + "[train]\nlayers = 3\n", "train.layers", "a list, each a whole number"),
        (BASE + "[train]\nlayers = [1, 'x']\n", "train.layers[1]", "expected a whole number"),
        (BASE + "[train.schedule]\nshape = 'cosin'\n", "train.schedule.shape", 'did you mean "cosine"'),
        (BASE + "[train.schedule]\nwarmup = 2\n", "train.schedule.warmup", "0 to 1"),
        (BASE + "[train.schedule]\nwarm = 2\n", "train.schedule.warm", 'did you mean "warmup"'),
        (BASE + "[train.weights]\na = 'x'\n", "train.weights.a", "expected a number"),
        (BASE + "[train]\nnote = 'impossible'\n", "train", "a note cannot be impossible"),
        ("train = 3\n" + BASE, "train", "a section"),
        ('[task]\nname = "a"\n', "task.limit", "a whole number 0 to 10"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_is_allowed(tmp_path, content, setting, said):
    with pytest.raises(UserError, match=re.escape(said)) as refusal:
        load(write(tmp_path, content), [], SECTIONS)
    assert refusal.value.setting == setting
    assert refusal.value.next


@pytest.mark.parametrize(
    ("words", "attribute", "value"),
    [
        (["train.epochs=7"], "epochs", 7),
        (["train.epochs=7", "train.epochs=8"], "epochs", 8),
        (["train.rate=1"], "rate", 1.0),
        (["train.note=a b = c"], "note", "a b = c"),
        (['train.note="7"'], "note", "7"),
        (["train.amp=true"], "amp", True),
        (["train.layers=[4, 5]"], "layers", (4, 5)),
        (["train.schedule.warmup=0.5"], "schedule", Schedule(0.5)),
    ],
)
def test_overrides_replace(tmp_path, words, attribute, value):
    assert getattr(load(write(tmp_path, BASE), words, SECTIONS)["train"], attribute) == value


@pytest.mark.parametrize(
    "word", ["epochs=3", "train.epochs", "train.=3", ".epochs=3", "train.epochs=1\n[x]", "", "=", "train.rate.x=1"]
)
def test_overrides_that_are_none_are_refused(tmp_path, word):
    with pytest.raises(UserError):
        load(write(tmp_path, BASE + "[train]\nrate = 1\n"), [word], SECTIONS)


def test_an_override_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected text"):
        load(write(tmp_path, BASE), ["train.note=\udcff"], SECTIONS)


@shared_folder
@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_user_errors(tmp_path, content):
    with pytest.raises(UserError):
        load(write(tmp_path, content), [], SECTIONS)


WORDS = "[ ] [[ ]] { } = . , # \" ' 1 -1 1e9 inf nan true 0x1f 1979-05-27 [train] [task] epochs rate name limit x a.b"
words = st.sampled_from([*WORDS.split(), " ", "\n", '"""'])


@shared_folder
@given(st.lists(words, max_size=25), st.lists(st.lists(words, max_size=6).map("".join), max_size=2))
def test_random_toml_raises_nothing_but_user_errors(tmp_path, tokens, overrides):
    try:
        parsed = load(write(tmp_path, "".join(tokens)), overrides, SECTIONS)
    except UserError:
        return
    assert isinstance(parsed.sections.get("task", Task("", 0)), Task)


@shared_folder
@given(st.text(max_size=20))
def test_random_overrides_raise_nothing_but_user_errors(tmp_path, word):
    try:
        parsed = load(write(tmp_path, BASE), [f"train.note={word}"], SECTIONS)
    except UserError:
        return
    assert isinstance(parsed["train"].note, str)


@pytest.mark.parametrize("content", ["x = " + "[" * 20_000, "x = " + "9" * 5000, "[a." + "b." * 5000 + "c]"])
def test_deep_and_huge_toml_is_refused(tmp_path, content):
    with pytest.raises(UserError):
        load(write(tmp_path, content), [], SECTIONS)


def test_files_that_are_no_recipes_are_refused(tmp_path):
    for path, said in (
        (tmp_path / "none.toml", "no such file"),
        (tmp_path, "not a plain file"),
        (Path("/dev/zero"), "not a plain file"),
        (tmp_path / ("x" * 300), "too long"),
        (write(tmp_path, "#" * (recipe.MAX_BYTES + 1)), "at most"),
    ):
        with pytest.raises(UserError, match=said):
            load(path, [], SECTIONS)


def test_a_table_of_modules_gives_the_section_of_the_one_named(tmp_path, monkeypatch):
    import types

    module = types.ModuleType("fake_model")
    module.Config = Task
    monkeypatch.setitem(__import__("sys").modules, "fake_model", module)
    sections = {"model": {"small": "fake_model"}}
    assert load(write(tmp_path, '[model]\nname="small"\nlimit=2\n'), [], sections)["model"] == Task("small", 2)
    for content, said in (
        ("", None),
        ("[model]\nlimit=2\n", "one of small"),
        ('[model]\nname="smal"\n', 'did you mean "small"'),
    ):
        if said is None:
            assert "model" not in load(write(tmp_path, content), [], sections)
            continue
        with pytest.raises(UserError, match=said):
            load(write(tmp_path, content), [], sections)
