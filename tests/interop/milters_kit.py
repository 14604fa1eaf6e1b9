"""milters_kit.py - milters of others in namespaces of their own, and one message on several ways through them.

A way is a mail server, or the gateway before one.  On each the milter is the same process.  What arrives is compared field by
field and octet by octet, less the trace fields that the servers on that way put on top, which are dropped by name.
"""
import contextlib
import copy
import fcntl
import json
import os
import re
import shutil
import socket
import sys
import threading

import peers_servers as kit
import servers
import wire

sys.path.insert(0, os.path.join(servers.HERE, "..", "suite"))
import dnsserver  # noqa: E402  (found by the line above)

# What each package lacks on a system that has only what contrib/install-needs installs.
kit.LIBRARIES.update({
    "python3-milter": ["libmilter1.0.1"],
})
kit.USERS += ("_rspamd", "opendkim", "opendmarc", "clamav", "debian-spamd", "mailfromd")
GATEWAY = "gateway.example.net"
CLIENT = "192.0.2.77"  # whom XCLIENT names


class Dns(dnsserver.DnsServer):
    """The same on port 53 of an address of 127/8 that is free: a resolver of libc's can be told no port."""

    def start(self):
        for last in range(1, 255):
            self.host = "127.%d.%d.%d" % (os.getpid() // 250 % 250 + 1, os.getpid() % 250 + 1, last)
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self.udp.bind((self.host, 53))
                self.tcp.bind((self.host, 53))
                break
            except OSError:
                self.stop()
        else:
            raise OSError("no port 53 is free")
        self.stopped, self.port = False, 53
        self.tcp.listen(64)
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        return self

    @property
    def address(self):
        return "%s:53" % self.host


class Milter(kit.Peer):
    """A milter in a namespace: it listens on /peer/run/milter, which is self.socket outside.

    'prepare' writes its files and returns the script that ends in exec; 'seconds' is how long its start may take.
    """

    seconds = 30

    def __init__(self, folder, packages, dns=None):
        super().__init__(folder, packages, ())
        os.makedirs(os.path.join(self.share, "run"))
        os.chmod(os.path.join(self.share, "run"), 0o777)
        os.chmod(self.share, 0o755)
        self.socket = os.path.join(self.share, "run", "milter")
        if dns:
            self._write("resolv.conf", "nameserver %s\noptions timeout:2 attempts:1\n" % dns.host)
        self.dns = dns
        self._spawn(self.prepare())

    def prepare(self):
        raise NotImplementedError

    def _ready(self):
        if self.process.poll() is not None:
            raise kit.Missing("does not start: " + self.said()[-400:].strip().replace("\n", "; "))
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(2)
            with contextlib.suppress(OSError):
                s.connect(self.socket)
                os.chmod(self.socket, 0o666)
                return True
        return False

    def __enter__(self):
        try:
            servers.wait_until(self._ready, self.name, self.seconds)
        except RuntimeError as e:
            self.stop()
            raise kit.Missing("does not answer: " + self.said()[-400:]) from e
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, *_):
        ended = self.process.poll()
        self.stop()
        if kind is None and ended is not None:
            raise RuntimeError("%s has ended, with status %d: %s" % (self.name, ended, self.said()[-400:]))


class Table(Milter):
    """python3-milter with a table of cases: see milters_python.py."""

    package, name = "python3-milter", "table"

    def __init__(self, folder, packages, cases, name="table"):
        self.cases, self.name = cases, name
        super().__init__(folder, packages)

    def prepare(self):
        self._write("cases.json", json.dumps(self.cases))
        shutil.copy(os.path.join(servers.HERE, "milters_python.py"), self.share)
        return "exec /usr/bin/python3 /peer/milters_python.py /peer/run/milter /peer/cases.json /peer/log/events\n"

    def events(self):
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.share, "log", "events")) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]  # the last one may be being written
        return []


# ---- servers ----------------------------------------------------------------------------------------

