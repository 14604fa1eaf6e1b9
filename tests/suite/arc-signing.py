#!/usr/bin/python3
"""arc-signing - chains that Sallyport and dkimpy make, each verified by the other; and ValiMail's signing cases.

Ours: messages go through up to three real gateways, each of which seals for a domain of its own; what the last backend
stored is given to dkimpy.  Theirs: dkimpy seals, explain says what our module makes of it.

ValiMail's signing cases prescribe tag by tag what a signer writes: order of tags, t=, h=, and results copied from
Authentication-Results fields that the message brought along.  Ours come from what the gateway found itself, so these octets cannot
be had.  What can be tested of each case: that we seal the message with the same i= and cv=, or not at all; that dkimpy
verifies it; and that our module takes the set that the suite prescribes.
"""
import base64
import os
import re
import subprocess
import types

import capture
import explain
from dnsserver import DnsServer

MESSAGE = b"""From: John Q Doe <jqd@author.example>\r
To: list@lists.example\r
Subject: Example  1\r
Date: Thu, 14 Jan 2015 15:00:01 -0800\r
Message-ID: <54B84785.1060301@author.example>\r
\r
Hey  gang,\r
.This is a test message.\r
\r
--J.\r
"""
SEALERS = ["one.example", "two.example", "mail.three.example"]
SUITE = "arc-valimail-suite/arc-draft-sign-tests.yml"
READS = ["arc.result", "arc.instances", "arc.sealers", "arc.oldest_pass", "arc.dmarc", "arc.trusted"]


# ---- dkimpy

def import_dkim():
    """dkimpy; where the module that it reads Authentication-Results with is not here, a reader that does for ours."""
    import sys
    try:
        import authres  # noqa: F401
    except ImportError:
        sys.modules["authres"] = types.SimpleNamespace(
            AuthenticationResultsHeader=Results, core=types.SimpleNamespace(SyntaxError=ValueError))
    try:
        import dkim
    except ImportError:
        explain.skip("no module dkim: Debian's package python3-dkim has it")
    return dkim


class Results:
    """"Authentication-Results: id; method=result ...; ..." """

    def __init__(self, authserv_id, results):
        self.authserv_id, self.results = authserv_id, results

    @classmethod
    def parse(cls, field):
        first, *rest = re.sub(r"\(.*?\)", "", field.split(":", 1)[1]).split(";")
        pairs = [re.match(r"\s*([\w-]+)\s*=\s*([\w-]+)", r) for r in rest]
        return cls(first.strip(), [types.SimpleNamespace(method=m.group(1), result=m.group(2)) for m in pairs if m])


class Key:
    """An RSA key as PEM, and the record that tells of it."""

    def __init__(self, folder, selector, domain, bits=2048):
        self.selector, self.domain = selector, domain
        self.path = os.path.join(folder, "%s.%s.pem" % (selector, domain))
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", self.path, str(bits)], check=True,
                       stderr=subprocess.DEVNULL)
        os.chmod(self.path, 0o600)
        with open(self.path, "rb") as f:
            self.pem = f.read()
        der = subprocess.run(["openssl", "rsa", "-in", self.path, "-pubout", "-outform", "DER"], check=True,
                             capture_output=True).stdout
        self.record = "v=DKIM1; k=rsa; p=" + base64.b64encode(der).decode()

    @property
    def name(self):
        return "%s._domainkey.%s" % (self.selector, self.domain)


