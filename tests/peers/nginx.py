"""A private nginx: its own folder, its own ports, gone at the end. Needs no service.

It is handed sockets that listen already, as it hands them to itself when it is upgraded: so its ports
are asked for, and nobody else can be on them.
"""
import os
import select
import shutil
import socket
import subprocess
import tempfile

from common import connect

CONFIG = """
daemon off;
worker_processes 1;
{user}
pid "{root}/pid";
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type application/octet-stream;
    types {{ text/html html; }}
    client_max_body_size 64m;
    client_body_temp_path "{root}/body";
    proxy_temp_path "{root}/temporary";
    fastcgi_temp_path "{root}/temporary";
    uwsgi_temp_path "{root}/temporary";
    scgi_temp_path "{root}/temporary";
    keepalive_timeout 60;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls} ssl;
        listen "unix:{root}/socket";
        server_name localhost;
        ssl_certificate "{root}/good.pem";
        ssl_certificate_key "{root}/good.key";
        ssl_protocols TLSv1.2 TLSv1.3;
        root "{root}/htdocs";
        add_header X-Connection $connection always;
        location /close/ {{ alias "{root}/htdocs/"; keepalive_timeout 0; }}
        location /gzip/ {{ alias "{root}/htdocs/"; gzip on; gzip_types *; gzip_min_length 0; }}
        location /gzip-close/ {{
            alias "{root}/htdocs/"; keepalive_timeout 0; chunked_transfer_encoding off;
            gzip on; gzip_types *; gzip_min_length 0;
        }}
        location /put/ {{
            alias "{root}/put/"; dav_methods PUT DELETE; create_full_put_path on;
        }}
        location /moved/ {{ return 301 /index.html; }}
        location /far/ {{ return 302 http://localhost:{port}/index.html; }}
        location /downgraded/ {{ return 302 http://127.0.0.1:{port}/index.html; }}
        location /secured/ {{ return 307 https://127.0.0.1:{tls}/index.html; }}
        location /none/ {{ return 204; }}
        location /private/ {{
            alias "{root}/htdocs/"; auth_basic x; auth_basic_user_file "{root}/users";
        }}
    }}
}}
"""


def available():
    """MINIHTTP_NGINX: where tests/run has unpacked it."""
    return os.environ.get("MINIHTTP_NGINX") or shutil.which(
        "nginx", path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))


class Nginx:
    """with Nginx(files, certificates) as nginx: nginx.url("/x"). files: {name: bytes}."""

    def __init__(self, files, certificates):
        self.root = tempfile.mkdtemp(prefix="nginx-")
        for name in "body", "temporary", "htdocs", "put":
            os.mkdir(os.path.join(self.root, name))
        for name, data in files.items():
            self.write("htdocs/" + name, data)
        self.write("users", b"somebody:{PLAIN}secret word\n")
        for name in "good.pem", "good.key":
            shutil.copy(os.path.join(certificates, name), self.root)
        self.listeners = []
        self.err = tempfile.TemporaryFile()
        self.process = None

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
        for listener in self.listeners:
            listener.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)

    def start(self):
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.listeners.append(socket.socket(socket.AF_UNIX))
        self.listeners[2].bind(self.path("socket"))
        self.listeners[2].listen()
        self.port, self.tls = (listener.getsockname()[1] for listener in self.listeners[:2])
        self.write("nginx.conf", CONFIG.format(
            root=self.root, port=self.port, tls=self.tls,
            user="user root;" if os.geteuid() == 0 else "").encode())
        descriptors = [listener.fileno() for listener in self.listeners]
        # Whatever happens to the test, it does not outlive it; its worker goes with it.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", available(), "-p", self.root, "-c",
             self.path("nginx.conf"), "-e", "stderr"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.err,
            pass_fds=descriptors,
            env={"NGINX": "".join(f"{number};" for number in descriptors),
                 "PATH": os.environ.get("PATH", "")})
        self.wait()

    def wait(self):
        """Connections are taken from the beginning on; the first answer says that there is one."""
        with connect(self.port) as connection:
            connection.sendall(b"GET /none/ HTTP/1.0\r\n\r\n")
            while not select.select([connection], [], [], 0.1)[0]:
                assert self.process.poll() is None, "nginx does not start: " + self.log()
            assert connection.recv(12) == b"HTTP/1.1 204", self.log()

    def log(self):
        self.err.seek(0)
        return self.err.read().decode()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def tls_url(self, path):
        return f"https://127.0.0.1:{self.tls}{path}"
