#!/usr/bin/env python3
"""sallyport_milter.py - sallyport-milter behind a Postfix says what the gateway says.

At each stage of a session a rule refuses, in its own words.  Then 649 real mails, some of them signed, from several clients
(XCLIENT) and under the sample policy's rules, go through the gateway and through Postfix with the milter, each with a DNS of our
own: the same are refused, by the same rules, with the same replies; all others get the same marks and the same
Authentication-Results, so what was signed arrives at the milter as it was sent.
"""
import collections
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import zlib

import servers
import wire

sys.path.insert(0, os.path.join(servers.HERE, "..", "suite"))
import capture  # noqa: E402
import dnsserver  # noqa: E402

RULES = os.path.join(servers.HERE, "..", "..", "contrib", "policy", "sender.rules")
CLIENTS = ["203.0.113.9", "203.0.113.77", "198.51.100.25", "192.0.2.4", "2001:db8:1::9"]
TRACE_ID = re.compile(r" \(tx=[0-9A-Z]+\)")
MARKS = (b"Authentication-Results", b"X-Unsure", b"X-Quarantine")
failures = []


def check(truth, what):
    if not truth:
        failures.append(what)


class Milter:
    """sallyport-milter with a policy: 'text' follows its own settings; unix: it serves a socket of that kind."""

    def __init__(self, folder, text, options=(), unix=False):
        self.program = os.environ.get("SALLYPORT_MILTER", os.path.join(os.path.dirname(servers.sallyport_path()), "sallyport-milter"))
        if not os.access(self.program, os.X_OK):
            servers.skip("no program %s" % self.program)
        os.makedirs(folder, exist_ok=True)
        port = servers.free_port()
        self.socket = "unix:%s/socket" % folder if unix else "inet:127.0.0.1:%d" % port
        own = "socket %s\nsocket group \"postfix\"" % self.socket if unix else "socket 127.0.0.1:%d" % port
        self.policy, self.log_path = os.path.join(folder, "milter.policy"), os.path.join(folder, "milter.log")
        with open(self.policy, "w") as f:
            f.write('policy 1\nlog "%s"\nuser "nobody"\nhostname "gateway.example.net"\n%s\n%s\n'
                    % (self.log_path, own, text))
        self.options, self.process = list(options), None

    def __enter__(self):
        with open(self.log_path, "w"):
            pass
        self.process = subprocess.Popen([self.program] + self.options + [self.policy])
        try:
            servers.wait_until(self._ready, "sallyport-milter to be ready")
        except BaseException:
            self.stop()
            raise
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError("sallyport-milter ended at once, with status %d" % self.process.returncode)
        return 'text="ready:' in self.log()

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                check(False, "sallyport-milter does not end")

    def __exit__(self, kind, *_):
        self.stop()
        check(self.process.returncode == 0, "sallyport-milter ended with status %d" % self.process.returncode)

    def main_cf(self):
        return ("smtpd_milters = %s\nmilter_default_action = tempfail\nsmtpd_delay_reject = no\n"
                "smtpd_authorized_xclient_hosts = 127.0.0.1\ninet_protocols = all\nsmtputf8_enable = yes\n" % self.socket)


def log_lines(text, event):
    """The lines of an event as dicts."""
    for line in text.splitlines():
        pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)
        fields = {k: v[1:-1] if v.startswith('"') else v for k, v in pairs}
        if fields.get("event") == event:
            yield fields


# ---- every stage ----------------------------------------------------------------------------------------

STAGES = r"""
table refused : net { 203.0.113.66, 203.0.113.67 }
rules {
  conn : if client.ip == 203.0.113.66                         reject 550 5.7.1 "not from 100% of {client.ip}"
  busy : if client.ip in refused                              defer  450 4.7.1 "come again"
  helo : if client.helo == "bad.example"                      reject 550 5.7.1 "not {client.helo}"
  mail : if mail.domain == bad.example                        reject 553 5.1.8 "not {mail.domain}"
  slow : if mail.domain == slow.example                       defer  451 4.7.1 "later, {mail.domain}"
  size : if mail.size > 1M                                    reject 552 5.3.4 "{mail.size} is too big"
  rcpt : if rcpt.local == "ann" and mail.local != "ann"       reject 551 5.1.6 "not {rcpt.address}"
  subj : if message.header("Subject") == "bad"                reject 554 5.7.1 "50% bad"
  gone : if message.header("Subject") == "gone"               discard
  hold : if message.header("Subject") == "held"               quarantine jail
  big  : if message.size > 50K                                reject 552 5.3.4 "{message.size} octets"
  add  : add-header "X-Added" "{message.size}"
  away : remove-header "X-Away"
  accept
}
"""


