#!/usr/bin/env python3
"""kin.py - policy servers and filter programs that others wrote, as Debian has them, each doing its job through Sallyport.

postgrey and policyd-spf by "filter policyd", the one by a socket, the other as a program that is started; OpenSMTPD's
filter-dkimsign and filter-rspamd by "filter spawn".  rspamd itself is played by a few lines of HTTP here, the DNS by a stub in
policyd-spf's own resolver.  Behind the gateway is a Maildir.
"""
import glob
import http.server
import json
import os
import re
import smtplib
import subprocess
import sys
import threading

import peers_servers as kit
import servers

PERL = ["libberkeleydb-perl", "libnetaddr-ip-perl", "libnet-dns-perl", "libnet-server-perl", "libio-multiplex-perl",
        "libdigest-hmac-perl", "libregexp-ipv6-perl", "libnet-cidr-perl", "libdb5.3"]
kit.LIBRARIES.update({
    "postgrey": PERL,
    "postfix-policyd-spf-python": ["python3-authres", "python3-spf", "python3-spf-engine"],
    "opensmtpd-filter-dkimsign": ["libopensmtpd0", "libevent-2.1-7"],
    "opensmtpd-filter-rspamd": [],
})
TEXT = "From: a@%s\r\nTo: bob@example.com\r\nSubject: %s\r\n\r\nHello\r\n.dot\r\n"

# policyd-spf as it is, with a resolver that knows three domains
SPF = """import runpy, sys
sys.path[:0] = [%(lib)r]
import spf
ZONE = {"pass.example": "v=spf1 ip4:127.0.0.0/8 -all", "fail.example": "v=spf1 -all"}
def lookup(name, kind, *rest, **more):
    name = str(name).rstrip(".").lower()
    return [((name, "TXT"), (ZONE[name].encode(),))] if kind == "TXT" and name in ZONE else []
spf.DNSLookup = lookup
sys.argv = [%(program)r, %(conf)r]
runpy.run_path(%(program)r, run_name="__main__")
"""
SPF_CONF = """debugLevel = 1
TestOnly = 1
HELO_reject = False
Mail_From_reject = Fail
PermError_reject = False
TempError_Defer = False
skip_addresses = 192.0.2.0/24
"""


class Site:
    """The gateway with one filter before a Maildir, and what a client is told."""

    def __init__(self, folder, name, line, options=()):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder)
        self.mail = os.path.join(self.folder, "mail")
        rules = "%s\nbackend box { maildir \"%s\" }\nrules { use : filter use  box : backend box  accept }" % (line, self.mail)
        self.gateway = servers.Sallyport(self.folder, 9, more=rules, listen="relay to example.com", options=options)

    def send(self, sender="a@example.org", rcpts=("bob@example.com",), subject="hello"):
        """The replies to the recipients, and to the message if there was one."""
        with smtplib.SMTP("127.0.0.1", self.gateway.port, "client.example.org", timeout=60) as s:
            s.ehlo()
            said = [s.mail(sender)] + [s.rcpt(r) for r in rcpts]
            if any(code == 250 for code, _ in said[1:]):
                said.append(s.data(TEXT % (sender.partition("@")[2] or "example.org", subject)))
        return ["%d %s" % (code, text.decode()) for code, text in said[1:]]

    def stored(self):
        found = sorted(glob.glob(self.mail + "/new/*"), key=os.path.getmtime)
        return [open(path, errors="replace").read().replace("\r\n", "\n") for path in found]

    def expect(self, ok, what):
        if not ok:
            print(self.gateway.log()[-3000:])
            raise RuntimeError(what)


class Unpacked:
    """A package and what it lacks here, in a folder."""

    def __init__(self, folder, packages, name):
        self.root = os.path.join(folder, "root-" + name)
        for deb in packages.fetch(name):
            subprocess.run(["dpkg-deb", "-x", deb, self.root], check=True)

    def path(self, *names):
        return os.path.join(self.root, *names)

    def libraries(self):
        return self.path("usr/lib/x86_64-linux-gnu")


