"""The examples of RFC 6376 and RFC 8463, with the default settings: dkim-rfc-examples."""
import sys

from dkimcases import load_lines, message_of, tally, verify, zone_of
from dnsserver import DnsServer

SUITE = "dkim-rfc-examples"


def fault(case, v):
    """What is wrong with the verdict on a case; None: nothing."""
    if v.result != case["expect"] or v.passed != (case["expect"] == "pass"):
        return "wanted %s, got %r" % (case["expect"], v)
    if v.signatures != case["signatures"]:
        return "%d signatures wanted, got %d" % (case["signatures"], v.signatures)
    if [r[0] for r in v.results] != [case["expect"]] * max(1, case["signatures"]):
        return "each signature should be %s: %r" % (case["expect"], v)
    if v.flags:
        return "nothing is to be said of it: %r" % v
    return None


def too_many(message, dns):
    """The same with a maximum of two: one lookup for the three equal names, and the third is told as not looked at."""
    dns.forget()
    v = verify(message, dns, "max_signatures 2")
    if [r[0] for r in v.results] != ["pass", "pass", "policy"] or v.signatures != 3 or not v.passed:
        return "with max_signatures 2: %r" % v
    if dns.total("TXT") > 1:
        return "%d lookups for one name" % dns.total("TXT")
    return None


def main():
    cases, passed, failures = load_lines(SUITE + "/cases.jsonl"), 0, []
    with DnsServer(zone_of(SUITE + "/dns.json")) as dns:
        for case in cases:
            message = message_of(SUITE, case)
            why = fault(case, verify(message, dns))
            if why is None and case["id"] == "tooManySignatures":
                why = too_many(message, dns)
            if why is None:
                passed += 1
            else:
                failures.append("%s: %s" % (case["id"], why))
    tally("dkim-rfc", passed, len(cases), failures)


if __name__ == "__main__":
    sys.exit(main())
