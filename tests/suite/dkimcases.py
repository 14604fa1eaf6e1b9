"""What the suites of DKIM share: one message, shown to the module by explain, and what it said of each signature."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from explain import explain, load, load_json, load_lines, skip, tally  # noqa: E402, F401 (for the suites)

FLAGS = ["dkim.length_limited", "dkim.sha1", "dkim.weak_key", "dkim.expired", "dkim.from_unsigned"]
FACTS = ["dkim.pass", "dkim.domains", "dkim.result", "dkim.signatures"] + FLAGS


def crlf(text):
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def zone_of(name):
    """The zone of a dns.json."""
    return {host: [("TXT", text) for text in entry["txt"]] for host, entry in load_json(name).items()}


def message_of(suite, case):
    """The message of a case, with the line ends that SMTP has."""
    with open(load(os.path.join(suite, case["message"])), "rb") as f:
        return crlf(f.read())


class Verified:
    """result, signatures, passed, domains: the facts; flags: those of FLAGS that are true; results: (result, d=, reason) for each
    signature that the Authentication-Results name."""

    def __init__(self, message, dns, settings):
        r = explain("filter dkim { %s }" % settings if settings else "filter dkim", FACTS, dns=dns, message=message)
        self.result, self.passed = r.facts["dkim.result"], r.facts["dkim.pass"]
        self.signatures, self.domains = r.facts["dkim.signatures"], r.facts["dkim.domains"]
        self.flags = sorted(fact[5:] for fact in FLAGS if r.facts[fact])
        self.results = [(x["result"], x["properties"].get("header.d"), x["reason"]) for x in r.raw["results"]
                        if x["method"] == "dkim"]

    def __repr__(self):
        return "%s%s %s" % (self.result, "".join(" +" + flag for flag in self.flags), self.results)


def verify(message, dns, settings=""):
    return Verified(message, dns, settings)
