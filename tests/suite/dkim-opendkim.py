"""The 70 verifying tests of libopendkim, seen from behind a gateway: dkim-opendkim.

Two thirds are signed by rsa-sha1, some with l=, all with keys of 1024 bits in 2007: so the module runs with "allow_sha1 yes" and
"allow_length yes" (min_rsa is 1024 anyway).  Then each is run once more with the default settings, by which each
that is by rsa-sha1 is permerror, right or not, and one that leaves a part of the body unsigned is policy.

What upstream asserts is a status of the library, told here as a result of RFC 8601: OK is pass, BADSIG is fail, and what could
not be verified for good (CANTVRFY, NOKEY, REVOKED, SYNTAX) is permerror; so is NORESOURCE, which the library says of a d= that is
too long (t-test134).  One thing follows from an RFC, not from the library: a failure under a key that says t=y is neutral
(RFC 6376 3.6.1).

Three messages are in the material with more or less than upstream feeds to the library: REBUILT makes them what they are there,
and upstream's word holds.  For five more ours says something else, mostly since upstream sets options of the library that no
setting of ours stands for: OTHERS names them, with what is expected instead and why.
"""
import re
import sys
import time

from dkimcases import load_lines, message_of, tally, verify, zone_of
from dnsserver import DnsServer

SUITE = "dkim-opendkim"
SETTINGS = "allow_sha1 yes allow_length yes"
RESULTS = {"DKIM_STAT_OK": "pass", "DKIM_STAT_BADSIG": "fail", "DKIM_STAT_NOSIG": "none", "DKIM_STAT_NOKEY": "permerror",
           "DKIM_STAT_REVOKED": "permerror", "DKIM_STAT_SYNTAX": "permerror", "DKIM_STAT_CANTVRFY": "permerror",
           "DKIM_STAT_NORESOURCE": "permerror"}
OTHERS = {
    "t-test58": ("none", "upstream calls a message without a good From malformed; ours finds no signature in it"),
    "t-test59": ("neutral", "upstream names a folder for temporary files that is not there (DKIM_OPTS_TMPDIR); ours writes none, "
                 "and the body is not the signed one"),
    "t-test76": ("permerror", "upstream takes a message for unsigned whose signature has no d=; ours says that it is malformed"),
    "t-test102": ("pass", "upstream demands a signed Cc (DKIM_OPTS_MUSTBESIGNED); ours demands From only"),
    "t-test119": ("neutral", "upstream checks before the body (DKIM_LIBFLAGS_EOHCHECK); ours at its end, and there it fails"),
}


def without_to(message):
    """t-test48: To is signed, and taken out."""
    return re.sub(rb"\r\nTo: .*(?=\r\n)", b"", message, count=1)


def with_future(message):
    """t-test87: signed tomorrow; the signature of t-test59 but for its t=."""
    other = message_of(SUITE, {"message": "messages/t-test59.eml"})
    field = other[:other.index(b"\r\nReceived: ") + 2].replace(b"t=1172620939", b"t=%d" % (time.time() + 86400))
    return field + message[message.index(b"Received: "):]


def with_less_body(message):
    """t-test98: l= is more than the body has."""
    end = b"This should not be mangled.\r\n"
    return message[:message.index(end) + len(end)]


REBUILT = {"t-test48": without_to, "t-test87": with_future, "t-test98": with_less_body}


def testing_keys(zone):
    return {host for host, records in zone.items() for _, text in records if "t=y" in text}


def wanted(case, message, testing):
    """The result expected."""
    if case["id"] in OTHERS:
        return OTHERS[case["id"]][0]
    result = RESULTS[case["expect_lib"].replace("eoh:", "")]
    head = message.split(b"\r\n\r\n")[0].decode()
    key = "test._domainkey.example.com" if "s=test;" in head and "d=example.com" in head else None
    return "neutral" if result == "fail" and key in testing else result


def wanted_by_default(message, loose):
    """The result with the default settings, from the one with ours: rsa-sha1 is refused whether or not it is right, and what
    leaves a part of the body unsigned is right but does not count."""
    if b"a=rsa-sha1" in message and loose.result in ("pass", "fail", "neutral"):
        return "permerror"
    return "policy" if "length_limited" in loose.flags else loose.result


def default_fault(message, loose, strict):
    """What is wrong with the default settings, or with the facts."""
    want = wanted_by_default(message, loose)
    if strict.result != want or strict.passed != (want == "pass") or strict.flags != loose.flags:
        return "by default wanted %s +%s, got %r" % (want, loose.flags, strict)
    if loose.result == "pass" and ("sha1" in loose.flags) != (b"a=rsa-sha1" in message):
        return "rsa-sha1 is not told: %r" % loose
    if loose.result == "pass" and b" l=" in message.split(b"\r\n\r\n")[0] and "length_limited" not in loose.flags:
        return "l= is not told: %r" % loose
    return None


def main():
    cases, passed, failures = load_lines(SUITE + "/cases.jsonl"), 0, []
    zone = zone_of(SUITE + "/dns.json")
    with DnsServer(zone) as dns:
        for case in cases:
            message = REBUILT.get(case["id"], bytes)(message_of(SUITE, case))
            want = wanted(case, message, testing_keys(zone))
            loose = verify(message, dns, SETTINGS)
            why = None if loose.result == want else "wanted %s, got %r" % (want, loose)
            why = why or default_fault(message, loose, verify(message, dns))
            if why is None:
                passed += 1
            else:
                failures.append("%s (%s): %s" % (case["id"], case["title"], why))
    print("%d as they are, %d rebuilt (%s), %d otherwise than upstream:" % (
        len(cases) - len(OTHERS) - len(REBUILT), len(REBUILT), ", ".join(REBUILT), len(OTHERS)))
    for name, (result, why) in OTHERS.items():
        print("  %s: %s; %s" % (name, result, why))
    tally("dkim-opendkim", passed, len(cases), failures)


if __name__ == "__main__":
    sys.exit(main())
