#!/usr/bin/python3
"""signing-edits - what is signed is what the backend gets, whatever was edited before: dkimpy verifies DKIM and ARC.

A filter and rules replace, remove, insert and add fields, forged results are taken off, the header lacks its end, bodies begin
with dots, are large, or are replaced; above them all stand the signatures of two keys and a seal.
"""
import importlib
import os
import sys

import capture
import explain
from dnsserver import DnsServer

if "SALLYPORT_TEST_MODULES" not in os.environ:
    explain.skip("no SALLYPORT_TEST_MODULES: the folder of tests/modules as built")
os.environ["SALLYPORT_FILTER_PATH"] = "%s:%s" % (os.environ["SALLYPORT_FILTER_PATH"], os.environ["SALLYPORT_TEST_MODULES"])
dkim_signing = importlib.import_module("dkim-signing")
arc_signing = importlib.import_module("arc-signing")

DOMAIN = dkim_signing.DOMAIN
HEADER = b"""From: "Doe,  John"\r
\t<jqd@author.example>\r
.Early: dot\r
To: one@list.example\r
Authentication-Results: (c) "GATEWAY.example.net"; dmarc=pass\r
To: Two  <two@list.example>\t\r
SUBJECT:   folded \r
\t and   blank \r
X-Gone: 1\r
Message-ID: <54B84785.1060301@author.example>\r
authentication-results:\r
 gateway.example.net 1; dkim=pass\r
%s\r
X-Gone:\r
 2\r
"""
POLICY = """resolver %s
filter spf { received_spf yes }
filter dkim
filter edits
filter dkim signer { keys "%s" header %s body %s }
filter arc seal { keys "%s" domain author.example }
rules {
  mark : add-header "Reply-To" "<list@list.example>"
  gone : remove-header "X-Gone"
  sign : if client.ip == 127.0.0.1 filter signer
  seal : if client.ip == 127.0.0.1 filter seal
  seen : log "{spf.result} {dkim.result}" on unknown skip
  accept
}"""
LARGE = b"".join(b".%07d  quick brown foxes jump\tover the lazy dog \r\n\r\n" % n for n in range(1 << 14))
BODIES = {"small": b"\r\n..\r\n.text \r\n\r\n\r\n", "none": b"", "empty": b"\r\n", "large": b"\r\n" + LARGE,
          "no empty line": b"this is no field\r\nFrom: other@author.example\r\n\r\n.\r\n",
          "no empty line, large": b".\r\n" + LARGE}


def check(suite, name, body, stored, edit):
    fields = dkim_signing.fields_of(stored, b"DKIM-Signature")
    suite.check(name + ": two signatures", len(fields) == 2, fields)
    for index in range(len(fields)):
        result = suite.dkimpy(stored, index)
        suite.check("%s: dkimpy verifies signature %d" % (name, index), result is True, result)
    cv, sets, _ = suite.arc.ARC(stored).verify(dnsfunc=suite.lookup)
    suite.check(name + ": dkimpy verifies the seal", cv == b"pass" and len(sets) == 1, (cv, sets))
    results = dkim_signing.fields_of(stored, b"Authentication-Results")
    suite.check(name + ": one field of results", len(results) == 1 and b"spf=" in results[0], results)
    gone = dkim_signing.fields_of(stored, b"X-Gone") + (dkim_signing.fields_of(stored, b"To")[1:] if edit else [])
    suite.check(name + ": what was removed is gone", not gone, gone)
    if edit:
        suite.check(name + ": what was put in is there", all(
            f in stored for f in (b"\r\n.Dotted: x\r\n", b"\r\nSUBJECT: another\r\n\t subject \r\n", b"\r\nReply-To: <list")), stored[:4000])
    if edit != b"Edit: body":
        suite.check(name + ": the body is as it came", stored.endswith(body), stored[-200:])


def main():
    with capture.work_folder() as folder, DnsServer({}) as dns:
        keys = [dkim_signing.Key(folder, "rsa", "rsa-sha256"), dkim_signing.Key(folder, "ed", "ed25519-sha256")]
        table = os.path.join(folder, "dkim.keys")
        with open(table, "w") as f:
            f.write("%s rsa rsa.pem\n%s ed ed.pem\n" % (DOMAIN, DOMAIN))
        suite = dkim_signing.Suite(keys, dns)
        suite.arc = arc_signing.import_dkim()
        for header, body in dkim_signing.FORMS:
            with capture.Gateway(folder, POLICY % (dns.address, table, header, body, table)) as gateway:
                for edit in (b"", b"Edit: header", b"Edit: body"):
                    for what, text in BODIES.items():
                        name = "%s/%s, %s, '%s'" % (header, body, what, edit.decode())
                        reply, stored = gateway.pass_on(HEADER % (edit or b"Note: no edit") + text)
                        if suite.check(name + ": taken", reply.code == 250 and stored is not None, reply):
                            check(suite, name, text, stored, edit)
    explain.tally("signing-edits", suite.passed, suite.total, suite.failures)


if __name__ == "__main__":
    if "SALLYPORT" not in os.environ:
        sys.exit("SALLYPORT is not set: run this by ctest, or name the program and SALLYPORT_FILTER_PATH")
    main()
