#!/usr/bin/env python3
"""recipients.py - a recipient that Postfix does not take is refused at RCPT, in Postfix's own words."""
import sys

import servers
import wire

MAIN_CF = """
smtpd_recipient_restrictions = check_recipient_access inline:{
    { full@example.com = 452 4.2.2 the mailbox is full; come back tomorrow }
    { gone@example.com = 550 5.1.6 she has moved to Lisbon }
  }
"""

ADDRESSES = ["nobody@example.com", "full@example.com", "gone@example.com", "stranger@example.net", "ann@sub.example.com"]
failures = []


def check(truth, what):
    if not truth:
        failures.append(what)


def same_words(postfix, gateway):
    with wire.Client(postfix.port) as direct, wire.Client(gateway.port) as through:
        for client in (direct, through):
            client.ask("MAIL FROM:<a@sender.example>")
        for address in ADDRESSES:
            theirs, ours = (c.ask("RCPT TO:<%s>" % address) for c in (direct, through))
            print("%-22s %r" % (address, ours))
            check(theirs.code >= 400, "Postfix takes %s: %r" % (address, theirs))
            check(repr(ours).startswith(repr(theirs)), "%s: Postfix says %r, we say %r" % (address, theirs, ours))
        check(through.ask("DATA").code == 554, "DATA without a recipient is not 554")


def one_of_three(gateway):
    """Two refused recipients take nothing from the third."""
    with wire.Client(gateway.port) as client:
        client.ask("MAIL FROM:<three@sender.example>")
        codes = [client.ask("RCPT TO:<%s>" % a).code
                 for a in ("nobody@example.com", "ann@example.com", "full@example.com")]
        check(codes == [550, 250, 452], "three recipients: %r" % codes)
        check(client.ask("DATA").code == 354, "DATA")
        check(client.ask("Subject: x\r\n\r\nx\r\n.").code == 250, "end of data")


def not_ours(postfix, folder):
    """What 'relay to' does not name is refused by us, and Postfix never hears of it."""
    with servers.Sallyport(folder + "/narrow", postfix.port, listen="relay to example.com") as gateway, \
            wire.Client(gateway.port) as client:
        client.ask("MAIL FROM:<a@sender.example>")
        reply = client.ask("RCPT TO:<hidden@elsewhere.example>")
        check(repr(reply).startswith("550 5.7.1 "), "not in 'relay to': %r" % reply)
    check("hidden@elsewhere" not in postfix.log(), "Postfix was asked about a domain that is not ours")


def main():
    with servers.work_folder() as folder, servers.Postfix(folder, MAIN_CF) as postfix, \
            servers.Sallyport(folder, postfix.port) as gateway:
        same_words(postfix, gateway)
        one_of_three(gateway)
        not_ours(postfix, folder)
        check(postfix.mail("bob") == [], "bob got mail")
        ann = postfix.mail("ann")
        check([wire.sent_by(m) for m in ann] == ["three@sender.example"], "ann got %r" % ann)
    for failure in failures:
        print("FAILED " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
