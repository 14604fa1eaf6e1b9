#!/usr/bin/python3
"""signing-waits - what happens while a filter is signing: the client goes, time runs out, the gateway is to stop.

No message may be stored that was not acknowledged, and none be acknowledged without what the filter put on top.
"""
import os
import signal
import sys
import time

import capture
import explain

if "SALLYPORT_TEST_MODULES" not in os.environ:
    explain.skip("no SALLYPORT_TEST_MODULES: the folder of tests/modules as built")
os.environ["SALLYPORT_FILTER_PATH"] = "%s:%s" % (os.environ["SALLYPORT_FILTER_PATH"], os.environ["SALLYPORT_TEST_MODULES"])
servers, wire = capture.servers, capture.wire

MESSAGE = b"From: a@author.example\r\nSubject: x\r\n\r\n.text\r\n"
POLICY = "drain 100ms\nfilter waits { time %s }\nrules { accept }"


class Suite:
    """Counts what holds and what does not."""

    def __init__(self):
        self.passed = self.total = 0
        self.failures = []

    def check(self, what, good, detail=""):
        self.total += 1
        if good:
            self.passed += 1
        else:
            self.failures.append("%s: %r" % (what, detail))


def send(client, wait_for=None):
    """A message up to its final dot, with the reply still to come; wait_for: a gateway whose filter is to wait by then."""
    for line in ("MAIL FROM:<a@author.example>", "RCPT TO:<bob@example.com>", "DATA"):
        client.ask(line)
    client.send(wire.stuffed(MESSAGE) + b".\r\n")
    if wait_for is not None:
        servers.wait_until(lambda: "waiting" in wait_for.log(), "the filter to wait")


def check_waits(suite, folder):
    with capture.Gateway(folder, POLICY % "300ms") as gateway, wire.Client(gateway.server.port) as client:
        for n in range(2):
            send(client)
            reply = client.reply()
            stored = gateway.backend.messages[-1] if gateway.backend.messages else b""
            suite.check("message %d of a session is stored with what the filter put on top" % n,
                        reply.code == 250 and stored.startswith(b"Waited: 1\r\nReceived:") and stored.endswith(MESSAGE), stored)
        suite.check("once each", len(gateway.backend.messages) == 2, len(gateway.backend.messages))


def check_gone(suite, folder):
    with capture.Gateway(folder, POLICY % "500ms") as gateway:
        with wire.Client(gateway.server.port) as client:
            send(client, gateway)
        servers.wait_until(lambda: any("by=client" in line for line in gateway.log().splitlines()), "the client's end in the log")
        suite.check("the client has gone: nothing is stored", not gateway.backend.messages, gateway.backend.messages)
        reply, stored = gateway.pass_on(MESSAGE)
        suite.check("the next one is served", reply.code == 250 and stored is not None, reply)


def check_late(suite, folder):
    for setting, time_out, text in (("commit deadline 100ms", "300ms", "451"), ("filter budget 100ms", "300s", "451 4.3.0")):
        with capture.Gateway(folder, POLICY % time_out, setting) as gateway, wire.Client(gateway.server.port) as client:
            began = time.monotonic()
            send(client)
            reply = client.reply()
            suite.check(setting + ": deferred in time", repr(reply).startswith(text) and
                        time.monotonic() - began < 20, reply)
            suite.check(setting + ": nothing is stored", not gateway.backend.messages, gateway.backend.messages)


def check_stop(suite, folder):
    with capture.Gateway(folder, POLICY % "300s") as gateway, wire.Client(gateway.server.port) as client:
        send(client, gateway)
        gateway.server.process.send_signal(signal.SIGTERM)
        reply = client.reply()
        suite.check("stopped: deferred", repr(reply).startswith("451 4.3.2"), reply)
        suite.check("stopped: nothing is stored", not gateway.backend.messages, gateway.backend.messages)


def main():
    suite = Suite()
    with capture.work_folder() as folder:
        for check in (check_waits, check_gone, check_late, check_stop):
            check(suite, folder)
    explain.tally("signing-waits", suite.passed, suite.total, suite.failures)


if __name__ == "__main__":
    if "SALLYPORT" not in os.environ:
        sys.exit("SALLYPORT is not set: run this by ctest, or name the program and SALLYPORT_FILTER_PATH")
    main()
