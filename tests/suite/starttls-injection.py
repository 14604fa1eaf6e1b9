#!/usr/bin/python3
"""starttls-injection: text put behind STARTTLS by who sits between, both ways (https://nostarttls.secvuln.info/).

To us: the cases of others, each in one segment, in two, and after our 220: what came before the handshake is never answered in
TLS.  From us: a backend whose 220 has replies behind it, in one segment, in two, and after our first octet of TLS: not
one of them is taken for a reply, and no mail goes to such a backend.
"""
import os
import socket
import ssl
import subprocess
import threading

import capture
import explain

SOON = 5


def make_certificate(folder):
    names = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=gateway.example.net", "-out", names[0], "-keyout", names[1]], check=True, capture_output=True)
    return names


# ---- to us

def line_of(connection):
    """One reply; empty: the connection has ended."""
    text = b""
    while not text.endswith(b"\n") or text.splitlines()[-1][3:4] == b"-":
        try:
            piece = connection.recv(4096)
        except ConnectionError:
            return b""
        if not piece:
            return b""
        text += piece
    return text.splitlines()[-1]


def in_tls(connection):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


def sanity(port, case):
    with socket.create_connection(("127.0.0.1", port), SOON) as c:
        replies = [line_of(c)]
        for line in case["before_tls"]:
            c.sendall(line.encode())
            replies.append(line_of(c))
        with in_tls(c) as t:
            for line in case["after_tls"]:
                t.sendall(line.encode())
                replies.append(line_of(t))
    return None if all(r.startswith(b"2") for r in replies) else "not all of it was taken: %r" % replies


def injected(port, case, way):
    """None, or what is wrong."""
    first, _, rest = case["before_tls"][0].partition("\n")
    first += "\n"
    with socket.create_connection(("127.0.0.1", port), SOON) as c:
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line_of(c)
        c.sendall((first + (rest if way == "whole" else "")).encode())
        if way == "two segments":
            c.sendall(rest.encode())
        reply = line_of(c)
        if not reply.startswith(b"220"):
            return None if reply == b"" or (reply.startswith(b"5") and line_of(c) == b"") else "%r, and it goes on" % reply
        if way == "behind the 220":
            c.sendall(rest.encode())
        try:
            with in_tls(c) as t:
                t.settimeout(0.5)
                return "in TLS it said %r" % t.recv(4096)
        except socket.timeout:
            return "it shook hands after text in the clear"
        except (ssl.SSLError, ConnectionError, OSError):
            return None


# ---- from us

class Backend:
    """Says what it is to say behind its 220; in TLS it takes everything, and answers EHLO with a name that nobody else says."""

    def __init__(self, certificate, behind, way):
        self.behind, self.way, self.commands = behind, way, []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, c):
        try:
            with c:
                c.settimeout(SOON)
                c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                c.sendall(b"220 backend\r\n")
                self.talk(c, b"250-backend\r\n250 STARTTLS\r\n", b"STARTTLS")
                self.go_ahead(c)
                with self.context.wrap_socket(c, server_side=True) as t:
                    self.talk(t, b"250-in-tls\r\n250 SIZE 7654321\r\n", b"QUIT")
        except OSError:
            pass

    def go_ahead(self, c):
        if self.way == "whole":
            c.sendall(b"220 go\r\n" + self.behind)
            return
        c.sendall(b"220 go\r\n")
        if self.way == "two segments":
            c.sendall(self.behind)
        elif self.behind:
            c.recv(1, socket.MSG_PEEK)
            c.sendall(self.behind)

    def talk(self, c, offer, last):
        data, text = False, b""
        while True:
            piece = c.recv(4096)
            if not piece:
                raise ConnectionError
            text += piece
            while b"\n" in text:
                line, text = text.split(b"\n", 1)
                line = line.strip()
                if data and line != b".":
                    continue
                self.commands.append(line)
                data = line == b"DATA"
                if line == last:
                    return
                c.sendall(offer if line.startswith(b"EHLO") else b"354 go\r\n" if data else b"250 2.0.0 ok\r\n")

    def close(self):
        self.listener.close()


BEHIND = {"an EHLO reply": b"250-evil\r\n250 AUTH PLAIN\r\n", "a reply": b"250 2.0.0 ok\r\n", "half a reply": b"250-ev",
          "a refusal": b"550 5.7.1 no\r\n", "a second 220": b"220 go\r\n", "a line end": b"\r\n"}


def send_mail(port):
    """The reply that decided."""
    with socket.create_connection(("127.0.0.1", port), 4 * SOON) as c:
        line_of(c)
        for line in (b"EHLO client.example.org", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.com>", b"DATA", b"Subject: x\r\n\r\nx\r\n."):
            c.sendall(line + b"\r\n")
            reply = line_of(c)
            if reply[:1] not in b"23":
                break
        return reply


def to_backend(folder, certificate, behind, way, mode):
    backend = Backend(certificate, behind, way)
    try:
        with capture.servers.Sallyport(folder, backend.port, listen="relay to example.com", more="workers 1\nrules { accept }",
                                       backend_more="tls %s" % mode) as gateway:
            reply = send_mail(gateway.port)
    finally:
        backend.close()
    mails = [line for line in backend.commands if line.startswith(b"MAIL")]
    if not behind:
        return None if reply.startswith(b"250") and mails else "no mail went through: %r, %r" % (reply, backend.commands)
    if not reply.startswith(b"451 4.") or mails:
        return "%r, and it was sent %r" % (reply, backend.commands)
    return None


def main():
    cases = explain.load_lines("starttls-injection/cases.jsonl")
    failures, total = [], 0
    with capture.work_folder() as folder:
        certificate = make_certificate(folder)
        own = "relay to example.com\ntls certificate \"%s\"\ntls key \"%s\"" % certificate
        with capture.servers.Sallyport(folder, capture.servers.free_port(), listen=own) as gateway:
            for case in cases:
                ways = ("whole", "two segments", "behind the 220") if case.get("one_write") else (None,)
                for way in ways:
                    total += 1
                    wrong = injected(gateway.port, case, way) if way else sanity(gateway.port, case)
                    if wrong:
                        failures.append("%s, %s: %s" % (case["id"], way, wrong))
        for mode in ("may", "require"):
            for what, behind in [("nothing", b"")] + list(BEHIND.items()):
                for way in ("whole", "two segments", "behind the ClientHello") if behind else ("whole",):
                    total += 1
                    wrong = to_backend(folder, certificate, behind, way, mode)
                    if wrong:
                        failures.append("a backend with %s behind its 220, %s, tls %s: %s" % (what, way, mode, wrong))
    explain.tally("starttls-injection", total - len(failures), total, failures)


if __name__ == "__main__":
    main()
