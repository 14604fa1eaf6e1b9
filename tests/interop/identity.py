#!/usr/bin/env python3
"""identity.py - a message signed before the gateway still verifies behind it.

Every message of two collections is made fit for SMTP, signed by dkimpy (rsa-sha256; relaxed/relaxed and simple/simple
in turn), sent through Sallyport with spf, dkim, dmarc and arc in its policy, and captured behind it.  There its signature
must verify, and below the fields that Sallyport added nothing may be different.  Sallyport itself must have said dkim=pass,
or dkim=permerror where From names nobody.
"""
import base64
import collections
import os
import re
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "suite"))
import mails  # noqa: E402
import servers  # noqa: E402
import wire  # noqa: E402
from dnsserver import DnsServer  # noqa: E402

DOMAIN, SELECTOR, HOSTNAME = "signer.example", "s1", "gateway.example.net"
LISTEN = "several from yes"  # what others have sent is not ours to refuse
POLICY = """resolver %s
filter spf
filter dkim
filter dmarc
filter arc
rules {
  seen : log "{spf.result} {dkim.result} {dmarc.result} {arc.result}" on unknown skip
  accept
}"""


# ---- before the gateway ----------------------------------------------------------------------------

def fit(content):
    """The message as SMTP can carry it and as a signer can read it, and what was done to it."""
    done = []
    if re.search(rb"\r(?!\n)|(?<!\r)\n", content):
        done.append("bare line ends")
        content = re.sub(rb"\r(?!\n)|(?<!\r)\n", b"\r\n", content)
    if b"\0" in content:
        done.append("NUL")
        content = content.replace(b"\0", b"")
    if not content.endswith(b"\r\n"):
        done.append("no last line end")
        content += b"\r\n"
    header, body = split(content)
    if not content.startswith(header + b"\r\n"):
        done.append("no blank line below the header")
    if re.search(rb"(?m)^[!-9;-~]+[ \t]+:", header):
        done.append("blank before a colon")
        header = re.sub(rb"(?m)^([!-9;-~]+)[ \t]+:", rb"\1:", header)
    if not re.search(rb"(?mi)^From:", header):
        done.append("no From")
        header = b"From: somebody@author.example\r\n" + header
    return header + b"\r\n" + body, done


def split(content):
    """Header and body; a line that is no field ends the header, as the blank line that it lacks would."""
    lines = content.split(b"\r\n")
    for i, line in enumerate(lines):
        if line == b"":
            return join(lines[:i]), b"\r\n".join(lines[i + 1:])
        if not re.match(rb"[!-9;-~]+[ \t]*:" if i == 0 else rb"[ \t]+\S|[!-9;-~]+[ \t]*:", line):
            return join(lines[:i]), b"\r\n".join(lines[i:])
    return content, b""


def join(lines):
    return b"".join(line + b"\r\n" for line in lines)


