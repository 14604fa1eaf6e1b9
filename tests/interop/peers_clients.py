"""peers_clients.py - mail clients that others wrote, in front of the gateway; what arrives is looked up behind it.

Postfix is behind, and Exim where AUTH or a server with PRDR and PIPECONNECT is wanted.
"""
import email.message
import email.policy
import glob
import os
import re
import shutil
import smtplib
import ssl
import subprocess
import threading

import peers_backends as behind
import peers_servers as kit
import servers
import wire
from peers_backends import ANN, BOB, GREEK, content

NAMES = ["plain", "PIPELINING", "refused recipient", "too big", "STARTTLS", "implicit TLS", "AUTH PLAIN", "AUTH LOGIN",
         "AUTH CRAM-MD5", "wrong password", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "PRDR", "DATA", "several on one"]
SENDER = "client@sender.example"
BIG = (b"z" * 70 + b"\r\n") * (kit.LIMIT // 50)
WRONG = "not-the-password"


def through(mail):
    """The gateway's own field of a stored message."""
    m = re.search(rb"(?m)^Received:[^\n]*(?:\n[ \t][^\n]*)*\(Sallyport\)[^\n]*(?:\n[ \t][^\n]*)*", mail)
    if not m:
        raise AssertionError("no Received field of the gateway: %r" % mail[:600])
    return m.group(0)


def want_secure(mail):
    if not re.search(rb"with (UTF8SMTP|ESMTP)SA? id", through(mail)):
        raise AssertionError("the gateway's field does not tell of TLS: %r" % through(mail))


class Front:
    """A client; 'postfix' and 'exim' are what it reaches through the gateway."""

    name = ""

    def __init__(self, folder, packages, cert, gateway, peers):
        self.folder, self.packages, self.cert, self.gateway, self.peers = folder, packages, cert, gateway, peers

    def stop(self):
        pass

    def behind(self, name="postfix"):
        return behind.Behind(self.peers[name], self.gateway.plain[name], self.gateway.tls[name], self.gateway.unix)

    def with_prdr(self):
        """The gateway offers it before LMTP."""
        if "dovecot" not in self.peers:
            raise kit.Missing("no LMTP behind")
        return self.behind("dovecot")

    def with_auth(self):
        """A server that knows AUTH."""
        if "exim" in self.peers:
            return self.behind("exim")
        if "dovecot" in self.peers:
            return self.behind()
        raise kit.Missing("no server with AUTH behind")

    def file(self, name, octets):
        path = os.path.join(self.folder, "%s-%s" % (self.name, name))
        with open(path, "wb") as f:
            f.write(octets)
        return path

    def features(self):
        return {name: getattr(self, "do_" + re.sub(r"\W", "_", name).lower()) for name in NAMES
                if hasattr(self, "do_" + re.sub(r"\W", "_", name).lower())}


def run(command, stdin=b"", env=None, refused=False):
    """Runs a client to its end; with 'refused' it must say that it failed."""
    if shutil.which(command[0]) is None:
        raise kit.Missing("not installed")
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=40,
                          env=dict(os.environ, LC_ALL="C.UTF-8", **(env or {})), check=False)
    said = done.stdout.decode(errors="replace")
    if (done.returncode != 0) != refused:
        raise AssertionError("%s ended with %d: %s" % (command[0], done.returncode, said[-700:]))
    return said


