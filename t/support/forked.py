"""A function in a forked process."""

import os
import warnings


def in_fork(function):
    """What `function` returns or raises in a forked process, as text: the `repr` of its result, or
    the name of the exception and its message.
    """
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks where there are threads.
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
