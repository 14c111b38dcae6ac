"""A private tinyproxy: gone at the end. Needs tinyproxy-bin, no service."""
import os
import shutil
import subprocess
import tempfile

from common import connect, free_port

CONFIG = """
Port {port}
Listen 127.0.0.1
Timeout 60
LogFile "{root}/log"
LogLevel Connect
MaxClients 50
Allow 127.0.0.1
{login}
"""


def available():
    return shutil.which("tinyproxy", path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))


class Tinyproxy:
    """with Tinyproxy() as proxy: proxy.url. login: "user password"."""

    def __init__(self, login=""):
        self.login = login
        self.root = tempfile.mkdtemp(prefix="tinyproxy-")
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def start(self):
        """On a port that was free a moment ago, so try again."""
        for _ in range(5):
            self.port = free_port()
            if self.try_start():
                return
        raise AssertionError("tinyproxy does not start: " + self.log())

    def try_start(self):
        with open(self.root + "/conf", "w") as file:
            file.write(CONFIG.format(port=self.port, root=self.root,
                                     login=f"BasicAuth {self.login}" if self.login else ""))
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", available(), "-d", "-c", self.root + "/conf"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while self.process.poll() is None:
            try:
                connect(self.port).close()
                return True
            except ConnectionRefusedError:
                try:
                    self.process.wait(0.05)
                except subprocess.TimeoutExpired:
                    pass
        return False

    def log(self):
        with open(self.root + "/log") as file:
            return file.read()

    def url(self, login=""):
        return f"http://{login + '@' if login else ''}127.0.0.1:{self.port}"
