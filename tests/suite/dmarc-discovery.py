#!/usr/bin/python3
"""dmarc-discovery: which names are asked for, what a DNS that fails or lies makes of it, np= and the tree walk.

Through the real module and the real DNS layer; the results of SPF and DKIM are stated by the module "stated".
"""
import os

import explain
from dnsserver import DnsServer, NODATA, REFUSED, SERVFAIL, TIMEOUT

FACTS = ["dmarc.result", "dmarc.policy", "dmarc.disposition", "dmarc.aligned_by", "dmarc.record"]
REJECT = "v=DMARC1; p=reject"
LONG = ".".join("abcdefghij") + ".example.org"  # twelve labels


def txt(*texts):
    return [("TXT", text) for text in texts]


# name, discovery, zone, domain in From, DKIM, facts, number of names asked for TXT (None: not looked at)
CASES = [
    ("own record", "psl", {"_dmarc.a.example.org": txt(REJECT)}, "a.example.org", "",
     dict(result="fail", policy="reject", disposition="reject", record="valid"), 1),
    ("the organisation's record", "psl", {"_dmarc.example.org": txt(REJECT)}, "a.b.example.org", "z.example.org",
     dict(result="pass", policy="reject", aligned_by="dkim"), 2),
    ("no record", "psl", {}, "a.example.org", "", dict(result="none", policy="unpublished", record="none"), 2),
    ("no data", "psl", {"_dmarc.example.org": [NODATA]}, "example.org", "", dict(result="none", record="none"), 1),
    ("under a public suffix", "psl", {"_dmarc.co.uk": txt(REJECT)}, "example.co.uk", "",
     dict(result="none", record="none"), 1),
    ("several", "psl", {"_dmarc.a.example.org": txt(REJECT, REJECT), "_dmarc.example.org": txt(REJECT)}, "a.example.org", "",
     dict(result="none", record="several", policy="unpublished"), 1),
    ("others beside it", "psl", {"_dmarc.example.org": txt("v=spf1 -all", REJECT, "x")}, "example.org", "",
     dict(result="fail", policy="reject"), 1),
    ("in several strings", "psl", {"_dmarc.example.org": [("TXT", [b"v=DM", b"ARC1; p=re", b"ject"])]}, "example.org", "",
     dict(result="fail", policy="reject"), 1),
    ("np= for what is not there", "psl", {"_dmarc.example.org": txt("v=DMARC1; p=none; np=reject")}, "a.example.org", "",
     dict(result="fail", policy="reject", disposition="reject"), 2),
    ("np= not for what is there", "psl", {"_dmarc.example.org": txt("v=DMARC1; p=none; np=reject"),
                                          "a.example.org": [("AAAA", "2001:db8::1")]}, "a.example.org", "",
     dict(result="fail", policy="none", disposition="none"), 2),
    ("np= where that cannot be known", "psl", {"_dmarc.example.org": txt("v=DMARC1; p=none; np=reject"),
                                               "a.example.org": [SERVFAIL]}, "a.example.org", "",
     dict(result="temperror", policy=None, disposition=None), 2),
    ("server failure", "psl", {"_dmarc.example.org": [SERVFAIL]}, "example.org", "example.org",
     dict(result="temperror", policy=None, disposition=None, aligned_by=None, record=None), None),
    ("refused", "psl", {"_dmarc.example.org": [REFUSED]}, "example.org", "example.org", dict(result="temperror"), None),
    ("timeout", "psl", {"_dmarc.example.org": [TIMEOUT]}, "example.org", "example.org", dict(result="temperror"), None),
    ("timeout of the second", "psl", {"_dmarc.example.org": [TIMEOUT]}, "a.example.org", "", dict(result="temperror"), None),
    ("garbage", "psl", {"_dmarc.example.org": [lambda query, tcp: query[:2] + b"\xff" * 20]}, "example.org", "",
     dict(result="temperror"), None),
    ("truncated, whole by TCP", "psl", {"_dmarc.example.org": txt(REJECT + "; x=" + "y" * 2000)}, "example.org", "",
     dict(result="fail", policy="reject"), None),
    ("64 KiB", "psl", {"_dmarc.example.org": txt(REJECT + "; x=" + "y" * 64000)}, "example.org", "",
     dict(result="fail", policy="reject"), None),
    ("NUL", "psl", {"_dmarc.example.org": txt(b"v=DMARC1; p=reject\0; sp=none")}, "example.org", "",
     dict(result="permerror", record="unusable"), 1),
    ("no string at all", "psl", {"_dmarc.example.org": [("TXT", [])]}, "example.org", "", dict(result="none"), None),
    ("tree: nearest and topmost", "tree", {"_dmarc.a.example.org": txt("v=DMARC1; p=none"),
                                           "_dmarc.example.org": txt("v=DMARC1; p=reject; sp=quarantine")},
     "b.a.example.org", "example.org", dict(result="pass", policy="quarantine", aligned_by="dkim"), 4),
    ("tree: twelve labels are eight questions", "tree", {"_dmarc.example.org": txt(REJECT)}, LONG, "",
     dict(result="fail", policy="reject"), 8),
    ("tree: psd=y", "tree", {"_dmarc.bank": txt("v=DMARC1; p=reject; psd=y"), "a.bank": [("A", "192.0.2.1")]}, "a.bank", "b.bank",
     dict(result="fail", policy="reject", aligned_by="none"), 2),
    ("tree: psd=n", "tree", {"_dmarc.a.example.org": txt("v=DMARC1; p=reject; psd=n"), "_dmarc.example.org": txt(REJECT)},
     "x.a.example.org", "y.example.org", dict(result="fail", aligned_by="none"), None),
    ("tree: t=y", "tree", {"_dmarc.example.org": txt("v=DMARC1; p=reject; t=y")}, "example.org", "",
     dict(result="fail", policy="reject", disposition="quarantine"), 2),
    ("tree: a failure that matters", "tree", {"_dmarc.org": [SERVFAIL], "_dmarc.example.org": txt(REJECT)}, "example.org", "",
     dict(result="temperror", policy=None), None),
    ("tree: a failure that does not", "tree", {"_dmarc.org": [SERVFAIL], "_dmarc.example.org": txt(REJECT + "; psd=n")},
     "example.org", "", dict(result="fail", policy="reject"), None),
    ("tree: no record", "tree", {}, "a.example.org", "example.org", dict(result="none", aligned_by="none"), 3),
]


