#!/usr/bin/env python3
"""smuggling.py - Postfix stores as many messages as we gave 2xx, whatever stands in place of the end of data (S22).

Random strings over CR, LF, dot, NUL and x stand between two markers in the text of a message, which then ends as it should.
Where one of them ends the message, what follows it are commands; where none does, the message is one or is refused.
Each reply is held against a model of four lines, and Postfix's store against the replies.
"""
import collections
import json
import os
import random
import re
import sys
import threading

import servers
import wire

STRINGS = 20000
CONNECTIONS = 8
LONGEST = 12
ALPHABET = [b"\r", b"\n", b".", b"\0", b"x"]
SEED = int(os.environ.get("SALLYPORT_SEED", "20260101"))

LISTEN = """max errors 10000
max junk 100000
max connections per client 1000"""


def random_strings(count):
    dice = random.Random(SEED)
    for _ in range(count):
        text = b"".join(dice.choice(ALPHABET) for _ in range(dice.randint(0, LONGEST)))
        first, last = dice.choice([b"A", b"A\r\n", b""]), dice.choice([b"B", b"\r\nB"])
        yield first + text + last


def known_strings():
    """The collections of others, each also at the start of a line, and with a whole transaction behind it."""
    smuggled = b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\nSubject: evil\r\n\r\nevil"
    with open(os.path.join(servers.data_folder("smtp-smuggling"), "sequences.jsonl")) as f:
        for line in f:
            text = bytes.fromhex(json.loads(line)["bytes_hex"])
            for first in (b"A", b"A\r\n"):
                yield first + text + b"B"
                yield first + text + smuggled


def model(content):
    """The code that the message gets, and what is left of the content as commands."""
    end = (b"\r\n" + content).find(b"\r\n.\r\n")
    text, rest = content[:max(end, 0)], content[end + 3:]
    bare = re.search(rb"\r(?!\n)|(?<!\r)\n", text)
    return ("550 5.5.2" if bare else "550 5.6.0" if b"\0" in text else "250"), rest


class Sender(threading.Thread):
    """Sends its share of the cases over one connection at a time.

    A case ends with VRFY, the one command here that is answered with 252: what comes before belongs to the case.
    """

    def __init__(self, port, cases):
        super().__init__()
        self.port, self.cases = port, cases
        self.accepted = collections.Counter()
        self.failures = []
        self.client = None

    def run(self):
        for number, text in self.cases:
            try:
                self.case(number, text)
            except Exception as e:  # a test that dies must say so
                self.failures.append("%d %r: %r" % (number, text, e))
                self.client = None
        if self.client is not None:
            self.client.close()

    def case(self, number, text):
        content = b"Subject: %d\r\n\r\n%s\r\n.\r\n" % (number, text)
        wanted, rest = model(content)
        if self.client is None:
            self.client = wire.Client(self.port)
        self.client.send(b"MAIL FROM:<m%d@sender.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n" % number)
        opening = [self.client.reply().code for _ in range(3)]
        if opening != [250, 250, 354]:
            raise RuntimeError("envelope: %r" % opening)
        self.client.send(content + b"VRFY x\r\n")
        replies, whole = self.replies(rest)
        self.accepted[number] = len([r for r in replies if r.code == 250 and "queued" in r.text])
        if not replies or not repr(replies[0]).startswith(wanted):
            self.failures.append("%d %r: %s expected, %r received" % (number, text, wanted, replies))
        if not rest and len(replies) != 1:
            self.failures.append("%d %r: one reply expected, %r received" % (number, text, replies))
        if not whole and not rest:
            self.failures.append("%d %r: connection lost" % (number, text))

    def replies(self, rest):
        """The replies of one case, and whether the connection is still good."""
        replies = []
        try:
            while True:
                reply = self.client.reply()
                if reply.code == 252:
                    if rest:  # half a command may stand before the next one
                        self.client.close()
                        self.client = None
                    return replies, True
                replies.append(reply)
        except wire.Lost:
            self.client.close()
            self.client = None
            return replies, False


def compare(accepted, stored):
    found = collections.Counter()
    for message in stored:
        found[int(re.fullmatch(r"m(\d+)@sender\.example", wire.sent_by(message)).group(1))] += 1
    return ["%d: %d times 2xx, %d times stored" % (n, accepted[n], found[n])
            for n in sorted(set(accepted) | set(found)) if accepted[n] != found[n]]


def main():
    cases = list(enumerate(list(known_strings()) + list(random_strings(STRINGS))))
    with servers.work_folder() as folder, servers.Postfix(folder) as postfix, \
            servers.Sallyport(folder, postfix.port, listen=LISTEN) as gateway:
        senders = [Sender(gateway.port, cases[i::CONNECTIONS]) for i in range(CONNECTIONS)]
        for s in senders:
            s.start()
        for s in senders:
            s.join()
        stored = postfix.mail("bob", 120)
        strange = postfix.mail("ann")
    accepted = sum((s.accepted for s in senders), collections.Counter())
    failures = [f for s in senders for f in s.failures] + compare(accepted, stored)
    if strange:
        failures.append("%d messages were smuggled to ann" % len(strange))
    print("%d strings: %d times 2xx, %d messages stored (seed %d)"
          % (len(cases), sum(accepted.values()), len(stored), SEED))
    for failure in failures[:40]:
        print("FAILED " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
