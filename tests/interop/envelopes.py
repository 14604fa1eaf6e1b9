#!/usr/bin/env python3
"""envelopes.py - an envelope that a filter edits, and a message in quarantine, with a real Postfix that has heard the client's envelope first."""
import os
import sys

import servers
import wire

BOB, ANN, SENDER, OTHER = "bob@example.com", "ann@example.com", "a@sender.example", "srs0@gateway.example"
failures = []


def check(truth, what):
    print(("ok      " if truth else "FAILED  ") + what)
    if not truth:
        failures.append(what)


def check_log(gateway, texts, what):
    """The line comes a moment after the reply."""
    try:
        servers.wait_until(lambda: all(t in gateway.log() for t in texts), what)
        check(True, what)
    except RuntimeError:
        check(False, what)


def content(subject):
    return b"From: <a@sender.example>\r\nSubject: %s\r\n\r\n.text\r\n" % subject.encode()


def with_subject(messages, subject):
    return [m for m in messages if b"\nSubject: %s\n" % subject.encode() in m]


def gateway(folder, postfix, mover="", rules="accept", more=""):
    return servers.Sallyport(folder, postfix.port, listen="relay to example.com",
                             more="%s\nfilter mover { %s }\nrules { %s }" % (more, mover, rules))


def edited(folder, postfix):
    """bob goes, ann comes, and the sender is another: what Postfix files says so."""
    edits = 'sender "%s"  sender_params "RET=HDRS"  remove "%s"  add "%s"  add_params "NOTIFY=NEVER"' % (OTHER, BOB, ANN)
    with gateway(folder + "/edited", postfix, edits) as g, wire.Client(g.port) as client:
        for subject in ("edited once", "edited twice"):  # the second on the same connections
            reply = client.message(content(subject), SENDER, [BOB])
            check(reply.code == 250 and "queued as" in reply.text, "%s: %r" % (subject, reply))
        check_log(g, [" edits=~sender,+rcpt,-rcpt "], "the log has the edits")
        check_log(g, [" to=<%s> " % BOB, " from=<%s> " % SENDER], "and the envelope as the client gave it")
    for subject in ("edited once", "edited twice"):
        ann = with_subject(postfix.mail("ann"), subject)
        check(len(ann) == 1 and wire.sent_by(ann[0]) == OTHER, "%s: ann has it once, from the other sender" % subject)
        check(with_subject(postfix.mail("bob"), subject) == [], "%s: bob has it not" % subject)


def many(folder, postfix):
    """As many recipients as a transaction may have, and one more."""
    rcpts = ["bob+%d@example.com" % n for n in range(300)]
    with gateway(folder + "/many", postfix, 'add "%s"' % ANN) as g, wire.Client(g.port) as client:
        reply = client.message(content("many"), SENDER, rcpts)
        check(reply.code == 250, "300 recipients, and one that is added: %r" % reply)
    check(len(with_subject(postfix.mail("bob"), "many")) == 300, "bob has it 300 times")
    check(len(with_subject(postfix.mail("ann"), "many")) == 1, "and ann once")


def refused(folder, postfix):
    with gateway(folder + "/refused", postfix, 'add "nobody@example.com"') as g, wire.Client(g.port) as client:
        reply = client.message(content("refused"), SENDER, [BOB])
        check(repr(reply).startswith("451 4.3.0 "), "an added recipient that Postfix does not know: %r" % reply)
        check(client.message(content("refused"), SENDER, [BOB]).code == 451, "and so again")
        check_log(g, ["event=recipient", "to=nobody@example.com code=550"], "the log has Postfix's word")
    check(with_subject(postfix.mail("bob"), "refused") == [], "bob has nothing")


def nobody(folder, postfix):
    with gateway(folder + "/nobody", postfix, 'remove "*"') as g, wire.Client(g.port) as client:
        check(client.message(content("nobody"), SENDER, [BOB, ANN]).code == 250, "all recipients taken away")
        check_log(g, [" verdict=discard by=filter "], "the log says that it was thrown away")
    check(with_subject(postfix.mail("bob") + postfix.mail("ann"), "nobody") == [], "nobody has it")


def quarantine(folder, postfix):
    jail = os.path.join(folder, "jail")
    rules = 'held : if message.header("Subject") == "held"  quarantine jail\naccept'
    with gateway(folder + "/jail", postfix, "", rules, 'backend jail { maildir "%s" }' % jail) as g, wire.Client(g.port) as client:
        for subject in ("free before", "held", "free after"):
            check(client.message(content(subject), SENDER, [BOB]).code == 250, subject)
        check_log(g, [" quarantine=jail backend=sink "], "the log says where it went")
    bob = postfix.mail("bob")
    check([len(with_subject(bob, s)) for s in ("free before", "held", "free after")] == [1, 0, 1], "bob has the free ones")
    filed = os.listdir(os.path.join(jail, "new"))
    check(len(filed) == 1, "the folder has one message")
    for name in filed:
        with open(os.path.join(jail, "new", name), "rb") as f:
            text = f.read()
        check(text.startswith(b"Return-Path: <%s>\r\nDelivered-To: %s\r\nReceived: " % (SENDER.encode(), BOB.encode()))
              and text.endswith(content("held")), "as it came, behind its envelope")


def main():
    if not os.environ.get("SALLYPORT_TEST_MODULES"):
        servers.skip("no SALLYPORT_TEST_MODULES: the folder of tests/modules as built")
    os.environ["SALLYPORT_FILTER_PATH"] = os.environ["SALLYPORT_TEST_MODULES"]
    with servers.work_folder() as folder, servers.Postfix(folder) as postfix:
        for part in (edited, many, refused, nobody, quarantine):
            part(folder, postfix)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
