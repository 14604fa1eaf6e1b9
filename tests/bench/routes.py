"""routes.py - the ways on which the bench sends mail to a sink, and what the processes on the way cost."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import servers  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
os.environ["PATH"] += ":/usr/sbin"
commands = []  # what was started, for the report


def note(command):
    command = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", re.sub(r"\S*/sallyport-\w+/", "FOLDER/", command))
    if command not in commands:
        commands.append(command)


# ---- processes -------------------------------------------------------------------------------

def family(root):
    """The process and all that descend from it."""
    children = {}
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            with open("/proc/%d/stat" % int(name)) as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(root):
    """User and system time of a family, with those of it that have ended and were waited for."""
    total = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            with open("/proc/%d/stat" % pid) as f:
                total += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:15]))
    return total / TICK


def memory(root):
    """(Pss, Rss) of a family in octets; Pss counts a page that n processes share as 1/n in each.

    Only root may see the Pss of Sallyport's processes; for others it is the Rss.
    """
    pss = rss = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            seen = kibibytes("/proc/%d/status" % pid)
            with contextlib.suppress(OSError):
                seen.update(kibibytes("/proc/%d/smaps_rollup" % pid))
            rss += seen.get("Rss", seen.get("VmRSS", 0)) * 1024
            pss += seen.get("Pss", seen.get("VmRSS", 0)) * 1024
    return pss, rss


def kibibytes(path):
    with open(path) as f:
        words = [line.split() for line in f]
    return {w[0].rstrip(":"): int(w[1]) for w in words if len(w) == 3 and w[2] == "kB"}


class Program:
    """A server that stays in the foreground until it is ended by its process id."""

    def __init__(self, command, port):
        note(" ".join(command))
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.port = port

    def __enter__(self):
        try:
            servers.wait_until(self._ready, "port %d to answer" % self.port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError("%s ended at once" % self.process.args[0])
        return servers.answers(self.port)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def need(program):
    if shutil.which(program) is None:
        sys.exit("%s is needed: Debian's package postfix has it" % program)


# ---- the ways --------------------------------------------------------------------------------

class Route:
    """One way to a sink: a name, the port to send to, and the process that is the gateway (0: none)."""

    def __init__(self, name, port, pid=0, log=None):
        self.name, self.port, self.pid, self.log = name, port, pid, log


def sink(stack):
    """A backend that takes mail and forgets it."""
    port = servers.free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    stack.enter_context(Program(["smtp-sink"] + user + ["-m", "2000", "127.0.0.1:%d" % port, "1000"], port))
    return port


def direct(stack, _):
    return Route("direct", sink(stack))


LISTEN = """max message 64M
max connections per client 100000"""


def sallyport(stack, folder, name, pool=20, more="rules { accept }", spool="", env=None, listen=""):
    gateway = servers.Sallyport(os.path.join(folder, name.replace(" ", "-")), sink(stack), listen=LISTEN + "\n" + listen,
                                backend_more="pool %d" % pool, more=spool + more, env=env)
    stack.enter_context(gateway)
    note("sallyport run %s   # pool %d%s" % (gateway.policy, pool, "" if "filter" not in more else ", " + name))
    return Route(name, gateway.port, gateway.process.pid, gateway.log)


RULES = """filter rate  { per_client : key client.ip 1000000/s }
filter rules { file "%s/hundred.rules" }
rules {
  flood : if rate.per_client.over   defer 450 4.7.1 "rate exceeded, try again later"
  spam  : if rules.score >= 60.0    reject 550 5.7.1 "content refused"
  mark  : if rules.score >= 5.0     add-header "X-Spam-Flag" "YES"
  accept
}"""


SENDER = """resolver %s
filter spf
filter dkim
rules {
  spf  : if spf.result != pass  reject 550 5.7.23 "SPF {spf.result}"
  dkim : if not dkim.pass       reject 550 5.7.20 "DKIM {dkim.result}"
  accept
}"""


def filters():
    return {"SALLYPORT_FILTER_PATH": os.path.join(os.path.dirname(servers.sallyport_path()), "filters")}


def sallyport_rules(stack, folder):
    here = os.path.dirname(os.path.abspath(__file__))
    return sallyport(stack, folder, "100 rules", more=RULES % here, env=filters())


def sallyport_sender(stack, folder, resolver):
    return sallyport(stack, folder, "SPF and DKIM", more=SENDER % resolver, env=filters())


HAPROXY = """global
  maxconn 2000
defaults
  mode tcp
  timeout connect 10s
  timeout client 300s
  timeout server 300s
listen smtp
  bind 127.0.0.1:%d
  server sink 127.0.0.1:%d
"""


def haproxy(stack, folder):
    if shutil.which("haproxy") is None:
        return None
    port = servers.free_port()
    path = os.path.join(folder, "haproxy.cfg")
    with open(path, "w") as f:
        f.write(HAPROXY % (port, sink(stack)))
    program = stack.enter_context(Program(["haproxy", "-db", "-q", "-f", path], port))
    return Route("HAProxy", port, program.process.pid)


def postfix(stack, folder, main="", services=""):
    if shutil.which("postfix") is None or os.geteuid() != 0:
        return None
    filtered = "  -o smtpd_proxy_filter=127.0.0.1:%d\n" % sink(stack)
    server = stack.enter_context(servers.Postfix(folder, main=main, smtpd=filtered + services))
    note("postfix -c %s start   # smtpd%s" % (server.config, filtered.rstrip()))
    return Route("Postfix proxy", server.port, server.master_pid())
