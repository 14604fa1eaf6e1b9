#!/usr/bin/env python3
"""xclient.py - a real Postfix behind Sallyport sees the client's own address, name, HELO name and port.

By XCLIENT and by PROXY headers (v1 and v2) Postfix takes the client for its peer: its log and the Received field that it writes
name him.  By XFORWARD its log does.  Clients are named to Sallyport by PROXY headers, IPv4 and IPv6, and by XCLIENT; many come at
once and one after the other, and none may be taken for another.  Postfix's own judgement, by the client's address and by
the login that XCLIENT hands on, holds for the client and not for the gateway.
"""
import concurrent.futures
import contextlib
import re
import socket
import struct
import sys

import servers
import wire

FRONT = "proxy protocol from 127.0.0.0/8\nrelay to example.com"
XCLIENT = "smtpd_authorized_xclient_hosts = 127.0.0.1\n"
XFORWARD = "smtpd_authorized_xforward_hosts = 127.0.0.1\n"
PROXY = "smtpd_upstream_proxy_protocol = haproxy\n"
JUDGE = "inet_protocols = all\nsmtpd_client_restrictions = check_client_access inline:{ 198.51.100.66=REJECT }\n"
failures = []


def check(ok, what):
    print(("ok     " if ok else "FAILED ") + what)
    if not ok:
        failures.append(what)


class Named(wire.Client):
    """A client whom a PROXY header of version 2 names."""

    def __init__(self, port, address, client_port=40000, helo="client.example.org"):
        self.header = v2(address, client_port)
        super().__init__(port, helo)

    def reply(self):
        if self.header:
            self.send(self.header)
            self.header = b""
        return super().reply()


def v2(address, port):
    family, code, local = (socket.AF_INET6, 0x21, "2001:db8::25") if ":" in address else (socket.AF_INET, 0x11, "203.0.113.25")
    ends = socket.inet_pton(family, address) + socket.inet_pton(family, local) + struct.pack("!HH", port, 25)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, code, len(ends)) + ends


def content(text):
    return b"From: a@example.org\r\nSubject: %s\r\n\r\nx\r\n" % text.encode()


def send(port, address, subject, helo="client.example.org"):
    with Named(port, address, helo=helo) as client:
        reply = client.message(content(subject), "a@example.org", ["bob@example.com"])
        client.ask("QUIT")
    return reply


def received(postfix):
    """Whom Postfix names in its Received field, by subject: "helo ([address])" and the protocol."""
    found = {}
    for message in postfix.mail():
        subject = re.search(rb"^Subject: (.*?)\r?$", message, re.M).group(1).decode()
        by = re.search(rb"^Received: from (\S+ \(\S+ \[\S+\]\))\s+by store\.example\.net \(Postfix\) with (\S+) id", message, re.M)
        found[subject] = (by.group(1).decode(), by.group(2).decode()) if by else None
    return found


CLIENTS = ["198.51.100.%d" % n for n in range(1, 21)] + ["2001:db8::%x" % n for n in range(1, 11)]


def many(port):
    """Each of CLIENTS twice, eight at once; all replies."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(send, port, c, "%s/%d" % (c, n), "h%d.example.org" % i)
                for n in range(2) for i, c in enumerate(CLIENTS)]
    return [j.result() for j in jobs]


def log_when(postfix, complete):
    """Postfix's log, once it is complete: its lines come by a server of their own, later than its replies."""
    with contextlib.suppress(RuntimeError):
        servers.wait_until(lambda: complete(postfix.log()), "Postfix's log")
    return postfix.log()


def unlogged(log, pattern):
    """Those of CLIENTS whose pattern does not stand in the log twice."""
    return [c for c in CLIENTS if len(re.findall(pattern % re.escape(c), log)) != 2]


def shown(address):
    return ("IPv6:" if ":" in address else "") + address


