"""One map: the same results in the same order, here and over processes; the first fault ends it."""

import os
import time
from functools import partial

import pytest

from netwright.core.map import map as fan_out


def square(x: int) -> int:
    return x * x


def process_of(x: int) -> int:
    return os.getpid()


def refuse(x: int) -> int:
    if x == 2:
        raise KeyError(f"item {x}")
    return x


def vanish(x: int) -> int:
    os._exit(7)


def touch(folder: str, x: int) -> None:
    if x == 0:
        raise ValueError("at once")
    time.sleep(0.05)  # all of them would take 7 s: long enough for the fault to be heard on a busy machine
    open(f"{folder}/{x}", "w").close()


@pytest.mark.parametrize("where", ["here", "processes"])
def test_results_are_in_the_order_of_the_items(where):
    assert fan_out(square, range(7), where=where) == [0, 1, 4, 9, 16, 25, 36]
    assert fan_out(square, (x for x in [3]), where=where) == [9]
    assert fan_out(square, [], where=where) == []


def test_processes_are_others_and_here_is_here():
    assert os.getpid() not in fan_out(process_of, range(2), where="processes")
    assert set(fan_out(process_of, range(2), where="here")) == {os.getpid()}
    assert set(fan_out(process_of, range(2), where="processes", workers=1)) == {os.getpid()}


@pytest.mark.parametrize("where", ["here", "processes"])
def test_the_exception_of_an_item_is_raised_here(where):
    with pytest.raises(KeyError, match="item 2"):
        fan_out(refuse, range(5), where=where)


def test_the_first_fault_ends_the_rest(tmp_path):
    with pytest.raises(ValueError, match="at once"):
        fan_out(partial(touch, str(tmp_path)), range(300), where="processes")
    assert len(list(tmp_path.iterdir())) < 299


def test_a_process_that_dies_is_an_exception_and_no_hang():
    with pytest.raises(Exception, match="terminated abruptly"):
        fan_out(vanish, range(3), where="processes")
