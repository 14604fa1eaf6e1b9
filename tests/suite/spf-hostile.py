"""What a sender can write into the DNS to hurt: nothing dies, and no check asks more than RFC 7208 section 4.6.4 allows."""
import ipaddress
import struct

from dnsserver import DnsServer, NODATA, REFUSED, SERVFAIL, TIMEOUT
from explain import explain, tally

CLIENT = "192.0.2.1"
REVERSE = "1.2.0.192.in-addr.arpa"


def tree(depth, width):
    """Each record includes the next ones, down to leaves that match nobody."""
    zone = {}

    def add(name, level):
        if level == depth:
            zone[name] = [("TXT", "v=spf1 ip4:198.51.100.1 ?all")]
            return
        below = ["i%d.%s" % (i, name) for i in range(width)]
        zone[name] = [("TXT", "v=spf1 " + " ".join("include:" + b for b in below) + " -all")]
        for b in below[:width if level < 2 else 1]:
            add(b, level + 1)
    add("example.org", 0)
    return zone


def txt(text, **names):
    zone = {"example.org": [("TXT", text)]}
    zone.update({name.replace("_", ".") + ".example.org": records for name, records in names.items()})
    return zone


def hosts(count):
    return {"h%d.example.org" % i: [("A", "198.51.100.7")] for i in range(count)}


def garbage(query, tcp):
    return query[:2] + b"\x84\x00\xff\xff\xff\xff\xff\xff\xff\xff" + b"\xc0\x0c" * 50


def question_of(query):
    return query[12:query.index(b"\0", 12) + 5]


def loop_pointers(query, tcp):
    head = query[:2] + b"\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00" + question_of(query)
    return head + struct.pack(">H", 0xc000 | len(head)) + b"\x00\x10\x00\x01\0\0\0\0\0\0"


def other_question(query, tcp):
    return query[:2] + b"\x84\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"\x05other\x03org\x00\x00\x10\x00\x01"


def tcp_never(query, tcp):
    return None if tcp else query[:2] + b"\x86\x00" + query[4:6] + b"\0\0\0\0\0\0" + question_of(query)


D126, D127 = "%{d}" * 126, "%{d}" * 127
EIGHTY = " ".join("ip4:198.51.100.%d" % i for i in range(80))
V6 = " ".join("ip6:2001:0db8:1111:2222:3333:4444:5555:%x" % i for i in range(60))

