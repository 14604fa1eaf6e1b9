"""milter.py - what a milter costs that does nothing: Sallyport with it and without, beside Postfix with it and without."""
import contextlib
import os
import shutil
import socket

import routes
from signed import DnsServer

NOOP = """resolver %s
filter milter noop { socket "%s" }
rules { scan : filter noop
  accept }"""
# What Postfix takes it throws away, so that its figures tell of taking alone.
DISCARDS = "mydestination =\nvirtual_mailbox_domains =\nrelay_domains = example.com\nrelay_transport = discard:\n"


class Noop(routes.Program):
    """tests/milters/noop, which the tests build; by default it leaves out all commands but the end of the message, by -a it wants all."""

    def __init__(self, build, folder, *options):
        self.path = os.path.join(folder, "noop%s.sock" % "".join(options))
        super().__init__([os.path.join(build, "tests", "milters", "noop"), *options, "unix:" + self.path], 0)

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError("the milter ended at once")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            os.chmod(self.path, 0o666)  # Postfix's smtpd is nobody special
            return True
        return False


def postfix(stack, folder, name, milter=None):
    if shutil.which("postfix") is None or os.geteuid() != 0:
        return []
    main = DISCARDS + ("" if milter is None else "smtpd_milters = unix:%s\n" % milter.path)
    server = stack.enter_context(routes.servers.Postfix(os.path.join(folder, name.replace(" ", "-")), main=main,
                                                        smtpd="discard unix - - n - - discard\n"))
    routes.note("postfix -c %s start   # %s" % (server.config, name))
    return [routes.Route(name, server.port, server.master_pid())]


def own_cpu(noop, way, send, count):
    """Milliseconds that the milter itself spends on a message that comes by this way."""
    before = routes.cpu_seconds(noop.process.pid)
    send(routes, way, count, ["-l", "10240"])
    return (routes.cpu_seconds(noop.process.pid) - before) / count * 1000


def run(report, folder, args, throughput, send):
    rows = []
    for label, options in (("asked at the end only", ()), ("asked at every command", ("-a",))):
        with contextlib.ExitStack() as stack:
            noop = stack.enter_context(Noop(args.build, folder, *options))
            dns = stack.enter_context(DnsServer({"1.0.0.127.in-addr.arpa": [("PTR", "localhost.example")], "localhost.example": [("A", "127.0.0.1"), ("AAAA", "::1")]}, ttl=3600))
            ways = [routes.direct(stack, folder), routes.sallyport(stack, folder, "without"),
                    routes.sallyport(stack, folder, "with", more=NOOP % (dns.address, "unix:" + noop.path), env=routes.filters())]
            ways += postfix(stack, folder, "Postfix without") + postfix(stack, folder, "Postfix with", noop)
            r = throughput(routes, ways, 4000 // args.divide, ["-l", "10240"], args.rounds)
            own = {w.name: own_cpu(noop, w, send, 2000 // args.divide) for w in ways if w.name in ("with", "Postfix with")}
            rows.append((label, r, own))
    report.head("a milter that does nothing, 10 KiB", "direct, messages/s", "Sallyport without", "Sallyport with", "Postfix without",
                "Postfix with", "CPU of the milter itself: Sallyport, Postfix")
    for label, r, own in rows:
        cells = ["%.2f \u00b7 %.2f ms" % r[n][1:] if n in r else "-" for n in ("without", "with", "Postfix without", "Postfix with")]
        report.row(label, "%.0f" % r["direct"][0], *cells, ", ".join("%.2f ms" % own[n] for n in sorted(own, reverse=True)))
    for label, r, _ in rows:
        report.goal("milter, %s, rate, of that without" % label, r["with"][0] / r["without"][0], 0.8)
