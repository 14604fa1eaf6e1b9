#!/usr/bin/env python3
"""transparent.py - in network namespaces: the mail server behind Sallyport sees the client's own address, and the client the server's.

Three namespaces of its own: client -- gateway -- server, each pair on a wire of its own, so that what the server answers to the
client's address comes back by the gateway, as it does where the gateway is the server's router.

  source client   the client talks to Sallyport's own address; the server sees the client's
  transparent     the client talks to the server's address, the kernel brings that to Sallyport (TPROXY), which goes on to that
                  server as the client
"""
import os
import shutil
import socket
import subprocess
import sys
import threading

import servers
import wire

CLIENT, SERVER = "sp-client-%d" % os.getpid(), "sp-server-%d" % os.getpid()
GATEWAY = "sp-gateway-%d" % os.getpid()
PLAN = {  # namespace: (wire, its addresses)
    "client": [("c", ["192.0.2.2/24", "192.0.2.3/24", "2001:db8:1::2/64"])],
    "server": [("s", ["198.51.100.2/24", "2001:db8:2::2/64"])],
}
NETS = {"client": ("192.0.2.1", "2001:db8:1::1"), "server": ("198.51.100.1", "2001:db8:2::1")}
PORT = 2525
failures = []


def check(ok, what):
    print(("ok     " if ok else "FAILED ") + what)
    if not ok:
        failures.append(what)


def run(*command, quiet=False):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0 and not quiet:
        raise RuntimeError("%s: %s" % (" ".join(command), done.stderr.strip()))
    return done.returncode == 0


def inside(namespace, *command):
    return run("ip", "netns", "exec", namespace, *command)


# ---- the network -----------------------------------------------------------------------------------

def connect(namespace, name, addresses, gateways):
    """A wire between a namespace and the gateway, with addresses and default routes."""
    run("ip", "link", "add", "wire", "netns", namespace, "type", "veth", "peer", "name", name, "netns", GATEWAY)
    for address in addresses:
        inside(namespace, "ip", "address", "add", address, "dev", "wire", *(["nodad"] if ":" in address else []))
    for gateway in gateways:
        length = "64" if ":" in gateway else "24"
        inside(GATEWAY, "ip", "address", "add", "%s/%s" % (gateway, length), "dev", name, *(["nodad"] if ":" in gateway else []))
    inside(namespace, "ip", "link", "set", "wire", "up")
    inside(GATEWAY, "ip", "link", "set", name, "up")
    for gateway in gateways:
        inside(namespace, "ip", "-6" if ":" in gateway else "-4", "route", "add", "default", "via", gateway)


def build():
    for namespace in (CLIENT, SERVER, GATEWAY):
        run("ip", "netns", "add", namespace)
        inside(namespace, "ip", "link", "set", "lo", "up")
    connect(CLIENT, "c", PLAN["client"][0][1], NETS["client"])
    connect(SERVER, "s", PLAN["server"][0][1], NETS["server"])
    for setting in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.c.rp_filter=0", "net.ipv4.conf.s.rp_filter=0"):
        inside(GATEWAY, "sysctl", "-qw", setting)
    # what belongs to a connection of ours is delivered here, whatever address it is for
    for version in ("-4", "-6"):
        inside(GATEWAY, "ip", version, "rule", "add", "fwmark", "1", "lookup", "100")
        inside(GATEWAY, "ip", version, "route", "add", "local", "default", "dev", "lo", "table", "100")


RULES = """
table inet sallyport {
	chain divert {
		type filter hook prerouting priority mangle; policy accept;
		meta l4proto tcp socket transparent 1 meta mark set 1 accept
		iifname "c" tcp dport 25 meta mark set 1 tproxy ip to :%(port)d accept
		iifname "c" tcp dport 25 meta mark set 1 tproxy ip6 to :%(port)d accept
	}
}
"""


