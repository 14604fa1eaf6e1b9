#!/usr/bin/python3
"""from-python: where we say whose a From field is, the two readers of Python's library do not say that it is another's.

Values are drawn at random from what senders hide addresses with; the draw is the same each time.  The driver is
unit_mailauth_mailbox, which stands beside the test modules.  A reader that gives up names nobody.
"""
import email.policy
import email.utils
import os
import random
import subprocess

import explain

VALUES = 40000
PIECES = ["a", "admin@legit.com", "x@evil.com", "<", ">", "(", ")", '"', "\\", ",", ":", ";", "@", ".", " ", "\r\n ", "\t",
          "legit.com", "evil.com", "=?utf-8?q?admin=40legit.com?=", "=?utf-8?b?PGFkbWluQGxlZ2l0LmNvbT4=?=", "Joe", "%", "!",
          "[192.0.2.1]", "\xfc", "g:", "<admin@legit.com>", "<x@evil.com>", "(c)", '"q"', '""', "\0", "=?x?q?", "?=", "'"]
OFTEN = {"admin@legit.com", "x@evil.com", "<", ">", "<admin@legit.com>", "<x@evil.com>", " ", "@"}


def domains_of(addresses):
    return {a.rpartition("@")[2].lower() for a in addresses if a}


def by_utils(value):
    return domains_of(address for _, address in email.utils.getaddresses([value]))


def by_registry(value):
    try:
        return domains_of(a.addr_spec for a in email.policy.default.header_factory("From", value).addresses)
    except (AttributeError, IndexError, TypeError, ValueError):  # its own faults
        return set()


def main():
    driver = os.path.join(os.path.dirname(os.environ["SALLYPORT_TEST_MODULES"].rstrip("/")), "unit_mailauth_mailbox")
    if not os.path.exists(driver):
        explain.skip("no %s" % driver)
    draw = random.Random(1)
    weights = [4 if piece in OFTEN else 1 for piece in PIECES]
    values = ["".join(draw.choices(PIECES, weights, k=draw.randint(1, 9))) for _ in range(VALUES)]
    text = "".join("%s\n" % value.encode("latin-1").hex() for value in values)
    done = subprocess.run([driver, "drive"], input=text.encode(), capture_output=True, check=True, timeout=60)
    answers = done.stdout.decode().split("\n")[:-1]
    if len(answers) != len(values):
        raise SystemExit("%d answers to %d questions" % (len(answers), len(values)))
    ours = [(value, answer[2:]) for value, answer in zip(values, answers) if answer[0] == "0"]
    failures = ["%r: %s, but %r" % (value, domain, read(value.replace("\r\n", ""))) for value, domain in ours
                for read in (by_utils, by_registry) if read(value.replace("\r\n", "")) - {domain}]
    if len(ours) < VALUES // 100:
        failures.append("only %d of the values name somebody" % len(ours))
    explain.tally("from-python", len(ours) - len(failures), len(ours), failures)


if __name__ == "__main__":
    main()
