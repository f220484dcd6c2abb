"""Runs a function in a forked process."""

import os
import warnings


def in_fork(function):
    """Calls `function` in a forked process, and returns a text.

    The text is the `repr` of the result, or the name and message of the exception.
    """
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn about a fork in a process with several threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            said = repr(function())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(theirs, said.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said
