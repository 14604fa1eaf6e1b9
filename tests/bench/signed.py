"""signed.py - a message with a DKIM signature (RFC 6376, rsa-sha256, relaxed/relaxed), and the resolver that knows its key."""
import base64
import collections
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "suite"))
from dnsserver import DnsServer  # noqa: E402

DOMAIN, SELECTOR = "sender.example", "s1"
NAMES = ["From", "To", "Subject", "Date", "Message-ID"]


def openssl(*command, text=None):
    return subprocess.run(["openssl"] + list(command), input=text, check=True, capture_output=True).stdout


def relaxed(name, value):
    return "%s:%s" % (name.lower(), " ".join(value.split()))


def sign(path, to, folder):
    """Signs the file, whose header is not folded and whose body has single blanks; returns the record of the key."""
    key = os.path.join(folder, "dkim.pem")
    openssl("genrsa", "-out", key, "2048")
    with open(path) as f:
        head, body = f.read().split("\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.split("\n"))
    lines = re.sub(r"[ \t]+(?=\r\n)", "", body.replace("\n", "\r\n")).rstrip("\r\n") + "\r\n"
    digest = base64.b64encode(openssl("dgst", "-sha256", "-binary", text=lines.encode())).decode()
    value = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s; s=%s; h=%s; bh=%s; b=" % (DOMAIN, SELECTOR, ":".join(NAMES), digest)
    signed = "".join(relaxed(n, fields[n]) + "\r\n" for n in NAMES) + relaxed("dkim-signature", value)
    signature = base64.b64encode(openssl("dgst", "-sha256", "-sign", key, text=signed.encode())).decode()
    with open(to, "w") as f:
        f.write("DKIM-Signature: %s%s\n%s\n\n%s" % (value, signature, head, body))
    return "v=DKIM1; k=rsa; p=" + base64.b64encode(openssl("rsa", "-in", key, "-pubout", "-outform", "DER")).decode()


def resolver(record):
    spf = ("TXT", "v=spf1 ip4:127.0.0.1 -all")
    return DnsServer({"%s._domainkey.%s" % (SELECTOR, DOMAIN): [("TXT", record)], DOMAIN: [spf], "mx." + DOMAIN: [spf]}, ttl=3600)


def dns_figures(log):
    """What the workers said of the DNS at their end, together."""
    figures = collections.Counter()
    for line in re.findall(r"event=dns (.*)", log):
        figures.update({key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", line)})
    return figures
