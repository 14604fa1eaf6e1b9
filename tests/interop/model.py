#!/usr/bin/env python3
"""model.py - random sessions against a reference automaton, and against a backend with faults (P05; I1 to I6, I8, I11).

Commands come alone and in groups, right and wrong, with every way in which a message can be refused at its end, and with
RSET, EHLO, QUIT and broken connections in between.  After every reply its class must be the automaton's, and in
the end the backend must have what was answered with 2xx, once and as it was sent, and have seen no DATA for what the gateway
refused.  The second part knows less about each reply, since its backend fails at random: it holds the three ledgers
(client, log, backend) against each other.
"""
import collections
import copy
import os
import random
import re
import socket
import struct
import sys
import threading
import time

import servers
import wire

SEED = int(os.environ.get("SALLYPORT_SEED", "20260101"))
SESSIONS, FAULT_SESSIONS, THREADS = 2000, 300, 10
ERRORS, JUNK, BAD_RCPTS = 7, 9, 5

LISTEN = """relay to example.com
max errors %d max junk %d max bad recipients %d
max message 8K max line 2000 max header 4K max hops 5
max connections per client 1000""" % (ERRORS, JUNK, BAD_RCPTS)

RULES = """rules {
  sender : if mail.domain == "refused.example" reject 550 5.7.1 "sender"
  rcpt   : if rcpt.local == "nobody" reject 550 5.7.1 "rcpt"
  header : if message.has_header("X-Refuse") reject 550 5.7.1 "header"
  eom    : if message.size > 3000 defer 451 4.7.1 "eom"
  accept
}"""


# ---- the reference automaton ------------------------------------------------------------------------

NEW, READY, MAIL, RCPT = "new", "ready", "mail", "rcpt"
ANY = {NEW, READY, MAIL, RCPT}
STATES = {"MAIL": {READY}, "RCPT": {MAIL, RCPT}, "DATA": {MAIL, RCPT}, "STARTTLS": {NEW, READY}}
JUNKS = {"RSET", "NOOP", "VRFY", "HELP"}
ENDS_GROUP = {"EHLO", "DATA", "STARTTLS"}

Command = collections.namedtuple("Command", "verb line good wish")


class Model:
    """What the gateway must answer: lists of reply classes."""

    def __init__(self):
        self.state, self.open, self.extended = NEW, True, False
        self.errors = self.junk = self.bad = self.strict = self.transactions = 0
        self.wish = {}

    def close(self, *classes):
        self.open = False
        return list(classes)

    def error(self):
        self.errors += 1
        return self.close(4) if self.errors > ERRORS else [5]

    def refused(self, code):
        self.bad += 1
        return [code]

    def step(self, c, last):
        if c.verb in JUNKS:
            self.junk += 1
            if self.junk > JUNK:
                return self.close(4)
        if c.verb in ENDS_GROUP and not last:
            return self.close(5)
        if self.state not in STATES.get(c.verb, ANY):
            return self.error()
        if c.verb == "RCPT" and self.bad >= BAD_RCPTS:
            return self.close(4)
        if c.verb == "RCPT" and self.bad >= BAD_RCPTS:
            return self.close(4)
        if not c.good:
            return self.error()
        return getattr(self, c.verb.lower().replace(" ", "_"), lambda c: [2])(c)

    def ehlo(self, c):
        self.state, self.extended = READY, c.line.startswith("E")
        return [2]

    def rset(self, _):
        self.state = READY if self.state != NEW else NEW
        return [2]

    def quit(self, _):
        return self.close(2)

    def refuses_to_talk(self, _):
        return self.close(5)

    def bare(self, _):
        reply = self.error()
        self.strict += self.open
        self.open = self.open and self.strict < 3
        return reply

    def mail(self, c):
        if "SIZE" in c.line and not self.extended:
            return self.error()
        self.transactions += 1
        if "policy" in c.wish:
            return [5]
        self.state, self.wish = MAIL, c.wish
        return [2]

    def rcpt(self, c):
        code = c.wish.get("own") or self.wish.get("mail") or c.wish.get("rcpt")
        if code:
            self.bad += 1
            return [code]
        self.state = RCPT
        return [2]

    def data(self, _):
        return [3] if self.state == RCPT else self.error()

    def message(self, own):
        """own: the class of the gateway's own refusal, or None."""
        code = own or self.wish.get("data") or self.wish.get("dot") or 2
        self.state = READY
        self.junk = 0 if code == 2 else self.junk
        return [code]


