#!/usr/bin/python3
"""dmarc-vectors: 14 cases of KumoMTA's and OpenDMARC's three tables (42) through the real module and the real DNS layer.

The results of SPF and DKIM are stated by the module "stated" of tests/modules.  Where the gateway is stricter than OpenDMARC,
the case is listed below with the reason, and is met only if the gateway does exactly what stands there.
"""
import os

import explain
from dnsserver import DnsServer

FACTS = ["dmarc.result", "dmarc.policy", "dmarc.disposition", "dmarc.aligned_by", "dmarc.from_domain", "dmarc.from", "dmarc.record"]

# From values that are no mailbox of RFC 5322, or several: who wrote the message cannot be told, so nothing is concluded.
STRICTER_FROM = {
    '"Johnson, Joe <joe@joe.com>" joe@joe.com': ("invalid", "a display name, but no angle brackets around the address"),
    '<<<><joe@joe.com>>>': ("invalid", "angle brackets in angle brackets"),
    'Joe Johnson <joe@joe.com>, ace@ace.com': ("several", "two addresses of two domains (RFC 7489 6.6.1)"),
    'joe@joe.com, ace@ace.com': ("several", "two addresses of two domains (RFC 7489 6.6.1)"),
    'Mail From:<joe@joe.com>': ("invalid", "the name of a group, which never ends"),
    '"( bob@bob.com)" joe@joe.com': ("invalid", "a display name, but no angle brackets around the address"),
    "From: Davide D'Marco <user@blah.com>": ("invalid", "as a value: the name of a group, which never ends"),
}

# Names with empty labels are no domains, so they are never compared.
STRICTER_ALIGNMENT = {
    ".mac.com.": "begins with an empty label",
    "....mac.com....": "has empty labels",
}

# Records that OpenDMARC takes.
STRICTER_RECORD = {
    "v=DMARC1; p=n;": ("unusable", "policies are not abbreviated (RFC 7489 6.4)"),
}

# Faults which OpenDMARC refuses the record for: told as a fault, but the tag's default stands (RFC 7489 6.3), since to ignore
# p= for the sake of a mistyped rf= would help only the forger.
DEFAULT_STANDS = {"adkim", "aspf", "rf", "ri", "pct"}


def ask(dns, zone, from_value, spf="", dkim="", sender="sender@example.net"):
    dns.zone = {name: [("TXT", text) for text in texts] for name, texts in zone.items()}
    filters = 'filter stated { spf "%s" dkim "%s" }\nfilter dmarc' % (spf, dkim)
    return explain.explain(filters, FACTS, dns=dns, sender=sender, message=("From: %s\r\n\r\nx\r\n" % from_value).encode()).facts


def differs(facts, **expected):
    return ["%s is %s, expected %s" % (name, facts["dmarc." + name], value)
            for name, value in expected.items() if facts["dmarc." + name] != value]


def kumo(dns, case):
    sender = case["mailfrom_domain"]
    facts = ask(dns, case["dns_txt"], "a@" + case["from_domain"], "%s %s" % (case["spf_result"], sender),
                " ".join(case["dkim_pass_domains"]), "a@" + sender)
    if case["expect"] == "pass":
        return differs(facts, result="pass", disposition="none")
    return differs(facts, result="fail", disposition=case["expect"], aligned_by="none")


def alignment(dns, case):
    letter = "s" if case["mode"].endswith("STRICT") else "r"
    record = "v=DMARC1; p=reject; adkim=%s; aspf=%s" % (letter, letter)
    zone = {"_dmarc." + name.strip("."): [record] for name in (case["a"], case["b"])}
    aligned, wrong = case["aligned"] and case["a"] not in STRICTER_ALIGNMENT, []
    wrong += differs(ask(dns, zone, "x@" + case["b"], dkim=case["a"]), aligned_by="dkim" if aligned else "none")
    wrong += differs(ask(dns, zone, "x@" + case["b"], spf="pass " + case["a"]), aligned_by="spf" if aligned else "none")
    return wrong


def from_domain(dns, case):
    facts = ask(dns, {}, case["from_header_value"])
    if case["from_header_value"] in STRICTER_FROM:
        kind = STRICTER_FROM[case["from_header_value"]][0]
        return differs(facts, result="permerror", from_domain="", **{"from": kind})
    return differs(facts, result="none", from_domain=case["domain"], **{"from": "one"})


def record_parse(dns, case):
    facts = ask(dns, {"_dmarc.example.org": [case["record"]]}, "a@example.org")
    result = case["result"]
    if case["record"] in STRICTER_RECORD:
        return differs(facts, record=STRICTER_RECORD[case["record"]][0], result="permerror", policy="unpublished")
    if result == "DMARC_PARSE_OKAY":
        return differs(facts, record="valid", result="fail")
    if result in ("DMARC_PARSE_ERROR_EMPTY", "DMARC_PARSE_ERROR_BAD_VERSION"):
        return differs(facts, record="none", result="none", policy="unpublished")
    if any("; %s=" % tag in case["record"] for tag in DEFAULT_STANDS) and result == "DMARC_PARSE_ERROR_BAD_VALUE":
        return differs(facts, record="faulty", result="fail", policy="none")
    return differs(facts, record="unusable", result="permerror", policy="unpublished")


def main():
    folder = "dmarc-vectors/"
    sets = [("kumo", kumo, explain.load_lines(folder + "kumo-dmarc.cases.jsonl"), lambda c: c["id"]),
            ("alignment", alignment, explain.load_json(folder + "opendmarc-alignment.json"), lambda c: "%(a)s %(b)s %(mode)s" % c),
            ("from", from_domain, explain.load_json(folder + "opendmarc-from-domain.json"), lambda c: c["from_header_value"]),
            ("record", record_parse, explain.load_json(folder + "opendmarc-record-parse.json"), lambda c: c["record"])]
    os.environ["SALLYPORT_FILTER_PATH"] += ":" + os.environ["SALLYPORT_TEST_MODULES"]
    passed, total, failures = 0, 0, []
    with DnsServer() as dns:
        for name, run, cases, key in sets:
            for case in cases:
                wrong = run(dns, case)
                total, passed = total + 1, passed + (not wrong)
                failures += ["%s %s: %s" % (name, key(case), w) for w in wrong]
    for what, listed in (("From", STRICTER_FROM), ("record", STRICTER_RECORD)):
        for value, (outcome, why) in listed.items():
            print("stricter, %s %s: %s, %s" % (what, value, outcome, why))
    for value, why in STRICTER_ALIGNMENT.items():
        print("stricter, alignment %s: never aligned, it %s" % (value, why))
    explain.tally("dmarc-vectors", passed, total, failures)


if __name__ == "__main__":
    main()
