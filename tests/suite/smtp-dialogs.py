"""chasquid's dialogues and fuzz sessions, played to a gateway: the classes of its replies are the expected ones.

Where ours differ, DIFFERENT says why.  The fuzz sessions come twice: as they are, with bare LF, of which nothing may be taken, and
with CRLF, where FUZZ has the classes of the replies.
"""
import ast
import base64
import contextlib
import os
import re
import socket
import ssl
import subprocess
import threading

import capture
import servers
from explain import load, tally

# (dialogue, number of the reply that was waited for): the class that we give, and why it is right.
DIFFERENT = {
    ("auth_too_many_failures", 5): ("5", "what is no base64 was no attempt to log in: it counts as a wrong command, of which there may be more"),
    ("bad_data", 10): ("2", "where the header ends without an empty line one is put in, so that all readers see the same fields"),
}
# What chasquid takes and no grammar has: said with its brackets instead, so that the rest of the dialogue means something.
REWRITTEN = {"RCPT TO: user@testserver": "RCPT TO:<user@testserver>"}

FUZZ = {  # the banner first
    "3d7e992212e817da.txt": "222555555",
    "68d8c7b5f149996f.txt": "252522322",
    "79e51b30c215fb19.txt": "2222322",
    "83ab02fccf91c1b9.txt": "2255555",
    "a24124ade554d7a2.txt": "2552",
    "b896b41db27f6e36.txt": "222",
    "bf15e6fb93779525.txt": "2222322",
    "d1b1ccbbb380c532.txt": "2255555",
    "dc70e53325976a3a.txt": "225",
    "e7682fde78ce0d78.txt": "225",
    "fd41d0c11b1bb7f8.txt": "2253535325",
}


class Backend(capture.Backend):
    """Knows one user."""

    GOOD = base64.b64encode(b"user@testserver\0user@testserver\0secretpassword")

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 backend\r\n")
            for line in iter(lines.readline, b""):
                verb, _, rest = line.strip().partition(b" ")
                verb = verb.upper()
                if verb == b"EHLO":
                    connection.sendall(b"250-backend\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n")
                elif verb == b"AUTH":
                    self._auth(connection, lines, rest)
                elif verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    self.messages.append(self._content(lines))
                    connection.sendall(b"250 ok\r\n")
                else:
                    connection.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                    if verb == b"QUIT":
                        return

    def _auth(self, connection, lines, rest):
        words = rest.split()
        if words[0].upper() != b"PLAIN":
            connection.sendall(b"504 5.5.4 no such mechanism\r\n")
            return
        if len(words) == 1:
            connection.sendall(b"334 \r\n")
            words.append(lines.readline().strip())
        try:
            text = base64.b64decode(words[1], validate=True)
        except ValueError:
            connection.sendall(b"501 5.5.2 no base64\r\n")
            return
        good = text == base64.b64decode(self.GOOD)
        connection.sendall(b"235 2.7.0 welcome\r\n" if good else b"535 5.7.8 no\r\n")


capture.Backend = Backend


class Peer:
    """The client's end: what it sends is bytes, what it gets is replies."""

    def __init__(self, port, tls):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.lines = self.socket.makefile("rb")

    def close(self):
        self.lines.close()
        self.socket.close()

    def send(self, data):
        with contextlib.suppress(OSError):  # it may have hung up: the reply tells
            self.socket.sendall(data)

    def reply(self):
        """The last line of the next reply; "": the end."""
        while True:
            try:
                line = self.lines.readline().decode(errors="replace")
            except OSError:
                line = ""
            if not re.match(r"\d\d\d-", line):
                return line.rstrip("\r\n")


def value(text):
    """A Python expression of strings, numbers, * and +."""
    def of(node):
        if isinstance(node, ast.Expression):
            return of(node.body)
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, int)):
            return node.value
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return of(node.left) * of(node.right)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return of(node.left) + of(node.right)
        raise ValueError("not taken: " + text)
    return of(ast.parse(text, mode="eval"))


def play(path, ports):
    """Yields (number of the expectation, its text, the reply) for each."""
    peer, count = None, 0
    with open(path, encoding="utf-8") as f:
        steps = [line.rstrip("\n") for line in f if line.startswith("c ")]
    try:
        for step in steps:
            _, what, rest = (step.split(" ", 2) + [""])[:3]
            if what in ("tcp_connect", "tls_connect"):
                if peer is not None:
                    peer.close()
                peer = Peer(ports[rest.rsplit(":", 1)[1]], what == "tls_connect")
            elif what == "close":
                peer.close()
            elif what == "->":
                peer.send((REWRITTEN.get(rest, rest) + "\r\n").encode())
            elif what == "~>":
                peer.send(value(rest).encode())
            else:
                count += 1
                yield count, rest, peer.reply()
    finally:
        if peer is not None:
            peer.close()


