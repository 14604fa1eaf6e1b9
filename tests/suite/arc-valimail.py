#!/usr/bin/python3
"""arc-valimail - the validation cases of ValiMail's ARC test suite, through the real module and the real DNS layer.

Each case is a message, the keys in the DNS, and the chain's status.  Three cases say nothing of what is expected ("fail" or
"none" may both be argued for a chain that ends with cv=fail): they are run, must not pass, and do not count.  A second run of
each case asks what else the module says of it, and a third has a DNS that does not answer: that is a temperror where a key
is needed, and never a pass.
"""
import os

import explain
from dnsserver import SERVFAIL, DnsServer

SUITE = "arc-valimail-suite"
READS = ["arc.result", "arc.instances", "arc.sealers", "arc.oldest_pass", "arc.dmarc", "arc.trusted"]
TABLE = 'table sealers : domain { example.org, example.com, example2.org }'


def zone_of(scenario):
    return {name: [("TXT", text)] for name, text in scenario["txt"].items()}


def ask(message, dns):
    return explain.explain("filter arc { trusted sealers }", READS, dns=dns, statements=TABLE, message=message)


def check_pass(facts):
    """What must hold of any chain of the suite that passes: all its sealers are in the table."""
    wrong = []
    if not facts["arc.instances"] or facts["arc.trusted"] is not True:
        wrong.append("trusted is %r, instances %r" % (facts["arc.trusted"], facts["arc.instances"]))
    if facts["arc.dmarc"] != "pass":
        wrong.append("dmarc is %r" % facts["arc.dmarc"])
    if "example" not in str(facts["arc.sealers"]):
        wrong.append("sealers are %r" % facts["arc.sealers"])
    return wrong


def check_other(facts):
    if facts["arc.trusted"] is not False or facts["arc.dmarc"] != "none" or facts["arc.oldest_pass"] != 0:
        return ["a chain that did not pass states %r" % facts]
    return []


def run(case, path, dns, zone):
    """The faults of one case."""
    dns.zone = zone
    facts = ask(path, dns).facts
    got, expect = facts["arc.result"], case["expect"]
    wrong = []
    if expect == "unspecified":
        if got == "pass":
            wrong.append("passes")
    elif got != expect:
        wrong.append("is %s, expected %s" % (got, expect))
    wrong += check_pass(facts) if got == "pass" else check_other(facts)
    dns.zone = {name: [SERVFAIL] for name in zone}
    later = ask(path, dns).facts
    if expect == "pass" and later["arc.result"] != "temperror":
        wrong.append("is %s where the DNS fails" % later["arc.result"])
    if later["arc.result"] == "pass" or (later["arc.result"] == "temperror" and later["arc.trusted"] is not None):
        wrong.append("states %r where the DNS fails" % later)
    return wrong


def main():
    cases = explain.load_lines(SUITE + "/validate.cases.jsonl")
    scenarios = {s["scenario_no"]: zone_of(s) for s in explain.load_json(SUITE + "/validate.dns.json")}
    folder = os.path.dirname(explain.load(SUITE + "/validate.cases.jsonl"))
    failures, passed, counted = [], 0, 0
    with DnsServer() as dns:
        for case in cases:
            wrong = run(case, os.path.join(folder, case["message"]), dns, scenarios[case["scenario_no"]])
            failures += ["%s (%s): %s" % (case["id"], case["description"], w) for w in wrong]
            if case["expect"] == "unspecified":
                print("without an expected result: %s" % case["id"])
                continue
            counted += 1
            passed += not wrong
    explain.tally("arc-valimail", passed, counted, failures)


if __name__ == "__main__":
    main()
