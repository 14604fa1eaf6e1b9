#!/usr/bin/env python3
"""auth.py - clients that others wrote log in through Sallyport, under TLS where they have it, at a server that really looks at what they say.

The server is ours, with PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-256 and XOAUTH2; the clients are swaks, curl and smtplib.  Each mechanism is tried with
the right secret and with a wrong one.  Who got in must be in Sallyport's log, and no secret may be.
"""
import base64
import hashlib
import hmac
import os
import re
import shutil
import smtplib
import socketserver
import ssl
import subprocess
import sys
import threading

import servers

USER, SECRET, WRONG, TOKEN = "alice@example.com", "correct horse", "battery staple", "ya29.token"
MECHANISMS = "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2"
SALT, ROUNDS = b"0123456789abcdef", 4096


def encode(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


# ---- the server ------------------------------------------------------------------------------------

class Cancelled(Exception):
    """The client has said *."""


class Backend(socketserver.StreamRequestHandler):
    """One connection; who logs in is noted with the mails that came over it."""

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def line(self):
        return self.rfile.readline(20000).rstrip(b"\r\n").decode()

    def challenge(self, data):
        self.say("334 " + encode(data))
        answer = self.line()
        if answer == "*":
            raise Cancelled
        return base64.b64decode(answer, validate=True)

    def plain(self, initial):
        answer = initial if initial is not None else self.challenge(b"")
        return answer == b"\0%s\0%s" % (USER.encode(), SECRET.encode())

    def login(self, initial):
        user = initial if initial is not None else self.challenge(b"Username:")
        return self.challenge(b"Password:") == SECRET.encode() and user == USER.encode()

    def cram_md5(self, _):
        asked = b"<1896.697170952@backend.example>"
        digest = hmac.new(SECRET.encode(), asked, hashlib.md5).hexdigest()
        return self.challenge(asked) == ("%s %s" % (USER, digest)).encode()

    def scram_sha_256(self, initial):
        first = (initial if initial is not None else self.challenge(b""))[3:]
        nonce = first.split(b",r=")[1] + b"srv"
        server = b"r=%s,s=%s,i=%d" % (nonce, encode(SALT).encode(), ROUNDS)
        final, proof = self.challenge(server).rsplit(b",p=", 1)
        salted = hashlib.pbkdf2_hmac("sha256", SECRET.encode(), SALT, ROUNDS)
        key = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
        whole = b",".join((first, server, final))
        signature = hmac.new(hashlib.sha256(key).digest(), whole, hashlib.sha256).digest()
        if base64.b64decode(proof) != bytes(a ^ b for a, b in zip(key, signature)) or USER.encode() not in first:
            return False
        check = hmac.new(hmac.new(salted, b"Server Key", hashlib.sha256).digest(), whole, hashlib.sha256).digest()
        return self.challenge(b"v=" + encode(check).encode()) == b""

    def xoauth2(self, initial):
        if initial is None:
            initial = self.challenge(b"")
        if initial == b"user=%s\1auth=Bearer %s\1\1" % (USER.encode(), TOKEN.encode()):
            return True
        self.challenge(b'{"status":"401"}')
        return False

    def auth(self, words):
        mechanism = words[1].upper()
        initial = base64.b64decode(words[2].lstrip("=")) if len(words) > 2 else None
        try:
            good = getattr(self, mechanism.lower().replace("-", "_"))(initial)
        except Cancelled:
            self.say("501 5.7.0 cancelled")
            return
        self.say("235 2.7.0 welcome" if good else "535 5.7.8 no")
        self.known = self.known or good

    def handle(self):
        self.known, sender = False, ""
        self.say("220 backend.example ESMTP")
        while True:
            line = self.line()
            verb = line[:4].upper()
            if verb in ("", "QUIT"):
                return
            if verb == "EHLO":
                self.say("250-backend.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH " + MECHANISMS)
            elif verb == "AUTH":
                self.auth(line.split())
            elif verb == "DATA":
                self.say("354 go on")
                while self.rfile.readline() != b".\r\n":
                    pass
                self.server.mails.append((sender, self.known))
                self.say("250 2.0.0 queued as Q")
            else:
                sender = line[11:-1].split(">")[0] if verb == "MAIL" else sender
                self.say("250 2.0.0 ok")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Backend)
        self.mails = []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


# ---- the clients -----------------------------------------------------------------------------------