def steer_nft():
    done = subprocess.run(["ip", "netns", "exec", GATEWAY, "nft", "-f", "-"], input=RULES % {"port": PORT}, text=True,
                          capture_output=True)
    return done.stderr.strip() if done.returncode else None


def steer_iptables():
    for tool, any_address in (("iptables", "0.0.0.0"), ("ip6tables", "::")):
        table = ("ip", "netns", "exec", GATEWAY, tool, "-t", "mangle", "-A", "PREROUTING", "-p", "tcp")
        if not (run(*table, "-m", "socket", "--transparent", "-j", "MARK", "--set-mark", "1", quiet=True) and
                run(*table, "-m", "socket", "--transparent", "-j", "ACCEPT", quiet=True) and
                run(*table, "-i", "c", "--dport", "25", "-j", "TPROXY", "--on-ip", any_address, "--on-port", str(PORT),
                    "--tproxy-mark", "1", quiet=True)):
            return tool + " cannot do it here"
    return None


def steer():
    """Brings port 25 of all servers, and the answers to borrowed addresses, to Sallyport.  None, or why that is not possible."""
    why = "neither nft nor iptables is here"
    for tool, way in (("nft", steer_nft), ("iptables", steer_iptables)):
        if shutil.which(tool):
            why = way()
            if why is None:
                return None
    return why


def tear_down():
    for namespace in (CLIENT, SERVER, GATEWAY):
        run("ip", "netns", "delete", namespace, quiet=True)


# ---- both ends -------------------------------------------------------------------------------------

def enter(namespace):
    """This thread's sockets are made there from now on."""
    with open("/run/netns/" + namespace) as f:
        if hasattr(os, "setns"):
            os.setns(f.fileno(), 0x40000000)
        else:
            import ctypes
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), 0x40000000) != 0:
                raise OSError("setns")


def there(namespace, work):
    """The result of work(), done by a thread in that namespace."""
    result = []

    def body():
        try:
            enter(namespace)
            result.append(work())
        except Exception as e:  # noqa: BLE001 - it is raised again below
            result.append(e)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