def check_dialogue(name, path, ports, used):
    for count, want, got in play(path, ports):
        wanted = re.search(r"[2-5]", want).group()
        if (name, count) in DIFFERENT:
            used.add((name, count))
            wanted = DIFFERENT[name, count][0]
        if got[:1] != wanted:
            yield "%s: reply %d: %r was expected, this came: %r" % (name, count, want, got)


def check_stored(name, verify, before, backend):
    """The message came through as the dialogue's own test wants it, below what was put on top."""
    with open(verify, encoding="utf-8") as f:
        lines = [line.rstrip("\n") for line in f]
    stored = [m.decode(errors="replace").split("\r\n") for m in backend.messages[before:]]
    if len(stored) != 1:
        return ["%s: %d messages were stored" % (name, len(stored))]
    missing = [line for line in lines if line and line not in stored[0]]
    return ["%s: %r is not in the message" % (name, line) for line in missing]


def classes(port, data, tls):
    """The first digits of the replies to a session's lines, each of which waits for its reply; bare LF: sent at once."""
    peer = Peer(port, tls)
    content = False
    try:
        got = peer.reply()[:1]
        if b"\r" not in data:
            peer.send(data)
            peer.socket.shutdown(socket.SHUT_WR)
            return got + "".join(iter(lambda: peer.reply()[:1], ""))
        for line in data.splitlines(True):
            peer.send(line)
            if content and line != b".\r\n":
                continue
            got += peer.reply()[:1] or "-"
            content = line == b"DATA\r\n" and got[-1] == "3"
        return got
    finally:
        peer.close()


def session_of(path):
    """Go's fuzz corpus: int(mode), []byte("...")."""
    with open(path, encoding="utf-8") as f:
        _, mode, data = f.read().split("\n", 2)
    return int(re.search(r"\d+", mode).group()), ast.literal_eval(re.search(r'"(?:[^"\\]|\\.)*"', data).group()).encode()


def certificate(folder):
    names = [os.path.join(folder, n) for n in ("cert.pem", "key.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=testserver", "-out", names[0], "-keyout", names[1]], check=True, capture_output=True)
    return names


def main():
    folder = load("smtp-dialogs-chasquid")
    failures, used, total = [], set(), 0
    settings = "max message 1M max connections per client 1000 relay for 127.0.0.0/8"
    with capture.work_folder() as work, capture.Gateway(work, "rules { accept }", settings) as plain:
        cert, key = certificate(work)
        with capture.Gateway(os.path.join(work, "tls"), "rules { accept }", settings +
                             ' auth offer tls implicit yes tls certificate "%s" tls key "%s"' % (cert, key)) as tls:
            ports = {"1025": plain.server.port, "1465": tls.server.port}
            for name in sorted(n[:-4] for n in os.listdir(folder) if n.endswith(".cmy")):
                total += 1
                before = len(plain.backend.messages)
                failures += check_dialogue(name, os.path.join(folder, name + ".cmy"), ports, used)
                verify = os.path.join(folder, name + ".cmy.verify")
                if os.path.exists(verify):
                    failures += check_stored(name, verify, before, plain.backend)
            corpus = os.path.join(folder, "fuzz-connection")
            for name in sorted(os.listdir(corpus)):
                total += 1
                mode, data = session_of(os.path.join(corpus, name))
                before = len(plain.backend.messages)
                bare = classes(plain.server.port, data, False)
                if not re.fullmatch("25+", bare) or len(plain.backend.messages) != before:
                    failures.append("%s: with bare LF: %s" % (name, bare))
                for said, instead in REWRITTEN.items():
                    data = data.replace(said.encode(), instead.encode())
                got = classes(ports["1465" if mode == 2 else "1025"], data.replace(b"\n", b"\r\n"), mode == 2)
                if got != FUZZ.get(name):
                    failures.append("%s: %s, not %s" % (name, got, FUZZ.get(name)))
    failures += ["%s, reply %d is listed as different, but never came" % d for d in set(DIFFERENT) - used]
    for (name, count), (_, why) in sorted(DIFFERENT.items()):
        print("different: %s, reply %d: %s" % (name, count, why))
    tally("smtp-dialogs", total - len(failures), total, failures)


main()