def make_key(folder):
    """A key of 2048 bits, and the record that tells of it."""
    pem = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], check=True, capture_output=True).stdout
    path = os.path.join(folder, "key.pem")
    with open(path, "wb") as f:
        f.write(pem)
    der = subprocess.run(["openssl", "rsa", "-in", path, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    return pem, b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)


def sign(dkim, content, key, form):
    field = dkim.sign(content, SELECTOR.encode(), DOMAIN.encode(), key, canonicalize=(form, form),
                      include_headers=[b"From", b"To", b"Subject", b"Date", b"Message-ID"])
    return field + content


# ---- behind it -------------------------------------------------------------------------------------

class Backend:
    """Takes every message and keeps it, as it came over the wire less the stuffed dots, by its sender."""

    def __init__(self):
        self.stored = collections.defaultdict(list)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 backend\r\n")
            for line in iter(lines.readline, b""):
                verb = line[:4].upper()
                if verb == b"MAIL":
                    sender = re.search(rb"<(.*?)>", line).group(1).decode()
                if verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    self.stored[sender].append(self.content(lines))
                connection.sendall({b"EHLO": b"250-backend\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
                                    b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n"))
                if verb == b"QUIT":
                    return

    @staticmethod
    def content(lines):
        content = []
        for line in iter(lines.readline, b".\r\n"):
            if not line:
                raise EOFError
            content.append(line[1:] if line.startswith(b".") else line)
        return b"".join(content)


def ours(stored):
    """What Sallyport put on top, by name, and the rest."""
    added = {}
    while True:
        name, whole, rest = wire.field(stored)
        if name == b"Received" and b"(Sallyport)" in whole or \
                name == b"Authentication-Results" and b" %s;" % HOSTNAME.encode() in whole:
            if name in added:
                return added, stored
            added[name] = whole
            stored = rest
        else:
            return added, stored


def names_author(content):
    """Is there an address in From?  Without one there is nobody for whom a signature could speak."""
    return b"@" in re.search(rb"(?mi)^From:(.*(?:\n[ \t].*)*)", content).group(1)


def judge(dkim, signed, stored, zone):
    """What is wrong with it, or None."""
    if len(stored) != 1:
        return "stored %d times" % len(stored)
    added, rest = ours(stored[0])
    if len(added) != 2:
        return "of our two fields there are only %r" % sorted(added)
    if rest != signed:
        at = len(os.path.commonprefix([rest, signed]))
        return "differs from octet %d on:\n  sent   %r\n  stored %r" % (at, signed[at:at + 80], rest[at:at + 80])
    if not dkim.verify(stored[0], dnsfunc=lambda name, timeout=5: zone.get(name.rstrip(b"."))):
        return "the signature does not verify behind the gateway"
    results = re.sub(rb"\s+", b" ", added[b"Authentication-Results"])
    if not names_author(signed):
        return None if b"dkim=permerror" in results else "nobody is its author, and that was not noticed: %r" % results
    if not re.search(rb"dkim=pass [^;]*header\.d=signer\.example\b", results):
        return "no dkim=pass: %r" % results
    return None


# ---- all together ----------------------------------------------------------------------------------

def send_all(port, signed):
    answers = []
    with wire.Client(port) as client:
        for i, content in enumerate(signed):
            answers.append(client.message(content, "m%d@%s" % (i, DOMAIN), ["bob@example.com"]))
    return answers


def main():
    try:
        import dkim
    except ImportError:
        servers.skip("no module dkim: Debian's package python3-dkim has it")
    filters = os.environ.get("SALLYPORT_FILTER_PATH", os.path.join(os.path.dirname(servers.sallyport_path()), "filters"))
    os.environ["SALLYPORT_FILTER_PATH"] = filters
    names, contents, changes = [], [], collections.Counter()
    for name, content in mails.messages():
        content, done = fit(content)
        changes.update(done)
        names.append(name)
        contents.append(content)
    with servers.work_folder() as folder:
        pem, record = make_key(folder)
        key_name = "%s._domainkey.%s" % (SELECTOR, DOMAIN)
        zone = {key_name: [("TXT", record)], DOMAIN: [("TXT", "v=spf1 ip4:127.0.0.1 -all")]}
        signed = [sign(dkim, c, pem, (b"relaxed", b"simple")[i % 2]) for i, c in enumerate(contents)]
        backend = Backend()
        with DnsServer(zone) as dns, servers.Sallyport(folder, backend.port, listen=LISTEN, more=POLICY % dns.address) as gateway:
            answers = send_all(gateway.port, signed)
    failures = []
    for i, name in enumerate(names):
        wrong = repr(answers[i]) if answers[i].code != 250 else \
            judge(dkim, signed[i], backend.stored["m%d@%s" % (i, DOMAIN)], {key_name.encode(): record})
        if wrong is not None:
            failures.append("%s (%s): %s" % (name, ("relaxed", "simple")[i % 2], wrong))
    print("nobody in From: %d" % sum(not names_author(c) for c in contents))
    print("made fit before: " + ", ".join("%d %s" % (n, what) for what, n in changes.most_common()))
    for failure in failures:
        print("FAILED " + failure)
    print("%d of %d verify behind the gateway, octet for octet" % (len(names) - len(failures), len(names)))
    return 1 if failures or not names else 0


if __name__ == "__main__":
    sys.exit(main())
