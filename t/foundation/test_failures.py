"""Tests with faults, run in a separate pytest: each fault makes its test fail."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from support.program import ROOT

SUITE = """
import asyncio, logging, socket, time, warnings
import pytest

def test_warning_logged():
    logging.getLogger("anything").warning("boo")

@pytest.mark.gen_test
async def test_exception_in_a_callback():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)

@pytest.mark.gen_test
async def test_exception_never_retrieved():
    async def fail():
        raise ValueError("boo")
    task = asyncio.ensure_future(fail())
    await asyncio.sleep(0.01)

@pytest.mark.gen_test
async def test_task_left_behind():
    # Waits for a future that only this task holds, so only the garbage collector finds the task.
    async def wait():
        await asyncio.get_running_loop().create_future()
    asyncio.ensure_future(wait())
    await asyncio.sleep(0.01)

def test_socket_left_open():
    socket.socket()

async def nothing():
    pass

def test_coroutine_never_awaited():
    nothing()

def test_deprecated():
    warnings.warn("boo", DeprecationWarning)

@pytest.mark.gen_test(timeout=0.1)
async def test_hangs_on_a_moved_clock(clock):
    await clock.advance(100)
    await asyncio.sleep(1000)

def test_failure_announced(expect_log):
    with expect_log("tatsumaki", "boo"):
        pass

@pytest.mark.xfail
def test_passes_though_expected_to_fail():
    pass

@pytest.mark.gen_tset
def test_misspelt_marker():
    pass
"""


def run_suite(tmp_path, source):
    """Runs `source` as a test file under the project's configuration.

    Returns the finished process and {test: how it failed or ""}.
    """
    (tmp_path / "test_suite.py").write_text(source)
    plugins = ("-psupport.log", "-psupport.clock")
    files = ("-c", ROOT / "setup.cfg", "--rootdir", tmp_path, "--junitxml", tmp_path / "result.xml")
    command = [sys.executable, "-m", "pytest", *plugins, *files, "-o", f"pythonpath={ROOT / 't'}"]
    run = subprocess.run([*command, tmp_path], cwd=tmp_path, capture_output=True, text=True)
    result = {}
    for case in ElementTree.parse(tmp_path / "result.xml").iter("testcase"):
        result.setdefault(case.get("name"), "")
        for trouble in case:
            result[case.get("name")] += f"{trouble.get('message')}\n{trouble.text}"
    return run, result


def test_misspelt_marker_ends_the_run(tmp_path):
    """An unknown marker is an error."""
    run, _ = run_suite(tmp_path, SUITE)
    assert "'gen_tset' not found in `markers`" in run.stdout
    assert run.returncode == 2


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    source = SUITE[: SUITE.index("@pytest.mark.gen_tset")]
    return run_suite(tmp_path_factory.mktemp("suite"), source)[1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test_warning_logged", "WARNING anything: boo"),
        ("test_exception_in_a_callback", "division by zero"),
        ("test_exception_never_retrieved", "exception was never retrieved"),
        ("test_task_left_behind", "Task was destroyed but it is pending"),
        ("test_socket_left_open", "unclosed <socket.socket"),
        ("test_coroutine_never_awaited", "coroutine 'nothing' was never awaited"),
        ("test_deprecated", "DeprecationWarning: boo"),
        ("test_hangs_on_a_moved_clock", "the test did not end within 0.1 s of real time"),
        ("test_failure_announced", "no log line of 'tatsumaki' had 'boo' in it"),
        ("test_passes_though_expected_to_fail", "[XPASS(strict)]"),
    ],
)
def test_fails(failures, name, reason):
    """Each of these faults makes its test fail, with the reason in the report."""
    assert reason in failures.pop(name)