# ---- what is sent -----------------------------------------------------------------------------------

def wishes(dice):
    """What the backend is to answer, told to it by the sender's address."""
    if dice.random() < 0.55:
        return {}
    return {dice.choice(["mail", "data", "dot", "dot"]): dice.choice([4, 5])}


def make_mail(dice, key):
    wish = wishes(dice)
    local = ".".join([key] + ["%s%d" % w for w in wish.items()])
    kind = dice.random()
    if kind < 0.75:
        return Command("MAIL", "MAIL FROM:<%s@sender.example>%s" % (local, dice.choice(["", "", " SIZE=900"])), True, wish)
    if kind < 0.82:
        return Command("MAIL", "MAIL FROM:<%s@refused.example>" % local, True, {"policy": 5})
    wrong = ["MAIL FROM:<>x", "MAIL FROM:a@b", "MAIL", "MAIL FROM:<a@b> X=1", "MAIL FROM:<a@b> SIZE=9000", "MAIL FROM:<@x:a@b>",
             "MAIL FROM:<a b@c>", "MAIL FROM:<a@b> SIZE=1 SIZE=2", "MAIL TO:<a@b>"]
    return Command("MAIL", dice.choice(wrong), False, {})


def make_rcpt(dice):
    kind = dice.random()
    if kind < 0.65:
        return Command("RCPT", "RCPT TO:<ok@example.com>", True, {})
    if kind < 0.8:
        code = dice.choice([4, 5])
        return Command("RCPT", "RCPT TO:<rcpt%d@example.com>" % code, True, {"rcpt": code})
    if kind < 0.92:
        own = ["nobody@example.com", "a@elsewhere.example", "a%b@example.com", "b!a@example.com", "a@example.com.elsewhere.example"]
        return Command("RCPT", "RCPT TO:<%s>" % dice.choice(own), True, {"own": 5})
    wrong = ["RCPT TO:<>", "RCPT", "RCPT TO:<a@[127.0.0.1]>", "RCPT TO:<\"a\"@example.com>", "RCPT TO:<a@example.com> X",
             "RCPT TO:<a@example.com.>", "RCPT FROM:<a@example.com>"]
    return Command("RCPT", dice.choice(wrong), False, {})


def make_other(dice):
    good = [("EHLO", "EHLO client.example.org"), ("EHLO", "helo x"), ("RSET", "RSET"), ("NOOP", "noop really"),
            ("VRFY", "VRFY \xe9"), ("HELP", "HELP"), ("DATA", "DATA"), ("DATA", "DATA"), ("RSET", "rset")]
    bad = [("EHLO", "EHLO"), ("EHLO", "EHLO a b"), ("RSET", "RSET x"), ("VRFY", "VRFY"), ("DATA", "DATA x"), ("EXPN", "EXPN x"),
           ("AUTH", "AUTH PLAIN AAAA"), ("FOO", "FOO bar"), ("FOO", ""), ("STARTTLS", "STARTTLS"), ("FOO", "MAILFROM:<a@b>"),
           ("LINE", "NOOP\nNOOP"), ("LINE", "x" * 3000)]
    last = [("QUIT", "QUIT"), ("REFUSES TO TALK", "BDAT +5 LAST"), ("REFUSES TO TALK", "GET / HTTP/1.1"), ("BARE", "NOOP\rNOOP"),
            ("BARE", "NO\0OP")]
    kind = dice.random()
    verb, line = dice.choice(good if kind < 0.55 else bad if kind < 0.93 else last)
    return Command(verb, line, kind < 0.55 or kind >= 0.93, {})