# name, zone, result (or several), most questions; then what explain() takes besides, and the explanation
CASES = [
    # LIBRARIES: CVE-2023-42118, the records that end a process in which libspf2 reads them
    ("exists: of 126 %{d} and 6000 A", txt("v=spf1 exists:" + D126 + "A" * 6000 + ".example.org -all"), "permerror", 2),
    ("exists: of 127 %{d} and 6000 A", txt("v=spf1 exists:" + D127 + "A" * 6000 + ".example.org -all"), "permerror", 2),
    ("exists: of 126 %{d}, 3000 A, below 4000", txt("v=spf1 exists:" + D126 + "A" * 3000 + ".org -all"), "permerror", 2),
    ("exists: of the longest term", txt("v=spf1 exists:" + "%{d}" * 116 + ".a.org -all"), "fail", 2),
    ("exists: of the longest term, one more", txt("v=spf1 exists:" + "%{d}" * 117 + ".a.org -all"), "permerror", 1),
    ("exp= text of 127 %{d} and 3000 A", txt("v=spf1 -all exp=e.example.org", e=[("TXT", D127 + "A" * 3000)]), "fail", 3, {},
     ("example.org" * 127)[:400]),
    ("exp= text of 16000 %{S}", txt("v=spf1 -all exp=e.example.org", e=[("TXT", "%{S}" * 16000)]), "fail", 3,
     {"sender": '"%s"@example.org' % ("\\\"" * 30)}, (("%22" * 30 + "%40example.org") * 4)[:400]),
    # sizes; an answer that is truncated is asked for again by TCP
    ("record of 4000 octets", txt("v=spf1 -all ".ljust(3900) + "x=" + "y" * 98), "fail", 2),
    ("record of 4001 octets", txt("v=spf1 -all ".ljust(3900) + "x=" + "y" * 99), "permerror", 2),
    ("record of 60000 octets", txt("v=spf1 " + "ip4:198.51.100.1 " * 3500 + "-all"), "permerror", 2),
    ("answer above 64 KiB", {"example.org": [("TXT", "v=spf1 -all")] + [("TXT", "x" * 2000)] * 40}, "temperror", 4),
    ("512 strings of one octet", txt([b"v=spf1 "] + [b" "] * 510 + [b"-all"]), "fail", 2),
    ("empty strings", txt([b"", b"v=spf1", b"", b" -all", b""]), "fail", 1),
    ("no string", {"example.org": [("TXT", [])]}, "none", 1),
    ("80 networks before the end", txt("v=spf1 " + EIGHTY + " -all"), "fail", 2),
    ("80 networks and ours", txt("v=spf1 " + EIGHTY + " ip4:192.0.2.0/24 -all"), "pass", 2),
    ("60 long networks", txt("v=spf1 " + V6 + " ip6:2001:db8:: -all"), "pass", 2, {"client": "2001:db8::"}),
    ("2000 terms", txt("v=spf1 " + "a " * 1990), "permerror", 5),
    # octets
    ("NUL inside", txt(b"v=spf1 ip4:192.0.2.1\0 -all"), "permerror", 1),
    ("NUL behind", txt(b"v=spf1 -all\0"), "permerror", 1),
    ("NUL before what would be cut", txt(b"v=spf1 +all \0garbage"), "permerror", 1),
    ("CR LF", txt(b"v=spf1 -all\r\n"), "permerror", 1),
    ("tab", txt(b"v=spf1\t-all"), "none", 1),
    ("UTF-8", txt("v=spf1 include:exämple.org -all"), "permerror", 1),
    ("another version", txt("v=spf10 +all"), "none", 1),
    ("two records", {"example.org": [("TXT", "v=spf1 -all"), ("TXT", "v=spf1 +all")]}, "permerror", 1),
    # loops and trees
    ("9 x 9 includes", tree(9, 9), "permerror", 11),
    ("9 x 9 includes in each branch", dict(tree(3, 9)), "permerror", 11),
    ("include of itself", txt("v=spf1 include:example.org -all"), "permerror", 11),
    ("redirect to itself", txt("v=spf1 redirect=example.org"), "permerror", 11),
    ("two that include each other", txt("v=spf1 include:b.example.org", b=[("TXT", "v=spf1 include:example.org")]), "permerror", 11),
    ("growing names", txt("v=spf1 include:a.%{d}", **{"a": [("TXT", "v=spf1 include:a.%{d}")]}), "permerror", 11),
    ("11 terms", txt("v=spf1 " + " ".join("a:h%d.example.org" % i for i in range(11)) + " -all", **{}) | hosts(11), "permerror", 11),
    ("10 terms", txt("v=spf1 " + " ".join("a:h%d.example.org" % i for i in range(10)) + " -all") | hosts(10), "fail", 11),
    # MX, PTR, void look-ups
    ("50 mail exchangers", txt("v=spf1 mx -all") | hosts(50) |
     {"example.org": [("TXT", "v=spf1 mx -all")] + [("MX", (i, "h%d.example.org" % i)) for i in range(50)]}, "permerror", 13),
    ("100 x 10 addresses by mx", hosts(10) | {"example.org": [("TXT", "v=spf1" + " mx" * 10 + " -all")] +
     [("MX", (i, "h%d.example.org" % i)) for i in range(10)]}, "fail", 13),
    ("50 names of the client", txt("v=spf1 ptr -all") | {"h%d.example.org" % i: [("A", CLIENT)] for i in range(10, 50)} |
     {REVERSE: [("PTR", "h%d.example.org" % i) for i in range(50)]}, ("fail", "pass"), 13),
    ("three void look-ups", txt("v=spf1 a:x.example.org a:y.example.org a:z.example.org +all"), "permerror", 4),
    ("two void look-ups", txt("v=spf1 a:x.example.org a:y.example.org +all"), "pass", 3),
    ("void look-ups in includes", txt("v=spf1 include:i.example.org a:z.example.org +all",
     i=[("TXT", "v=spf1 a:x.example.org a:y.example.org -all")]), "permerror", 5),
    # a DNS that fails
    ("SERVFAIL", {"example.org": [SERVFAIL]}, "temperror", 4),
    ("REFUSED", {"example.org": [REFUSED]}, "temperror", 4),
    ("silence", {"example.org": [TIMEOUT]}, "temperror", 4),
    ("garbage", {"example.org": [garbage]}, "temperror", 4),
    ("compression loop", {"example.org": [loop_pointers]}, "temperror", 4),
    ("an answer to another question", {"example.org": [other_question]}, "temperror", 4),
    ("truncated, and silence by TCP", {"example.org": [tcp_never]}, "temperror", 6),
    ("CNAME loop", {"example.org": [("CNAME", "b.example.org")], "b.example.org": [("CNAME", "example.org")]}, "temperror", 4),
    ("SERVFAIL in an include", txt("v=spf1 include:i.example.org -all", i=[SERVFAIL]), "temperror", 5),
    ("SERVFAIL of a host", txt("v=spf1 a:h.example.org -all", h=[SERVFAIL]), "temperror", 5),
    ("SERVFAIL of the reverse name", txt("v=spf1 ptr -all") | {REVERSE: [SERVFAIL]}, "fail", 8),
    ("no data for exists", txt("v=spf1 exists:h.example.org -all", h=[("A", NODATA)]), "fail", 2),
    # explanations
    ("explanation with a line end", txt("v=spf1 -all exp=e.example.org", e=[("TXT", b"a\r\n250 ok")]), "fail", 2, {}, ""),
    ("explanation of several records", txt("v=spf1 -all exp=e.example.org", e=[("TXT", "a"), ("TXT", "b")]), "fail", 2, {}, ""),
    ("explanation that fails", txt("v=spf1 -all exp=e.example.org", e=[SERVFAIL]), "fail", 5, {}, ""),
    ("explanation with quotes", txt("v=spf1 -all exp=e.example.org", e=[("TXT", 'go "away" \\ {spf.result}')]), "fail", 2, {},
     'go "away" \\ {spf.result}'),
    # who gets a free ride in libspf2
    ("loopback", txt("v=spf1 -all"), "fail", 1, {"client": "127.0.0.1"}),
    ("loopback, IPv6", txt("v=spf1 -all"), "fail", 1, {"client": "::1"}),
]