def answer(client, *lines):
    for line in lines[:-1]:
        client.ask(line)
    return TRACE_ID.sub("", repr(client.ask(lines[-1])))


def from_client(postfix, ip):
    client = wire.Client(postfix.port, helo=None)
    client.ask("EHLO first.example.org")
    client.banner = client.ask("XCLIENT ADDR=%s NAME=[UNAVAILABLE]" % (("IPV6:" if ":" in ip else "") + ip))
    return client


def early_stages(postfix):
    # what is refused before MAIL, Postfix tells at MAIL; one thing it says itself
    with from_client(postfix, "203.0.113.66") as client:
        check(client.banner.code == 554, "connect: %r" % client.banner)
        said = answer(client, "EHLO a.example", "MAIL FROM:<a@good.example>")
        check(said == "554 5.7.1 not from 100% of 203.0.113.66", "MAIL of a refused client: " + said)
    with from_client(postfix, "203.0.113.67") as client:
        check(client.banner.code == 421, "connect: %r" % client.banner)
    with wire.Client(postfix.port, helo=None) as client:
        said = answer(client, "HELO bad.example", "MAIL FROM:<a@good.example>")
        check(said == "550 5.7.1 not bad.example", "MAIL after a refused HELO: " + said)
    with wire.Client(postfix.port) as client:
        for line, wanted in (("MAIL FROM:<a@bad.example>", "553 5.1.8 not bad.example"),
                             ("MAIL FROM:<a@slow.example>", "451 4.7.1 later, slow.example"),
                             ("MAIL FROM:<a@good.example> SIZE=2000000 BODY=8BITMIME", "552 5.3.4 2000000 is too big"),
                             ("MAIL FROM:<a@good.example> SIZE=20", "250 2.1.0 Ok"),
                             ("RCPT TO:<ann@example.com>", "551 5.1.6 not ann@example.com"),
                             ("RCPT TO:<bob@example.com>", "250 2.1.5 Ok"), ("RSET", "250 2.0.0 Ok"),
                             ("MAIL FROM:<ann@good.example>", "250 2.1.0 Ok"), ("RCPT TO:<ann@example.com>", "250 2.1.5 Ok")):
            said = answer(client, line)
            check(said == wanted, "%s: %s" % (line, said))


def late_stages(postfix):
    head = b"To: b\r\nX-Away: 1\r\nSubject: %s\r\nX-Folded:a\r\n\tb\r\nx-away:2\r\n\r\n"
    with wire.Client(postfix.port) as client:
        for subject, body, wanted in ((b"bad", b"x\r\n", "554 5.7.1 50% bad"), (b"gone", b"x\r\n", "250 2.0.0 Ok: queued"),
                                      (b"big", b"x" * 70 + b"\r\n" + b"y\r\n" * 30000, "552 5.3.4 901"),
                                      (b"nul", b"a\0b\r\n", "550 5.6.0 NUL"),
                                      (b"held", b"x\r\n", "250 2.0.0 Ok: queued"), (b"good", b".\r\n..\r\n x", "250 2.0.0 Ok: queued")):
            said = TRACE_ID.sub("", repr(client.message(head % subject + body, "a@good.example", ["bob@example.com"])))
            check(said.startswith(wanted), "%s: %s" % (subject.decode(), said))
    held = servers.wait_until(lambda: [n for _, _, names in os.walk(os.path.join(postfix.folder, "queue", "hold")) for n in names],
                              "the held message")
    check(len(held) == 1, "held: %r" % held)
    stored = [b"X-Added" + m.split(b"X-Added", 1)[1] for m in postfix.mail()]
    check(len(stored) == 1 and re.fullmatch(rb"X-Added: \d+\nReceived: .*\n(\t.*\n)+To: b\nSubject: good\nX-Folded:a\n\tb\n\n\.\n\.\.\n x\n", stored[0]),
          "stored: %r" % stored)