def make_group(dice, model, key):
    """Commands that are sent at once: mostly such as fit the state."""
    model, group = copy.copy(model), []
    for n in range(dice.choice([1, 1, 2, 3, 4, 6])):
        if dice.random() < 0.3:
            c = make_other(dice)
        elif model.state == NEW:
            c = Command("EHLO", "EHLO client.example.org", True, {})
        elif model.state in (READY, MAIL) and model.extended and dice.random() < 0.05:
            c = Command("BDAT", "BDAT 12 LAST\r\nQUIT\r\nQUIT\r\n", False, {})  # out of place: no command in it is one
        elif model.state == READY:
            c = make_mail(dice, "%s-%d" % (key, n))
        elif model.state == MAIL or dice.random() < 0.4:
            c = make_rcpt(dice)
        else:
            c = Command("DATA", "DATA", True, {})
        group.append(c)
        if c.line == "NOOP\nNOOP":  # the second half is a command of its own
            group[-1:] = [Command("LINE", "NOOP\n", False, {}), Command("NOOP", "NOOP", True, {})]
        model.step(c, True)
        if c.verb in ENDS_GROUP and dice.random() < 0.95:
            break
    return group


def wire_of(group):
    return b"".join(c.line.encode("latin-1") + (b"" if c.line.endswith("\n") else b"\r\n") for c in group)


# How a message is refused, by the gateway itself: its content, and the class of the reply.
REFUSALS = [
    (b"Subject: %s\r\n\r\nx\ny\r\n", 5), (b"Subject: %s\r\n\r\nx\ry\r\n", 5), (b"Subject: %s\r\n\r\nx\0y\r\n", 5),
    (b"Subject: %s\r\n\r\nx\n.\r\nMAIL FROM:<evil@sender.example>\r\n", 5), (b"Subject: %s\n\r\nx\r\n", 5),
    (b"Subject: %s\r\n\r\n" + b"0123456789\r\n" * 750, 5), (b"Subject: %s\r\n\r\n" + b"y" * 2001 + b"\r\n", 5),
    (b"Subject : %s\r\n\r\nx\r\n", 5), (b"Received: x\r\n" * 6 + b"Subject: %s\r\n\r\nx\r\n", 5),
    (b"X: " + b"y" * 1900 + b"\r\nY: " + b"y" * 1900 + b"\r\nSubject: %s\r\nZ: " + b"z" * 400 + b"\r\n\r\nx\r\n", 5),
    (b"X-Refuse: yes\r\nSubject: %s\r\n\r\nx\r\n", 5), (b"Subject: %s\r\n\r\n" + b"0123456789\r\n" * 260, 4),
]
GOOD = [b"Subject: %s\r\n\r\nx\r\n", b"Subject: %s\r\n", b"Subject: %s\r\n\r\n.x\r\n..\r\n\r\n. \r\n", b"Subject: %s\r\n\r\n" + b"z" * 1990 + b"\r\n"]


def make_message(dice, key):
    """The content before dots are stuffed, and the class of the gateway's own refusal or None."""
    if dice.random() < 0.5:
        return dice.choice(GOOD) % key.encode(), None
    template, code = dice.choice(REFUSALS)
    return template.replace(b"%s", key.encode()), code


# ---- the backend ------------------------------------------------------------------------------------

class Gone(Exception):
    """The connection of the backend has ended, by either side."""


class Backend:
    """Answers as the envelope asks; with faults, often otherwise. It notes all that it has seen and said."""

    def __init__(self, fault=None):
        self.fault = fault or (lambda stage: None)
        self.lock = threading.Lock()
        self.stored = collections.defaultdict(list)  # by Subject
        self.seen_data = collections.Counter()       # by sender
        self.said = collections.defaultdict(set)     # by sender: (stage, class)
        self.errors = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection, connection.makefile("rb") as lines:
                Conversation(self, connection, lines).run()
        except (OSError, Gone):
            pass
        except Exception as e:  # a test that dies must say so
            self.errors.append(repr(e))