def fault_of(dns, name, zone, expect, most, transaction=None, explanation=None):
    """What is wrong, or None."""
    transaction = dict({"client": CLIENT, "sender": "a@example.org", "helo": "localhost"}, **(transaction or {}))
    dns.zone = zone
    dns.forget()
    r = explain("filter spf", ["spf.result", "spf.explanation"], dns=dns,
                rules='  no : if spf.result == fail reject 550 5.7.23 "said: {spf.explanation}"', **transaction)
    result, said = r.facts["spf.result"], r.facts["spf.explanation"]
    expect = (expect,) if isinstance(expect, str) else expect
    if result not in expect:
        return "%s, expected %s" % (result, " or ".join(expect))
    if dns.total() > most:
        return "%d questions, expected %d at most: %r" % (dns.total(), most, dns.questions)
    if explanation is not None and said != explanation:
        return "explanation %r, expected %r" % (said, explanation)
    if len(said) > 400 or any(not " " <= c <= "~" for c in said + (r.text or "")):
        return "an explanation that may not be sent: %r" % said
    if (r.verdict == "reject") != (result == "fail"):
        return "verdict %s for %s" % (r.verdict, result)
    return None


def main():
    passed, failures = 0, []
    assert ipaddress.ip_address(CLIENT).reverse_pointer == REVERSE
    with DnsServer() as dns:
        for case in CASES:
            try:
                fault = fault_of(dns, *case)
            except AssertionError as e:
                fault = str(e)
            passed += fault is None
            if fault is not None:
                failures.append("%s: %s" % (case[0], fault))
    tally("spf-hostile", passed, len(CASES), failures)


main()