class Suite:
    """Counts what holds and what does not."""

    def __init__(self, folder, dkim):
        self.folder, self.dkim = folder, dkim
        self.passed = self.total = 0
        self.failures = []
        self.records = {}

    def check(self, what, good, detail=""):
        self.total += 1
        if good:
            self.passed += 1
        else:
            self.failures.append("%s: %r" % (what, detail))
        return good

    def dkimpy(self, message):
        """dkimpy's status of the chain, as a word; the sets that it saw."""
        cv, sets, _ = self.dkim.ARC(message).verify(dnsfunc=self.lookup)
        return {None: "ended"}.get(cv, cv.decode() if cv else None), sets

    def lookup(self, name, timeout=5):
        record = self.records.get(name.decode().rstrip("."))
        return record.encode() if record else None

    def ours(self, message, dns, trusted=tuple(SEALERS)):
        table = "table sealers : domain { %s }" % ", ".join(trusted)
        return explain.explain("filter arc { trusted sealers }", READS, dns=dns, statements=table, message=message).facts

    def seal_theirs(self, message, key, cv, dmarc="pass"):
        """One hop of dkimpy's."""
        results = b"Authentication-Results: mx.list.example; arc=%s; dmarc=%s header.from=author.example\r\n" % (
            cv.encode(), dmarc.encode())
        fields = self.dkim.arc_sign(results + message, key.selector.encode(), key.domain.encode(), key.pem,
                                    b"mx.list.example", include_headers=[b"from", b"to", b"subject", b"date"])
        return b"".join(fields) + message


def publish(suite, dns, keys):
    suite.records = {k.name: k.record for k in keys}
    dns.zone = {k.name: [("TXT", k.record)] for k in keys}


BY_RULE = "sign : if client.ip == 127.0.0.1 filter seal"


def policy(dns, folder, key, domain, rule=BY_RULE):
    table = os.path.join(folder, "keys-%s" % key.domain)
    with open(table, "w") as f:
        f.write("%s %s %s\n" % (key.domain, key.selector, key.path))
    return """resolver %s
filter arc
filter arc seal { keys "%s"  domain %s }
rules { seen : log "{arc.result}" on unknown skip
 %s
 accept }""" % (dns.address, table, domain, rule)


def fields_of(message, name):
    return re.findall(rb"(?mi)^%s:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)" % name, message)


def tag(field, name):
    m = re.search(rb"(?:^|[;\s])%s\s*=\s*([^;]*)" % name, field)
    return re.sub(rb"\s", b"", m.group(1)).decode() if m else None


# ---- ours

def hops(suite, gateways, message, count):
    """The message as it is behind so many gateways."""
    for n in range(count):
        reply, stored = gateways[n].pass_on(message)
        if not suite.check("hop %d is accepted" % (n + 1), reply.code == 250 and stored is not None, reply):
            return message
        message = stored
    return message


def check_ours(suite, gateways, dns):
    for count in (1, 2, 3):
        message = hops(suite, gateways, MESSAGE, count)
        cv, sets = suite.dkimpy(message)
        suite.check("dkimpy passes %d hops of ours" % count, cv == "pass" and len(sets) == count, (cv, sets))
        suite.check("all message signatures of %d hops" % count, all(s["ams-valid"] for s in sets), sets)
        facts = suite.ours(message, dns)
        suite.check("our module passes %d hops of ours" % count, facts["arc.result"] == "pass", facts)
        suite.check("trusted, all bodies as they are", facts["arc.trusted"] and facts["arc.oldest_pass"] == 0, facts)
        first = b"".join(fields_of(message, b"ARC-[A-Za-z-]*")[:3])
        suite.check("AS on top of AMS on top of AAR", re.search(rb"cv=.*\bbh=.*i=\d+; \S+;", first, re.S), first)
    names = fields_of(message, b"ARC-Message-Signature")[0]
    suite.check("no ARC field nor result is signed", not re.search(r"(?i)arc-|authentication-results", tag(names, b"h")), names)
    stated = fields_of(message, b"ARC-Authentication-Results")
    suite.check("each hop states the chain as it came",
                [re.search(rb"arc=(\w+)", s).group(1) for s in stated] == [b"pass", b"pass", b"none"], stated)


