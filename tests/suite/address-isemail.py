"""isemail's collection of addresses, said to a gateway: none that RFC 5321 forbids is taken, and no control octet reaches the backend.

What RFC 5321 allows must be taken but for DIFFERENT, each with its reason.
"""
import contextlib
import re

import capture
from explain import load_lines, tally
from wire import Client, Lost

# By RFC 5321 syntax good: no TLD, quoted strings and literals among them. The others are RFC 5322 only, or nothing at all.
GOOD = ("ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN", "ISEMAIL_RFC5321")
DIFFERENT = {
    '""@iana.org': "the empty quoted string is grammar, but names nobody, and servers crashed at it (CVE-2020-10967)",
}


class Backend(capture.Backend):
    """Keeps the command lines, too."""

    lines = []

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 backend\r\n")
            for line in iter(lines.readline, b""):
                self.lines.append(line)
                connection.sendall(self.ANSWERS.get(line[:4].upper(), b"250 ok\r\n"))


capture.Backend = Backend


def taken(port, address):
    """Was it taken as a sender, by the replies to all lines that it makes?"""
    codes = []
    with Client(port) as client:
        client.send(b"MAIL FROM:<" + address + b">\r\nRCPT TO:<bob@example.com>\r\nQUIT\r\n")
        try:
            while not codes or codes[-1] not in (221, 421):
                codes.append(client.reply().code)
        except Lost:
            pass
    return codes == [250, 250, 221], codes


def main():
    cases = load_lines("address-isemail/cases.jsonl")
    failures, used = [], set()
    with capture.work_folder() as folder, capture.Gateway(
            folder, "rules { accept }", listen="quoted local part yes max connections per client 1000") as gateway:
        for case in cases:
            address = case["address"].encode()
            good = case["category"] in GOOD and case["address"] not in DIFFERENT
            used.update({case["address"]} & set(DIFFERENT))
            got, codes = taken(gateway.server.port, address) if address else (False, [])  # <> is no address, but a sender
            if got != good:
                failures.append("case %s %r, %s: %s" % (case["id"], case["address"], case["diagnosis"], codes))
            if got and b"MAIL FROM:<" + address + b">\r\n" not in Backend.lines:
                failures.append("case %s %r did not go on as it came" % (case["id"], case["address"]))
        for line in Backend.lines:
            if re.search(rb"[\x00-\x1f\x7f]", line[:-2]) or line[-2:] != b"\r\n":
                failures.append("the backend was sent %r" % line)
    failures += ["%r is listed as different, but no case" % a for a in set(DIFFERENT) - used]
    for address, why in DIFFERENT.items():
        print("different: %s: %s" % (address, why))
    tally("address-isemail", len(cases) - len(failures), len(cases), failures)


main()
