#!/usr/bin/env python3
"""peers.py - Sallyport between mail servers and mail clients that others wrote: a table of feature and peer.

Behind: Postfix, Exim, OpenSMTPD, and Dovecot by LMTP.  In front: swaks, curl, smtplib, openssl s_client, msmtp, and Postfix and
Exim as clients.  Each cell is "ok", "n.a." where the peer has no such feature, or "FAILED", which fails the test.
"""
import os
import sys
import threading
import time

import peers_backends
import peers_clients
import peers_servers as kit
import servers

HOSTNAME = "gateway.example.net"
ORDER = ("postfix", "exim", "opensmtpd", "dovecot")
PATIENCE = 120  # seconds for all cells together; mostly a quarter of that is enough


class Gateway(servers.Sallyport):
    """For each backend a listener that speaks to it in the clear, and one that speaks TLS to it; both offer STARTTLS and AUTH."""

    def __init__(self, folder, peers, cert):
        self.plain = {p.name: servers.free_port() for p in peers}
        self.tls = {p.name: servers.free_port() for p in peers}
        self.smtps, self.unix = servers.free_port(), servers.free_port()
        super().__init__(folder, 9, more="".join(self._blocks(p, cert) for p in peers) + "rules { accept }")

    def _blocks(self, peer, cert):
        text = ""
        for kind, ports in (("off", self.plain), ("require", self.tls)):
            protocol = ""
            if peer.name == "dovecot":
                protocol = "protocol lmtp recipients together " + ("yes" if kind == "require" else "no")
            text += "backend %s-%s { address 127.0.0.1:%d %s tls %s }\n" % (peer.name, kind, peer.port, protocol, kind)
            text += self._listener(peer, kind, ports[peer.name], cert)
        if peer.name == "postfix":
            text += self._listener(peer, "off", self.smtps, cert, "tls implicit yes")
        if peer.name == "dovecot":
            text += 'backend dovecot-unix { address "unix:%s/lmtp" protocol lmtp }\n' % peer.share
            text += self._listener(peer, "unix", self.unix, cert)
        return text

    @staticmethod
    def _listener(peer, kind, port, cert, more=""):
        return ('listen 127.0.0.1:%d { hostname "%s" backend %s-%s tls certificate "%s" tls key "%s" auth offer'
                ' max connections per client 1000 max errors 1000 %s }\n'
                % ((port, HOSTNAME, peer.name, kind) + cert + (more,)))


class Table:
    """Feature x peer."""

    def __init__(self):
        self.cells, self.lock = {}, threading.Lock()

    def note(self, peer, feature, result):
        with self.lock:
            self.cells[(feature, peer)] = result

    def show(self, title, features, peers):
        print("\n%-22s" % title + "".join("%-16s" % p for p in peers))
        for feature in features:
            results = [self.cells.get((feature, p), "-") for p in peers]
            print("%-22s" % feature + "".join("%-16s" % r.split(":")[0] for r in results))
        for (feature, peer), result in self.cells.items():
            if feature in features and peer in peers and ":" in result:
                print("  %s, %s: %s" % (peer, feature, result))

    def failed(self):
        return sum(r.startswith("FAILED") for r in self.cells.values())

    def passed(self):
        return sum(r == "ok" for r in self.cells.values())


def judge(table, peer, feature, check):
    """Runs one check and writes down what became of it."""
    try:
        check()
        result = "ok"
    except kit.Missing as e:
        result = "n.a.: %s" % e
    except Exception as e:  # whatever it was, the table must say so
        result = "FAILED: %s: %s" % (type(e).__name__, str(e)[:3000])
    table.note(peer, feature, result)


def start_all(folder, packages, cert, table, made):
    """The servers that can be had here; all that must be ended, whether they came up or not, are put into made."""
    for what in (kit.Dovecot, kit.Exim, kit.OpenSmtpd):
        try:
            made.append(what(folder, packages, cert))
        except kit.Missing as e:
            table.note(what.name, "start", "n.a.: %s" % e)
    dovecot = next((p for p in made if p.name == "dovecot"), None)
    made.append(kit.PostfixPeer(folder, cert, dovecot))
    started = []
    for peer in made:
        try:
            peer.start()
            table.note(peer.name, "start", "ok")
            started.append(peer)
        except kit.Missing as e:
            table.note(peer.name, "start", "n.a.: %s" % e)
    return sorted(started, key=lambda p: ORDER.index(p.name))


def in_parallel(jobs):
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    end = time.monotonic() + PATIENCE
    for t in threads:
        t.start()
    for t in threads:
        t.join(max(0.1, end - time.monotonic()))
    return sum(t.is_alive() for t in threads)


def play(gateway, peers, folder, packages, cert, table):
    """All cells: the servers beside each other, and the clients beside them."""
    def backend(peer):
        for feature, check in peers_backends.FEATURES.items():
            judge(table, peer.name, feature,
                  lambda c=check: c(peers_backends.Behind(peer, gateway.plain[peer.name], gateway.tls[peer.name], gateway.unix)))

    def client(make):
        front = None
        try:
            front = make(folder, packages, cert, gateway, {p.name: p for p in peers})
            table.note(front.name, "start", "ok")
            for feature, check in front.features().items():
                judge(table, front.name, feature, check)
        except kit.Missing as e:
            table.note(make.name, "start", "n.a.: %s" % e)
        except Exception as e:  # as above
            table.note(make.name, "start", "FAILED: %s: %s" % (type(e).__name__, e))
        finally:
            if front:
                front.stop()

    hung = in_parallel([lambda p=p: backend(p) for p in peers] + [lambda c=c: client(c) for c in peers_clients.CLIENTS])
    if hung:
        table.note("postfix", "start", "FAILED: of all peers %d have not ended after %d s" % (hung, PATIENCE))


def main():
    table, began, made = Table(), time.monotonic(), []
    with servers.work_folder() as folder:
        try:
            cert = kit.certificate(folder)
            packages = kit.Packages(os.environ.get("SALLYPORT_PEERS") or os.path.join(folder, "packages"))
            peers = start_all(folder, packages, cert, table, made)
            with Gateway(folder, peers, cert) as gateway:
                play(gateway, peers, folder, packages, cert, table)
        finally:
            for peer in made:
                peer.stop()
    table.show("BEHIND", ["start"] + list(peers_backends.FEATURES), list(ORDER))
    table.show("IN FRONT", ["start"] + peers_clients.NAMES, [c.name for c in peers_clients.CLIENTS])
    print("\n- : the peer does not do that\n%d ok, %d FAILED, in %.0f s" % (table.passed(), table.failed(), time.monotonic() - began))
    return 1 if table.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
