"""A small DNS server with a zone of our own, for the suites (RFC 1035, RFC 6891; nothing but the standard library).

    with DnsServer({
        "example.org": [("TXT", "v=spf1 mx -all"), ("MX", (10, "mx.example.org")), ("A", "192.0.2.1")],
        "long.example.org": [("TXT", b"x" * 600), ("TXT", [b"two ", b"strings \0"])],
        "slow.example.org": [TIMEOUT],
        "half.example.org": [("A", "192.0.2.1"), ("TXT", SERVFAIL)],
    }) as dns:
        ... dns.address ("127.0.0.1:40000"), dns.questions["example.org", "TXT"] ...

A zone is a dict of names to lists of (type, value):

    TXT    bytes or str (UTF-8), cut into strings of 255 octets; or a list of strings as they are, [] for no string at all
    A, AAAA    text;  MX    (preference, name);  PTR, CNAME, NS    name
    any number for a type    bytes: the data itself

In the place of a value, or of a whole (type, value), may stand TIMEOUT (no answer ever), SERVFAIL, REFUSED, NXDOMAIN, NODATA, or a
function of (query: bytes, tcp: bool) that returns the answer's octets, or None for no answer.  One that stands for the whole pair
speaks for the types that the name does not have.  Names that are not there do not exist (NXDOMAIN), but for those above others.
CNAMEs are followed as long as the zone goes.  Answers too long for UDP (512 octets, or what the question's OPT says) are truncated;
TCP gives them whole.  A zone may be replaced at any time.
"""
import collections
import ipaddress
import socket
import struct
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SPF": 99}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
OPT, CLASS_IN = 41, 1
CNAMES_MAX = 17


class Special:
    """What stands for a value; rcode None: no answer."""

    def __init__(self, name, rcode):
        self.name, self.rcode = name, rcode

    def __repr__(self):
        return self.name


TIMEOUT = Special("TIMEOUT", None)
NODATA = Special("NODATA", 0)
SERVFAIL = Special("SERVFAIL", 2)
NXDOMAIN = Special("NXDOMAIN", 3)
REFUSED = Special("REFUSED", 5)


def is_special(value):
    return isinstance(value, Special) or callable(value)


def octets(text):
    return text if isinstance(text, bytes) else text.encode()


def key_of(name):
    return octets(name).rstrip(b".").lower()


def name_wire(name):
    labels = [label for label in octets(name).rstrip(b".").split(b".") if label]
    if any(len(label) > 63 for label in labels):
        raise ValueError("label too long in %r" % name)
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def txt_wire(value):
    if isinstance(value, (bytes, str)):
        text = octets(value)
        value = [text[i:i + 255] for i in range(0, len(text), 255)] or [b""]
    return b"".join(bytes([len(octets(s))]) + octets(s) for s in value)


def data_wire(kind, value):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind == "MX":
        return struct.pack(">H", int(value[0])) + name_wire(value[1])
    if kind in ("PTR", "CNAME", "NS"):
        return name_wire(value)
    if kind in ("TXT", "SPF"):
        return txt_wire(value)
    return octets(value)


def record_wire(name, kind, value, ttl):
    data = data_wire(kind, value)
    return name_wire(name) + struct.pack(">HHIH", TYPES.get(kind, kind), CLASS_IN, ttl, len(data)) + data


class Question:
    """The one question of a query, and the room that its sender has."""

    def __init__(self, query):
        self.id, self.flags, count, _, _, additional = struct.unpack(">HHHHHH", query[:12])
        at, labels = 12, []
        while query[at] != 0:
            labels.append(query[at + 1:at + 1 + query[at]])
            at += 1 + query[at]
        self.name = b".".join(labels)
        number, self.rclass = struct.unpack(">HH", query[at + 1:at + 5])
        self.kind = TYPE_NAMES.get(number, number)
        self.wire = query[12:at + 5]
        self.room = 512
        if count == 1 and additional > 0 and query[at + 5:at + 8] == b"\0" + struct.pack(">H", OPT):
            self.room = max(512, struct.unpack(">H", query[at + 8:at + 10])[0])

    def header(self, rcode, answers, truncated=False):
        flags = 0x8480 | (self.flags & 0x0100) | (0x0200 if truncated else 0) | rcode
        return struct.pack(">HHHHHH", self.id, flags, 1, answers, 0, 0) + self.wire


