"""The 70 verifying tests of libopendkim, seen from behind a gateway: dkim-opendkim.

Two thirds are signed by rsa-sha1, some with l=, all with keys of 1024 bits in 2007: so the module runs with "allow_sha1 yes" and
"allow_length yes" (min_rsa is 1024 anyway).  Then each is run once more with the default settings, by which none that is
by rsa-sha1 or leaves a part of the body unsigned may pass.

What upstream asserts is a status of the library, told here as a result of RFC 8601: OK is pass, BADSIG is fail, and what could
not be verified for good (CANTVRFY, NOKEY, REVOKED, SYNTAX) is permerror.  Two things follow from RFCs, not from the library:
a failure under a key that says t=y is neutral (RFC 6376 3.6.1), and a message without any signature is none, malformed or not.

Three messages are in the material with more or less than upstream feeds to the library: REBUILT makes them what they are there,
and upstream's word holds.  Four more depend on options of the library that no setting of ours stands for: OTHERS names them, with
what is expected instead.
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
    if not message.lower().startswith(b"dkim-signature:"):
        return "none"
    result = RESULTS[case["expect_lib"].replace("eoh:", "")]
    head = message.split(b"\r\n\r\n")[0].decode()
    key = "test._domainkey.example.com" if "s=test;" in head and "d=example.com" in head else None
    return "neutral" if result == "fail" and key in testing else result


def default_fault(case, message, loose, strict):
    """What is wrong with the default settings."""
    dubious = set(loose.flags) & {"sha1", "length_limited"}
    if not dubious and (strict.result, strict.flags) != (loose.result, loose.flags):
        return "by default %r" % strict
    if dubious and (strict.passed or strict.flags != loose.flags):
        return "by default it should not pass: %r" % strict
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
            why = why or default_fault(case, message, loose, verify(message, dns))
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