def run(dns, discovery, zone, domain, dkim):
    dns.zone = zone
    dns.forget()
    filters = 'filter stated { dkim "%s" }\nfilter dmarc { discovery %s }' % (dkim, discovery)
    return explain.explain(filters, FACTS, dns=dns, message=("From: x@%s\r\n\r\n" % domain).encode()).facts


def main():
    if "SALLYPORT_TEST_MODULES" not in os.environ:
        explain.skip("no test modules")
    os.environ["SALLYPORT_FILTER_PATH"] += ":" + os.environ["SALLYPORT_TEST_MODULES"]
    passed, failures = 0, []
    with DnsServer() as dns:
        for name, discovery, zone, domain, dkim, expected, asked in CASES:
            facts = run(dns, discovery, zone, domain, dkim)
            wrong = ["dmarc.%s is %s, expected %s" % (fact, facts["dmarc." + fact], value)
                     for fact, value in expected.items() if facts["dmarc." + fact] != value]
            names = sorted(name for name, kind in dns.questions if kind == "TXT")
            if asked is not None and len(names) != asked:
                wrong.append("asked for %r, expected %d" % (names, asked))
            passed += not wrong
            failures += ["%s: %s" % (name, w) for w in wrong]
    explain.tally("dmarc-discovery", passed, len(CASES), failures)


if __name__ == "__main__":
    main()
