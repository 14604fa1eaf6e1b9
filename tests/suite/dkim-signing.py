#!/usr/bin/python3
"""dkim-signing - what Sallyport signs, dkimpy verifies, and the reverse: rsa and ed25519, in all four forms.

Ours: messages go through a real gateway that signs for two keys and adds a field that is to be covered; what the backend
stored is given to dkimpy, as it is and with changes that must not go unseen.  Theirs: dkimpy signs the same messages,
explain says what our module makes of them.
"""
import base64
import itertools
import os
import re
import subprocess
import sys

import capture
import explain
from dnsserver import DnsServer

try:
    import dkim
    import nacl.signing  # noqa: F401 (dkimpy's Ed25519)
except ImportError as missing:
    explain.skip("no Python module %s" % missing.name)

HEADER = b"""Received: from a.author.example by b.author.example;\r
 Thu, 14 Jan 2015 15:00:01 -0800\r
From: "Doe,  John"\r
\t<jqd@mail.author.example>\r
To: one@list.example\r
To: Two  <two@list.example>\t\r
SUBJECT:   folded \r
\t and   blank \r
Date: Thu, 14 Jan 2015 15:00:01 -0800\r
Message-ID: <54B84785.1060301@author.example>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=utf-8\r
X-Other:\r
"""
BODIES = {
    "no empty line": None,
    "empty": b"",
    "one line": b"hello\r\n",
    "empty lines only": b"\r\n\r\n\r\n",
    "blanks only": b" \t\r\n  \r\n",
    "empty lines at the end": b"hello\r\n\r\n \r\n\t\r\n\r\n\r\n",
    "blanks": b"  two  blanks\there \t\r\n\r\n\r\n\tafter\r\n",
    "dots": b".\r\n..\r\n.x\r\n\r\n.\r\n",
    "8-bit": "gr\u00fc\u00dfe \u00a0 \u2603\r\n".encode() + b"\xff\xfe\x80\r\n",
    "long line": b"x" * 990 + b"\r\n",
    "1 MiB": b"".join(b"%07d  quick brown foxes jump\tover the lazy dog \r\n\r\n" % n for n in range(1 << 20 >> 6)),
}
FORMS = list(itertools.product(("simple", "relaxed"), repeat=2))
DOMAIN = "author.example"


class Key:
    """A key as PEM, as dkimpy wants it, and the record that tells of it."""

    def __init__(self, folder, selector, algorithm):
        self.selector, self.algorithm = selector, algorithm
        self.path = os.path.join(folder, selector + ".pem")
        command = {"rsa-sha256": ["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"],
                   "ed25519-sha256": ["genpkey", "-algorithm", "ed25519"]}[algorithm]
        subprocess.run(["openssl", *command, "-out", self.path], check=True, stderr=subprocess.DEVNULL)
        os.chmod(self.path, 0o600)
        public = self.der("-pubout")
        if algorithm == "rsa-sha256":
            with open(self.path, "rb") as f:
                self.private = f.read()
            self.record = "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()
        else:
            self.private = base64.b64encode(self.der()[-32:])
            self.record = "v=DKIM1; k=ed25519; p=" + base64.b64encode(public[-32:]).decode()

    def der(self, *options):
        return subprocess.run(["openssl", "pkey", "-in", self.path, "-outform", "DER", *options], check=True,
                              capture_output=True).stdout


class Suite:
    """Counts what holds and what does not."""

    def __init__(self, keys, dns):
        self.keys, self.dns = keys, dns
        self.passed = self.total = 0
        self.failures = []
        dns.zone = {"%s._domainkey.%s" % (k.selector, d): [("TXT", k.record)] for k in keys
                    for d in (DOMAIN, "other.example")}

    def check(self, what, good, detail=""):
        self.total += 1
        if good:
            self.passed += 1
        else:
            self.failures.append("%s: %r" % (what, detail))
        return good

    def lookup(self, name, timeout=5):
        texts = self.dns.zone.get(name.decode().rstrip("."))
        return texts[0][1].encode() if texts else None

    def dkimpy(self, message, index=0):
        try:
            return dkim.DKIM(message, minkey=1024).verify(idx=index, dnsfunc=self.lookup)
        except dkim.DKIMException as e:
            return str(e)

    def ours(self, message):
        return explain.explain("filter dkim", ["dkim.result", "dkim.pass", "dkim.domains", "dkim.signatures"], dns=self.dns,
                               message=message).facts


def message_of(body):
    return HEADER if body is None else HEADER + b"\r\n" + body


def fields_of(message, name):
    """Whole fields of the header, without their last CRLF."""
    header = re.split(rb"\r\n\r\n", message, maxsplit=1)[0]
    return [m.group(0) for m in re.finditer(rb"(?mi)^%s[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*" % name, header)]