def check_broken(suite, gateways, dns):
    """A body changed on the way; then each field of a set."""
    message = hops(suite, gateways, MESSAGE, 1)
    changed = message.replace(b"test message", b"best message")
    suite.check("a changed body fails", suite.ours(changed, dns)["arc.result"] == "fail")
    _, second = gateways[1].pass_on(changed)
    seal = fields_of(second, b"ARC-Seal")[0]
    suite.check("it is sealed with cv=fail", (tag(seal, b"i"), tag(seal, b"cv")) == ("2", "fail"), seal)
    cv, _ = suite.dkimpy(second)
    suite.check("dkimpy sees that the chain has ended", cv == "ended", cv)
    own = re.sub(rb"(?mi)^ARC-[A-Za-z-]*:(?=[^:]*?\bi=1\b)[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n", b"", second)
    sets = suite.dkim.ARC(own).verify_instance(suite.dkim.ARC(own).sorted_arc_headers()[1], 2, dnsfunc=suite.lookup)
    suite.check("that seal is over its own set only", sets["as-valid"] and sets["ams-valid"], sets)
    _, third = gateways[2].pass_on(second)
    suite.check("nobody adds to it", len(fields_of(third, b"ARC-Seal")) == 2)
    good = hops(suite, gateways, MESSAGE, 2)
    for name in (b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"):
        for n, value in enumerate(fields_of(good, name)):
            touched = good.replace(value, value.replace(b"example", b"exxmple"), 1)
            result, (cv, _) = suite.ours(touched, dns)["arc.result"], suite.dkimpy(touched)
            suite.check("a touched %s %d fails" % (name.decode(), n), result == "fail" and cv == "fail", (result, cv))


def check_without_rule(suite, dns, key):
    """A use that no rule speaks of seals all; one whose rule does not fire seals nothing."""
    for n, (rule, count) in enumerate((("", 1), ("sign : if client.ip == 127.0.0.9 filter seal", 0))):
        folder = os.path.join(suite.folder, "rule%d" % n)
        os.mkdir(folder)
        with capture.Gateway(folder, policy(dns, folder, key, key.domain, rule)) as gateway:
            _, stored = gateway.pass_on(MESSAGE)
            suite.check("with the rule %r" % rule, len(fields_of(stored, b"ARC-Seal")) == count, stored)
            suite.check("Authentication-Results say arc=none", re.search(rb"\barc=none\b", stored) is not None, stored)


def check_sign_by_hand(suite, dns, gateways, keys):
    """A list between two gateways changes the body and seals: older message signatures fail, the chain does not."""
    message = hops(suite, gateways, MESSAGE, 1)
    message = suite.seal_theirs(message.replace(b"--J.", b"--J.\r\n___\r\nlist footer"), keys[1], "pass")
    _, stored = gateways[2].pass_on(message)
    cv, sets = suite.dkimpy(stored)
    facts = suite.ours(stored, dns)
    suite.check("gateway, list, gateway", cv == "pass" and facts["arc.result"] == "pass", (cv, facts))
    suite.check("the oldest that passes is the list's", facts["arc.oldest_pass"] == 2 and not sets[2]["ams-valid"], facts)


# ---- theirs

def check_theirs(suite, dns, keys):
    message, cv = MESSAGE, "none"
    for n, key in enumerate(keys):
        message, cv = suite.seal_theirs(message, key, cv), "pass"
        facts = suite.ours(message, dns)
        suite.check("our module passes %d hops of dkimpy's" % (n + 1),
                    (facts["arc.result"], facts["arc.instances"], facts["arc.trusted"]) == ("pass", n + 1, True), facts)
        suite.check("what the first of them states of DMARC", facts["arc.dmarc"] == "pass", facts)
    facts = suite.ours(message, dns, trusted=[keys[0].domain, keys[2].domain])
    suite.check("one sealer in the middle whom we do not know", facts["arc.trusted"] is False, facts)
    facts = suite.ours(message.replace(b"author.example>", b"other.example>", 1), dns)
    suite.check("another author fails", facts["arc.result"] == "fail" and facts["arc.dmarc"] == "none", facts)
    facts = suite.ours(suite.seal_theirs(MESSAGE, keys[0], "none", dmarc="fail"), dns)
    suite.check("a stated fail is told", facts["arc.dmarc"] == "fail", facts)
    rewritten = MESSAGE.replace(b"jqd@author.example>", b"jqd@lists.example>", 1)
    facts = suite.ours(suite.seal_theirs(rewritten, keys[0], "none"), dns)
    suite.check("stated of another author", (facts["arc.result"], facts["arc.dmarc"]) == ("pass", "none"), facts)


# ---- ValiMail's

def check_suite(suite, dns):
    try:
        import yaml
    except ImportError:
        print("left out: ValiMail's signing cases, no module yaml (python3-yaml)")
        return
    with open(explain.load(SUITE), encoding="utf-8") as f:
        scenarios = [s for s in yaml.safe_load_all(f) if s]
    for number, s in enumerate(scenarios):
        key = types.SimpleNamespace(selector=s["sel"], domain=s["domain"],
                                    path=os.path.join(suite.folder, "suite-%d.pem" % number))
        with open(key.path, "w") as f:
            f.write(s["privatekey"])
        os.chmod(key.path, 0o600)
        suite.records = {n: re.sub(r"\s", "", t) for n, t in s["txt-records"].items()}
        dns.zone = {n: [("TXT", t)] for n, t in suite.records.items()}
        folder = os.path.join(suite.folder, "suite-%d" % number)
        os.mkdir(folder)
        with capture.Gateway(folder, policy(dns, folder, key, s["domain"]),
                             listen='authserv-id "lists.example.org"') as gateway:
            for name, case in s["tests"].items():
                check_case(suite, dns, gateway, name, case)


def prescribed(case):
    """The set as the suite means it: tags have one blank behind each semicolon and no other."""
    def tags(text):
        return re.sub(r"\s", "", text).replace(";", "; ")
    results = re.sub(r"\s*\n\s*", "\r\n  ", case["AAR"].strip())
    return ("ARC-Seal: %s\r\nARC-Message-Signature: %s\r\nARC-Authentication-Results: %s\r\n"
            % (tags(case["AS"]), tags(case["AMS"]), results)).encode()


def check_case(suite, dns, gateway, name, case):
    message = re.sub(rb"\r?\n", b"\r\n", case["message"].encode())
    reply, stored = gateway.pass_on(message)
    if not suite.check("%s is accepted" % name, stored is not None, reply):
        return
    before, after = fields_of(message, b"ARC-Seal"), fields_of(stored, b"ARC-Seal")
    wanted = (case["AS"] or "").strip().encode()
    if not wanted:
        suite.check("%s: no set is added" % name, before == after, after)
        return
    got = (tag(after[0], b"i"), tag(after[0], b"cv"))
    suite.check("%s: i= and cv=" % name, len(after) == len(before) + 1 and got == (tag(wanted, b"i"), tag(wanted, b"cv")), got)
    cv, _ = suite.dkimpy(stored)
    suite.check("%s: dkimpy" % name, cv == ("ended" if got[1] == "fail" else "pass"), cv)
    facts = suite.ours(prescribed(case) + message, dns)
    expect = "fail" if got[1] == "fail" else "pass"
    suite.check("%s: the prescribed set" % name, facts["arc.result"] == expect, facts)


# ---- all together

def main():
    if "SALLYPORT" not in os.environ:
        explain.load(SUITE)  # which says what is missing
    dkim = import_dkim()
    with capture.work_folder() as folder, DnsServer() as dns:
        suite = Suite(folder, dkim)
        keys = [Key(folder, "s1", "one.example"), Key(folder, "s2", "two.example", 1024),
                Key(folder, "s3", "mail.three.example", 3072)]
        publish(suite, dns, keys)
        gateways = []
        try:
            for n, key in enumerate(keys):
                own = os.path.join(folder, "hop%d" % n)
                os.mkdir(own)
                gateways.append(capture.Gateway(own, policy(dns, own, key, SEALERS[n])).__enter__())
            check_ours(suite, gateways, dns)
            check_broken(suite, gateways, dns)
            check_sign_by_hand(suite, dns, gateways, keys)
        finally:
            for gateway in gateways:
                gateway.__exit__(None, None, None)
        check_without_rule(suite, dns, keys[0])
        check_theirs(suite, dns, keys)
        if os.path.exists(os.path.join(os.environ.get("SALLYPORT_DATA", ""), SUITE)):
            check_suite(suite, dns)
        else:
            print("left out: ValiMail's signing cases, no test material %s" % SUITE)
    explain.tally("arc-signing", suite.passed, suite.total, suite.failures)


if __name__ == "__main__":
    main()
