#!/usr/bin/env python3
"""lmtp.py - Dovecot's LMTP over its unix socket: one recipient at a time, all together, and with PRDR each with his own reply."""
import os
import sys
import time

import peers_servers as kit
import servers
import wire

BOB, ANN, NOBODY, SENDER = "bob@example.com", "ann@example.com", "nobody@example.com", "a@sender.example"
failures = []


class Dovecot(kit.Dovecot):
    """The same server, on a unix socket besides."""

    def _write(self, name, text):
        if name == "dovecot.conf":
            text = text.replace("service lmtp {\n", "service lmtp {\n  unix_listener /peer/lmtp {\n    mode = 0666\n  }\n", 1)
        super()._write(name, text)

    @property
    def socket(self):
        return os.path.join(self.share, "lmtp")


def check(truth, what):
    print(("ok      " if truth else "FAILED  ") + what)
    if not truth:
        failures.append(what)


def boxes(dovecot, subject):
    return sorted(box for box, text in dovecot.messages() if b"\nSubject: %s\n" % subject.encode() in text)


def content(subject):
    return ("From: <%s>\r\nSubject: %s\r\n\r\n.a dot\r\n..two\r\n" % (SENDER, subject)).encode()


def one_at_a_time(port, dovecot):
    with wire.Client(port) as client:
        client.ask("MAIL FROM:<%s>" % SENDER)
        codes = [client.ask("RCPT TO:<%s>" % r).code for r in (NOBODY, BOB, ANN)]
        check(codes == [550, 250, 452], "one recipient at a time: %r" % codes)
        client.ask("DATA")
        reply = client.ask(wire.stuffed(content("single")).decode() + ".")
        check(reply.code == 250 and "Saved" in reply.text, "Dovecot's own words: %r" % reply)
    check(boxes(dovecot, "single") == ["bob"], "one mailbox has it")


def by_prdr(port, dovecot):
    with wire.Client(port) as client:
        check("PRDR" in client.ehlo.text, "PRDR is offered")
        reply = client.message(content("prdr"), SENDER, [BOB, ANN], " PRDR")
        check(reply.code == 353, "the reply to the dot: %r" % reply)
        replies = [client.reply() for _ in range(3)]
        check([r.code for r in replies] == [250, 250, 250] and all("Saved" in r.text for r in replies[:2]),
              "each recipient's reply, and the last: %r" % replies)
    check(boxes(dovecot, "prdr") == ["ann", "bob"], "both mailboxes have it, once")


def together(port, dovecot):
    with wire.Client(port) as client:
        reply = client.message(content("together"), SENDER, [BOB, ANN])
        check(reply.code == 250 and "Saved" in reply.text, "one reply for both: %r" % reply)
        check(client.ask("NOOP").code == 250, "no reply is left over")
    check(boxes(dovecot, "together") == ["ann", "bob"], "both mailboxes have it, once")


def policy(dovecot):
    """The listener that Sallyport() makes has no use here: each backend has one of its own."""
    ports = servers.free_port(), servers.free_port()
    text = ""
    for name, port, more in (("single", ports[0], ""), ("all", ports[1], "recipients together yes")):
        text += 'backend %s { address "unix:%s"  protocol lmtp  %s }\n' % (name, dovecot.socket, more)
        text += 'listen 127.0.0.1:%d { hostname "gateway.example.net"  backend %s  relay to example.com }\n' % (port, name)
    return ports, text + "rules { accept }"


def main():
    dovecot, began = None, time.monotonic()
    with servers.work_folder() as folder:
        try:
            packages = kit.Packages(os.environ.get("SALLYPORT_PEERS") or os.path.join(folder, "packages"))
            dovecot = Dovecot(folder, packages, kit.certificate(folder))
            dovecot.start()
            ports, more = policy(dovecot)
            with servers.Sallyport(folder, 9, more=more):
                one_at_a_time(ports[0], dovecot)
                by_prdr(ports[0], dovecot)
                together(ports[1], dovecot)
        except kit.Missing as e:
            servers.skip("Dovecot's LMTP: %s" % e)
        finally:
            if dovecot:
                dovecot.stop()
    print("%d failures in %.0f s" % (len(failures), time.monotonic() - began))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