class Conversation:
    def __init__(self, backend, connection, lines):
        self.backend, self.connection, self.lines = backend, connection, lines
        self.sender = ""

    def say(self, text):
        self.connection.sendall(text.encode() + b"\r\n")

    def reply(self, stage, code, text="ok"):
        """One reply, or what goes wrong instead of it.  True if it was given as meant."""
        fault = self.backend.fault(stage)
        if fault in (None, "4xx", "5xx", "421"):
            code = code if fault is None else {"4xx": 451, "5xx": 554, "421": 421}[fault]
            with self.backend.lock:
                self.backend.said[self.sender].add((stage, 4 if code == 421 else code // 100))
            self.say("%d %s" % (code, text))
            if fault == "421":
                raise Gone
            return fault is None
        self.spoil(fault, stage)
        return False

    def spoil(self, fault, stage):
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault == "silence":
            while self.connection.recv(4096):
                pass
        elif fault == "garbage":
            garbage = ["250-one\r\n251 two", "what?", "99 low", "", "250\0ok\r\n250 again", "600 high", "x" * 70000]
            self.say(random.choice(garbage + (["354 go"] if stage != "data" else ["250 ok"])))
            return
        raise Gone

    def run(self):
        self.reply("banner", 220)
        while True:
            line = self.lines.readline()
            if not line:
                raise Gone
            if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
                self.backend.errors.append("a line that is none: %r" % line)
            self.command(line.decode("latin-1").rstrip("\r\n"))

    def command(self, line):
        verb = line[:4].upper()
        if verb == "EHLO":
            self.say("250-backend\r\n250-PIPELINING\r\n250 8BITMIME") if random.random() < 0.8 else self.reply("ehlo", 250)
        elif verb == "HELO":
            self.reply("ehlo", 250)
        elif verb == "MAIL":
            self.sender = line[len("MAIL FROM:<"):line.index(">")]
            self.reply("mail", {"4": 450, "5": 550}.get(self.wish("mail"), 250))
        elif verb == "RCPT":
            self.reply("rcpt", {"4": 450, "5": 550}.get("".join(re.findall(r"<rcpt(\d)@", line)), 250))
        elif verb == "DATA":
            self.data()
        elif verb in ("RSET", "NOOP"):
            self.say("250 ok")
        elif verb == "QUIT":
            self.say("221 bye")
            raise Gone
        else:
            self.backend.errors.append("an unknown command: %r" % line)
            self.say("500 what?")

    def wish(self, stage):
        return "".join(re.findall(r"\.%s(\d)" % stage, self.sender))

    def data(self):
        with self.backend.lock:
            self.backend.seen_data[self.sender] += 1
        code = {"4": 451, "5": 554}.get(self.wish("data"), 354)
        if not self.reply("data", code, "go on") or code != 354:
            return
        content = []
        while True:
            line = self.lines.readline()
            if not line.endswith(b"\r\n"):
                raise Gone  # without a dot
            if line == b".\r\n":
                break
            content.append(line[1:] if line.startswith(b".") else line)
        self.end_of_data(b"".join(content))

    def end_of_data(self, content):
        code = {"4": 452, "5": 554}.get(self.wish("dot"), 250)
        fault = self.backend.fault("dot")
        keeps = code == 250 and (fault is None or (fault in ("close", "reset", "silence", "garbage") and random.random() < 0.5))
        if keeps:
            with self.backend.lock:
                self.backend.stored[re.search(rb"(?m)^Subject: (\S+)", content).group(1).decode()].append(content)
        if fault is None:
            with self.backend.lock:
                self.backend.said[self.sender].add(("dot", code // 100))
            self.say("%d done" % code)
            return
        with self.backend.lock:
            self.backend.said[self.sender].add(("dot", {"4xx": 4, "421": 4, "5xx": 5}.get(fault, 0)))
        if fault in ("4xx", "5xx", "421"):
            self.say({"4xx": "451 no", "421": "421 no", "5xx": "554 no"}[fault])
        else:
            self.spoil(fault, "dot")
        if fault == "421":
            raise Gone


# ---- sessions with the automaton --------------------------------------------------------------------

class Wrong(Exception):
    """A reply that is not the model's."""


class Session:
    def __init__(self, port, number):
        self.dice = random.Random("%d %d" % (SEED, number))
        self.key = "k%d" % number
        self.model = Model()
        self.client = wire.Client(port, helo=None, timeout=30)
        self.history = []
        self.groups = 0
        self.messages = {}  # by key: content, its sender, what must have come of it

    def expect(self, classes, what):
        for wanted in classes:
            try:
                got = self.client.reply()
            except wire.Lost as e:
                raise Wrong("%s: %d expected, connection lost: %s" % (what, wanted, e)) from e
            if got.code // 100 != wanted:
                raise Wrong("%s: class %d expected, got %r" % (what, wanted, got))
        if not self.model.open:
            try:
                raise Wrong("%s: close expected, got %r" % (what, self.client.reply()))
            except wire.Lost:
                pass

    def run(self):
        step = 0
        self.expect([2] if self.client.banner.code != 220 else [], "banner")
        while self.model.open and step < 14:
            step += 1
            if self.dice.random() < 0.02:
                break
            message = self.send(self.group())
            while message and self.model.open:
                message = self.upload(message)
            if self.model.open and self.model.state == RCPT and self.model.extended and self.dice.random() < 0.4:
                self.by_chunks(re.match(r"[^.@]+", self.sender).group())
        if self.dice.random() < 0.3:
            self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()

    def group(self):
        self.groups += 1
        return make_group(self.dice, self.model, "%s-%d" % (self.key, self.groups))

    def send(self, group, front=b"", first=()):
        """Sends a group, reads its replies; returns a message's key if 354 was the last of them."""
        self.history.append((bool(front), [c.line for c in group]))
        self.client.send(front + wire_of(group))
        for code, what in first:
            self.expect(code, what)
        classes = []
        for n, c in enumerate(group):
            last = n == len(group) - 1
            classes = self.model.step(c, last)
            if c.verb == "MAIL" and c.good and classes == [2]:
                self.sender = c.line[len("MAIL FROM:<"):c.line.index(">")]
            self.expect(classes, "%r in %r" % (c.line[:60], [g.line[:40] for g in group]))
            if not self.model.open:
                break
        return re.match(r"[^.@]+", self.sender).group() if classes == [3] else ""

    def upload(self, key):
        content, own = make_message(self.dice, key)
        self.history.append((key, own))
        data = content if own else wire.stuffed(content)
        if self.dice.random() < 0.04:
            return self.break_off(key, content, data)
        expected = self.model.message(own)
        self.messages[key] = (content, self.sender, own, int(expected == [2]), 1)
        pieces = self.pieces(data + b".\r\n")
        for piece in pieces[:-1]:
            self.client.send(piece)
        if self.dice.random() < 0.3:
            return self.send(self.group(), pieces[-1], [(expected, "message %r" % content[:60])])
        self.client.send(pieces[-1])
        self.expect(expected, "message %r" % content[:60])
        return ""

    def by_chunks(self, key):
        """The same by BDAT; of what is too big the chunk that is too many is the last."""
        content, own = make_message(self.dice, key)
        self.history.append((key, "chunks", own))
        cuts = [5000] if len(content) > 8192 else sorted(self.dice.randrange(len(content)) for _ in range(self.dice.randrange(4)))
        parts = [content[a:b] for a, b in zip([0] + cuts, cuts + [len(content)])]
        data = b"".join(b"BDAT %d%s\r\n%s" % (len(p), b" LAST" if n == len(cuts) else b"", p) for n, p in enumerate(parts))
        if self.dice.random() < 0.04:
            self.client.send(data[:-2])
            self.messages[key] = (content, self.sender, 5, 0, 0)
            self.model.open = False
            return
        for piece in self.pieces(data):
            self.client.send(piece)
        self.expect([2] * len(cuts), "chunks of %r" % content[:60])
        expected = self.model.message(own)
        self.messages[key] = (content, self.sender, own, int(expected == [2]), 1)
        self.expect(expected, "message in chunks %r" % content[:60])

    def pieces(self, data):
        if self.dice.random() < 0.6:
            return [data]
        cuts = sorted(self.dice.randrange(1, len(data)) for _ in range(3))
        return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]

    def break_off(self, key, content, data):
        """In the middle of the content: nothing may be stored; behind the dot: it may, once."""
        whole = self.dice.random() < 0.5
        self.client.send(data + b".\r\n" if whole else data[:-2])
        self.messages[key] = (content, self.sender, 5 if not whole else None, 0, int(whole))
        self.model.open = False
        return ""


def play(port, numbers, results):
    for number in numbers:
        session = None
        try:
            session = Session(port, number)
            session.run()
        except Wrong as e:
            results.failures.append("session %d: %s; it was %r" % (number, e, session.history[-6:]))
        except Exception as e:  # a test that dies must say so
            results.failures.append("session %d died: %r; it was %r" % (number, e, session and session.history[-6:]))
        if session is not None:
            session.client.close()
            results.messages.update(session.messages)
            results.transactions += session.model.transactions


class Results:
    def __init__(self):
        self.failures, self.messages, self.transactions = [], {}, 0


def in_threads(work, port, count):
    results = [Results() for _ in range(THREADS)]
    threads = [threading.Thread(target=work, args=(port, range(n, count, THREADS), r)) for n, r in enumerate(results)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    whole = Results()
    for r in results:
        whole.failures += r.failures
        whole.messages.update(r.messages)
        whole.transactions += r.transactions
    return whole


def same_bytes(sent, stored):
    """What is stored is what was sent, below our trace field."""
    name, whole, rest = wire.field(stored)
    return name == b"Received" and b"(Sallyport)" in whole and rest == sent


def judge_model(results, backend, log):
    failures = results.failures + backend.errors
    for key, (content, sender, own, least, most) in results.messages.items():
        stored = backend.stored.pop(key, [])
        if not (least <= len(stored) <= (most if least == 0 and not own else least)):
            failures.append("%s: stored %d times, answered %s" % (key, len(stored), "2xx" if least else "otherwise"))
        if any(not same_bytes(content, s) for s in stored):
            failures.append("%s: stored is %r, sent %r" % (key, stored[0][-200:], content[-200:]))
        if own and backend.seen_data[sender]:
            failures.append("%s: refused by the gateway, and the backend saw DATA" % key)
        if backend.seen_data[sender] > 1:
            failures.append("%s: %d times DATA" % (key, backend.seen_data[sender]))
    failures += ["%s: stored, and never sent" % key for key in backend.stored]
    logged = len(re.findall(r"event=transaction ", log))
    if logged != results.transactions:
        failures.append("%d transactions in the log, %d were begun" % (logged, results.transactions))
    return failures


def run_model(folder):
    backend = Backend()
    with servers.Sallyport(folder, backend.port, listen=LISTEN, more=RULES) as gateway:
        begun = time.monotonic()
        results = in_threads(play, gateway.port, SESSIONS)
        seconds = time.monotonic() - begun
        gateway.stop()
        log = gateway.log()
        status = gateway.process.returncode
    stored = sum(len(s) for s in backend.stored.values())
    failures = judge_model(results, backend, log) + (["Sallyport ended with status %d" % status] if status else [])
    if stored < SESSIONS / 10:
        failures.append("only %d messages stored: the test tests little" % stored)
    print("%d sessions in %.0f s: %d transactions, %d messages, %d stored (seed %d)"
          % (SESSIONS, seconds, results.transactions, len(results.messages), stored, SEED))
    return failures


# ---- sessions with a backend that fails -------------------------------------------------------------

class Faults:
    """One fault in about so many replies, of every kind."""
    KINDS = ["close", "reset", "4xx", "5xx", "421", "garbage", "silence"]

    def __init__(self, one_in):
        self.dice, self.one_in, self.lock, self.count = random.Random(SEED), one_in, threading.Lock(), collections.Counter()

    def __call__(self, stage):
        with self.lock:
            if self.dice.randrange(self.one_in * (3 if stage in ("banner", "ehlo") else 1)):
                return None
            kind = self.dice.choice(self.KINDS)
            self.count[stage, kind] += 1
            return kind


def one_message(client, key, replies):
    """MAIL, two RCPTs, DATA, message; replies gets the classes by stage."""
    client.send(b"MAIL FROM:<%s@sender.example>\r\nRCPT TO:<ok@example.com>\r\nRCPT TO:<rcpt5@example.com>\r\nDATA\r\n" % key.encode())
    replies["mail"] = client.reply().code
    replies["rcpt"] = client.reply().code
    replies["rcpt5"] = client.reply().code
    if client.reply().code != 354:
        return
    client.send(wire.stuffed(b"Subject: %s\r\n\r\n.text of %s\r\n" % (key.encode(), key.encode())) + b".\r\n")
    replies["sent"] = 1
    replies["dot"] = client.reply().code


def play_faults(port, numbers, results):
    for number in numbers:
        replies = {}
        try:
            with wire.Client(port, timeout=30) as client:
                for n in range(3):
                    replies = results.messages["f%d-%d" % (number, n)] = {}
                    one_message(client, "f%d-%d" % (number, n), replies)
                    client.ask("RSET")
        except wire.Lost:
            pass  # by a time-out of ours, which runs fast here
        except Exception as e:  # a test that dies must say so
            results.failures.append("session %d died: %r" % (number, e))


def judge_fault(key, replies, backend, log_line):
    sender, stored = key + "@sender.example", backend.stored.pop(key, [])
    said, dot = backend.said[sender], replies.get("dot", 0) // 100
    unsure = re.search(r"verdict=unknown|dup=possible", log_line) is not None
    content = b"Subject: %s\r\n\r\n.text of %s\r\n" % (key.encode(), key.encode())
    if dot == 2 and (("dot", 2) not in said or len(stored) != 1):
        yield "2xx, the backend said %r and stored %d (I1, I5)" % (said, len(stored))
    if dot != 2 and len(stored) > int(unsure):
        yield "%r, and stored %d times; the log: %s (I5)" % (replies, len(stored), log_line)
    if any(not same_bytes(content, s) for s in stored):
        yield "stored is %r (I3)" % stored
    if len([s for s in said if s[0] == "dot"]) > 1 or len(stored) > 1:
        yield "more than one dot: %r (I4)" % said
    if dot == 5 and not said & {("data", 5), ("dot", 5)}:
        yield "5xx to the dot, the backend said %r (I8)" % said
    if replies.get("rcpt", 0) // 100 == 2 and ("rcpt", 2) not in said:
        yield "2xx to RCPT, the backend said %r (I8)" % said
    if 5 in (replies.get("rcpt", 0) // 100, replies.get("rcpt5", 0) // 100) and not said & {("mail", 5), ("rcpt", 5)}:
        yield "5xx to RCPT, the backend said %r (I8)" % said
    if replies.get("rcpt5", 0) // 100 == 2:
        yield "2xx to a recipient that is always refused (I8)"


def judge_faults(results, backend, log):
    lines = {m.group(1): m.group(0) for m in re.finditer(r"event=transaction .*from=<(f[^@]*)@.*", log)}
    failures = results.failures + backend.errors
    for key, replies in results.messages.items():
        failures += ["%s: %s" % (key, f) for f in judge_fault(key, replies, backend, lines.get(key, ""))]
        if replies.get("sent") and key not in lines:
            failures.append(key + ": no line in the log")
    return failures + ["%s: stored, and never sent (I6)" % key for key in backend.stored]


def run_faults(folder):
    faults = Faults(9)
    backend = Backend(faults)
    with servers.Sallyport(folder, backend.port, listen=LISTEN.replace("max errors 7", "max errors 1000"),
                           backend_more="reply timeout 30s", options=["--time-scale", "100"]) as gateway:
        begun = time.monotonic()
        results = in_threads(play_faults, gateway.port, FAULT_SESSIONS)
        seconds = time.monotonic() - begun
        gateway.stop()
        log = gateway.log()
        status = gateway.process.returncode
    codes = collections.Counter(r.get("dot", 0) // 100 for r in results.messages.values())
    failures = judge_faults(results, backend, log) + (["Sallyport ended with status %d" % status] if status else [])
    if min(codes[2], codes[4], codes[5]) < 5:
        failures.append("too few of one class: the test tests little")
    print("%d sessions in %.0f s with %d faults of %d kinds: messages answered %s (seed %d)" % (
        FAULT_SESSIONS, seconds, sum(faults.count.values()), len(faults.count),
        ", ".join("%dxx %d times" % c for c in sorted(codes.items())), SEED))
    return failures


def main():
    failures = []
    with servers.work_folder() as folder:
        failures += run_model(os.path.join(folder, "model"))
        failures += run_faults(os.path.join(folder, "faults"))
    for failure in failures[:20]:
        print("FAILED " + failure[:1000])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
