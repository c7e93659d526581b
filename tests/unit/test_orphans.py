"""Processes whose parent is gone are reaped by who inherits them, and no others."""

from __future__ import annotations

import subprocess
import sys

# As process 1 does, an heir gets what its descendants leave.
HEIR = """
import ctypes, os, signal, sys
from wsgate.supervisor.orphans import reap

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

def dead(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

def end_of(session):
    '''A process that is dead and not reaped yet, whose parent is gone if it has its own session.'''
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        if not session:
            os._exit(7)
        child = os.fork()
        if child == 0:
            os.setsid()
            os._exit(7)
        os.write(writing, str(child).encode())
        os._exit(0)
    if not session:
        dead(parent)
        return parent
    os.waitpid(parent, 0)
    orphan = int(os.read(reading, 100))
    dead(orphan)
    return orphan

ours, orphan = end_of(session=False), end_of(session=True)
reap()
assert os.waitpid(ours, 0)[1] == 7 << 8, "what is ours was left to us"
try:
    os.waitpid(orphan, 0)
except ChildProcessError:
    print("reaped")
"""


def test_an_orphan_is_reaped_and_a_child_of_ours_is_left_alone() -> None:
    done = subprocess.run([sys.executable, "-c", HEIR], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("reaped\n", "")