def stages(folder):
    with Milter(folder + "/stages", STAGES, unix=True) as milter:
        with servers.Postfix(folder + "/stages", milter.main_cf() + "header_checks =\n") as postfix:
            early_stages(postfix)
            late_stages(postfix)
        milter.stop()
        log = milter.log()
    rules = collections.Counter(t["rule"] for t in log_lines(log, "transaction"))
    for rule in ("mail", "slow", "size", "subj", "gone", "big", "hold", "accept"):
        check(rules[rule] == 1, "the log names rule %s %d times" % (rule, rules[rule]))
    check([r["rule"] for r in log_lines(log, "recipient")] == ["rcpt"], "the refused recipient's line")
    check({"conn", "busy", "helo"} <= {c["rule"] for c in log_lines(log, "connection")}, "the refused connections' lines")
    check(sum(t["qid"] != "-" for t in log_lines(log, "transaction")) >= 3, "queue ids in the log")


def only_reports(folder):
    """--shadow: what would be refused is logged, and taken as it came; a policy of a gateway is refused."""
    with Milter(folder + "/shadow", "bare line ends take\n" + STAGES, options=["--shadow"]) as milter:
        mta = Mta(int(milter.socket.split(":")[2]))
        mta.begin()
        said = mta.message([(b"Subject", b" bad")], b"one\rtwo\nthree\0\r\n")
        check(said == [b"c"], "bare line ends that are taken: %r" % said)
        said = mta.ask(b"M", b"no address\0")
        check(said.startswith(b"y501 5.5.4"), "a sender that is no address: %r" % said)
        said = mta.step({b"M": {"j": "mx.example.net"}}, b"M", b"<root>\0")
        check(said == b"c", "a sender of the mail server's own: %r" % said)
        mta.socket.close()
        with servers.Postfix(folder + "/shadow", milter.main_cf()) as postfix:
            with wire.Client(postfix.port, helo="bad.example") as client:
                said = client.message(b"Subject: bad\r\nX-Away: 1\r\n\r\nx\r\n", "a@bad.example", ["ann@example.com"])
            check(said.code == 250, "--shadow: %r" % said)
            check([untraced(m)[1] for m in postfix.mail("ann")] == [b"Subject: bad\nX-Away: 1\n\nx\n"], "--shadow edits")
        milter.stop()
        check("from=<root@mx.example.net>" in milter.log(), "a sender of the mail server's own is completed")
        check([t["would"] for t in log_lines(milter.log(), "transaction") if t["from"] == "<a@bad.example>"] == ["reject"], "--shadow: the log")
    policy = os.path.join(folder, "shadow", "gateway.policy")
    with open(policy, "w") as f:
        f.write("policy 1\nbackend mail { address 127.0.0.1:25 }\nrules { accept }\n")
    for options, status in ((["--check"], 1), ([], 1), (["--no-such-option"], 2), (["-p", "nowhere"], 1)):
        done = subprocess.run([milter.program] + options + [policy], capture_output=True, check=False)
        check(done.returncode == status, "%r: status %d" % (options, done.returncode))
        check(status == 2 or b"gateway.policy:2:1: error: a milter has no backend: the mail server that asks it has" in done.stderr,
              "%r: %r" % (options, done.stderr))


# ---- a mail server that can less than Postfix -------------------------------------------------------------