def told(folder, way, backend_more, main, helo):
    """Postfix takes the client for its peer."""
    first = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n" if main == PROXY else b""
    with servers.Postfix(folder, main=main + JUDGE, first=first) as postfix, \
            servers.Sallyport(folder, postfix.port, listen=FRONT, backend_more=backend_more) as gateway:
        replies = many(gateway.port)
        check(all(r.code == 250 for r in replies), "%s: %d mails of %d clients are taken" % (way, len(replies), len(CLIENTS)))
        stored = received(postfix)
        wrong = []
        for n in range(2):
            for i, c in enumerate(CLIENTS):
                name = "h%d.example.org" % i if helo else r"\S+"
                if not re.fullmatch(r"%s \(\S+ \[%s\]\)" % (name, re.escape(shown(c))), (stored.get("%s/%d" % (c, n)) or ("",))[0]):
                    wrong.append((c, stored.get("%s/%d" % (c, n))))
        check(not wrong, "%s: Postfix's Received field names each client by his address%s %s"
              % (way, " and HELO name" if helo else "", wrong[:3] or ""))
        log = log_when(postfix, lambda text: not unlogged(text, r"client=\S*\[%s\]"))
        missing = unlogged(log, r"client=\S*\[%s\]")
        check(not missing, "%s: Postfix's log has client= with each client's address twice %s" % (way, missing[:3] or ""))
        check(not re.search(r"client=\S*\[127\.0\.0\.1\]", log), "%s: and never the gateway's" % way)
        bad = send(gateway.port, "198.51.100.66", "bad")
        check(bad.code == 554, "%s: Postfix refuses a client by his address: %r" % (way, bad))
        check("lost connection" not in gateway.log() and "fault=" not in gateway.log(), "%s: nothing went wrong" % way)


def login(folder):
    """XCLIENT comes in and goes out; Postfix knows the login."""
    front = "xclient from 127.0.0.1\nrelay to example.com"
    main = XCLIENT + "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_security_options =\nsmtpd_recipient_restrictions = permit_sasl_authenticated, reject\n"
    with servers.Postfix(folder, main=main) as postfix, \
            servers.Sallyport(folder, postfix.port, listen=front, backend_more="xclient yes") as gateway:
        with wire.Client(gateway.port) as client:
            check("XCLIENT NAME ADDR" in client.ehlo.text, "XCLIENT in: it is offered to a listed peer")
            reply = client.ask("XCLIENT NAME=mail.example.org ADDR=198.51.100.7 PORT=40007 HELO=helo.example.org "
                               "PROTO=ESMTP LOGIN=ann+2Bx")
            check(reply.code == 220, "XCLIENT in: it is greeted anew: %r" % reply)
            client.ask("EHLO front.example.org")
            reply = client.message(content("login"), "a@example.org", ["bob@example.com"])
        log = log_when(postfix, lambda text: "SASL" in text or "sasl_username=" in text)
        if reply.code != 250 and "SASL" in log:
            print("skipped: this Postfix has no SASL to take a login by: %r" % reply)
            return
        check(reply.code == 250, "XCLIENT in: the mail is taken: %r" % reply)
        check("client=mail.example.org[198.51.100.7]" in log, "XCLIENT in and out: Postfix's log has the client's name and address")
        check("sasl_username=ann+x" in log, "XCLIENT in and out: and the login")
        check((received(postfix).get("login") or [""])[0].startswith("helo.example.org "), "XCLIENT in and out: and the HELO name")


def forwarded(folder):
    """Postfix's log alone is told."""
    with servers.Postfix(folder, main=XFORWARD + "inet_protocols = all\n") as postfix, \
            servers.Sallyport(folder, postfix.port, listen=FRONT, backend_more="xforward yes") as gateway:
        replies = many(gateway.port)
        check(all(r.code == 250 for r in replies), "xforward: all mails are taken")
        postfix.mail()
        named = r"client=\S*\[127\.0\.0\.1\].* orig_client=\S*\[%s\]"
        missing = unlogged(log_when(postfix, lambda text: not unlogged(text, named)), named)
        check(not missing, "xforward: Postfix's log has orig_client= with each client's address twice %s" % (missing[:3] or ""))


def unauthorized(folder):
    """A Postfix that does not let itself be told gets no mail in the gateway's own name."""
    with servers.Postfix(folder) as postfix, \
            servers.Sallyport(folder, postfix.port, listen=FRONT, backend_more="xclient yes") as gateway:
        reply = send(gateway.port, "198.51.100.7", "never")
        check(reply.code == 451, "xclient not authorized: 451: %r" % reply)
        with contextlib.suppress(RuntimeError):
            servers.wait_until(lambda: "event=transaction" in gateway.log(), "the log line")
        check("fault=introduce" in gateway.log(), "xclient not authorized: the gateway's log says so")
        check(postfix.mail() == [], "xclient not authorized: Postfix has no mail")


def main():
    for i, (run, args) in enumerate([
            (told, ("xclient", "xclient yes", XCLIENT, True)),
            (told, ("proxy v1", "proxy protocol v1", PROXY, False)),
            (told, ("proxy v2", "proxy protocol v2", PROXY, False)),
            (forwarded, ()), (login, ()), (unauthorized, ())]):
        with servers.work_folder() as folder:
            run(folder, *args)
    print("%d wrong" % len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