class Swaks(Front):
    name = "swaks"

    def __init__(self, *args):
        """Its TLS comes with a package of its own."""
        super().__init__(*args)
        self.env, self.no_tls = {}, ""
        try:
            root = os.path.join(self.folder, "ssleay")
            for deb in [] if kit.installed("libnet-ssleay-perl") else self.packages.fetch("libnet-ssleay-perl"):
                subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
                self.env = {"PERL5LIB": ":".join(glob.glob(root + "/usr/lib/*/perl5/*"))}
        except kit.Missing as e:
            self.no_tls = "no Net::SSLeay: %s" % e

    def need_tls(self):
        if self.no_tls:
            raise kit.Missing(self.no_tls)

    def send(self, p, *options, rcpt=BOB, refused=False, port=None, message=None):
        message = message or content(p.token)
        path = self.file(p.token, message.replace(b"\r\n", b"\n")[:-1])  # it ends the last line itself
        return run(["swaks", "--server", "127.0.0.1:%d" % (port or p.port), "--helo", "client.example.org", "--from", SENDER, "--to", rcpt,
                    "--data", "@" + path, *options], env=self.env, refused=refused)

    def do_plain(self):
        p = self.behind()
        self.send(p)
        p.stored(content(p.token))

    def do_pipelining(self):
        p = self.behind()
        if "PIPELINING" not in self.send(p, "--pipeline"):
            raise AssertionError("not offered")
        p.stored(content(p.token))

    def do_prdr(self):
        p = self.with_prdr()
        said = self.send(p, "--prdr", rcpt=BOB + "," + ANN)
        if not re.search(r"<-+ +353(?s:.)*<-+ +250(?s:.)*<-+ +250", said):
            raise AssertionError("no reply for each: " + said[-600:])
        p.stored(content(p.token), "bob")
        p.stored(content(p.token), "ann")

    def do_refused_recipient(self):
        said = self.send(self.behind(), rcpt="nobody-here@example.com", refused=True)
        if "550 5.1.1" not in said:
            raise AssertionError("not Postfix's own refusal: " + said[-300:])

    def do_too_big(self):
        p = self.behind()
        big = content(p.token) + BIG
        self.send(p, message=big, refused=True)

    def do_starttls(self):
        self.need_tls()
        p = self.behind()
        self.send(p, "-tls")
        want_secure(p.stored(content(p.token)))

    def do_implicit_tls(self):
        self.need_tls()
        p = self.behind()
        self.send(p, "-tlsc", port=self.gateway.smtps)
        want_secure(p.stored(content(p.token)))

    def login(self, mechanism, password=kit.PASSWORD, refused=False):
        self.need_tls()
        p = self.with_auth()
        said = self.send(p, "-tls", "--auth", mechanism, "--auth-user", kit.USER, "--auth-password", password, refused=refused)
        if not refused:
            p.stored(content(p.token))
        return said

    def do_auth_plain(self):
        self.login("PLAIN")

    def do_auth_login(self):
        self.login("LOGIN")

    def do_auth_cram_md5(self):
        if run(["perl", "-MDigest::MD5", "-e", "print 1"]) != "1":
            raise kit.Missing("no Digest::MD5")
        self.login("CRAM-MD5")

    def do_wrong_password(self):
        if "535" not in self.login("PLAIN", WRONG, True):
            raise AssertionError("no 535")


class LoggingIn(Front):
    """A client whose login(mechanism, password, refused) sends a message, and returns what the client has said."""

    def do_auth_plain(self):
        self.login("PLAIN")

    def do_auth_login(self):
        self.login("LOGIN")

    def do_auth_cram_md5(self):
        self.login("CRAM-MD5")

    def do_wrong_password(self):
        if "535" not in self.login("PLAIN", WRONG, True):
            raise AssertionError("no 535")


class Curl(LoggingIn):
    name = "curl"

    def send(self, p, *options, sender=SENDER, rcpts=(BOB,), message=None, scheme="smtp", port=None, refused=False):
        message = message or content(p.token)
        return run(["curl", "-v", "--silent", "--show-error", "--max-time", "30", "-k", "--url",
                    "%s://127.0.0.1:%d/client.example.org" % (scheme, port or p.port), "--mail-from", sender,
                    "--upload-file", self.file(p.token, message), *options]
                   + [x for r in rcpts for x in ("--mail-rcpt", r)], refused=refused)

    def do_plain(self):
        p = self.behind()
        if "SIZE=%d" % len(content(p.token)) not in self.send(p):
            raise AssertionError("SIZE was not said")
        p.stored(content(p.token))

    def do_refused_recipient(self):
        if "550 5.1.1" not in self.send(self.behind(), rcpts=("nobody-here@example.com",), refused=True):
            raise AssertionError("not Postfix's own refusal")

    def do_too_big(self):
        p = self.behind()
        big = content(p.token) + BIG
        if "552 5.3.4" not in self.send(p, message=big, refused=True):
            raise AssertionError("not refused by 552 5.3.4")

    def do_starttls(self):
        p = self.behind()
        self.send(p, "--ssl-reqd")
        want_secure(p.stored(content(p.token)))

    def do_implicit_tls(self):
        p = self.behind()
        self.send(p, scheme="smtps", port=self.gateway.smtps)
        want_secure(p.stored(content(p.token)))

    def login(self, mechanism, password=kit.PASSWORD, refused=False):
        p = self.with_auth()
        said = self.send(p, "--ssl-reqd", "--user", "%s:%s" % (kit.USER, password), "--login-options", "AUTH=" + mechanism,
                         refused=refused)
        if not refused:
            p.stored(content(p.token))
        return said

    def do_smtputf8(self):
        p = self.behind()
        message = content(p.token, True)
        said = self.send(p, sender="\u03b1@sender.example", rcpts=("%s@example.com" % GREEK,), message=message)
        if "SMTPUTF8" not in said.split("MAIL FROM")[1].split("\n")[0]:
            raise AssertionError("SMTPUTF8 was not said")
        p.stored(message, "utf8")

    def do_several_on_one(self):
        """Two recipients of one message."""
        p = self.behind()
        self.send(p, rcpts=(BOB, ANN))
        p.stored(content(p.token), "bob")
        p.stored(content(p.token), "ann")


