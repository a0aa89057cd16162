"""Work on several processes: in order, bounded, and it ends whatever happens in them."""

import os
import signal

import pytest

from bcnet import parallel
from bcnet.files import InputError
from bcnet.parallel import in_processes


def square(number):
    return number**2


def fail_at_100(number):
    if number == 100:
        raise InputError("number 100")
    return number


def die_at_100(number):
    if number == 100:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("jobs", [1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 31, 32, 1000])
def test_results_come_in_order(jobs, items):
    assert list(in_processes(square, range(items), jobs)) == [number**2 for number in range(items)]


def test_items_are_taken_only_as_results_are():
    taken = []
    results = in_processes(square, (taken.append(number) or number for number in range(10_000)), 2, together=8)
    assert [next(results) for _ in range(100)] == [number**2 for number in range(100)]
    results.close()
    assert len(taken) <= 100 + (2 * parallel.AHEAD + 1) * 8


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_error_in_order_ends_it(jobs):
    results = in_processes(fail_at_100, range(10_000), jobs)
    with pytest.raises(InputError, match="number 100"):
        list(results)


def test_a_killed_process_is_an_error():
    with pytest.raises(InputError, match="one of 2 processes was killed"):
        list(in_processes(die_at_100, range(10_000), 2))
