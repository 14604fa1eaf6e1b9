#!/usr/bin/env python3
"""spawn.py - many sessions by one filter program: answers out of order, messages side by side, a program that dies again and again;
and nothing that was started outlives the gateway, its policy or its need."""
import concurrent.futures
import contextlib
import glob
import os
import re
import signal
import smtplib
import sys
import time

import servers

CLIENTS, LINES = 24, 4000
KEPT = 256  # programs of one policy
PROGRAM = """import os, sys, time
def out(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()
def answers():
    for line in iter(sys.stdin.readline, ""):
        words = line.rstrip("\\n").split("|")
        if line == "config|ready\\n":
            for phase in %(phases)r.split():
                out("register|filter|smtp-in|" + phase)
            out("register|ready")
        elif words[0] == "filter":
            yield words[4], "|".join(words[5:7]), "|".join(words[7:])
def say(ids, text):
    out("filter-result|" + ids + "|" + text)
%(code)s
"""
# Answers only when all have asked, the last first.
REVERSED = """waiting = []
for what, ids, text in answers():
    waiting.append((ids, text))
    if len(waiting) == %d:
        for ids, text in reversed(waiting):
            say(ids, "reject|550 5.1.1 not " + text.partition("@")[0])
        waiting = []
""" % CLIENTS
# Gives each line back, changed, and at once.
CHANGED = """for what, ids, text in answers():
    out("filter-dataline|" + ids + "|" + (text + "!" if text.startswith("line") else text))
"""
DYING = """for what, ids, text in answers():
    if text == "die":
        os._exit(7)
    out("filter-dataline|" + ids + "|" + text) if what == "data-line" else say(ids, "proceed")
"""
# It has a child, and neither of them listens to anybody.
STUBBORN = """import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
for what, ids, text in answers():
    say(ids, "proceed")
while True:
    time.sleep(1)
"""


class Site:
    """The gateway with a program before a Maildir."""

    def __init__(self, folder, name, phases, code, more=""):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder)
        self.program, self.mail = os.path.join(self.folder, "filter.py"), os.path.join(self.folder, "mail")
        with open(self.program, "w") as f:
            f.write(PROGRAM % {"phases": phases, "code": code})
        rules = ('filter spawn use { command "/usr/bin/python3 %s" %s }\nbackend box { maildir "%s" }\n'
                 "workers 1\nrules { use : filter use  box : backend box  accept }" % (self.program, more, self.mail))
        self.gateway = servers.Sallyport(self.folder, 9, more=rules, listen="relay to example.com\nmax connections per client 100")

    def client(self):
        return smtplib.SMTP("127.0.0.1", self.gateway.port, "client.example.org", timeout=60)

    def running(self):
        """Process ids of the program, by its path."""
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                with open(path, "rb") as f:
                    if self.program.encode() in f.read().split(b"\0"):
                        found.append(int(path.split("/")[2]))
        return found

    def stored(self):
        found = []
        for path in glob.glob(self.mail + "/new/*"):
            with open(path) as f:
                found.append(f.read().replace("\r\n", "\n"))
        return found


def expect(ok, what):
    if not ok:
        raise RuntimeError(str(what)[-2000:])


def all_at_once(work):
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, range(CLIENTS)))


def out_of_order(folder):
    site = Site(folder, "order", "rcpt-to", REVERSED)

    def one(n):
        with site.client() as s:
            s.ehlo()
            s.mail("a@example.org")
            return s.rcpt("user%d@example.com" % n)
    with site.gateway:
        for n, (code, text) in enumerate(all_at_once(one)):
            expect(code == 550 and re.match(rb"5\.1\.1 not user%d\b" % n, text), (n, code, text))
        expect(len(site.running()) == 1, "one program for all: %s" % site.running())


def side_by_side(folder):
    site = Site(folder, "side", "data-line", CHANGED)

    def one(n):
        body = "".join("line %d of %d %s\r\n" % (i, n, "x" * (i % 60)) for i in range(LINES))
        with site.client() as s:
            return s.sendmail("a@example.org", ["bob@example.com"], "Subject: %d\r\n\r\n%s" % (n, body))
    with site.gateway:
        all_at_once(one)
        stored = site.stored()
        expect(len(stored) == CLIENTS, len(stored))
        for text in stored:
            n = int(re.search(r"^Subject: (\d+)$", text, re.M).group(1))
            body = "".join("line %d of %d %s!\n" % (i, n, "x" * (i % 60)) for i in range(LINES))
            expect(text.partition("\n\n")[2] == body, "message %d is not its own" % n)


def long_lines(folder):
    """What many say at once, in lines as long as there may be, waits for its turn: the program is not given up for it."""
    site = Site(folder, "long", "data-line", CHANGED)
    body = ("x" * 900000 + "\r\n") * 3

    def one(n):
        with site.client() as s:
            return s.sendmail("a@example.org", ["bob@example.com"], "Subject: %d\r\n\r\n%s" % (n, body))
    with site.gateway:
        all_at_once(one)
        expect(len(site.stored()) == CLIENTS, "each is stored")