class Smtplib(Front):
    name = "smtplib"

    @staticmethod
    def context():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def client(self, p, tls=False):
        client = smtplib.SMTP("127.0.0.1", p.port, "client.example.org", timeout=30)
        if tls:
            client.starttls(context=self.context())
        return client

    def do_plain(self):
        p = self.behind()
        with self.client(p) as client:
            client.sendmail(SENDER, [BOB], content(p.token))
        p.stored(content(p.token))

    def do_refused_recipient(self):
        p = self.behind()
        with self.client(p) as client:
            refused = client.sendmail(SENDER, ["nobody-here@example.com", BOB], content(p.token))
        if refused.get("nobody-here@example.com", (0,))[0] != 550:
            raise AssertionError("%s" % refused)
        p.stored(content(p.token))

    def do_too_big(self):
        p = self.behind()
        with self.client(p) as client:
            try:
                client.sendmail(SENDER, [BOB], content(p.token) + BIG)
            except smtplib.SMTPSenderRefused as e:  # by SIZE= alone
                if e.smtp_code == 552:
                    return
                raise
        raise AssertionError("not refused")

    def do_starttls(self):
        p = self.behind()
        with self.client(p, True) as client:
            client.sendmail(SENDER, [BOB], content(p.token))
        want_secure(p.stored(content(p.token)))

    def do_implicit_tls(self):
        p = self.behind()
        with smtplib.SMTP_SSL("127.0.0.1", self.gateway.smtps, "client.example.org", timeout=30, context=self.context()) as client:
            client.sendmail(SENDER, [BOB], content(p.token))
        want_secure(p.stored(content(p.token)))

    def login(self, method, password=kit.PASSWORD):
        p = self.with_auth()
        with self.client(p, True) as client:
            client.ehlo()
            client.user, client.password = kit.USER, password
            mechanism = method.replace("auth_", "").replace("_", "-").upper()
            if mechanism not in client.esmtp_features.get("auth", "").upper().split():
                raise AssertionError("%s is not offered: %s" % (mechanism, client.esmtp_features))
            code, text = client.auth(mechanism, getattr(client, method))
            if code != 235:
                raise AssertionError("%d %s" % (code, text))
            client.sendmail(SENDER, [BOB], content(p.token))
        p.stored(content(p.token))

    def do_auth_plain(self):
        self.login("auth_plain")

    def do_auth_login(self):
        self.login("auth_login")

    def do_auth_cram_md5(self):
        self.login("auth_cram_md5")

    def do_wrong_password(self):
        try:
            self.login("auth_plain", WRONG)
        except smtplib.SMTPAuthenticationError as e:
            if e.smtp_code == 535:
                return
            raise
        raise AssertionError("let in")

    def do_8bitmime(self):
        p = self.behind()
        with self.client(p) as client:
            client.sendmail(SENDER, [BOB], content(p.token, True), mail_options=["BODY=8BITMIME"])
        p.stored(content(p.token, True))

    def do_smtputf8(self):
        p = self.behind()
        message = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
        message["From"], message["To"], message["Subject"] = "\u03b1@sender.example", "%s@example.com" % GREEK, p.token
        message.set_content("\u03b1\u03b2\u03b3\n")
        with self.client(p) as client:
            client.send_message(message)
        p.stored(b"\xce\xb1\xce\xb2\xce\xb3\r\n", "utf8")

    def do_dsn(self):
        p = self.behind()
        with self.client(p) as client:
            client.sendmail(ANN, [BOB], content(p.token), mail_options=["RET=HDRS", "ENVID=" + p.token], rcpt_options=["NOTIFY=SUCCESS"])
        p.stored(content(p.token))
        p.notice()

    def do_several_on_one(self):
        p = self.behind()
        with self.client(p, True) as client:
            for i in "abc":
                client.sendmail(SENDER, [BOB], content(p.token + i))
        for i in "abc":
            p.stored(content(p.token + i), "bob", p.token + i)


