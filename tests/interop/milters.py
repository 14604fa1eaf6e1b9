#!/usr/bin/env python3
"""milters.py NAME - a milter of Debian does its job through Sallyport, before servers that have no milters.

The same milter is asked by Postfix, and by Sallyport before a sink, before Exim and before OpenSMTPD.  Real mails of others and
made ones go all four ways.  Replies must be the same: of an acceptance the class, of a refusal code, enhanced code and text.  What
is stored must be the same: the fields in their order, the body's octets, the envelope.  The fields that a server puts on top as its
trace are left out: Received, and of those that deliver Return-Path, Envelope-To, Delivery-Date, Delivered-To.  And Postfix is no
judge of what the milter should have done: each made mail says what must become of it.
"""
import base64
import contextlib
import json
import os
import re
import sys
import time

import mails
import milters_kit
import milters_programs as programs
import peers_servers as kit
import servers

EXTERNAL, INTERNAL = milters_kit.CLIENT, programs.INTERNAL
REAL = 26
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
HEAD = ("From: Ann <a@%s>\r\nTo: bob@example.com\r\nSubject: %s\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s@%s>\r\n"
        "MIME-Version: 1.0\r\n")
TEXT = "Content-Type: text/plain\r\n"
EIGHT_BIT = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"


class Letter:
    """A message to be sent.  'reply' is what one of its replies must begin with, 'field' what must be in the stored header."""

    def __init__(self, name, content, reply="250", field=None, sender="a@sender.example", client=EXTERNAL, rcpts=("bob",)):
        self.name, self.reply, self.field = name, reply, field
        self.sender, self.client, self.rcpts = sender, client, [r + "@example.com" for r in rcpts]
        self.content = b"X-Case: case=%s\r\n" % name.encode() + content


def made(name, body=b"Hello Bob.\r\n", subject="hello", domain="sender.example", head=TEXT, **more):
    text = (HEAD % (domain, subject, name, domain) + head).encode() + b"\r\n" + body
    return Letter(name, text, sender="a@" + domain, **more)


def attached(name, data, **more):
    body = (b"--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n--b\r\n"
            b'Content-Type: application/octet-stream; name="a.com"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
            + base64.encodebytes(data).replace(b"\n", b"\r\n") + b"--b--\r\n")
    return made(name, body, head='Content-Type: multipart/mixed; boundary="b"\r\n', **more)