class Mta:
    """The other side of the milter protocol, packet by packet; 'actions' and 'protocol' are what it offers."""

    def __init__(self, port, actions=0x1ff, protocol=0x1fffff):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.send(b"O", struct.pack(">III", 6, actions, protocol))
        _, data = self.packet()
        self.actions, self.protocol = struct.unpack(">II", data[4:12])

    def send(self, command, data=b""):
        self.socket.sendall(struct.pack(">I", len(data) + 1) + command + data)

    def packet(self):
        head = self._octets(5)
        return head[4:], self._octets(struct.unpack(">I", head[:4])[0] - 1)

    def _octets(self, n):
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise EOFError("the milter has gone")
            data += piece
        return data

    def ask(self, command, data=b"", quiet=0):
        """What it says; b"": that command wants no reply, as was agreed (bit 'quiet')."""
        self.send(command, data)
        return b"" if self.protocol & quiet else b"".join(self.packet())

    def step(self, macros, command, data=b""):
        """A command, and before it the macros that belong to it."""
        if command in macros:
            self.send(b"D", command + b"".join(b"{%s}\0%s\0" % (k.encode(), v.encode()) for k, v in macros[command].items()))
        return self.ask(command, data)

    def begin(self, macros=()):
        said = [self.step(macros, b"C", b"client.example.org\0" + b"4" + struct.pack(">H", 2525) + b"203.0.113.9\0"),
                self.step(macros, b"H", b"client.example.org\0"), self.step(macros, b"M", b"<a@sender.example>\0SIZE=10\0"),
                self.step(macros, b"R", b"<bob@example.com>\0"), self.step(macros, b"T")]
        check(said == [b"c"] * 5, "a session: %r" % said)

    def message(self, fields, body):
        """The packets that end it."""
        for name, value in fields:
            self.ask(b"L", name + b"\0" + value + b"\0", 0x80)
        said = [self.ask(b"N")]
        if said == [b"c"]:
            if body:
                self.ask(b"B", body, 0x80000)
            self.send(b"E")
            said = []
            while not said or said[-1][:1] in b"hmi+-2ebq":
                said.append(b"".join(self.packet()))
        return said


def other_servers(folder):
    rules = """rules {\n  exact : if message.header_size == 24 and message.size == 27 add-header "X-Exact" "yes"
  told : if auth.user == "alice" and tls.version == "TLSv1.3" and listener.name == "submit" and tls.client.verified
         add-header "X-Told" "{auth.mechanism} {tls.cipher} {tls.client.subject}"
  other : if message.header("Subject") != "" add-header "X-Other" "{message.header_size} {message.size}"\n  accept\n}"""
    with Milter(folder + "/other", rules) as milter:
        port = int(milter.socket.split(":")[2])
        fields = [(b"Subject", b" x"), (b"X", b" a\n\tb")]
        mta = Mta(port)
        check(mta.protocol & 0x100080 == 0x100080, "blanks are asked for, and no replies to fields: %x" % mta.protocol)
        for _ in range(3):  # the second and third client come over the same connection, without agreeing again
            mta.begin()
            said = mta.message(fields, b"b\r\n")
            check([p for p in said if p[:1] == b"i"] == [b"i\0\0\0\0X-Other\0 24 27\0", b"i\0\0\0\0X-Exact\0 yes\0"],
                  "a whole message: %r" % said)
            mta.send(b"K")
        old = Mta(port, actions=0x3f, protocol=0x7f)  # no blanks, no quiet, no lists of macros
        check(old.protocol == 0, "an old server: %x" % old.protocol)
        old.begin()
        said = old.message([(name, value[1:]) for name, value in fields], b"b\r\n")
        check([p for p in said if p[:1] == b"i"] == [b"i\0\0\0\0X-Other\x0024 27\0", b"i\0\0\0\0X-Exact\0yes\0"],
              "a server that keeps the blank to itself: %r" % said)
        bound = Mta(port, actions=0x2)  # fields cannot be added
        bound.begin()
        said = bound.message(fields, b"b\r\n")
        check(said[0].startswith(b"y451 4.3.0 an edit of the message failed"), "a server that lets nothing be added: %r" % said)
        for big in (mta, old):
            if big is mta:
                big.begin()
            else:
                check(big.ask(b"M", b"<>\0") + big.ask(b"R", b"<bob@example.com>\0") + big.ask(b"T") == b"ccc", "the next message")
            said = big.message([(b"X-Long", b" " + b"x" * 60000)] * 12, b"")
            check(said[0].startswith(b"y552 5.3.4 message header too big"), "a long header: %r" % said)
        telling = Mta(port)
        telling.begin({b"C": {"daemon_name": "submit", "daemon_addr": "192.0.2.25"},
                       b"H": {"tls_version": "TLSv1.3", "cipher": "AES", "cipher_bits": "256", "cert_subject": "CN=a", "cert_issuer": "CN=b"},
                       b"M": {"auth_authen": "alice", "auth_type": "PLAIN"}})
        said = telling.message(fields, b"b\r\n")
        check(b"i\0\0\0\0X-Told\0 PLAIN AES CN=a\0" in said, "what macros tell: %r" % said)
        plain = Mta(port)
        plain.begin()
        said = plain.message(fields, b"one\rtwo\r\n")
        check(said[0].startswith(b"y550 5.5.2 bare CR"), "a bare CR: %r" % said)


