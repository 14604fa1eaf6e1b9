#!/usr/bin/env python3
"""reload.py - listeners at a reload and at the end: nobody is left waiting for a banner that never comes.

No mail is sent, so the backend is a port where nobody listens.
"""
import os
import resource
import signal
import socket
import sys
import time

import servers

PATIENCE = 20  # seconds


def workers_of(gateway):
    with open("/proc/%d/task/%d/children" % (gateway.process.pid, gateway.process.pid)) as f:
        return [int(pid) for pid in f.read().split()]


def first_line(connection):
    """What the server says first; "" if it closes without a word, "silence" if neither comes."""
    connection.settimeout(PATIENCE)
    try:
        return connection.recv(512).decode("latin-1")
    except socket.timeout:
        return "silence"
    except OSError:
        return ""


def whole_answer(connection):
    """All that the server says until it closes."""
    text = piece = first_line(connection)
    while piece and piece != "silence":
        piece = first_line(connection)
        text += piece
    return text


def try_port(port):
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            return first_line(connection)
    except ConnectionRefusedError:
        return "refused"


def reload_with(gateway, text, wanted):
    with open(gateway.policy, "a") as f:
        f.write(text)
    before = gateway.log().count(wanted)
    gateway.process.send_signal(signal.SIGHUP)
    servers.wait_until(lambda: gateway.log().count(wanted) > before, wanted)


def failed_reload_leaves_no_listener(gateway):
    port = servers.free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        reload_with(gateway, "listen 127.0.0.1:%d { }\nlisten 127.0.0.1:%d { }\n" % (port, other.getsockname()[1]),
                    "reload failed")
        answer = try_port(port)
    if answer != "refused":
        yield "a reload failed, and its listener stays: %r" % answer
    if not try_port(gateway.port).startswith("220"):
        yield "a reload failed, and the old listener is not served"


def old_workers_stay_until_new_ones_work(gateway):
    """The new workers cannot open what they need and end at once."""
    pid = gateway.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir("/proc/%d/fd" % pid)) + 1, hard))
    reload_with(gateway, "\n", "another takes its place")
    answers = [try_port(gateway.port) for _ in range(5)]
    if not all(a.startswith("220") for a in answers):
        yield "the workers of the new policy died, and nobody answers: %r" % answers
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    servers.wait_until(lambda: "generation 1 takes no new clients" in gateway.log(), "the old workers to leave")
    if not try_port(gateway.port).startswith("220"):
        yield "nobody answers after a reload"


def clients_in_the_queue_are_told(gateway):
    """They connected before the end, and no worker had accepted them yet."""
    with socket.create_connection(("127.0.0.1", gateway.port)) as busy:
        first_line(busy)
        busy.sendall(b"HELO x\r\n")
        busy.recv(512)
        busy.sendall(b"MAIL FROM:<a@example.org>\r\n")
        busy.recv(512)
        pids = workers_of(gateway)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        waiting = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(40)]
        gateway.process.send_signal(signal.SIGTERM)
        servers.wait_until(lambda: "stopping" in gateway.log(), "the end to begin")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        answers = [whole_answer(c) for c in waiting]
        for c in waiting:
            c.close()
        if not all("421 4.3.2" in a for a in answers):  # behind a banner, if it was accepted just before
            yield "clients in the queue were answered %r" % sorted(set(answers))
        servers.wait_until(lambda: try_port(gateway.port) == "refused", "new clients to be refused")
        busy.sendall(b"QUIT\r\n")


def main():
    failures = []
    for test in failed_reload_leaves_no_listener, old_workers_stay_until_new_ones_work, clients_in_the_queue_are_told:
        begun = time.monotonic()
        with servers.work_folder() as folder:
            gateway = servers.Sallyport(folder, servers.free_port())
            try:
                gateway.__enter__()
                failures += ["%s: %s" % (test.__name__, f) for f in test(gateway)]
            except RuntimeError as e:
                failures.append("%s: %s" % (test.__name__, e))
            finally:
                gateway.stop()
        print("%-40s %.1f s" % (test.__name__, time.monotonic() - begun))
    for failure in failures:
        print("FAILED " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
