"""Reverse proxies in front of a server: nginx and HAProxy, private, gone at the end. Both are handed a
socket that listens already, so nobody else can be on their port."""
import os
import select
import shutil
import socket
import subprocess
import tempfile

from common import connect
import nginx

NGINX = """
daemon off;
worker_processes 1;
{user}
pid "{root}/pid";
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path "{root}/a";
    proxy_temp_path "{root}/b";
    fastcgi_temp_path "{root}/c";
    uwsgi_temp_path "{root}/d";
    scgi_temp_path "{root}/e";
    upstream lab {{ server {to}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://lab;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
        }}
        location /old/ {{ proxy_pass http://lab/; proxy_http_version 1.0; }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 256
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    http-reuse always
frontend f
    bind fd@{listener}
    default_backend b
backend b
    server lab {to}
"""


def haproxy():
    """MINIHTTP_HAPROXY: where tests/run has unpacked it, as it would not stay alone if it were installed."""
    return os.environ.get("MINIHTTP_HAPROXY") or shutil.which(
        "haproxy", path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))


class Front:
    """with Front("nginx", server.port) as front: front.url("/x"). unix: a path, in place of a port."""

    def __init__(self, kind, port=0, unix=None):
        self.kind = kind
        self.root = tempfile.mkdtemp(prefix="front-")
        os.chmod(self.root, 0o755)
        self.to = f"unix:{unix}" if unix and kind == "nginx" else unix or f"127.0.0.1:{port}"
        self.err = tempfile.TemporaryFile()
        self.process = self.listener = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.err.close()
        if self.listener:
            self.listener.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def command(self):
        config = self.root + "/conf"
        text = {"nginx": NGINX, "haproxy": HAPROXY}[self.kind]
        with open(config, "w") as file:
            file.write(text.format(root=self.root, port=self.port, to=self.to,
                                   listener=self.listener.fileno(),
                                   user="user root;" if os.geteuid() == 0 else ""))
        if self.kind == "nginx":
            return [nginx.available(), "-p", self.root, "-c", config, "-e", "stderr"]
        return [haproxy(), "-db", "-f", config]

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        inherited = {"NGINX": f"{self.listener.fileno()};"} if self.kind == "nginx" else {}
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *self.command()], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=self.err, pass_fds=[self.listener.fileno()],
            env={**inherited, "PATH": os.environ.get("PATH", "")})
        self.wait()

    def wait(self):
        """Connections are taken from the beginning on; the first answer says that there is one."""
        with connect(self.port) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while not select.select([connection], [], [], 0.1)[0]:
                assert self.process.poll() is None, f"{self.kind} does not start: {self.log()}"
            assert connection.recv(9).startswith(b"HTTP/1."), self.log()

    def log(self):
        self.err.seek(0)
        return self.err.read().decode()

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"