def tag(field, name):
    m = re.search(rb"(?:[:;])\s*%s\s*=\s*([^;]*)" % name, field)
    return re.sub(rb"\s", b"", m.group(1)).decode() if m else None


# ---- ours

def policy(folder, header, body, more=""):
    return """filter dkim signer { keys "%s"  header %s  body %s %s }
rules { mark : if client.ip == 127.0.0.1 add-header "List-Id" "<marked.list.example>"
 sign : if client.ip == 127.0.0.1 filter signer
 accept }""" % (os.path.join(folder, "dkim.keys"), header, body, more)


def check_tags(suite, name, field, key, forms):
    suite.check(name + ": a= d= s= c=",
                [tag(field, t) for t in (b"a", b"d", b"s", b"c")] ==
                [key.algorithm, DOMAIN, key.selector, "%s/%s" % forms], field)
    names = tag(field, b"h").split(":")
    suite.check(name + ": what is there and may be added is signed once more than it is there",
                all(names.count(n) == count + 1 for n, count in
                    {"from": 1, "to": 2, "cc": 0, "subject": 1, "date": 1, "message-id": 1, "mime-version": 1,
                     "content-type": 1, "reply-to": 0, "references": 0}.items()), names)
    suite.check(name + ": our own field is signed", names.count("list-id") == 1, names)
    suite.check(name + ": no trace nor result is signed",
                not {"received", "authentication-results", "return-path", "x-other"} & set(names), names)
    suite.check(name + ": i= and l= are not written", tag(field, b"i") is None and tag(field, b"l") is None, field)
    suite.check(name + ": x= is a week behind t=", int(tag(field, b"x")) - int(tag(field, b"t")) == 7 * 86400, field)
    suite.check(name + ": folded", max(map(len, field.replace(b"\t", b" " * 8).split(b"\r\n"))) <= 78, field)


def check_changes(suite, name, stored, index):
    """What must not go unseen, and what may."""
    other = {"another From on top": (b"From: <evil@evil.example>\r\n" + stored, False),
             "another Subject on top": (b"Subject: other\r\n" + stored, False),
             "a Reply-To": (b"Reply-To: <evil@evil.example>\r\n" + stored, False),
             "another To": (stored.replace(b"To: one", b"To: zero@list.example\r\nTo: one", 1), False),
             "another author": (stored.replace(b"<jqd@mail", b"<joe@mail", 1), False),
             "our field gone": (stored.replace(fields_of(stored, b"List-Id")[0] + b"\r\n", b"", 1), False),
             "our field changed": (stored.replace(b"<marked.", b"<other.", 1), False),
             "another line in the body": (stored + b"-- \r\nlist\r\n", False),
             "another hop": (b"Received: from x by y; Thu, 14 Jan 2015 15:00:01 -0800\r\n" + stored, True)}
    for what, (message, right) in other.items():
        result = suite.dkimpy(message, index)
        suite.check("%s: %s" % (name, what), (result is True) == right, result)


def check_stored(suite, name, message, stored, forms):
    fields = fields_of(stored, b"DKIM-Signature")
    if not suite.check(name + ": one signature of each key", len(fields) == len(suite.keys), stored[:2000]):
        return
    suite.check(name + ": they are on top", stored.startswith(fields[0]) and
                stored.startswith(fields[0] + b"\r\n" + fields[1] + b"\r\n"), stored[:2000])
    suite.check(name + ": the rest is as it came", stored.endswith(message), stored[-200:])
    for index, field in enumerate(fields):
        key = next(k for k in suite.keys if k.selector == tag(field, b"s"))
        what = "%s %s" % (name, key.algorithm)
        check_tags(suite, what, field, key, forms)
        result = suite.dkimpy(stored, index)
        suite.check(what + ": dkimpy verifies it", result is True, result)
        if name.endswith(" blanks"):
            check_changes(suite, what, stored, index)
    facts = suite.ours(stored)
    suite.check(name + ": our module verifies them", facts["dkim.pass"] is True and facts["dkim.signatures"] == 2 and
                facts["dkim.result"] == "pass", facts)


def check_ours(suite, folder, forms):
    with capture.Gateway(folder, policy(folder, *forms, "lifetime 7d")) as gateway:
        for what, body in BODIES.items():
            name = "%s/%s %s" % (*forms, what)
            reply, stored = gateway.pass_on(message_of(body))
            if suite.check(name + ": taken", reply.code == 250 and stored is not None, reply):
                check_stored(suite, name, message_of(body), stored, forms)