class Sink:
    """A mail server that notes from where each mail came."""

    def __init__(self):
        self.mails = {}
        self.listener = there(SERVER, lambda: socket.create_server(("::", 25), family=socket.AF_INET6, dualstack_ipv6=True, backlog=50))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, peer = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection, peer[0].removeprefix("::ffff:")), daemon=True).start()

    def serve(self, connection, peer):
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 server.example.com\r\n")
            for line in iter(lines.readline, b""):
                verb = line[:4].upper()
                if verb == b"MAIL":
                    sender = line.split(b"<")[1].split(b">")[0].decode()
                if verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    while lines.readline() not in (b".\r\n", b""):
                        pass
                    self.mails.setdefault(sender, []).append(peer)
                connection.sendall(b"250-server\r\n250-8BITMIME\r\n250 HELP\r\n" if verb == b"EHLO" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return


class Client(wire.Client):
    """One that connects from an address of its choice to any other."""

    def __init__(self, source, to, port):
        self.socket = socket.create_connection((to, port), 10, (source, 0))
        self.input = b""
        self.banner = self.reply()
        self.ehlo = self.ask("EHLO client.example.org")


def send(source, to, port, sender):
    def work():
        with Client(source, to, port) as client:
            reply = client.message(b"Subject: x\r\n\r\nx\r\n", sender, ["bob@example.com"])
            ehlo = client.ehlo
            client.ask("QUIT")
        return reply, ehlo
    return there(CLIENT, work)


class Gateway(servers.Sallyport):
    """Sallyport in its namespace, as another user than root."""

    def __init__(self, folder, policy):
        super().__init__(folder, 25)
        os.chmod(self.folder, 0o777)
        with open(self.policy, "w") as f:
            f.write('policy 1\nlog "%s"\nuser nobody\nresolver 127.0.0.1:1\n%s\nrules { accept }\n' % (self.log_path, policy))
        self.options = []

    def __enter__(self):
        with open(self.log_path, "w"):
            pass
        self.process = there(GATEWAY, lambda: subprocess.Popen([servers.sallyport_path(), "run", self.policy], env=self.env))
        try:
            servers.wait_until(self._ready, "Sallyport to be ready")
        except BaseException:
            self.stop()
            raise
        return self


CASES = [("192.0.2.2", "v4"), ("192.0.2.3", "another"), ("2001:db8:1::2", "v6")]


def source_client(folder, sink):
    policy = """listen 0.0.0.0:2526 { hostname "gateway.example.net"  relay to example.com }
        listen [::]:2526 { hostname "gateway.example.net"  relay to example.com }
        backend server { address [2001:db8:2::2]:25, 198.51.100.2:25  source client }"""
    with Gateway(folder, policy):
        for source, name in CASES:
            sender = "source-%s@example.org" % name
            reply, _ = send(source, NETS["client"][":" in source], 2526, sender)
            check(reply.code == 250 and sink.mails.get(sender) == [source],
                  "source client: the server sees %s: %r %r" % (source, sink.mails.get(sender), reply))


def transparent(folder, sink):
    policy = """listen 0.0.0.0:%d { hostname "gateway.example.net"  relay to example.com  transparent yes }
        listen [::]:%d { hostname "gateway.example.net"  relay to example.com  transparent yes }
        backend behind { source client }""" % (PORT, PORT)
    with Gateway(folder, policy) as gateway:
        for source, name in CASES:
            sender = "tproxy-%s@example.org" % name
            to = "2001:db8:2::2" if ":" in source else "198.51.100.2"
            reply, ehlo = send(source, to, 25, sender)
            check(reply.code == 250 and sink.mails.get(sender) == [source],
                  "transparent: the server sees %s: %r %r" % (source, sink.mails.get(sender), reply))
            check("8BITMIME" in ehlo.text and "gateway.example.net" in ehlo.text, "transparent: and the gateway was between them")
        check("client=[192.0.2.3]" in gateway.log(), "transparent: the gateway's log has the client's address")
        loop, _ = there(CLIENT, lambda: refused("192.0.2.2", "192.0.2.1", PORT))
        check(loop.startswith("421 "), "transparent: the gateway's own address is no server behind it: %r" % loop)


def refused(source, to, port):
    with socket.create_connection((to, port), 10, (source, 0)) as s, s.makefile("r") as lines:
        return lines.readline().strip(), None


def without_right(folder):
    """Started by somebody else than root it says at once what is missing."""
    path = os.path.join(folder, "right.policy")
    with open(path, "w") as f:
        f.write('policy 1\nlisten 127.0.0.1:0 { relay to example.com transparent yes }\n'
                'backend server { address 127.0.0.1:25 source client }\nrules { accept }\n')
    os.chmod(path, 0o644)
    done = subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", "--bounding-set=-all", servers.sallyport_path(), "run", path],
                          capture_output=True, text=True, timeout=60)
    check(done.returncode == 2 and "'source client' of backend server needs the capability CAP_NET_RAW" in done.stderr
          and "'transparent yes' of listener 127.0.0.1:0 needs" in done.stderr,
          "without the right: status %d, %r" % (done.returncode, done.stderr))


def main():
    for tool in ("ip", "sysctl", "setpriv"):
        if not shutil.which(tool):
            servers.skip("no program " + tool)
    if os.geteuid() != 0:
        servers.skip("network namespaces are made by root")
    servers.sallyport_path()
    try:
        try:
            build()
        except RuntimeError as e:
            servers.skip("no network namespaces here: %s" % e)
        why = steer()
        if why is not None:
            servers.skip("packets cannot be steered: " + why)
        sink = Sink()
        for case in (lambda folder: source_client(folder, sink), lambda folder: transparent(folder, sink), without_right):
            with servers.work_folder() as folder:
                case(folder)
    finally:
        tear_down()
    print("%d wrong" % len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
