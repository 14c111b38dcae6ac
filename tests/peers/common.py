"""Programs under test: run them, measure them, wait for what they say."""
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Skip, case, main, skip_all  # noqa: F401 (for the tests beside this)

# A sanitized program is slower and larger; the tests below allow for it where they measure.
PATIENCE = 30


class Result:
    """What a program did: status (negative: killed by a signal), out, err, seconds, rss (bytes)."""

    def __init__(self, status, out, err, seconds, rss):
        self.status, self.out, self.err = status, out, err
        self.seconds, self.rss = seconds, rss

    def __str__(self):
        return (f"status {self.status} after {self.seconds:.2f} s\n"
                f"--- stdout\n{self.out[:2000]!r}\n--- stderr\n{self.err.decode(errors='replace')}")


def run(*command, stdout=None, env=None, patience=PATIENCE):
    """Runs it to its end. stdout: a file of the caller's, and then out is empty."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout or out, stderr=err,
                                   env={**os.environ, **(env or {})})
        pidfd = os.pidfd_open(process.pid)
        ended = select.select([pidfd], [], [], patience)[0]
        os.close(pidfd)
        if not ended:
            process.kill()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        for file in out, err:
            file.seek(0)
        result = Result(process.returncode, out.read(), err.read(), seconds, usage.ru_maxrss << 10)
    assert ended, f"{' '.join(command)} did not end: {result}"
    return result


class Running:
    """A program that runs until it is told to stop; its stdout is read line by line."""

    def __init__(self, *command):
        self.err = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.err)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.err.close()

    def read_until(self, text, patience=PATIENCE):
        """Everything up to and including text; the rest waits for the next call."""
        end = time.monotonic() + patience
        while text not in self.pending:
            left = end - time.monotonic()
            assert left > 0, f"waited for {text!r}, got {self.pending!r}"
            if select.select([self.process.stdout], [], [], left)[0]:
                more = self.process.stdout.read()
                assert more, f"ended before {text!r}: {self.pending!r}{self.stderr()}"
                self.pending += more
        at = self.pending.index(text) + len(text)
        found, self.pending = self.pending[:at], self.pending[at:]
        return found

    def stop(self, number=signal.SIGINT, patience=PATIENCE):
        """Sends the signal; returns the status, and what was still printed."""
        self.process.send_signal(number)
        self.process.wait(patience)
        rest = self.pending + (self.process.stdout.read() or b"")
        self.pending = b""
        return self.process.returncode, rest

    def stderr(self):
        self.err.seek(0)
        return self.err.read().decode(errors="replace")


def connect(port, host="127.0.0.1"):
    connection = socket.create_connection((host, port), PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive_all(connection):
    data = b""
    while more := connection.recv(65536):
        data += more
    return data


def free_port():
    """Free a moment ago, for programs that cannot ask for port 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
