"""certs.py DIR - a small world of certificates, made with the openssl command.

Each NAME.pem has a certificate and what stands between it and a root, as a server sends it, and
NAME.key has its key. As a module: certs.make(folder).

  root          the root, which a client is told to trust; no chain
  good          for localhost, 127.0.0.1 and ::1; issued by an intermediate, as most below are
  client        a client's; for no host
  wildcard      for *.example.test, and for w*.partial.test, which is for nobody

  expired       its time is over
  early         its time has not come
  host          for example.com
  hosts         for a number of hosts, some of them addresses
  nameless      its subject is localhost, as names were given long ago
  self-signed   by itself
  unknown       by a root that nobody knows
  not-a-ca      by something that may not issue certificates
  purpose       for localhost, but only as a client's

  locked.key    the client's key behind a password; mixed.pem: the client's certificate and its key
"""
import os
import shutil
import subprocess
import sys

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
VALID = ("20200101000000Z", "20491231000000Z")

LOCALHOST = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
SERVER = "extendedKeyUsage=serverAuth"
CLIENT = "extendedKeyUsage=clientAuth"
AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]

# What openssl ca wants to know and has no option for.
CONFIG = """[ca]
default_ca = this
[this]
database = scratch/index.txt
new_certs_dir = scratch
default_md = sha256
rand_serial = yes
unique_subject = no
policy = policy
[policy]
commonName = supplied
[req]
distinguished_name = subject
[subject]
"""

# name: (issuer, subject, extensions, validity)
LEAVES = {
    "good": ("intermediate", "localhost", [LOCALHOST, SERVER], VALID),
    "client": ("intermediate", "a client", [CLIENT], VALID),
    "wildcard": ("intermediate", "wild",
                 ["subjectAltName=DNS:*.example.test,DNS:w*.partial.test", SERVER], VALID),
    "expired": ("intermediate", "localhost", [LOCALHOST, SERVER],
                ("20010101000000Z", "20020101000000Z")),
    "early": ("intermediate", "localhost", [LOCALHOST, SERVER],
              ("20480101000000Z", "20491231000000Z")),
    "host": ("intermediate", "example.com", ["subjectAltName=DNS:example.com", SERVER], VALID),
    "hosts": ("intermediate", "many",
              ["subjectAltName=URI:http://x/,IP:10.1.2.3,IP:fe80::1:2,DNS:one.example,DNS:two.example",
               SERVER], VALID),
    "nameless": ("intermediate", "localhost", [SERVER], VALID),
    "unknown": ("stranger", "localhost", [LOCALHOST, SERVER], VALID),
    "upstart": ("intermediate", "upstart", ["subjectAltName=DNS:upstart.example"], VALID),
    "not-a-ca": ("upstart", "localhost", [LOCALHOST, SERVER], VALID),
    "purpose": ("intermediate", "localhost", [LOCALHOST, CLIENT], VALID),
}


class World:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(self.path("scratch"), exist_ok=True)
        self.write("scratch/ca.cnf", CONFIG)
        self.write("scratch/index.txt", "")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name)) as file:
            return file.read()

    def openssl(self, *command):
        done = subprocess.run(["openssl", *command], cwd=self.folder, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"openssl {' '.join(command)}:\n{done.stdout}{done.stderr}"

    def self_signed(self, name, subject, extensions):
        """For a hundred years from now on."""
        self.openssl("req", "-config", "scratch/ca.cnf", "-x509", *KEY, "-keyout", name + ".key",
                     "-out", name + ".pem", "-subj", "/CN=" + subject, "-days", "36500",
                     *[word for text in extensions for word in ("-addext", text)])

    def issued(self, name, issuer, subject, extensions, validity):
        self.write("scratch/extensions.cnf", "\n".join(extensions) + "\n")
        self.openssl("req", "-config", "scratch/ca.cnf", "-new", *KEY, "-keyout", name + ".key",
                     "-out", "scratch/request.pem", "-subj", "/CN=" + subject)
        self.openssl("ca", "-config", "scratch/ca.cnf", "-batch", "-notext", "-in", "scratch/request.pem",
                     "-out", "scratch/issued.pem", "-cert", issuer + ".pem", "-keyfile", issuer + ".key",
                     "-startdate", validity[0], "-enddate", validity[1],
                     "-extfile", "scratch/extensions.cnf")
        chain = "" if issuer in ("root", "stranger") else self.read(issuer + ".pem")
        self.write(name + ".pem", self.read("scratch/issued.pem") + chain)


def make(folder):
    """Everything of the list above; some hundred milliseconds."""
    world = World(folder)
    world.self_signed("root", "a root", AUTHORITY)
    world.self_signed("stranger", "another root", AUTHORITY)
    world.self_signed("self-signed", "localhost", [LOCALHOST, SERVER])
    world.issued("intermediate", "root", "an intermediate", AUTHORITY, VALID)
    for name, leaf in LEAVES.items():
        world.issued(name, *leaf)
    world.openssl("pkey", "-in", "client.key", "-out", "locked.key", "-aes128", "-passout",
                  "pass:secret")
    world.write("mixed.pem", world.read("client.pem") + world.read("client.key"))
    shutil.rmtree(world.path("scratch"))
    return folder


if __name__ == "__main__":
    made = make(sys.argv[1])
    print(*sorted(os.listdir(made)), sep="\n")