class SClient(Front):
    """openssl s_client: its input is what a person types."""

    name = "s_client"

    def talk(self, p, *options, port=None):
        command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % (port or p.port), "-crlf", "-quiet", *options]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        watch = threading.Timer(20, client.kill)
        watch.start()
        try:
            def reply():
                while True:
                    line = client.stdout.readline()
                    if not line:
                        raise wire.Lost("s_client has ended")
                    if line[3:4] != b"-":
                        return int(line[:3])
            codes = [0 if options else reply()]  # the banner; with -starttls it goes by unseen
            text = content(p.token).replace(b"\r\n", b"\n")
            for line in (b"EHLO client.example.org", b"MAIL FROM:<%s>" % SENDER.encode(), b"RCPT TO:<%s>" % BOB.encode(), b"DATA",
                         re.sub(rb"(?m)^\.", b"..", text) + b".", b"QUIT"):
                client.stdin.write(line + b"\n")
                client.stdin.flush()
                codes.append(reply())
        finally:
            watch.cancel()
            client.kill()
            client.wait()
            client.stdin.close()
            client.stdout.close()
        if codes[1:] != [250, 250, 250, 354, 250, 221]:
            raise AssertionError("%s" % codes)
        want_secure(p.stored(content(p.token)))

    def do_starttls(self):
        for options in ((), ("-tls1_2",), ("-tls1_3",), ("-servername", "localhost")):
            self.talk(self.behind(), "-starttls", "smtp", *options)

    def do_implicit_tls(self):
        self.talk(self.behind(), port=self.gateway.smtps)


class Msmtp(LoggingIn):
    name = "msmtp"

    def __init__(self, *args):
        super().__init__(*args)
        self.program, self.env = shutil.which("msmtp"), {}
        if self.program is None:
            root = os.path.join(self.folder, "msmtp")
            os.makedirs(root)
            for deb in self.packages.fetch("msmtp"):
                subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
            self.program = os.path.join(root, "usr/bin/msmtp")
            self.env = {"LD_LIBRARY_PATH": ":".join(glob.glob(root + "/usr/lib/*-linux-gnu*"))}

    def send(self, p, *options, sender=SENDER, rcpts=(BOB,), message=None, port=None, refused=False):
        message = message or content(p.token)
        return run([self.program, "--debug", "--file=/dev/null", "--host=127.0.0.1", "--port=%d" % (port or p.port),
                    "--domain=client.example.org", "--from=" + sender, "--timeout=30", *options, "--", *rcpts],
                   message.replace(b"\r\n", b"\n"), self.env, refused)

    def do_plain(self):
        p = self.behind()
        self.send(p)
        p.stored(content(p.token))

    def do_pipelining(self):
        p = self.behind()
        said = self.send(p, rcpts=(BOB, ANN))
        if not re.search(r"--> MAIL[^\n]*\n--> RCPT[^\n]*\n--> RCPT[^\n]*\n--> DATA", said):
            raise AssertionError("not in one piece: " + said[-500:])
        p.stored(content(p.token), "ann")

    def do_refused_recipient(self):
        if "550 5.1.1" not in self.send(self.behind(), rcpts=("nobody-here@example.com",), refused=True):
            raise AssertionError("not Postfix's own refusal")

    def do_starttls(self):
        p = self.behind()
        self.send(p, "--tls=on", "--tls-certcheck=off")
        want_secure(p.stored(content(p.token)))

    def do_implicit_tls(self):
        p = self.behind()
        self.send(p, "--tls=on", "--tls-certcheck=off", "--tls-starttls=off", port=self.gateway.smtps)
        want_secure(p.stored(content(p.token)))

    def login(self, mechanism, password=kit.PASSWORD, refused=False):
        p = self.with_auth()
        said = self.send(p, "--tls=on", "--tls-certcheck=off", "--auth=" + mechanism.lower(), "--user=" + kit.USER,
                         "--passwordeval=echo " + password, refused=refused)
        if not refused:
            p.stored(content(p.token))
        return said

    def do_dsn(self):
        p = self.behind()
        self.send(p, "--dsn-notify=success", "--dsn-return=headers", sender=ANN)
        p.stored(content(p.token))
        p.notice()


