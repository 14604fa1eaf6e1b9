#!/usr/bin/env python3
"""mails.py - real mail arrives as it was sent.

Every message of two collections goes to the same Postfix twice: directly, and through Sallyport.  What Postfix stores
must be what was sent, but for the one Received field that Sallyport logs; where Postfix itself mends a malformed
message, both ways must give the same.  A message with a bare CR or LF, NUL, or a field name with a blank before
its colon must get the documented answer, and must not arrive.
"""
import collections
import json
import os
import re
import sys

import servers
import wire


def crlf(data):
    """A message of a collection as it goes over the wire: no mbox line, LF ends as CRLF."""
    data = re.sub(rb"\AFrom .*\n", b"", data)
    return re.sub(rb"(?<!\r)\n", b"\r\n", data)


def messages():
    folder = servers.data_folder("mail-spamassassin-shared")
    with open(os.path.join(folder, "labels.jsonl")) as f:
        names = [os.path.join(folder, json.loads(line)["file"]) for line in f]
    names = [n if os.path.exists(n) else n + ".txt" for n in names]
    folder = servers.data_folder("mime-mail-parser")
    for path, _, files in sorted(os.walk(folder)):
        names += [os.path.join(path, n) for n in sorted(files) if n.endswith(".eml")]
    for name in names:
        with open(name, "rb") as f:
            yield os.path.relpath(name, os.environ["SALLYPORT_DATA"]), crlf(f.read())


def documented(content):
    """The refusal that the manual promises for this message, or None."""
    if re.search(rb"\r(?!\n)|(?<!\r)\n", content):
        return "550 5.5.2"
    if b"\0" in content:
        return "550 5.6.0"
    if max(map(len, content.split(b"\r\n")), default=0) > 1 << 20:
        return "550 5.6.0"
    header = re.split(rb"\r\n\r\n|\A\r\n", content, 1)[0]
    for line in header.split(b"\r\n"):
        if re.match(rb"[ \t]|[!-9;-~]+:", line):
            continue
        return "550 5.6.0" if re.match(rb"[!-9;-~]*[ \t]+:|:", line) else None
    return None


def send_all(port, way, mails):
    answers = {}
    with wire.Client(port) as client:
        for i, (_, content) in enumerate(mails):
            answers[i] = client.message(content, "m%d.%s@sender.example" % (i, way), ["bob@example.com"])
    return answers


def sort_stored(stored):
    """{(way, number): [message, ...]}"""
    found = collections.defaultdict(list)
    for message in stored:
        m = re.fullmatch(r"m(\d+)\.(direct|gateway)@sender\.example", wire.sent_by(message))
        found[m.group(2), int(m.group(1))].append(message)
    return found


class Judge:
    def __init__(self, log):
        self.log = log
        self.count = collections.Counter()
        self.failures = []

    def fail(self, name, why):
        self.failures.append("%s: %s" % (name, why))

    def refused(self, name, answer, wanted, stored):
        self.count["refused with " + wanted] += 1
        if not repr(answer).startswith(wanted):
            self.fail(name, "%s expected, %r received" % (wanted, answer))
        if stored:
            self.fail(name, "refused, and stored all the same")

    def taken(self, name, content, direct, gateway):
        if len(direct) != 1 or len(gateway) != 1:
            self.fail(name, "stored %d times directly, %d times through the gateway" % (len(direct), len(gateway)))
            return
        original = content.replace(b"\r\n", b"\n")
        if original and not original.endswith(b"\n"):
            original += b"\n"
        plain, _ = wire.without_trace(direct[0], False)
        through, trace = wire.without_trace(gateway[0], True)
        if trace is None:
            self.fail(name, "our Received field is missing")
        elif not re.search(rb"with ESMTP id [0-9A-Z]+;?\s", trace):
            self.fail(name, "our Received field: %r" % trace)
        elif "tx=" + re.search(rb" id ([0-9A-Z]+)", trace).group(1).decode() + " " not in self.log:
            self.fail(name, "our Received field is not in the log: %r" % trace)
        if through == original:
            self.count["byte-identical"] += 1
        elif through == plain:
            self.count["mended by Postfix alike on both ways"] += 1
        else:
            at = len(os.path.commonprefix([through, original]))
            self.fail(name, "differs from octet %d on:\n  sent    %r\n  direct  %r\n  gateway %r"
                      % (at, original[at:at + 80], plain[at:at + 80], through[at:at + 80]))


def main():
    mails = list(messages())
    with servers.work_folder() as folder, servers.Postfix(folder) as postfix, \
            servers.Sallyport(folder, postfix.port) as gateway:
        send_all(postfix.port, "direct", mails)
        answers = send_all(gateway.port, "gateway", mails)
        found = sort_stored(postfix.mail())
        gateway.stop()  # so that its log is whole
        judge = Judge(gateway.log())
    for i, (name, content) in enumerate(mails):
        wanted = documented(content)
        direct, through = found["direct", i], found["gateway", i]
        if wanted is not None:
            judge.refused(name, answers[i], wanted, through)
        elif answers[i].code != 250:
            judge.fail(name, "250 expected, %r received" % answers[i])
        else:
            judge.taken(name, content, direct, through)
    print("%d messages: %s" % (len(mails), ", ".join("%d %s" % (n, what) for what, n in judge.count.most_common())))
    for failure in judge.failures:
        print("FAILED " + failure)
    return 1 if judge.failures else 0


if __name__ == "__main__":
    sys.exit(main())