class DnsServer:
    """Serves from start() to stop(), or as a context, over UDP and TCP of one free port."""

    def __init__(self, zone=None, ttl=60):
        self.zone = zone or {}
        self.ttl = ttl
        self.questions = collections.Counter()  # (name in lower case, type) -> how often asked
        self.lock = threading.Lock()
        self.stopped = False

    # ---- what the tests use

    @property
    def zone(self):
        return self._zone

    @zone.setter
    def zone(self, zone):
        names = {key_of(name): list(records) for name, records in zone.items()}
        above = {name[i + 1:] for name in names for i, c in enumerate(name) if c == ord(".")}
        self._zone, self._names, self._above = zone, names, above

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def total(self, *kinds):
        """How many questions came; of these types, or all."""
        with self.lock:
            return sum(n for (_, kind), n in self.questions.items() if not kinds or kind in kinds)

    def forget(self):
        with self.lock:
            self.questions.clear()

    def start(self):
        for attempt in range(50):
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            try:
                self.tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        else:
            raise OSError("no port is free for both UDP and TCP")
        self.tcp.listen(64)
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        return self

    def stop(self):
        self.stopped = True
        self.udp.close()
        self.tcp.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- the answer

    def _records(self, name, kind):
        """The values for this type at this name, or a Special or function that stands for them."""
        entries = self._names.get(name)
        if entries is None:
            return NODATA if name in self._above else NXDOMAIN
        values = [e[1] for e in entries if not is_special(e) and e[0] == kind]
        for value in values:
            if is_special(value):
                return value
        if values:
            return values
        return next((e for e in entries if is_special(e)), NODATA)

    def _find(self, question):
        """(records to send, a Special or function or None)."""
        out, name = [], key_of(question.name)
        for _ in range(CNAMES_MAX):
            found = self._records(name, question.kind)
            if not is_special(found):
                return out + [(name, question.kind, value) for value in found], None
            alias = self._records(name, "CNAME")
            if is_special(alias):
                return out, found
            out.append((name, "CNAME", alias[0]))
            name = key_of(alias[0])
        return out, NODATA

    def answer(self, query, tcp):
        """The octets to send, or None."""
        question = Question(query)
        with self.lock:
            self.questions[key_of(question.name).decode("latin-1"), question.kind] += 1
        records, special = self._find(question)
        if callable(special):
            return special(query, tcp)
        rcode = special.rcode if special else 0
        if rcode is None:
            return None
        body = b"".join(record_wire(*record, self.ttl) for record in records)
        whole = question.header(rcode, len(records)) + body
        if len(whole) > 65535:
            return question.header(SERVFAIL.rcode, 0)
        if not tcp and len(whole) > question.room:
            return question.header(rcode, 0, truncated=True)
        return whole

    # ---- the sockets

    def _serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(65535)
            except OSError:
                return
            try:
                reply = self.answer(query, False)
                if reply is not None:
                    self.udp.sendto(reply, peer)
            except (struct.error, IndexError, ValueError) as e:
                print("dnsserver: no answer, %s: %r" % (e, query[:80]))
            except OSError:
                if self.stopped:
                    return

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection):
        with connection, connection.makefile("rb") as stream:
            try:
                while len(head := stream.read(2)) == 2:
                    reply = self.answer(stream.read(struct.unpack(">H", head)[0]), True)
                    if reply is not None:
                        connection.sendall(struct.pack(">H", len(reply)) + reply)
            except (OSError, struct.error, IndexError, ValueError):
                return