class Relaying(Front):
    """A server that hands mail on to the gateway; it gets it from a client that says what the check says."""

    relay = None

    def begin(self):
        try:
            self.relay.start()
        except BaseException:
            self.relay.stop()
            raise

    def stop(self):
        if self.relay:
            self.relay.stop()

    def hand(self, message, sender=SENDER, rcpts=(BOB,), mail="", rcpt=""):
        with wire.Client(self.relay.port) as client:
            behind.want(client.ask("MAIL FROM:<%s>%s" % (sender, mail)), 250, "MAIL to the client")
            for r in rcpts:
                behind.want(client.ask("RCPT TO:<%s>%s" % (r, rcpt)), 250, "RCPT to the client")
            behind.want(client.ask("DATA"), 354, "DATA to the client")
            client.send(wire.stuffed(message) + b".\r\n")
            behind.want(client.reply(), 250, "the dot to the client")

    def sent(self, p, **how):
        message = how.pop("message", None) or content(p.token)
        box = how.pop("box", "bob")
        self.hand(message, **how)
        try:
            return p.stored(message, box)
        except RuntimeError as e:
            raise AssertionError("%s; its log ends: %s" % (e, self.relay.log()[-2500:])) from e

    def do_plain(self):
        self.sent(self.server())

    def do_pipelining(self):
        """Many recipients are what pipelining is for."""
        p = self.server()
        self.sent(p, rcpts=(BOB, ANN))
        p.stored(content(p.token), "ann")

    def do_starttls(self):
        want_secure(self.sent(self.server(), sender="tls@sender.example"))

    def do_8bitmime(self):
        p = self.server()
        self.sent(p, message=content(p.token, True), mail=" BODY=8BITMIME")

    def do_dsn(self):
        """The notice says "delivered": one that the client had to write itself would say "relayed"."""
        p = self.server()
        self.sent(p, sender=ANN, mail=" RET=HDRS ENVID=" + p.token, rcpt=" NOTIFY=SUCCESS")
        p.notice()

    def do_several_on_one(self):
        p = self.server()
        for i in "abcde":
            self.hand(content(p.token + i))
        for i in "abcde":
            p.stored(content(p.token + i), "bob", p.token + i)

    def refused(self, pattern):
        p = self.server()
        self.hand(content(p.token), rcpts=("nobody-here@example.com", BOB))
        p.stored(content(p.token))
        servers.wait_until(lambda: re.search(pattern, self.relay.log()), "the refusal in its log", 15)

    def server(self):
        return self.behind()


class PostfixFront(Relaying):
    name = "postfix-smtp"

    def __init__(self, *args):
        super().__init__(*args)
        self.relay = kit.PostfixClient(self.folder, self.gateway.plain["postfix"], self.gateway.tls["postfix"])
        self.begin()

    def do_refused_recipient(self):
        self.refused(r"to=<nobody-here@example.com>.*status=bounced.*550 5\.1\.1")

    def do_smtputf8(self):
        p = self.server()
        self.sent(p, message=content(p.token, True), sender="\u03b1@sender.example", rcpts=("%s@example.com" % GREEK,),
                  mail=" BODY=8BITMIME SMTPUTF8", box="utf8")


class EximFront(Relaying):
    """With a server behind that has all that it makes use of."""

    name = "exim-smtp"

    def __init__(self, *args):
        super().__init__(*args)
        self.relay = kit.EximClient(self.folder, self.packages, self.cert, self.gateway.plain[self.where()],
                                    self.gateway.plain.get("dovecot", 9))
        self.begin()

    def where(self):
        return "exim" if "exim" in self.peers else "postfix"

    def server(self):
        return self.behind(self.where())

    def do_refused_recipient(self):
        self.refused(r"\*\* nobody-here@example.com .*: 55\d")

    def do_smtputf8(self):
        p = self.server()
        self.sent(p, message=content(p.token, True), sender="\u03b1@sender.example", rcpts=("%s@example.com" % GREEK,),
                  mail=" BODY=8BITMIME SMTPUTF8", box=GREEK)

    def do_auth_plain(self):
        want_secure(self.sent(self.server(), sender="auth@sender.example"))
        servers.wait_until(lambda: re.search(r"=> bob@example.com .*A=plain", self.relay.log()), "AUTH in its log", 10)

    def do_chunking(self):
        """Its log has a K where it sent BDAT."""
        self.sent(self.server(), sender="chunks@sender.example")
        servers.wait_until(lambda: re.search(r"=> bob@example.com .* K ", self.relay.log()), "BDAT in its log", 10)

    def do_prdr(self):
        """Its log says so."""
        p = self.with_prdr()
        self.sent(p, sender="prdr@sender.example", rcpts=(BOB, ANN))
        p.stored(content(p.token), "ann")
        servers.wait_until(lambda: re.search(r"[-=]> ann@example.com .* PRDR", self.relay.log()), "PRDR in its log", 10)

    def do_data(self):
        self.sent(self.server(), sender="data@sender.example")


CLIENTS = [Swaks, Curl, Smtplib, SClient, Msmtp, PostfixFront, EximFront]
