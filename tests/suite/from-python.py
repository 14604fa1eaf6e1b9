#!/usr/bin/python3
"""from-python: where we say whose a From field is, the two readers of Python's library do not say that it is another's.

Values are drawn at random from what senders hide addresses with, once of ASCII and once with UTF-8 too; the draw is the same
each time.  The driver is unit_mailauth_mailbox, which stands beside the test modules.  A reader that gives up names nobody.
Names beyond ASCII are compared as A-labels.
"""
import email.policy
import email.utils
import os
import random
import subprocess

import explain

VALUES = 40000
OCTET = "\udcfc"  # 0xfc, which is no UTF-8
PIECES = ["a", "admin@legit.com", "x@evil.com", "<", ">", "(", ")", '"', "\\", ",", ":", ";", "@", ".", " ", "\r\n ", "\t",
          "legit.com", "evil.com", "=?utf-8?q?admin=40legit.com?=", "=?utf-8?b?PGFkbWluQGxlZ2l0LmNvbT4=?=", "Joe", "%", "!",
          "[192.0.2.1]", OCTET, "g:", "<admin@legit.com>", "<x@evil.com>", "(c)", '"q"', '""', "\0", "=?x?q?", "?=", "'"]
PIECES_UTF8 = ["\u03c7@\u03c0\u03b1\u03c1\u03ac\u03b4\u03b5\u03b9\u03b3\u03bc\u03b1.gr", "<\u0438\u0432\u0430\u043d@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444>",
               "\u7528\u6237@\u4f8b\u5b50.evil.com", "\u7528\u6237", "\xf6", "\xfc.com", "@\xfc.com", "\xa0", "\x85", "\xad", "\u037e", "\u200b",
               "\u202e", "\u2028", "\u2024", "\u3000", "\u3002", "\uff20", "\uff0e", "\uff0c", "\uff1c", "\uff1e", "\ufeff", "\u0338"]
OFTEN = {"admin@legit.com", "x@evil.com", "<", ">", "<admin@legit.com>", "<x@evil.com>", " ", "@"}


def folded(domain):
    try:
        return domain.lower() if domain.isascii() else domain.encode("idna").decode().lower()
    except UnicodeError:  # none: as it stands
        return domain.lower()


def domains_of(addresses):
    return {folded(a.rpartition("@")[2]) for a in addresses if a}


def by_utils(value):
    return domains_of(address for _, address in email.utils.getaddresses([value]))


def by_registry(value):
    try:
        return domains_of(a.addr_spec for a in email.policy.default.header_factory("From", value).addresses)
    except (AttributeError, IndexError, TypeError, ValueError):  # its own faults
        return set()


def drawn(pieces):
    draw = random.Random(1)
    weights = [4 if piece in OFTEN else 1 for piece in pieces]
    return ["".join(draw.choices(pieces, weights, k=draw.randint(1, 9))) for _ in range(VALUES)]


def main():
    driver = os.path.join(os.path.dirname(os.environ["SALLYPORT_TEST_MODULES"].rstrip("/")), "unit_mailauth_mailbox")
    if not os.path.exists(driver):
        explain.skip("no %s" % driver)
    values = drawn(PIECES) + drawn(PIECES + PIECES_UTF8)
    text = "".join("%s\n" % value.encode("utf-8", "surrogateescape").hex() for value in values)
    done = subprocess.run([driver, "drive"], input=text.encode(), capture_output=True, check=True, timeout=60)
    answers = done.stdout.decode().split("\n")[:-1]
    if len(answers) != len(values):
        raise SystemExit("%d answers to %d questions" % (len(answers), len(values)))
    ours = [(value, answer[2:]) for value, answer in zip(values, answers) if answer[0] == "0"]
    failures = ["%r: %s, but %r" % (value, domain, read(value.replace("\r\n", ""))) for value, domain in ours
                for read in (by_utils, by_registry) if read(value.replace("\r\n", "")) - {domain}]
    if len(ours) < VALUES // 50 or not any("xn--" in domain for _, domain in ours):
        failures.append("only %d of the values name somebody" % len(ours))
    explain.tally("from-python", len(ours) - len(failures), len(ours), failures)


if __name__ == "__main__":
    main()