# ---- edits ----------------------------------------------------------------------------------------------

EDITS = r"""
filter edits
filter mover { sender "moved@sender.example" remove "bob@example.com" add "ann@example.com bob+new@example.com" }
rules {
  move : if message.has_header("Move")   filter mover
  drop : remove-header "X-Drop"
  mark : if message.has_header("Mark")   add-header "X-Mark" "1"
  accept
}
"""
FIELDS = [b"Subject: a\r\n b", b"To: one@example.com", b"X-Drop: 1", b"to:two@example.com", b"Edit: %s", b"Cc: x", b"X-Drop: 2\r\n\t2",
          b"TO: three", b"Authentication-Results: gateway.example.net; spf=pass", b".dot: 1", b"Subject:second", b"Mark: yes"]
BODY = b"a line\r\n.dots\r\n..\r\n\r\n"


def edited():
    """Headers in every rotation, with and without edits of each kind."""
    for edit in (b"yes", b"body"):
        for turn in range(0, len(FIELDS), 1 if edit == b"yes" else 4):
            fields = FIELDS[turn:] + FIELDS[:turn]
            yield b"\r\n".join(fields) % edit + b"\r\n\r\n" + BODY
            yield b"\r\n".join(f for f in fields if b"Edit" not in f) + b"\r\n\r\n" + BODY
    yield b"Subject: moved\r\nMove: yes\r\n\r\n" + BODY
    yield b"Edit: yes\r\n\r\n" + BODY


def untraced(message):
    """(Return-Path or b"", the message less the servers' own fields)."""
    message = message.replace(b"\r\n", b"\n")
    sender = re.search(rb"^Return-Path: (.*)$", message, re.M)
    head, body = message.split(b"\n\n", 1)
    fields = re.split(rb"\n(?![ \t])", head)
    return sender.group(1) if sender else b"", b"\n".join(
        f for f in fields if not re.match(rb"Return-Path:|X-Original-To:|Delivered-To:|Received: .*(?:\n.*)*\((?:Postfix|Sallyport)\)", f)) + b"\n\n" + body


def edits(folder):
    modules = os.path.join(os.path.dirname(servers.sallyport_path()), "tests", "modules")
    os.environ["SALLYPORT_FILTER_PATH"] = modules
    wanted = list(edited())
    with Milter(folder + "/edits/milter", EDITS) as milter, servers.Postfix(folder + "/edits", milter.main_cf()) as postfix, \
            capture.Gateway(folder + "/edits", EDITS, listen="received yes") as gateway:
        for content in wanted:
            reply, stored = gateway.pass_on(content, sender="e@sender.example")
            before = {box: len(postfix.mail(box)) for box in ("bob", "ann")}
            with wire.Client(postfix.port) as client:
                said = client.message(content, "e@sender.example", ["bob@example.com"])
            check(reply.code == said.code == 250, "edits: %r, %r" % (reply, said))
            got = {box: [untraced(m) for m in postfix.mail(box)] for box in before}
            new = got["ann" if b"\nMove" in content else "bob"]
            check(untraced(stored)[1] in [m for _, m in new], "edits of %r:\n gateway %r\n milter  %r" % (content, untraced(stored)[1][:600], new[-1][1][:600] if new else None))
        check([s for s, _ in got["ann"]] == [b"<moved@sender.example>"], "moved: %r" % got["ann"])
        check(got["bob"].count((b"<moved@sender.example>", got["ann"][0][1] if got["ann"] else b"")) == 1, "bob+new got no copy")
        check(len(got["bob"]) == len(wanted), "%d edited messages stored, %d sent" % (len(got["bob"]), len(wanted)))
    print("%d messages edited alike" % len(wanted))
    del os.environ["SALLYPORT_FILTER_PATH"]


