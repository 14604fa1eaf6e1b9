#!/usr/bin/env python3
"""restart.py - Postfix stops and starts while clients send: no 2xx is lost, no message is stored twice.

A message without a 2xx may be stored (once) only where our log says that the outcome was unknown.
"""
import collections
import re
import sys
import threading
import time

import servers
import wire

CLIENTS = 6
ROUNDS = 3


class Sender(threading.Thread):
    def __init__(self, port, number, stop):
        super().__init__()
        self.port, self.number, self.stop = port, number, stop
        self.answers = {}
        self.error = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.session()
        except Exception as e:  # a test that dies must say so
            self.error = e

    def session(self):
        """Seven messages over one connection, so that connections of all ages meet the restart."""
        with wire.Client(self.port) as client:
            for _ in range(7):
                key = "c%d.%d" % (self.number, len(self.answers))
                self.answers[key] = 0
                self.answers[key] = client.message(b"Subject: %s\r\n\r\n%s\r\n" % (key.encode(), b"x" * 3000),
                                                   key + "@sender.example", ["bob@example.com"]).code
                if self.answers[key] != 250:
                    client.ask("RSET")
                    time.sleep(0.02)


def disturb(postfix, senders):
    def taken():
        return sum(code == 250 for s in senders for code in list(s.answers.values()))

    for _ in range(ROUNDS):
        before = taken()
        servers.wait_until(lambda: taken() >= before + 50 or not all(s.is_alive() for s in senders), "50 more messages")
        postfix.stop()
        postfix.start()
    before = taken()
    servers.wait_until(lambda: taken() >= before + 50 or not all(s.is_alive() for s in senders), "mail after the last start")


def taken_by(messages):
    """How often Postfix took each message.

    A delivery that a stop cuts off is made again by Postfix itself: that is one message, with one queue id.
    """
    taken = {(wire.sent_by(m).split("@")[0], wire.queue_id(m)) for m in messages}
    return collections.Counter(key for key, _ in taken)


def judge(answers, stored, log):
    failures = []
    for key, code in answers.items():
        times = stored.pop(key, 0)
        if code == 250 and times != 1:
            failures.append("%s: 250, and stored %d times" % (key, times))
        elif code != 250 and times > 1:
            failures.append("%s: %d, and stored %d times" % (key, code, times))
        elif code != 250 and times == 1 and not re.search(r"from=<%s@.*(verdict=unknown|dup=possible)" % re.escape(key), log):
            failures.append("%s: %d, and stored, and the log does not say that the outcome is unknown" % (key, code))
        elif code != 250 and not 400 <= code <= 499:
            failures.append("%s: %d where only a temporary failure is true" % (key, code))
    return failures + ["%s: stored, and never sent" % key for key in stored]


def main():
    stop = threading.Event()
    with servers.work_folder() as folder, servers.Postfix(folder) as postfix, \
            servers.Sallyport(folder, postfix.port) as gateway:
        senders = [Sender(gateway.port, i, stop) for i in range(CLIENTS)]
        for s in senders:
            s.start()
        try:
            disturb(postfix, senders)
        finally:
            stop.set()
            for s in senders:
                s.join()
        stored = taken_by(postfix.mail())
        gateway.stop()
        log = gateway.log()
    answers = {k: v for s in senders for k, v in s.answers.items()}
    codes = collections.Counter(answers.values())
    failures = judge(answers, stored, log) + ["a sender died: %r" % s.error for s in senders if s.error]
    if not any(400 <= code <= 499 for code in codes):
        failures.append("Postfix was never missed: the test tests nothing")
    print("%d messages: %s" % (len(answers), ", ".join("%d times %d" % (n, code) for code, n in codes.most_common())))
    for failure in failures[:40]:
        print("FAILED " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