def real():
    """Real mails, every so many of the collection: those that no server mends and the gateway does not refuse.

    The fields of their first delivery that Exim takes away are not sent.
    """
    folder = servers.data_folder("mail-spamassassin-shared")
    with open(os.path.join(folder, "labels.jsonl")) as f:
        names = [os.path.join(folder, json.loads(line)["file"]) for line in f]
    letters = []
    for path in names[::max(1, len(names) // (2 * REAL))]:
        with open(path if os.path.exists(path) else path + ".txt", "rb") as f:
            content = mails.crlf(f.read())
        header, blank, body = content.partition(b"\r\n\r\n")
        header = re.sub(rb"(?im)^(Return-Path|Delivery-Date|Envelope-To):.*\r\n", b"", header)
        if mails.documented(content) is None and re.fullmatch(rb"([!-9;-~]+:.*\r\n|[ \t].*\r\n)+", header + b"\r\n") \
                and max(map(len, content.split(b"\r\n"))) < 990 and header.lower().count(b"\nmessage-id:") == 1 \
                and b"\nDate:" in header and len(letters) < REAL:
            letters.append(Letter("real%d" % len(letters), header + blank + body, reply=""))
    return letters


def common():
    bounce = made("null-sender")
    bounce.sender = ""
    return [made("plain"), made("empty-body", b""), made("dots", b".\r\n..\r\n.x\r\n"), made("subject-long", subject="x" * 700),
            made("folded", subject="one\r\n two\r\n\tthree"), bounce, made("two", rcpts=("bob", "ann")),
            made("long", b"0123456789abcdef 0123456789abcdef\r\n" * 9000),
            made("eight-bit", "Gr\u00fc\u00dfe\r\n".encode(), head=EIGHT_BIT)]


# ---- each milter: how it is started, what else is sent to it -------------------------------------------

class Job:
    """What is common.  'start' gives the milters, in the order in which they are asked; 'mask' hides what changes with time."""

    def __init__(self, folder, packages):
        self.folder, self.packages = folder, packages
        self.key, record = programs.dkim_key(folder)
        self.zone = {
            "%s._domainkey.%s" % (programs.SELECTOR, programs.DOMAIN): [("TXT", record)],
            "%s._domainkey.strict.example" % programs.SELECTOR: [("TXT", record)],
            "sender.example": [("A", "192.0.2.1"), ("MX", (10, "mx.sender.example")), ("TXT", "v=spf1 ip4:192.0.2.0/24 -all")],
            "mx.sender.example": [("A", "192.0.2.1")],
            "strict.example": [("A", "192.0.2.1"), ("TXT", "v=spf1 -all")],
            "_dmarc.strict.example": [("TXT", "v=DMARC1; p=reject; adkim=s; aspf=s")],
            "_dmarc.sender.example": [("TXT", "v=DMARC1; p=none")],
        }

    def start(self, dns):
        yield self.PROGRAM(self.folder, self.packages, dns)

    def letters(self):
        return []

    def mask(self, field):
        return field

    def verify(self, stored):
        """More that must be so of what Exim and OpenSMTPD have: a list of faults."""
        return []

    def signed(self, name, domain="sender.example", spoil=False, **more):
        import dkim
        letter = made(name, domain=domain, **more)
        with open(self.key, "rb") as f:
            signature = dkim.sign(letter.content, programs.SELECTOR.encode(), domain.encode(), f.read(),
                                  include_headers=[b"from", b"subject"])
        letter.content = signature + (letter.content.replace(b"Hello", b"Hullo") if spoil else letter.content)
        return letter


class Rspamd(Job):
    PROGRAM = programs.Rspamd

    def letters(self):
        return [made("gtube", GTUBE + b"\r\n", reply="554 5.7.1 Gtube pattern"), attached("gtube-attached", GTUBE, reply=""),
                made("ham", field=rb"(?m)^X-Spam"), self.signed("dkim-good", field=rb"dkim=pass"),
                self.signed("dkim-bad", spoil=True, field=rb"dkim=fail")]

    def mask(self, field):
        if field.lower().startswith(b"authentication-results"):
            return re.sub(rb"header\.b=\S+", b"", field)
        return field


class OpenDkim(Job):
    def start(self, dns):
        yield programs.OpenDkim(self.folder, self.packages, dns, self.key)

    def letters(self):
        signature = rb"(?m)^DKIM-Signature: (.|\n\s)*d=sender\.example"
        return [made("sign-%d" % i, b"Hello %d.\r\n" % i, client=INTERNAL, field=signature) for i in range(5)] + [
            self.signed("good", field=rb"(?m)^Authentication-Results: auth\.example\.net;(.|\n\s)*dkim=pass"),
            self.signed("bad", spoil=True, reply="550 5.7.0 bad DKIM signature data"),
            made("unsigned", field=rb"Authentication-Results: auth\.example\.net; dkim=none")]

    def mask(self, field):
        if field.startswith(b"DKIM-Signature: "):
            field = re.sub(rb"\bt=\d+", b"t=", re.sub(rb"\bb=[^;]*", b"b=", field))
        return re.sub(rb"\s+", b" ", field) if field.startswith(b"DKIM-Signature") else field

    def verify(self, stored):
        import dkim
        record = self.zone["sel._domainkey.sender.example"][0][1].encode()
        found = {m.case(): m for m in stored}
        return ["%s does not verify" % case for case in ["sign-%d" % i for i in range(5)]
                if not dkim.verify(found[case].octets(), dnsfunc=lambda *_, **__: record)]


class OpenDmarc(Job):
    """Behind OpenDKIM, whose field it reads: the second of two milters sees what the first has done."""

    def start(self, dns):
        yield programs.OpenDkim(self.folder, self.packages, dns, self.key)
        yield programs.OpenDmarc(self.folder, self.packages, dns)

    def letters(self):
        result = rb"Authentication-Results: auth\.example\.net; dmarc=%s"
        return [self.signed("aligned", field=result % b"pass"),
                self.signed("strict-good", "strict.example", field=result % b"pass"),
                made("strict-bad", domain="strict.example", reply="550 5.7.1 rejected by DMARC policy for strict.example"),
                self.signed("strict-other", "strict.example", spoil=True, reply="550 5."),
                made("none", domain="nothing.example", field=result % b"none"), made("spf", field=result % b"pass")]


class ClamAv(Job):
    PROGRAM = programs.ClamAv

    def letters(self):
        found = "550 5.7.1 infected: Eicar-Test-Signature"
        return [attached("eicar", programs.EICAR, reply=found), made("eicar-inline", programs.EICAR + b"\r\n", reply=found),
                attached("clean", b"MZ harmless", field=rb"(?m)^X-Virus-Status: Clean"),
                attached("eicar-again", programs.EICAR, reply=found), made("clean-again", field=rb"(?m)^X-Virus-Scanned: ")]


class SpamAss(Job):
    PROGRAM = programs.SpamAss

    def letters(self):
        return [made("gtube", GTUBE + b"\r\n", reply="550 5.7.1 Blocked by SpamAssassin"),
                made("spammy", b"Buy it here now\r\n", subject="LOOK AT THIS", field=rb"(?m)^X-Spam-Flag: YES"),
                made("little", b"Order it today\r\n", field=rb"(?m)^X-Spam-Status: No(.|\n\s)*BUY_NOW"),
                made("ham", field=rb"(?m)^X-Spam-Status: No")]


class MailFromd(Job):
    PROGRAM = programs.MailFromd

    def letters(self):
        return [made("refused", domain="refused.example", reply="550 5.1.8 sender a@refused.example is not wanted"),
                made("lottery", subject="LOTTERY won", reply="554 5.7.1 no: subject LOTTERY won"),
                made("ann-only", rcpts=("ann",), reply="451 4.2.1 ann is away"),
                made("noted", field=rb"(?m)^X-Mailfromd: from a@sender\.example by helo client\.example\.org, client 192\.0\.2\.77$")]


class Python(Job):
    """What a milter may change, in one in Python."""

    CASES = {
        "*": {"eom": [["insert", 1, "X-Python", "seen"], ["add", "X-Last", "yes"]]},
        "subject": {"eom": [["change", 1, "Subject", "changed"], ["delete", 1, "MIME-Version"]]},
        "body": {"eom": [["body", "another\r\nbody\r\n"]]},
        "renamed": {"eom": [["sender", "new@sender.example", ""]]},
        "more": {"eom": [["rcpt", "ann@example.com", ""]]},
        "less": {"eom": [["unrcpt", "bob@example.com"]]},
        "other": {"eom": [["unrcpt", "bob@example.com"], ["rcpt", "ann@example.com", ""], ["add", "X-For", "ann"]]},
        "late": {"eom": [["add", "X-Never", "x"], ["reply", "550", "5.7.1", "no", "and again no"]]},
        "early": {"mail": [["reply", "451", "4.7.1", "not yet"]]},
        "nobody": {"rcpt": [["reply", "550", "5.1.1", "not bob"]]},
        "gone": {"eoh": [["discard"]]},
    }

    def start(self, dns):
        yield milters_kit.Table(self.folder, self.packages, self.CASES)

    def letters(self):
        def case(name, **more):
            return made(name, domain=name + ".sender.example", **more)
        return [made("seen", field=rb"\A@X-Python: seen\n"), case("subject", field=rb"(?m)^Subject: changed\n(?!(.|\n)*^MIME)"),
                case("body", rcpts=("bob", "ann")), case("renamed"), case("more"), case("less", rcpts=("bob", "ann")),
                case("other", field=rb"X-For: ann"), case("late", reply="550 5.7.1 no\n5.7.1 and again no"),
                case("early", reply="451 4.7.1 not yet"), case("nobody", rcpts=("bob", "ann"), reply="550 5.1.1 not bob"),
                case("gone")]


JOBS = {"rspamd": Rspamd, "opendkim": OpenDkim, "opendmarc": OpenDmarc, "clamav": ClamAv, "spamass": SpamAss, "mailfromd": MailFromd,
        "python": Python}


# ---- the run -----------------------------------------------------------------------------------------

class Result:
    """What one way gave: replies, and what arrived, by case."""

    def __init__(self, way, letters, theirs=None):
        self.name, sessions, self.replies = way.name, {}, {}
        for letter in letters:
            session = sessions.setdefault(letter.client, milters_kit.Session(way.port, letter.client))
            self.replies[letter.name] = session.message(letter.content, letter.sender, letter.rcpts)
        for session in sessions.values():
            session.close()
        with contextlib.suppress(RuntimeError):  # it is for the comparison to say what is missing
            servers.wait_until(lambda: theirs is None or len(way.settled()) >= theirs.copies(way), "all to be delivered", 20)
        self.mails = {}
        for mail in way.settled():
            self.mails.setdefault(mail.case(), []).append(mail)

    def copies(self, way):
        """How many will be stored on another way: one of each message, or one for each recipient."""
        return sum(1 if way.is_sink() else len(mails[0].envelope[1]) for mails in self.mails.values())


def judge(job, letter, theirs, ours):
    """What is wrong with this letter on this way: a list of sentences."""
    faults = []
    a, b = [milters_kit.told(r.replies[letter.name]) for r in (theirs, ours)]
    if a != b:
        faults.append("replies: %r there, %r here" % (a, b))
    there, here = [r.mails.get(letter.name, []) for r in (theirs, ours)]
    taken = ours.replies[letter.name][-1].code == 250
    if bool(here) and not taken:
        faults.append("answered %r, and stored %d times" % (b[-1], len(here)))
    if bool(here) != bool(there):
        faults.append("stored %d times there, %d times here" % (len(there), len(here)))
    if there and here and here[0].box:
        wanted = {milters_kit.address(r).split(b"@")[0].decode() for r in there[0].envelope[1]}
        if {m.box for m in here} != wanted or len(here) != len(wanted):
            faults.append("for %s there, for %s here" % (sorted(wanted), sorted(m.box for m in here)))
    for mail in here:
        difference = there and milters_kit.difference(there[0].masked(job.mask), mail.masked(job.mask))
        if difference:
            faults.append(difference)
    if not any(said.startswith(letter.reply) for said in [repr(r) for r in ours.replies[letter.name] if r.code != 354]):
        faults.append("must be answered %r, was %r" % (letter.reply, b))
    if letter.field and not (here and re.search(letter.field, b"".join(here[0].fields))):
        faults.append("no %r in %r" % (letter.field, here and here[0].fields))
    return faults


def run(job, folder):
    letters = real() + common() + job.letters()
    cert = kit.certificate(folder)
    stores, uses, rules = [("sink", milters_kit.Sink())], "", ""
    with contextlib.ExitStack() as stack:
        for what in (kit.Exim, kit.OpenSmtpd):
            stores.append((what.name, what(folder, job.packages, cert)))
            stack.callback(stores[-1][1].stop)
        running = stack.enter_context(milters_kit.together(job.start(stack.enter_context(milters_kit.Dns(job.zone)))))
        for _, peer in stores[1:]:
            peer.start()
        for i, milter in enumerate(running):
            uses += milters_kit.use("scan%d" % i, milter)
            rules += "scan%d : filter scan%d\n" % (i, i)
        with milters_kit.ByPostfix(folder, [m.socket for m in running], "myhostname = gateway.example.net\n") as postfix:
            theirs = Result(postfix, letters)
        with milters_kit.Gateway(folder, stores, uses, rules + "accept") as gateway:
            ours = [Result(way, letters, theirs) for way in gateway.ways]
    return report(job, letters, theirs, ours)


def report(job, letters, theirs, ours):
    failed = 0
    for result in ours:
        wrong = 0
        for letter in letters:
            faults = judge(job, letter, theirs, result)
            wrong += bool(faults)
            for fault in faults[:3] if wrong < 10 else ():
                print("FAILED %s, %s: %s" % (result.name, letter.name, fault[:1500]))
        more = job.verify([m[0] for m in result.mails.values()])
        for fault in more:
            print("FAILED %s: %s" % (result.name, fault))
        print("%-20s %d messages, %d as by Postfix, %d of them stored"
              % (result.name, len(letters), len(letters) - wrong, sum(l.name in result.mails for l in letters)))
        failed += wrong + len(more)
    return failed


def main():
    began = time.monotonic()
    with servers.work_folder() as folder:
        try:
            failed = run(JOBS[sys.argv[1]](folder, milters_kit.packages(folder)), folder)
        except kit.Missing as e:
            servers.skip("%s: n.a.: %s" % (sys.argv[1], e))
    print("%s: %s, %.0f s" % (sys.argv[1], "%d FAILED" % failed if failed else "ok", time.monotonic() - began))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
