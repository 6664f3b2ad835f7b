"""Daemons that start at once: forked by a process that has imported them already.

Most of the time that a daemon takes to start goes into importing what it consists of, and the tests start hundreds of
them. A forked one is a child of this process as any other, to be killed and waited for, with the command line, files,
directory and environment it is given; it runs the module that it names from its first line on. What it has not is an
import of its own. So programs that a test gives an environment, or puts behind another program, start the long way, as
do all that the daemons start themselves.
"""

import ctypes
import fcntl
import functools
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
MODULES: Final = ("orderd", "engine")
"""What may be started so."""
PR_SET_CHILD_SUBREAPER: Final = 36
"""Of prctl(2): who loses its parent becomes a child of this process."""
REQUEST_BYTES_MAX: Final = 1 << 17
FILES_MAX: Final = 16
FREE_FROM: Final = 200
"""Descriptors from here on are nobody's."""


class Forked:
    """A child process of this one, with what tests use of :class:`subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; :class:`subprocess.TimeoutExpired` after so many seconds."""
        if self.poll() is None:
            handle = os.pidfd_open(self.pid)
            try:
                select.select([handle], [], [], timeout)
            finally:
                os.close(handle)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """If it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class WarmStart:
    """The process that forks. It ends with this one."""

    def __init__(self) -> None:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._lock = threading.Lock()
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            # The linear algebra that numpy brings along would have threads, which do not survive a fork.
            environ = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm_start", str(other.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                cwd=ROOT,
                env=environ,
            )

    def start(
        self, words: Sequence[str], output: int, pass_fds: Sequence[int], cwd: Path, environ: Mapping[str, str]
    ) -> Forked | None:
        """``python -m words``; ``output`` is where it writes. None if that cannot be done this way."""
        request = {"words": list(words), "pass_fds": list(pass_fds), "cwd": str(cwd), "environ": dict(environ)}
        data = json.dumps(request).encode()
        if words[0] not in MODULES or len(data) > REQUEST_BYTES_MAX:
            return None
        with self._lock:
            try:
                socket.send_fds(self._socket, [data], [output, *pass_fds])
                answer = self._socket.recv(64)
            except OSError:
                answer = b""
        return Forked(int(answer)) if answer else None


@functools.cache
def warm_start() -> WarmStart | None:
    """The one of this process; None where starts are to take their time, which is everywhere but in pytest."""
    return WarmStart() if "PYTEST_CURRENT_TEST" in os.environ else None


# --- the process that forks -------------------------------------------------------------------------------------------


def serve(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for each request. Returns in the child, with the request and its files; None at the end."""
    while True:
        data, files, _, _ = socket.recv_fds(sock, REQUEST_BYTES_MAX, FILES_MAX)
        if not data:
            return None
        told, tell = os.pipe()
        middle = os.fork()
        if middle == 0:
            # Its child loses its parent at once, and so becomes one of who asked.
            child = os.fork()
            if child:
                os.write(tell, str(child).encode())
                os._exit(0)
            return json.loads(data), files
        os.waitpid(middle, 0)
        sock.send(os.read(told, 64))
        for file in (told, tell, *files):
            os.close(file)


def become(request: dict[str, Any], files: list[int]) -> None:
    """Have the files, directory and environment that are asked for, and nothing else."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    null = os.open(os.devnull, os.O_RDONLY)
    output, *passed = (fcntl.fcntl(file, fcntl.F_DUPFD, FREE_FROM) for file in files)
    places = dict(zip((1, 2, *request["pass_fds"]), (output, output, *passed), strict=True))
    os.dup2(null, 0)
    for place, file in places.items():
        os.dup2(file, place, inheritable=True)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in places:
            try:
                os.close(int(name))
            except OSError:
                continue  # The one that listed them.


if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(f"{module}.cli")
        importlib.import_module(f"{module}.daemon")
    listening = socket.socket(fileno=int(sys.argv[1]))
    asked = serve(listening)
    if asked is not None:
        listening.detach()
        become(*asked)
        sys.argv = asked[0]["words"]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