class Sink:
    """An SMTP server that takes all, and keeps the octets and the envelope of each message."""

    OFFER = ("sink.example.net", "PIPELINING", "SIZE 67108864", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")

    def __init__(self):
        self.mails, self.lock = [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    def _serve(self, peer):
        with contextlib.suppress(OSError), peer, peer.makefile("rwb") as io:
            sender, rcpts = b"", []
            say = lambda text: (io.write(text.encode() + b"\r\n"), io.flush())  # noqa: E731
            say("220 sink.example.net ESMTP")
            for line in iter(io.readline, b""):
                line = line.rstrip(b"\r\n")
                word = line[:4].upper()
                if word == b"EHLO":
                    say("\r\n".join("250%s%s" % (" " if k == self.OFFER[-1] else "-", k) for k in self.OFFER))
                    continue
                if word == b"DATA":
                    say("354 go on")
                    data = b"".join(re.sub(rb"\A\.", b"", part) for part in iter(io.readline, b".\r\n"))
                    with self.lock:
                        self.mails.append(Mail(data, (sender, rcpts)))
                    sender, rcpts = b"", []
                elif word in (b"MAIL", b"RSET", b"HELO"):
                    sender, rcpts = line[10:], []
                elif word == b"RCPT":
                    rcpts = rcpts + [line[8:]]
                elif word == b"QUIT":
                    say("221 2.0.0 bye")
                    return
                say("250 2.0.0 kept")

    def messages(self):
        with self.lock:
            return list(self.mails)

    def stop(self):
        self.listener.close()


RELAY = """virtual_mailbox_domains =
virtual_mailbox_maps =
relay_domains = example.com
relay_transport = smtp:[127.0.0.1]:{sink}
default_transport = smtp:[127.0.0.1]:{sink}
smtp_connection_cache_on_demand = no
disable_mime_output_conversion = yes
smtputf8_enable = yes
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_milters = {milters}
milter_default_action = tempfail
milter_content_timeout = 60s
hopcount_limit = 1000
{more}"""


class ByPostfix:
    """Postfix, which asks the milters itself and hands all on to a sink."""

    name = "postfix"

    def __init__(self, folder, milters, more="", services=""):
        self.sink = Sink()
        main = RELAY.format(sink=self.sink.port, more=more, milters=", ".join("unix:" + m for m in milters))
        self.server = servers.Postfix(folder, main=main, smtpd=services)
        self.port = self.server.port

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *args):
        self.server.__exit__(*args)
        self.sink.stop()

    def settled(self):
        """Waits until all is delivered; what has arrived."""
        servers.wait_until(lambda: not self.server._queued() and not self.server._queued(), "Postfix to empty its queue", 60)
        return self.sink.messages()


class BySallyport:
    """The gateway before a server that stores: 'store' is a Sink or a Peer."""

    def __init__(self, name, store, port):
        self.name, self.store, self.port = "sallyport+" + name, store, port

    def is_sink(self):
        return isinstance(self.store, Sink)

    def settled(self):
        """What has arrived: the gateway's word is the server's own, so a server that delivers later may still be at it."""
        if self.is_sink():
            return self.store.messages()
        return [Mail(data, None, box) for box, data in self.store.messages()]


FRONT = """listen 127.0.0.1:%d { hostname "%s" backend %s relay to example.com xclient from 127.0.0.0/8
  max connections per client 1000 max errors 1000 %s }
backend %s { address 127.0.0.1:%d }
"""


def use(name, milter):
    return 'filter milter %s { socket "unix:%s" }\n' % (name, milter.socket)


class Gateway(servers.Sallyport):
    """Before each store a listener of its own; 'uses' are the filter lines, 'rules' the rules.  No name is known in its DNS."""

    def __init__(self, folder, stores, uses, rules, more="", listen=""):
        self.ways = [BySallyport(name, store, servers.free_port()) for name, store in stores]
        text = more + "".join(FRONT % (w.port, GATEWAY, n, listen, n, s.port) for w, (n, s) in zip(self.ways, stores))
        self.dns = dnsserver.DnsServer()
        self.dns.start()
        super().__init__(folder, 9, more="resolver %s\n%s%s\nrules {\n%s\n}" % (self.dns.address, text, uses, rules))

    def stop(self):
        super().stop()
        self.dns.stop()


# ---- messages ---------------------------------------------------------------------------------------

OURS = rb"by (store|gateway|exim|opensmtpd)\.example\.net"
DELIVERY = (b"return-path", b"envelope-to", b"delivery-date", b"delivered-to")


class Mail:
    """A message as it was stored: fields with LF ends, body, envelope (None: the store does not tell it), mailbox (None: a sink)."""

    def __init__(self, data, envelope, box=None):
        data = data.replace(b"\r\n", b"\n")
        self.envelope, self.fields, self.trace, self.box = envelope, [], [], box
        while True:
            name, whole, rest = wire.field(data)
            if not whole:
                break
            self.fields.append(whole)
            data = rest
        self.body = data
        self._drop()

    def _drop(self):
        """Takes the delivery's fields off the top; the Received field of the server that asked the milter becomes "@"."""
        kept, at_top = [], True
        for whole in self.fields:
            name = whole.split(b":")[0].strip().lower()
            by = re.search(OURS, whole) if name == b"received" else None
            if (at_top and name in DELIVERY) or (by and by.group(1) in (b"exim", b"opensmtpd")):
                self.trace.append(whole)
                continue
            at_top = False
            kept.append(b"@" if by else whole)
        self.fields = kept

    def octets(self):
        """As it was before any server put its trace on top, with CRLF."""
        return re.sub(rb"\r?\n", b"\r\n", b"".join(f for f in self.fields if f != b"@") + self.body)

    def masked(self, mask):
        other = copy.copy(self)
        other.fields = [mask(f) for f in self.fields]
        return other

    def case(self):
        """The number that the harness gave it."""
        found = [f for f in self.fields if f.lower().startswith(b"x-case:")]
        m = re.search(rb"case=([\w-]+)", found[0] if found else self.body)
        return m.group(1).decode() if m else None

    def sender(self):
        for field in self.trace:
            m = re.match(rb"(?i)return-path: *<(.*)>", field)
            if m:
                return m.group(1)
        return None


def difference(one, other):
    """In words where two stored messages differ; "": nowhere."""
    for i in range(max(len(one.fields), len(other.fields))):
        a, b = [m.fields[i] if i < len(m.fields) else None for m in (one, other)]
        if a != b:
            return "field %d: %r there, %r here" % (i, a, b)
    if one.body != other.body:
        at = len(os.path.commonprefix([one.body, other.body]))
        return "body from octet %d: %r there, %r here" % (at, one.body[at:at + 60], other.body[at:at + 60])
    if one.envelope and other.envelope and plain(one.envelope) != plain(other.envelope):
        return "envelope: %r there, %r here" % (plain(one.envelope), plain(other.envelope))
    for a, b in ((one, other), (other, one)):
        if a.sender() is not None and b.envelope and address(b.envelope[0]) != a.sender():
            return "sender: %r, %r" % (a.sender(), b.envelope[0])
    return ""


def address(argument):
    return re.match(rb"<?([^>]*)", argument).group(1)


def plain(envelope):
    """Without SIZE=, which each server makes itself, BODY=, which says what the way can carry, and an ORCPT= that says nothing new."""
    lines = [re.sub(rb"(?i) (SIZE=\d+|BODY=\w+)", b"", line).strip() for line in [envelope[0]] + sorted(envelope[1])]
    lines = [re.sub(rb"\A<(.*)>(.*) ORCPT=rfc822;\1(?= |\Z)", rb"<\1>\2", line) for line in lines]
    return [b" ".join(line.split(b" ")[:1] + sorted(line.split(b" ")[1:])) for line in lines]


class Lost:
    """Instead of a reply."""

    code, text = 0, "connection lost"

    def __init__(self, why):
        self.text = str(why)

    def __repr__(self):
        return "lost: " + self.text


class Session:
    """A client that XCLIENT names, over one connection for many messages; a new one where the server has closed."""

    def __init__(self, port, client=CLIENT, name="client.example.org", helo="client.example.org", timeout=60):
        self.args, self.timeout = (port, client, name, helo), timeout
        self.wire = None

    def _open(self):
        port, client, name, helo = self.args
        self.wire = wire.Client(port, helo, self.timeout)
        if client:
            said = self.wire.ask("XCLIENT ADDR=%s NAME=%s" % (client, name))
            if said.code != 220:
                raise wire.Lost("XCLIENT: %r" % said)
            self.wire.ehlo = self.wire.ask("EHLO " + helo)

    def message(self, content, sender, rcpts, options=""):
        """All replies from MAIL on up to the one that ended it: a command at a time, as milters hear them."""
        replies = []
        try:
            if self.wire is None:
                self._open()
            lines = ["MAIL FROM:<%s>%s" % (sender, options)] + ["RCPT TO:<%s>" % r for r in rcpts] + ["DATA"]
            for line in lines:
                if line == "DATA" and all(r.code >= 400 for r in replies[1:]):
                    break
                replies.append(self.wire.ask(line))
                if line.startswith("MAIL") and replies[-1].code >= 400:
                    break
            if replies[-1].code == 354:
                self.wire.send(wire.stuffed(content) + b".\r\n")
                replies.append(self.wire.reply())
            elif self.wire.ask("RSET").code != 250:
                raise wire.Lost("RSET refused")
        except wire.Lost as e:
            replies.append(Lost(e))
            self.close()
        return replies

    def close(self):
        if self.wire:
            with contextlib.suppress(wire.Lost):
                self.wire.ask("QUIT")
            self.wire.close()
        self.wire = None


def told(replies):
    """Replies as they are compared: of an acceptance the class, of a refusal all but the number that Sallyport gives it."""
    return ["%d" % (r.code // 100) if 200 <= r.code < 400 else refusal(r) for r in replies]


def refusal(reply):
    return re.sub(r" \(tx=\w+\)\Z", "", repr(reply))


class Packages(kit.Packages):
    """The same, for many tests at a time."""

    def fetch(self, name):
        with open(os.path.join(self.folder, ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return super().fetch(name)


def packages(folder):
    return Packages(os.environ.get("SALLYPORT_PEERS") or os.path.join(folder, "packages"))


@contextlib.contextmanager
def together(milters):
    """All of them, each waited for; they may be made one by one."""
    made = []
    with contextlib.ExitStack() as stack:
        for milter in milters:
            made.append(milter)
            stack.callback(milter.stop)
        yield [stack.enter_context(milter) for milter in made]