# ---- real mails -----------------------------------------------------------------------------------------

def messages():
    for name in ("mail-spamassassin-shared", "mail-sa-testdata"):
        folder = servers.data_folder(name)
        with open(os.path.join(folder, "labels.jsonl")) as f:
            paths = [os.path.join(folder, json.loads(line)["file"]) for line in f]
        for path in paths:
            with open(path if os.path.exists(path) else path + ".txt", "rb") as f:
                yield os.path.relpath(path, folder), re.sub(rb"(?<!\r)\n", b"\r\n", re.sub(rb"\AFrom .*\n", b"", f.read()))


def from_domain(content):
    m = re.search(rb"^from:.*?@([a-z0-9]+(?:[.-][a-z0-9]+)*\.[a-z]{2,6})\b", content.split(b"\r\n\r\n")[0], re.I | re.M)
    return m.group(1).decode().lower() if m else "sender.example"


def make_key(folder):
    path = os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", path, "1024"], check=True, stderr=subprocess.DEVNULL)
    public = subprocess.run(["openssl", "rsa", "-in", path, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    import base64
    with open(path, "rb") as f:
        return f.read(), "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()


class Case:
    """One message: who sends it from where, signed or not."""

    def __init__(self, number, name, content, key):
        self.number, self.name, self.content = number, name, content
        self.domain = from_domain(content)
        self.sender = "m%d@%s" % (number, self.domain)
        self.client = CLIENTS[zlib.crc32(name.encode()) % len(CLIENTS)]
        self.signed = number % 3 == 0 and self._sign(key)

    def _sign(self, key):
        import dkim
        try:
            head = dkim.sign(self.content, b"t", self.domain.encode(), key,
                             canonicalize=[(b"relaxed", b"relaxed"), (b"simple", b"simple")][self.number % 2])
        except Exception:  # what it does not understand is not signed
            return False
        self.content = head + self.content
        return True


def zone_of(cases, record):
    """Domains of every kind: SPF that holds or not, DMARC of every policy, some that the DNS cannot tell."""
    zone = {}
    for domain in {c.domain for c in cases}:
        kind = zlib.crc32(domain.encode()) % 7
        spf = "v=spf1 ip4:203.0.113.9 ip6:2001:db8:1::/48 -all" if kind < 5 else "v=spf1 ip4:203.0.113.0/24 ?all"
        zone[domain] = [dnsserver.SERVFAIL] if kind == 6 else [("TXT", spf), ("A", "203.0.113.9")]
        policy = ("reject", "quarantine", "none", "reject", None, "reject", "quarantine")[kind]
        zone["_dmarc." + domain] = [("TXT", "v=DMARC1; p=" + policy)] if policy else [dnsserver.SERVFAIL if kind == 3 else ("A", "192.0.2.1")]
        zone["t._domainkey." + domain] = [("TXT", record)]
    return zone


def send_all(port, cases, answers):
    for case in cases:
        with wire.Client(port, helo=None) as client:
            client.ask("EHLO first.example.org")
            client.ask("XCLIENT ADDR=%s NAME=[UNAVAILABLE]" % (("IPV6:" if ":" in case.client else "") + case.client))
            client.ask("EHLO mx.%s" % case.domain)
            answers[case.number] = TRACE_ID.sub("", repr(client.message(case.content, case.sender, ["bob@example.com"])))


def marks(message):
    """What we put into a stored message, unfolded."""
    head = re.sub(rb"\r?\n[ \t]+", b" ", message.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0])
    return [line for line in head.split(b"\n") if line.split(b":")[0] in MARKS]


def by_sender(log):
    found = {}
    for t in log_lines(log, "transaction"):
        m = re.match(r"<m(\d+)@", t["from"])
        if m:
            found[int(m.group(1))] = t
    return found


def compare(case, ways, stored):
    gateway, milter = ways["gateway"], ways["milter"]
    said = [w["answers"][case.number] for w in (gateway, milter)]
    logged = [w["log"][case.number] for w in (gateway, milter)]
    what = "%s (%s from %s)" % (case.name, case.sender, case.client)
    if logged[0]["by"] == logged[1]["by"] == "limit":  # Postfix mends a name with a blank behind it before it shows it
        check(said[0][:5] == said[1][:5], "%s: the gateway says %s, the milter %s" % (what, said[0], said[1]))
    elif said[0][:1] != "2" or said[1][:1] != "2":
        check(said[0] == said[1], "%s: the gateway says %s, the milter %s" % (what, said[0], said[1]))
    for key in ("rule", "by", "auth", "tags", "rules", "nrcpt"):
        pair = [entry.get(key) for entry in logged]
        if key != "by" or logged[0]["code"] != "250":
            check(pair[0] == pair[1], "%s: %s is %r at the gateway, %r at the milter" % (what, key, pair[0], pair[1]))
    pair = [stored[way].get(case.number) for way in ("gateway", "milter")]
    check((pair[0] is None) == (pair[1] is None) == (said[0][:1] != "2"), "%s: stored by one and not by the other" % what)
    if pair[0] is not None and pair[1] is not None:
        check(marks(pair[0]) == marks(pair[1]), "%s: marked %r by the gateway, %r by the milter" % (what, marks(pair[0]), marks(pair[1])))
    return said[0][:9] + " " + logged[0]["rule"]


def real_mails(folder):
    os.makedirs(folder + "/real")
    key, record = make_key(folder)
    cases = [Case(i, name, content, key) for i, (name, content) in enumerate(messages())]
    check(len(cases) == 649, "%d messages" % len(cases))
    zone = zone_of(cases, record)
    ways = {way: {"answers": {}} for way in ("gateway", "milter")}
    rules = 'include "%s"\n' % os.path.abspath(RULES)
    backend = capture.Backend()
    with contextlib.ExitStack() as stack:
        dns = [stack.enter_context(dnsserver.DnsServer(zone)) for _ in ways]
        gateway = stack.enter_context(servers.Sallyport(
            folder + "/real", backend.port, listen="xclient from 127.0.0.1\nrelay to example.com",
            more="workers 1\nresolver %s\ndns timeout 2s\n%s" % (dns[0].address, rules)))
        milter = stack.enter_context(Milter(folder + "/real/milter", "resolver %s\ndns timeout 2s\n%s" % (dns[1].address, rules)))
        postfix = stack.enter_context(servers.Postfix(folder + "/real", milter.main_cf()))
        threads = [threading.Thread(target=send_all, args=(port, cases, ways[way]["answers"]))
                   for way, port in (("gateway", gateway.port), ("milter", postfix.port))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        kept = {int(re.match(r"m(\d+)@", wire.sent_by(m)).group(1)): m for m in postfix.mail()}
        postfix.stop()
        gateway.stop()
        milter.stop()
        ways["gateway"]["log"], ways["milter"]["log"] = by_sender(gateway.log()), by_sender(milter.log())
    passed = {i: t for i, t in ways["gateway"]["log"].items() if t["verdict"] == "accept"}
    order = sorted(passed, key=lambda i: i)
    stored = {"gateway": dict(zip(order, backend.messages)), "milter": kept}
    for way in ways:
        check(len(ways[way]["answers"]) == len(ways[way]["log"]) == len(cases), "%s: %d answers, %d lines in the log"
              % (way, len(ways[way]["answers"]), len(ways[way]["log"])))
    if not failures:
        check(len(order) == len(backend.messages), "%d accepted, %d stored" % (len(order), len(backend.messages)))
        count = collections.Counter(compare(case, ways, stored) for case in cases)
        for what, n in count.most_common():
            print("%4d %s" % (n, what))
        good = sum("dkim=pass" in ways["milter"]["log"][c.number].get("auth", "") for c in cases if c.signed)
        print("%d signed, %d of them verified behind Postfix" % (sum(c.signed for c in cases), good))
        check(good > 100, "%d signatures hold" % good)
        check(len(count) >= 5, "the rules that decided: %r" % count)
    backend.close()


def main():
    with servers.work_folder() as folder:
        stages(folder)
        only_reports(folder)
        other_servers(folder)
        edits(folder)
        real_mails(folder)
    for failure in failures[:40]:
        print("FAILED " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
