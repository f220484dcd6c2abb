"""How many processes a server has, and where only one is possible."""

import asyncio
import os
import threading

import pytest

from tatsumaki_py import Application, Server
from tatsumaki_py.server.forking import PROCESSES, ProcessesError, process_count


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """That of a program that sets no number."""
    monkeypatch.delenv(PROCESSES, raising=False)
    return monkeypatch


def test_the_number(environment):
    """The argument, else the environment, else one. 0 is one for each core."""
    cores = len(os.sched_getaffinity(0))
    assert [process_count(None), process_count(3), process_count(0)] == [1, 3, cores]
    environment.setenv(PROCESSES, "2")
    assert [process_count(None), process_count(3)] == [2, 3]
    environment.setenv(PROCESSES, "0")
    assert process_count(None) == cores
    environment.setenv(PROCESSES, "")
    assert process_count(None) == 1


@pytest.mark.parametrize("value", [-1, 1001, 1.5, True, "4"])
def test_no_number(value):
    """It is an error when the server is made."""
    with pytest.raises(ValueError, match="processes= takes a number from 0 to 1000, not "):
        Server(processes=value)


@pytest.mark.parametrize("value", ["-1", "1001", "four", "9" * 5000])
def test_no_number_in_the_environment(environment, value):
    """It is an error when it runs."""
    environment.setenv(PROCESSES, value)
    with pytest.raises(SystemExit) as caught:
        Server(port=0).run(Application())
    assert caught.value.code == f"{PROCESSES} is a number from 0 to 1000, not {value!r}"


def test_in_a_running_loop(environment):
    """`serve` has one process."""
    environment.setenv(PROCESSES, "2")
    with pytest.raises(RuntimeError, match=r"server\.serve uses one process"):
        asyncio.run(Server(port=0).serve(Application()))


def test_in_a_thread():
    """A thread that is not the main one is refused, before the address is bound."""
    errors = []

    def run():
        try:
            Server(port=0, processes=2).run(Application())
        except ProcessesError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == [
        "2 processes can be started in the main thread only: use processes=1 in other threads"
    ]