def postgrey(folder, packages):
    unpacked = Unpacked(folder, packages, "postgrey")
    port, data = servers.free_port(), os.path.join(folder, "postgrey")
    os.makedirs(data)
    os.chmod(data, 0o777)
    perl = ["-I" + path for path in [unpacked.path("usr/share/perl5")] + glob.glob(unpacked.libraries() + "/perl5/*")]
    empty = os.path.join(folder, "nobody")
    open(empty, "w").close()
    env = dict(os.environ, LD_LIBRARY_PATH=unpacked.libraries())
    server = subprocess.Popen(["perl", "-T"] + perl + [unpacked.path("usr/sbin/postgrey"), "--inet=127.0.0.1:%d" % port, "--dbdir=" + data,
                               "--delay=1", "--user=nobody", "--group=nogroup", "--whitelist-clients=" + empty,
                               "--whitelist-recipients=" + empty], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    site = Site(folder, "grey", 'filter policyd use { socket "127.0.0.1:%d" }' % port)
    try:
        with site.gateway:
            def first():
                said = site.send()[0]
                return said if "Greylisted" in said else None

            def later():
                said = site.send()
                return said if said[-1].startswith("250") else None
            said = servers.wait_until(first, "postgrey to greylist")
            site.expect(re.match(r"450 4\.2\.0 Greylisted, see http\S+example\.com", said), said)
            servers.wait_until(later, "postgrey to let it pass")
            site.expect(len(site.stored()) == 1, "one message is stored")
            site.expect(re.search(r"^X-Greylist: delayed \d+ seconds by postgrey", site.stored()[0], re.M), site.stored()[0])
    finally:
        server.kill()
        server.wait()


def policyd_spf(folder, packages):
    unpacked = Unpacked(folder, packages, "postfix-policyd-spf-python")
    conf, wrapper = os.path.join(folder, "policyd-spf.conf"), os.path.join(folder, "policyd-spf.py")
    program = unpacked.path("usr/bin/policyd-spf")
    with open(conf, "w") as f:
        f.write(SPF_CONF)
    with open(wrapper, "w") as f:
        f.write(SPF % {"lib": unpacked.path("usr/lib/python3/dist-packages"), "program": program, "conf": conf})
    site = Site(folder, "spf", 'filter policyd use { command "/usr/bin/python3 %s" }' % wrapper)
    with site.gateway:
        said = site.send("a@fail.example")
        site.expect(said[0].startswith("550 5.7.23 ") and "SPF" in said[0], said)
        said = site.send("a@pass.example", ("bob@example.com", "ann@example.com"))
        site.expect(said[-1].startswith("250"), said)
        fields = re.findall(r"^Received-SPF: (\w+)", site.stored()[-1], re.M)
        site.expect(fields == ["Pass"], fields)  # once for both recipients: it goes by "instance"
        said = site.send("a@none.example")
        site.expect(said[-1].startswith("250") and "Received-SPF: None" in site.stored()[-1], said)


def dkimsign(folder, packages):
    import dkim
    unpacked = Unpacked(folder, packages, "opensmtpd-filter-dkimsign")
    key = os.path.join(folder, "dkim.pem")
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, stderr=subprocess.DEVNULL)
    public = subprocess.run(["openssl", "rsa", "-in", key, "-pubout"], check=True, capture_output=True, text=True).stdout
    record = b"v=DKIM1; p=" + "".join(public.splitlines()[1:-1]).encode()
    site = Site(folder, "sign", 'filter spawn use { command "/usr/bin/env LD_LIBRARY_PATH=%s %s -d example.org -s sel -k %s" }'
                % (unpacked.libraries(), unpacked.path("usr/libexec/opensmtpd/filter-dkimsign"), key))
    with site.gateway:
        for n in range(3):
            said = site.send(subject="number %d" % n)
            site.expect(said[-1].startswith("250"), said)
        stored = site.stored()
        site.expect(len(stored) == 3, "three messages are stored")
        for text in stored:
            good = dkim.verify(text.replace("\n", "\r\n").encode(), dnsfunc=lambda name, timeout=5: record)
            site.expect(good, "its signature verifies: " + text)


class Scanner(http.server.BaseHTTPRequestHandler):
    """rspamd's /checkv2, as far as its filter wants it: the subject says what the verdict is."""

    seen = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) if "Content-Length" in self.headers else self._chunks()
        Scanner.seen.append((dict(self.headers), body))
        action = re.search(rb"(?m)^Subject: (.*?)\r?$", body).group(1).decode()
        answer = json.dumps({"score": 7.5, "required_score": 15.0, "action": action, "symbols": {}, "messages": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _chunks(self):
        body = b""
        while (size := int(self.rfile.readline(), 16)) > 0:
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_):
        pass


def rspamd(folder, packages):
    unpacked = Unpacked(folder, packages, "opensmtpd-filter-rspamd")
    scanner = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scanner)
    threading.Thread(target=scanner.serve_forever, daemon=True).start()
    site = Site(folder, "rspamd", 'filter spawn use { command "%s -url http://127.0.0.1:%d" }'
                % (unpacked.path("usr/libexec/opensmtpd/filter-rspamd"), scanner.server_port))
    try:
        with site.gateway:
            wanted = {"no action": "250", "add header": "250", "reject": "550", "soft reject": "451"}
            for action, code in wanted.items():
                said = site.send(subject=action)
                site.expect(said[-1].startswith(code), "%s: %s" % (action, said))
            stored = site.stored()
            site.expect(len(stored) == 2, "two messages are stored: %d" % len(stored))
            site.expect("X-Spam: yes" in stored[1] and "X-Spam: yes" not in stored[0], stored[1])
            site.expect(all(text.endswith("\n\nHello\n.dot\n") for text in stored), stored[0])
            headers, body = Scanner.seen[0]
            site.expect(headers.get("Ip") == "127.0.0.1" and headers.get("Helo") == "client.example.org"
                        and headers.get("From") == "a@example.org" and "bob@example.com" in headers.get("Rcpt", ""), headers)
            site.expect(b"\n.dot" in body and b"\n..dot" not in body, body)
    finally:
        scanner.shutdown()


def main():
    results = {}
    with servers.work_folder() as folder:
        packages = kit.Packages(os.environ.get("SALLYPORT_PEERS", os.path.join(folder, "peers")))
        for job in (postgrey, policyd_spf, dkimsign, rspamd):
            try:
                job(folder, packages)
                results[job.__name__] = "ok"
            except kit.Missing as e:
                results[job.__name__] = "skipped: %s" % e
            except (RuntimeError, smtplib.SMTPException, OSError) as e:
                results[job.__name__] = "FAILED: %s" % e
    for name, result in results.items():
        print("%-12s %s" % (name, result))
    if any(r.startswith("FAILED") for r in results.values()):
        return 1
    return 0 if "ok" in results.values() else servers.SKIP


if __name__ == "__main__":
    sys.exit(main())