def output(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.returncode, done.stdout.decode(errors="replace")


def run(*command):
    return output(*command)[0] == 0


def swaks_tls():
    """Perl may lack what TLS takes; then it is tried in the clear."""
    return ["-tls"] if re.search("(?m)^=== TLS ", output("swaks", "--support")[1]) else []


def swaks(port, mechanism, secret, sender):
    return run("swaks", "--server", "127.0.0.1:%d" % port, "--helo", "client.example.org", *swaks_tls(), "--auth", mechanism, "--auth-user", USER,
               "--auth-password", secret, "--from", sender, "--to", "bob@elsewhere.example", "--body", "hello")


def curl(port, mechanism, secret, sender, folder):
    path = folder + "/mail.eml"
    with open(path, "w", newline="\r\n") as f:
        f.write("From: %s\nSubject: x\n\nhello\n" % sender)
    login = ("--user", USER + ":", "--oauth2-bearer", secret) if mechanism == "XOAUTH2" else ("--user", USER + ":" + secret)
    return run("curl", "--silent", "--url", "smtp://127.0.0.1:%d/client.example.org" % port, "--ssl-reqd", "--insecure",
               "--login-options", "AUTH=" + mechanism, *login, "--mail-from", sender, "--mail-rcpt", "bob@elsewhere.example", "--upload-file", path)


def python(port, mechanism, secret, sender):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, "client.example.org") as client:
        client.starttls(context=context)
        client.ehlo()
        client.user, client.password = USER, secret
        method = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
        try:
            client.auth(mechanism, method)
        except smtplib.SMTPAuthenticationError as e:
            return e.smtp_code != 535
        client.sendmail(sender, ["bob@elsewhere.example"], "Subject: x\r\n\r\nhello\r\n")
    return True


def tries(folder):
    """name of client, mechanism, how to call it."""
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        yield "smtplib", mechanism, python
        if shutil.which("swaks"):
            yield "swaks", mechanism, swaks
    if shutil.which("curl"):
        offered = "PLAIN LOGIN CRAM-MD5 XOAUTH2".split()
        if b"gsasl" in subprocess.run(["curl", "--version"], stdout=subprocess.PIPE, check=True).stdout:
            offered.append("SCRAM-SHA-256")
        for mechanism in offered:
            yield "curl", mechanism, lambda *a: curl(*a, folder)


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=gateway.example.net", "-keyout", folder + "/key.pem", "-out", folder + "/cert.pem"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return 'submission yes  auth plaintext yes  tls certificate "%s/cert.pem"  tls key "%s/key.pem"' % (folder, folder)


def scram_by_hand(port):
    """curl has no SCRAM everywhere: one exchange written out, with the server's signature looked at."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, "client.example.org") as client:
        client.starttls(context=context)
        client.ehlo()
        bare = "n=%s,r=fyko" % USER
        code, server = client.docmd("AUTH SCRAM-SHA-256 " + encode("n,," + bare))
        server = base64.b64decode(server).decode()
        final = "c=biws,r=" + re.match("r=([^,]*)", server).group(1)
        salted = hashlib.pbkdf2_hmac("sha256", SECRET.encode(), SALT, ROUNDS)
        key = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
        whole = ",".join((bare, server, final)).encode()
        signature = hmac.new(hashlib.sha256(key).digest(), whole, hashlib.sha256).digest()
        code, check = client.docmd(encode(final + ",p=" + encode(bytes(a ^ b for a, b in zip(key, signature)))))
        right = hmac.new(hmac.new(salted, b"Server Key", hashlib.sha256).digest(), whole, hashlib.sha256).digest()
        return code == 334 and base64.b64decode(check) == b"v=" + encode(right).encode() and client.docmd("")[0] == 235


def secrets():
    """What may stand in no log: in the clear and as it comes over the wire."""
    for secret in (SECRET, WRONG, TOKEN):
        yield secret
        yield encode(secret)
        yield encode("\0%s\0%s" % (USER, secret))
        yield encode("user=%s\1auth=Bearer %s\1\1" % (USER, secret))


def main():
    failures, sent = [], []
    with servers.work_folder() as folder, Server() as backend:
        listen = make_certificate(folder)
        with servers.Sallyport(folder, backend.server_address[1], listen) as gateway:
            for name, mechanism, client in tries(folder):
                sender = "%s.%s@example.com" % (name, mechanism.lower())
                right = TOKEN if mechanism == "XOAUTH2" else SECRET
                results = client(gateway.port, mechanism, right, sender), client(gateway.port, mechanism, WRONG, "wrong." + sender)
                sent.append(sender)
                print("%-8s %-14s %s, with a wrong secret %s" % (name, mechanism, *("in" if r else "refused" for r in results)))
                if results != (True, False):
                    failures.append("%s with %s: %s" % (name, mechanism, results))
            if not scram_by_hand(gateway.port):
                failures.append("SCRAM-SHA-256 by hand")
        log = gateway.log()
    if sorted(backend.mails) != sorted((s, True) for s in sent):
        failures.append("the server has %s" % backend.mails)
    lines = [line for line in log.splitlines() if "event=transaction" in line and "user=%s " % USER in line]
    if len(lines) != len(sent):
        failures.append("%d lines of the log name the user, not %d" % (len(lines), len(sent)))
    failures += ["the log has %s" % s for s in secrets() if s in log]
    for failure in failures:
        print("FAILED " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
