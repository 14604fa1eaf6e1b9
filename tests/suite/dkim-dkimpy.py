"""dkimpy's own messages and key records, with the default settings, and what dkimpy signs now, in all forms: dkim-dkimpy.

Of the key records, test.txt and test2.txt are keys and the others are none that mail may be verified with: the
wrong version, the wrong type, a broken p=, a key for another service.
"""
import base64
import itertools
import sys

from dkimcases import crlf, load, load_json, load_lines, message_of, skip, tally, verify, zone_of
from dnsserver import DnsServer

try:
    import dkim
    import nacl.signing
except ImportError as missing:
    skip("no Python module %s" % missing.name)

SUITE = "dkim-dkimpy"
RECORDS = {"test.txt": "pass", "test2.txt": "pass", "badk.txt": "permerror", "badversion.txt": "permerror",
           "test_bad.txt": "permerror", "test_tlsrpt.txt": "permerror"}
HEADERS = [b"from", b"to", b"subject", b"date", b"message-id"]


def read(name):
    with open(load(SUITE + "/data/" + name), "rb") as f:
        return f.read()


def sign(message, algorithm, forms):
    key = read("rfc8032_7_1.key").strip() if algorithm.startswith("ed") else read("test.private")
    field = dkim.sign(message, b"test", b"example.com", key, signature_algorithm=algorithm.encode(),
                      canonicalize=tuple(form.encode() for form in forms), include_headers=HEADERS)
    return field + message


def ed25519_record():
    seed = base64.b64decode(read("rfc8032_7_1.key"))
    public = nacl.signing.SigningKey(seed).verify_key.encode()
    return "v=DKIM1; k=ed25519; p=" + base64.b64encode(public).decode()


def expect(name, want, v):
    good = v.result == want and v.passed == (want == "pass")
    return [] if good else ["%s: wanted %s, got %r" % (name, want, v)]


def messages():
    """dkimpy's cases."""
    with DnsServer(zone_of(SUITE + "/dns.json")) as dns:
        for case in load_lines(SUITE + "/cases.jsonl"):
            v = verify(message_of(SUITE, case), dns)
            faults = expect(case["id"], case["expect"], v)
            if v.signatures != case["signatures"] and not faults:
                faults = ["%s: %d signatures wanted, got %d" % (case["id"], case["signatures"], v.signatures)]
            yield faults


def records():
    """One message, signed once; its key published in several ways."""
    published = load_json(SUITE + "/variant-key-records.json")
    signed = sign(crlf(read("test.message")), "rsa-sha256", ("relaxed", "simple"))
    with DnsServer() as dns:
        for name, want in RECORDS.items():
            dns.zone = {"test._domainkey.example.com": [("TXT", published[name])]}
            yield expect("record " + name, want, verify(signed, dns))


def signed_now():
    """Each algorithm and form: right as it is, wrong when a signed field or the body is not the same."""
    message = crlf(read("test.message"))
    keys = {"rsa-sha256": load_json(SUITE + "/variant-key-records.json")["test.txt"], "ed25519-sha256": ed25519_record()}
    for algorithm, header, body in itertools.product(keys, ("simple", "relaxed"), ("simple", "relaxed")):
        name = "%s %s/%s" % (algorithm, header, body)
        signed = sign(message, algorithm, (header, body))
        with DnsServer({"test._domainkey.example.com": [("TXT", keys[algorithm])]}) as dns:
            yield (expect(name, "pass", verify(signed, dns)) +
                   expect(name + ", other body", "fail", verify(signed.replace(b"test message", b"best message"), dns)) +
                   expect(name + ", other subject", "fail", verify(signed.replace(b": Testing", b": Resting"), dns)) +
                   expect(name + ", more blanks", "pass" if header == "relaxed" else "fail",
                          verify(signed.replace(b": Testing", b":  Testing "), dns)))


def main():
    outcomes = [*messages(), *records(), *signed_now()]
    failures = [fault for faults in outcomes for fault in faults]
    tally("dkim-dkimpy", sum(not faults for faults in outcomes), len(outcomes), failures)


if __name__ == "__main__":
    sys.exit(main())
