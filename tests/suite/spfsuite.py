"""The test suites of RFC 4408 and 7208 as zones of our DNS server, and their cases as questions to "explain"."""
import os
import subprocess
import sys

from dnsserver import DnsServer, TIMEOUT
from explain import Refused, explain, load_json, load_lines, tally

FACTS = ["spf.result", "spf.explanation", "spf.helo"]


def octets(text):
    return text.encode("latin-1")


def record(kind, value):
    """(type, value) of our zone for one of theirs."""
    if value == "TIMEOUT":
        return kind, TIMEOUT
    if kind == "TXT":
        return kind, octets(value) if isinstance(value, str) else [octets(s) for s in value]
    return kind, value


def zone_of(zonedata):
    """Their SPF records are TXT records too, but where a name has TXT records of its own; "NONE" is for none."""
    zone = {}
    for name, entries in zonedata.items():
        out, kinds = [], {kind for e in entries if isinstance(e, dict) for kind in e}
        for entry in entries:
            if entry == "TIMEOUT":
                out.append(TIMEOUT)
                continue
            (kind, value), = entry.items()
            if kind == "SPF" and "TXT" not in kinds:
                kind = "TXT"
            if value != "NONE":
                out.append(record(kind, value))
        zone[name] = out
    return zone


def ask_raw(dns, case):
    """As explain, for what no client can say in SMTP: the module and the DNS layer without the session before them."""
    program = os.path.join(os.path.dirname(os.environ.get("SALLYPORT_TEST_MODULES", "")), "unit_spf_raw")
    if not os.path.exists(program):
        sys.exit("no program %s: SALLYPORT_TEST_MODULES names another folder of the build" % program)
    command = [program, dns.address, case["ip"], case["helo"], case["mailfrom"]]
    done = subprocess.run(command, capture_output=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError("status %d: %s" % (done.returncode, done.stderr.decode(errors="replace")))
    result, _, explanation = done.stdout.decode().rstrip("\n").partition(" ")
    return result, explanation


def ask(dns, case):
    """(result, explanation, was it asked as a message?)"""
    sender = case["mailfrom"]
    local, _, domain = sender.rpartition("@")
    if " " in local:  # as SMTP writes it
        sender = '"%s"@%s' % (local, domain)
    try:
        r = explain("filter spf", FACTS, dns=dns, client=case["ip"], helo=case["helo"], sender=sender, dns_timeout="100ms")
    except Refused:
        return ask_raw(dns, case) + (False,)
    return r.facts["spf.result"], r.facts["spf.explanation"], True


def fault_of(case, result, explanation):
    if result not in case["expect"]:
        return "%s, expected %s" % (result, " or ".join(case["expect"]))
    wanted = case["explanation"]
    if wanted is not None and explanation != ("" if wanted == "DEFAULT" else wanted):
        return "explanation %r, expected %r" % (explanation, wanted)
    return None


def run(suite, strict):
    cases = load_lines("spf-rfc-suite/%s-tests.cases.jsonl" % suite)
    zones = {z["scenario_no"]: zone_of(z["zonedata"]) for z in load_json("spf-rfc-suite/%s-tests.zones.json" % suite)}
    agree, dead, differ, raw = 0, [], [], 0
    with DnsServer() as dns:
        for case in cases:
            dns.zone = zones[case["scenario_no"]]
            try:
                result, explanation, message = ask(dns, case)
            except (AssertionError, subprocess.TimeoutExpired) as e:
                dead.append("%s: %s" % (case["id"], e))
                continue
            raw += not message
            fault = fault_of(case, result, explanation)
            agree += fault is None
            if fault is not None:
                differ.append("%s: %s" % (case["id"], fault))
    print("%d cases as messages, %d that no SMTP client can say, to the module itself" % (len(cases) - raw, raw))
    if strict:
        tally("spf-" + suite, agree, len(cases), dead + differ)
    for text in differ:
        print("differs: " + text)
    print("%d of %d agree" % (agree, len(cases)))
    tally("spf-%s: answered" % suite, len(cases) - len(dead), len(cases), dead)
