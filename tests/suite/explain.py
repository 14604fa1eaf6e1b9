"""Asks "sallyport explain --json" about one message, and what the suites share besides.

    with DnsServer(zone) as dns:
        r = explain("filter spf", ["spf.result", "spf.explanation"], dns=dns, client="192.0.2.1", helo="mx.example.org",
                    sender="a@example.org")
        r.facts["spf.result"] == "fail", r.verdict == "accept"

facts: bool, int and score as Python's own, all else as the policy language writes it; None: not known (r.states says "unknown",
"absent" or "pending").
"""
import json
import os
import subprocess
import sys
import tempfile

DNS_TIMEOUT = "250ms"  # of one try; there are two
SANITIZERS = (b"AddressSanitizer", b"LeakSanitizer", b"runtime error:")  # what a build with them says


class Result:
    """verdict, code, enhanced, text, rule: of the verdict; facts, states: by fact; rules: outcome by name; raw: the whole."""

    def __init__(self, raw, stderr):
        self.raw, self.stderr = raw, stderr
        self.verdict, self.code = raw.get("verdict"), raw.get("code")
        self.enhanced, self.text, self.rule = raw.get("enhanced"), raw.get("text"), raw.get("rule")
        self.stage = raw.get("stage")
        self.facts, self.states, self.rules = {}, {}, {}
        for rule in raw["rules"]:
            if rule is None:  # too long for a line of explain
                continue
            self.rules[rule["name"]] = rule["outcome"]
            for fact in rule["facts"]:
                self.facts[fact["fact"]] = fact["value"]
                self.states[fact["fact"]] = fact["state"]

    def __repr__(self):
        return "%s %s %s %r" % (self.verdict, self.code, self.enhanced, self.facts)


class Refused(Exception):
    """explain did not take its arguments or the policy; the text says why."""


def policy_text(filters, reads=(), *, dns=None, rules="", statements="", dns_timeout=DNS_TIMEOUT):
    """A policy whose rules read the facts wanted, then the rules given (the last of which may decide), then accept."""
    lines = ["policy 1"]
    if dns is not None:
        lines += ["resolver %s" % dns.address, "dns timeout %s" % dns_timeout]
    lines += [statements, filters, "rules {"]
    lines += ['  read-%d : log "{%s}" on unknown skip' % (i, fact) for i, fact in enumerate(reads)]
    return "\n".join(lines + [rules, "  accept", "}", ""])


def explain_policy(policy, *, client="192.0.2.1", helo="client.example.org", sender="sender@example.com",
                   recipients=("recipient@example.com",), message=b"", user=None, timeout=60):
    """Result for a whole policy text and a message (bytes, or the path of a file)."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "test.policy")
        with open(path, "wb") as f:
            f.write(policy if isinstance(policy, bytes) else policy.encode())
        if isinstance(message, bytes):
            name = os.path.join(folder, "message.eml")
            with open(name, "wb") as f:
                f.write(message)
            message = name
        command = [os.environ["SALLYPORT"], "explain", "--json", "--client", client, "--helo", helo, "--from", sender]
        for recipient in recipients:
            command += ["--to", recipient]
        if user is not None:
            command += ["--user", user]
        done = subprocess.run(command + [path, message], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    if done.returncode < 0 or any(word in done.stderr for word in SANITIZERS):
        raise AssertionError("explain died, status %d: %s" % (done.returncode, done.stderr.decode(errors="replace")))
    if done.returncode in (1, 2) or not done.stdout:
        raise Refused(done.stderr.decode(errors="replace").strip() or "status %d" % done.returncode)
    return Result(json.loads(done.stdout.decode(errors="replace").splitlines()[-1]), done.stderr.decode(errors="replace"))


def explain(filters, reads, *, dns=None, rules="", statements="", dns_timeout=DNS_TIMEOUT, **transaction):
    """explain_policy() with a policy made of these filters; reads: the facts wanted."""
    text = policy_text(filters, reads, dns=dns, rules=rules, statements=statements, dns_timeout=dns_timeout)
    return explain_policy(text, **transaction)


# ---- what every suite needs

def skip(why):
    print("skipped: " + why)
    sys.exit(77)


def load(name):
    """The path of a file or folder of the test material; skips where it is not."""
    if "SALLYPORT" not in os.environ:
        sys.exit("SALLYPORT is not set: run this by ctest, or name the program, SALLYPORT_FILTER_PATH and SALLYPORT_DATA")
    path = os.path.join(os.environ.get("SALLYPORT_DATA", ""), name)
    if not os.path.exists(path):
        skip("no test material %s" % name)
    return path


def load_lines(name):
    """The objects of a file with one JSON object a line."""
    with open(load(name), encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def load_json(name):
    with open(load(name), encoding="utf-8") as f:
        return json.load(f)


def tally(name, passed, total, failures):
    """Prints each failure and "name: N of M"; ends the program, well only if all passed."""
    for failure in failures:
        print("FAILED " + failure)
    print("%s: %d of %d" % (name, passed, total))
    sys.exit(0 if passed == total and not failures and total > 0 else 1)
