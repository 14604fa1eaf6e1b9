"""secure.py - what TLS costs: a STARTTLS handshake and a message of 10 KiB for each connection, and connections that wait."""
import contextlib
import os
import re
import ssl
import statistics
import subprocess
import time

import crowd
import routes

HERE = os.path.dirname(os.path.abspath(__file__))
OCTETS = 10240


def certificate(folder):
    """An ECDSA P-256 certificate and its key."""
    names = os.path.join(folder, "bench.pem"), os.path.join(folder, "bench.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=gateway.example.net", "-out", names[0], "-keyout", names[1]], check=True, capture_output=True)
    return names


def sender(folder):
    program = os.path.join(folder, "tlsmail")
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-pthread", "-o", program, os.path.join(HERE, "tlsmail.c"), "-lssl", "-lcrypto"],
                   check=True)
    return program


def own_way(stack, folder, name):
    return routes.sallyport(stack, folder, name, listen='tls certificate "%s"\ntls key "%s"' % certificate(folder))


def ways(stack, folder):
    found = [own_way(stack, folder, "TLS")]
    cert, key = certificate(folder)
    server = routes.postfix(stack, folder, main="smtpd_tls_security_level = may\nsmtpd_tls_cert_file = %s\nsmtpd_tls_key_file = %s\n"
                            "smtpd_tls_loglevel = 0\n" % (cert, key), services="tlsmgr unix - - n 1000? 1 tlsmgr\n")
    return found + ([server] if server is not None else [])


def send(program, route, sessions, count):
    """(messages a second, milliseconds of the gateway for each)."""
    before = routes.cpu_seconds(route.pid)
    done = subprocess.run([program, str(route.port), str(sessions), str(count), str(OCTETS)], check=True, stdout=subprocess.PIPE,
                          timeout=300)
    return count / float(done.stdout), (routes.cpu_seconds(route.pid) - before) / count * 1000


def compare(folder, sessions, count, rounds):
    """{name: (median rate, median CPU)}, all ways in turn."""
    program = sender(folder)
    with contextlib.ExitStack() as stack:
        both = ways(stack, folder)
        for way in both:
            send(program, way, sessions, sessions)
        samples = [{way.name: send(program, way, sessions, count) for way in both} for _ in range(rounds)]
    return {way.name: tuple(statistics.median(s[way.name][i] for s in samples) for i in (0, 1)) for way in both}


def unavoidable():
    """Milliseconds of one signature by ECDSA P-256 and of the two operations of an X25519 exchange, by "openssl speed"."""
    def per_second(what, line):
        text = subprocess.run(["openssl", "speed", "-seconds", "1", what], check=True, capture_output=True, text=True).stdout
        return float(re.search(line, text).group(1))
    return 1000 / per_second("ecdsap256", r"ecdsa.*s +(\d+\.\d) +\d") + 2 * 1000 / per_second("ecdhx25519", r"ecdh.*s +(\d+\.\d)")


class Idle:
    """'count' clients that have shaken hands (TLS 1.3), said EHLO and then nothing: octets each, and how many were dropped."""

    def __init__(self, route, count):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.count = crowd.enough_descriptors(count)
        clients = [self.connect(route.port, 0)]
        time.sleep(0.3)
        before = routes.memory(route.pid)
        try:
            clients += [self.connect(route.port, i) for i in range(self.count)]
            time.sleep(2)
            after = routes.memory(route.pid)
            self.pss, self.rss = ((a - b) / self.count for a, b in zip(after, before))
            self.dropped = sum(not crowd.Idle.answers(c) for c in clients)
        finally:
            for c in clients:
                c.close()

    def connect(self, port, number):
        plain = crowd.connect(port, number)
        crowd.last_line(plain)
        crowd.ask(plain, b"EHLO client.example.org\r\n")
        crowd.ask(plain, b"STARTTLS\r\n")
        client = self.context.wrap_socket(plain)
        crowd.ask(client, b"EHLO client.example.org\r\n")
        return client


def run(report, folder, args, sessions):
    r = compare(folder, sessions, 4000 // args.divide, args.rounds)
    report.head("STARTTLS, ECDSA P-256, 10 KiB", "messages/s", "CPU ms of the gateway", "of that unavoidable")
    least = unavoidable()
    for name in r:
        report.row(name, "%.0f" % r[name][0], "%.2f" % r[name][1], "%.2f" % least)
    if "Postfix proxy" in r:
        report.goal("STARTTLS, rate, times Postfix's proxy", r["TLS"][0] / r["Postfix proxy"][0], 1.5)
        report.goal("STARTTLS, CPU, of Postfix's proxy", r["TLS"][1] / r["Postfix proxy"][1], 0.67, at_least=False)
    with contextlib.ExitStack() as stack:
        idle = Idle(own_way(stack, folder, "TLS idle"), 1000 if args.divide > 1 else 5000)
    report.head("idle after EHLO in TLS 1.3", "dropped", "KiB each (Pss)", "KiB each (Rss)")
    report.row(idle.count, idle.dropped, "%.1f" % (idle.pss / 1024), "%.1f" % (idle.rss / 1024))
    report.goal("%d idle in TLS, KiB each" % idle.count, idle.pss / 1024, 48, at_least=False)
    report.goal("%d idle in TLS, dropped" % idle.count, idle.dropped, 0, at_least=False)
