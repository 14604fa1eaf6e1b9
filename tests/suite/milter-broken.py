#!/usr/bin/python3
"""Each way of tests/milters/broken to break the protocol, at each command, through a gateway: 451 4.7.1 for the message and nothing
of it at the backend; then a message of a sender whom the milter is not asked about passes in the same session.

The clock runs fast, so that no five failures come within ten seconds of it: after those a milter would not be asked any more.
"""
import os
import subprocess
import sys

import capture
import servers
import wire
from miltering import MILTERS, Folder, Milter, need_milters

POLICY = """filter milter scan { socket "unix:%s" timeout 200s content_timeout 200s }
rules { scan : if mail.domain == "sender.example" filter scan
  accept }
"""
SCALE = "200"
COMMANDS = ["mail", "rcpt", "data", "header", "eoh", "body"]
# What is none of the protocol's business, and is done: an edit where edits belong; a second answer, which nobody has asked for
# any more.
GOOD = {("early-add", "end"), ("two-answers", "end")}
MESSAGE = b"Subject: hello\r\n\r\nhi\r\n"


def cases():
    """All at the end of the message, and each that is no edit at one more command, in turn."""
    listed = subprocess.run([os.path.join(MILTERS, "broken"), "-l"], capture_output=True, text=True, check=True).stdout
    turn = 0
    for kind, _, edit in (line.partition(" ") for line in listed.splitlines()):
        if kind == "optneg" or kind.startswith(("version", "optneg-")):
            if kind not in ("optneg", "optneg-steps"):  # these two are negotiations
                yield kind, "negotiate"
            continue
        if (kind, "end") not in GOOD:
            yield kind, "end"
        if not edit:
            yield kind, COMMANDS[turn % len(COMMANDS)]
            turn += 1


def say(client, command):
    """A message whose milter fails at command; the reply that says so."""
    for line, at in (("MAIL FROM:<a@sender.example>", ("mail", "negotiate")), ("RCPT TO:<b@example.com>", ("rcpt",)), ("DATA", ("data",))):
        reply = client.ask(line)
        if command in at:
            return reply
        if reply.code >= 400:
            raise AssertionError("%s was answered by %r" % (line, reply))
    client.send(MESSAGE + b".\r\n")
    return client.reply()


def faults(server, backend, command):
    before = len(backend.messages)
    with wire.Client(server.port) as client:
        reply = say(client, command)
        if reply.code != 451 or not reply.text.startswith("4.7.1 "):
            yield "answered by %r" % reply
        if len(backend.messages) != before:
            yield "the backend got %r" % backend.messages[-1]
        client.ask("RSET")
        reply = client.message(MESSAGE, "a@other.example", ["b@example.com"])
        if reply.code != 250 or len(backend.messages) != before + 1 or not backend.messages[-1].endswith(MESSAGE):
            yield "the next message: %r" % reply


def main():
    need_milters()
    failed = checked = 0
    backend = capture.Backend()
    with Folder() as folder:
        policy = POLICY % os.path.join(folder, "milter.sock")
        listen = "relay to example.com"
        with servers.Sallyport(folder, backend.port, listen=listen, more=policy, options=["--time-scale", SCALE]) as server:
            for kind, command in cases():
                with Milter(folder, "broken", kind, command):
                    wrong = list(faults(server, backend, command))
                checked += 1
                if wrong:
                    failed += 1
                    print("FAILED %s at %s: %s" % (kind, command, "; ".join(wrong)))
            log = server.log()
    backend.close()
    if "again and again" in log:
        failed += 1
        print("FAILED the milter was not asked any more: this has tested nothing")
    print("%d cases, %d failed" % (checked, failed))
    return failed != 0 or checked < 90


if __name__ == "__main__":
    sys.exit(main())