def check_authors(suite, folder):
    """Whose key signs; and mail that none signs, which goes on."""
    with capture.Gateway(folder, policy(folder, "relaxed", "relaxed")) as gateway:
        for author, domain in (("<a@author.example>", DOMAIN), ("b <b@A.B.AUTHOR.example>", DOMAIN),
                               ("<c@other.example>", "other.example")):
            _, stored = gateway.pass_on(b"From: %s\r\nSubject: x\r\n\r\nx\r\n" % author.encode())
            fields = fields_of(stored, b"DKIM-Signature")
            suite.check("%s: d=" % author, fields and {tag(f, b"d") for f in fields} == {domain}, fields)
            suite.check("%s: x= is not written" % author, tag(fields[0], b"x") is None, fields)
            suite.check("%s: dkimpy verifies it" % author, suite.dkimpy(stored) is True, suite.dkimpy(stored))
        for author, why in ((b"From: <a@none.example>\r\n", "there is no key for none.example"), (b"", "there is no From"),
                            (b"From: a@author.example, b@author.example\r\n", "From names several"),
                            (b"From: <>\r\n", "From names nobody"), (b"From: a b c\r\n", "From cannot be parsed")):
            before = len(gateway.log())
            reply, stored = gateway.pass_on(author + b"Subject: x\r\n\r\nx\r\n")
            suite.check("%r goes on unsigned" % author, reply.code == 250 and stored and
                        not fields_of(stored, b"DKIM-Signature"), reply)
            suite.check("%r: the log says why" % author, "not signed: " + why in gateway.log()[before:],
                        gateway.log()[before:])


def check_refused(suite, folder):
    """Keys that cannot be had are an error when the policy is read, with the table's file and line."""
    table = os.path.join(folder, "broken.keys")
    open_key = os.path.join(folder, "open.pem")
    with open(open_key, "wb") as f:
        f.write(suite.keys[0].private)
    os.chmod(open_key, 0o644)
    for line, why in (("author.example s absent.pem", "no such file"), ("author.example s open.pem", "chmod o="),
                      ("author s rsa.pem", "no domain"), ("author.example", "no selector"), ("", "has no line")):
        with open(table, "w") as f:
            f.write("\n" + line + "\n")
        path = os.path.join(folder, "broken.policy")
        with open(path, "w") as f:
            f.write('policy 1\nfilter dkim signer { keys "broken.keys" }\nrules { sign : if client.ip == 127.0.0.1 filter '
                    'signer\n accept }\n')
        done = subprocess.run([os.environ["SALLYPORT"], "check", path], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60)
        where = "broken.keys:2:1: " if line else "broken.keys: "
        suite.check("refused: %r" % line, done.returncode not in (0, None) and why in done.stdout + done.stderr and
                    where in done.stdout + done.stderr, done)


# ---- theirs

def check_theirs(suite):
    for key, forms, (what, body) in itertools.product(suite.keys, FORMS, BODIES.items()):
        name = "dkimpy's %s %s/%s %s" % (key.algorithm, *forms, what)
        message = message_of(body if body is not None else b"")
        field = dkim.sign(message, key.selector.encode(), DOMAIN.encode(), key.private,
                          signature_algorithm=key.algorithm.encode(), canonicalize=tuple(f.encode() for f in forms),
                          include_headers=[b"from", b"to", b"to", b"subject", b"date", b"from", b"subject"])
        facts = suite.ours(field + message)
        suite.check(name, facts["dkim.result"] == "pass" and facts["dkim.domains"] is not None and
                    DOMAIN in facts["dkim.domains"], facts)
        if what in ("empty", "blanks"):
            facts = suite.ours(field + message + b"more\r\n")
            suite.check(name + ", more", facts["dkim.result"] == "fail" and facts["dkim.pass"] is False, facts)


def main():
    with capture.work_folder() as folder, DnsServer({}) as dns:
        keys = [Key(folder, "rsa", "rsa-sha256"), Key(folder, "ed", "ed25519-sha256")]
        with open(os.path.join(folder, "dkim.keys"), "w") as f:
            f.write("# both keys\n%s rsa rsa.pem\n%s ed ed.pem\nother.example rsa rsa.pem\n" % (DOMAIN, DOMAIN))
        suite = Suite(keys, dns)
        for forms in FORMS:
            check_ours(suite, folder, forms)
        check_authors(suite, folder)
        check_refused(suite, folder)
        check_theirs(suite)
    explain.tally("dkim-signing", suite.passed, suite.total, suite.failures)


if __name__ == "__main__":
    if "SALLYPORT" not in os.environ:
        sys.exit("SALLYPORT is not set: run this by ctest, or name the program and SALLYPORT_FILTER_PATH")
    main()