def longest(folder):
    """A line as long as the gateway takes can be given back; one that cannot be shown defers its message, and the program lives on."""
    site = Site(folder, "longest", "data-line", CHANGED)
    with open(site.gateway.policy) as f:
        text = f.read()
    with open(site.gateway.policy, "w") as f:
        f.write(text.replace("relay to example.com", "relay to example.com\nmax line 8M"))
    with site.gateway, site.client() as s:
        for octets, code in ((1 << 20, 250), ((2 << 20) - 2, 250), ((2 << 20) + 10000, 451), ((4 << 20) - 200, 451), (10, 250)):
            s.ehlo_or_helo_if_needed()
            s.mail("a@example.org")
            s.rcpt("bob@example.com")
            got = s.data("Subject: x\r\n\r\n" + "x" * octets + "\r\n")
            expect(got[0] == code, (octets, got))
        expect(len(site.running()) == 1 and "given up" not in site.gateway.log(), site.gateway.log())


def dying(folder):
    site = Site(folder, "dying", "mail-from data-line commit", DYING)

    def one(n):
        good = 0
        with site.client() as s:
            s.ehlo()
            for i in range(12):
                code, _ = s.mail("a@example.org")
                if code == 250 and s.rcpt("bob@example.com")[0] == 250:
                    try:
                        last = "die" if (n, i) in ((0, 3), (1, 8)) else "live"
                        code, _ = s.data("Subject: %d-%d\r\n\r\n%s\r\n" % (n, i, last))
                        good += code == 250
                    except smtplib.SMTPDataError as e:  # refused before the message
                        code = e.smtp_code
                expect(code in (250, 451), code)
                s.rset()
                time.sleep(0.15)
        return good
    with site.gateway:
        good, stored = sum(all_at_once(one)), site.stored()
        expect(good == len(stored) and good > 0, "%d accepted, %d stored" % (good, len(stored)))
        expect(len(set(re.search(r"^Subject: (.*)$", t, re.M).group(1) for t in stored)) == good, "each once")
        expect(not any("\ndie\n" in text for text in stored), "what it died of is not stored")
        servers.wait_until(lambda: "ended by exit status 7 while it was needed" in site.gateway.log(), "it has died")


def too_many(folder):
    """One program more than may run: who wants it is told to come later."""
    site = Site(folder, "many", "", "")
    with open(site.gateway.policy) as f:
        text = f.read()
    with open(site.gateway.policy, "w") as f:
        f.write(re.sub(r"filter spawn use .*", 'filter policyd use { command "/bin/sleep 600" timeout 3s }', text)
                .replace("per client 100", "per client 1000"))
    with site.gateway, contextlib.ExitStack() as stack:
        clients = []
        for _ in range(KEPT + 4):
            clients.append(stack.enter_context(site.client()))
            clients[-1].ehlo()
            clients[-1].mail("a@example.org")
        for s in clients:
            s.putcmd("RCPT", "TO:<bob@example.com>")
        for s in clients:
            expect(s.getreply()[0] == 451, "each is deferred")
        servers.wait_until(lambda: "too many run already" in site.gateway.log(), "the limit is logged")


def ask(site):
    with site.client() as s:
        s.ehlo()
        expect(s.mail("a@example.org")[0] == 250, "it answers")


def nothing_left(folder):
    """Neither after the end of the gateway, nor after the violent end of its master."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        site = Site(folder, "left%d" % how, "mail-from", STUBBORN)
        with contextlib.ExitStack() as stack:
            if how == signal.SIGTERM:
                stack.enter_context(site.gateway)
            else:
                site.gateway.__enter__()
            ask(site)
            expect(len(site.running()) == 2, site.running())
            if how == signal.SIGKILL:
                site.gateway.process.kill()
                site.gateway.process.wait()
        servers.wait_until(lambda s=site: not s.running(), "all programs to end")


def keeper(site):
    """The process id of the keepers, children of the master."""
    pid = site.gateway.process.pid
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        children = [int(word) for word in f.read().split()]
    found = []
    for child in children:
        with contextlib.suppress(OSError):
            with open("/proc/%d/comm" % child) as f:
                found += [child] if f.read().strip() == "sallyport-keep" else []
    return found


def replaced(folder):
    """A keeper that is killed takes its programs with it, and another takes its place; after a reload the old one goes."""
    site = Site(folder, "replaced", "mail-from", STUBBORN)
    with site.gateway:
        ask(site)
        before = site.running()
        first = keeper(site)
        expect(len(first) == 1, first)
        os.kill(first[0], signal.SIGKILL)
        servers.wait_until(lambda: before[0] not in site.running(), "its programs to end")
        servers.wait_until(lambda: keeper(site) not in ([], first), "another keeper")
        servers.wait_until(lambda: answers(site), "the program to be had again")
        second = keeper(site)
        site.gateway.process.send_signal(signal.SIGHUP)
        servers.wait_until(lambda: "policy generation 1 -> 2" in site.gateway.log(), "the reload")
        servers.wait_until(lambda: len(keeper(site)) == 1 and keeper(site) != second, "the old keeper to go", 30)
        ask(site)
        log = site.gateway.log().replace("another takes its place", "")  # which was meant
        with open(site.gateway.log_path, "w") as f:
            f.write(log)
    servers.wait_until(lambda: not site.running(), "all programs to end")


def answers(site):
    with contextlib.suppress(RuntimeError):
        ask(site)
        return True


def main():
    with servers.work_folder() as folder:
        for job in (out_of_order, side_by_side, long_lines, longest, dying, too_many, nothing_left, replaced):
            began = time.monotonic()
            job(folder)
            print("%-14s ok, %.1f s" % (job.__name__, time.monotonic() - began))
    return 0


if __name__ == "__main__":
    sys.exit(main())
