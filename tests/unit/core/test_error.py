"""A message names the setting, the value, what is allowed and the next step, and cannot be spoofed."""

import pytest

from netwright.core.error import UserError, did_you_mean, show


def test_the_message_has_all_four():
    refusal = UserError("train.epochs", "three", "a whole number >= 1", "set train.epochs=3")
    assert str(refusal) == "train.epochs = 'three': a whole number >= 1. Next: set train.epochs=3"
    assert (refusal.setting, refusal.value, refusal.exit_code) == ("train.epochs", "three", 2)


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), [10**5000], {"a": "\x1b[2J"}])
def test_values_are_shown_short_and_without_control_characters(value):
    assert len(show(value)) <= 120
    assert show(value).isprintable()


def test_a_setting_with_control_characters_is_quoted():
    assert "\x1b" not in str(UserError("a\x1b[2Jb", 1, "x", "y"))
    assert len(str(UserError("k" * 10_000, 1, "x", "y"))) < 300


def test_did_you_mean():
    assert did_you_mean("epoch", ["epochs", "rate"]) == 'did you mean "epochs"? Allowed: epochs, rate'
    assert did_you_mean("zzz", ["epochs", "rate"]) == "allowed: epochs, rate"
    assert did_you_mean("zzz", []) == "allowed: nothing"
