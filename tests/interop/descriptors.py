#!/usr/bin/env python3
"""descriptors.py - SL05: clients that connect and reset, and more clients than there are descriptors.

What cannot be served is dropped, not left to spin on; who was there before is served on; afterwards all is as it was.
"""
import os
import socket
import struct
import sys

import model
import servers
import wire

DESCRIPTORS, CLIENTS, RESETS = 64, 200, 3000


def limited(folder):
    """A program that runs Sallyport with few descriptors."""
    path = os.path.join(folder, "few")
    with open(path, "w") as f:
        f.write('#!/bin/sh\nulimit -n %d\nexec "%s" "$@"\n' % (DESCRIPTORS, os.path.abspath(servers.sallyport_path())))
    os.chmod(path, 0o755)
    return path


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    return s


def greeted(s):
    try:
        return s.recv(3) == b"220"
    except OSError:
        return False


def reset(port):
    s = connect(port)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def mail(port, key):
    with wire.Client(port, timeout=20) as client:
        return client.message(b"Subject: %s\r\n\r\nx\r\n" % key.encode(), "%s@sender.example" % key, ["ok@example.com"]).code


def run(folder):
    failures = []
    backend = model.Backend()
    os.environ["SALLYPORT"] = limited(folder)
    with servers.Sallyport(folder, backend.port, listen="relay to example.com max connections per client 100000",
                           more="workers 1\nrules { accept }") as gateway:
        first = wire.Client(gateway.port, timeout=20)
        for _ in range(RESETS):
            reset(gateway.port)
        clients = [connect(gateway.port) for _ in range(CLIENTS)]
        served = sum(greeted(s) for s in clients)
        if not 20 <= served < DESCRIPTORS:
            failures.append("%d of %d clients served with %d descriptors" % (served, CLIENTS, DESCRIPTORS))
        if "out of file descriptors" not in gateway.log():
            failures.append("the log does not say that descriptors ran out")
        if first.ask("NOOP").code != 250:
            failures.append("who was there before is not served on")
        first.close()
        for s in clients:
            s.close()
        servers.wait_until(lambda: mail(gateway.port, "after") == 250, "mail to go through again")
        said = gateway.log().count("out of file descriptors")
        if said > 30:
            failures.append("%d lines about descriptors: once a second is enough" % said)
    if not backend.stored.get("after"):
        failures.append("the mail afterwards is not stored")
    print("%d of %d clients served with %d descriptors, %d resets before" % (served, CLIENTS, DESCRIPTORS, RESETS))
    return failures


def main():
    with servers.work_folder() as folder:
        failures = run(folder)
    for failure in failures:
        print("FAILED " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
