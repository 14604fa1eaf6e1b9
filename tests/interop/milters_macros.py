#!/usr/bin/env python3
"""milters_macros.py - the macros that a milter is given: by Postfix, and through the gateway.

A milter writes down which macros it finds set at each command: for a client as it comes, one under TLS, one with a login; once with
what servers send unasked, once with symbol lists of its own.  What Postfix sets at a command must be set by the gateway there, too,
and to the same value but for those in DIFFERS, which must be set all the same.
"""
import ssl
import sys

import milters_kit
import peers_servers as kit
import servers
import wire

DIFFERS = {
    "v": "the program's name and version",
    "i": "each has its own numbers",
    "{mail_mailer}": "Postfix gives its transport, Sallyport the protocol", "{rcpt_mailer}": "the same",
    "{mail_host}": "the next hop of this server", "{rcpt_host}": "the next hop of this server",
    "{daemon_port}": "each listens on its own",
    "{client_connections}": "Postfix counts none from its own networks",
}
SYMBOLS = {
    "connect": "j _ v {client_addr} {client_name} {client_port} {client_ptr} {client_resolve} {client_connections} {daemon_addr} "
               "{daemon_name} {daemon_port} {if_addr} {if_name}",
    "helo": "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer} {verify}",
    "mail": "i {auth_type} {auth_authen} {auth_author} {auth_ssf} {mail_addr} {mail_host} {mail_mailer}",
    "rcpt": "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
    "data": "i", "eoh": "i", "eom": "i {msg_id}",
}
SCENES = ("plain", "tls", "login")


class Client(wire.Client):
    """EHLO, XCLIENT, EHLO, and STARTTLS with another EHLO."""

    def __init__(self, port, scene):
        super().__init__(port, "first.example.org")
        login = " LOGIN=ann" if scene == "login" else ""
        said = self.ask("XCLIENT ADDR=%s NAME=%s.client.example PORT=4711%s" % (milters_kit.CLIENT, scene, login))
        if said.code != 220:
            raise wire.Lost("XCLIENT: %r" % said)
        self.ask("EHLO client.example.org")
        if scene == "tls":
            said = self.ask("STARTTLS")
            if said.code != 220:
                raise wire.Lost("STARTTLS: %r" % said)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
            self.socket = context.wrap_socket(self.socket)
            self.ask("EHLO client.example.org")


def talk(port, scene):
    with Client(port, scene) as client:
        for line in ("MAIL FROM:<a@sender.example>", "RCPT TO:<bob@example.com>", "RCPT TO:<ann@example.com>", "DATA"):
            said = client.ask(line)
            if said.code >= 400:
                raise wire.Lost("%s: %r" % (line, said))
        client.send(b"From: a@sender.example\r\nSubject: x\r\nMessage-ID: <x@sender.example>\r\n\r\nx\r\n.\r\n")
        said = client.reply()
        client.ask("QUIT")
        if said.code != 250:
            raise wire.Lost("the dot: %r" % said)


def seen(milter, port, scene):
    """{command: {name: value}} of the message's connection; of commands that come many times, the last one's."""
    mark = len(milter.events())
    talk(port, scene)
    servers.wait_until(lambda: any(e["stage"] == "eom" for e in milter.events()[mark:]), "the milter's log")
    found, named = {}, False
    for event in milter.events()[mark:]:
        named = named or event["stage"] == "connect" and event["values"][0] == scene + ".client.example"
        if named and event["stage"] not in ("close", "abort"):
            found[event["stage"]] = event["macros"]
    return found


def verdict(name, there, here):
    """ok, or what is wrong."""
    return "ok" if here is not None and (name in DIFFERS or here == there) else "FAILED"


def compare(title, theirs, ours):
    """Each name once, at the command from which on it is so."""
    failed, told, alike = 0, {}, 0
    for stage in ("connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom"):
        there, here = theirs.get(stage, {}), ours.get(stage, {})
        for name in sorted(there):
            what = verdict(name, there[name], here.get(name))
            alike += what == "ok" and name not in DIFFERS
            if told.get(name) != what:
                told[name] = what
                failed += what.startswith("FAILED")
                if what == "ok" and name not in DIFFERS:
                    continue
                print("%-8s %-14s %-8s %-22s %r there, %r here" % (what, title, stage, name, there[name], here.get(name)))
        if not there:
            failed += 1
            print("FAILED %s %s: Postfix sets no macros" % (title, stage))
    more = sorted({n for macros in ours.values() for n in macros} - {n for macros in theirs.values() for n in macros})
    print("%s: %d values alike; only here: %s" % (title, alike, " ".join(more)))
    return failed


def play(folder, packages, kind, cert):
    failed, table = 0, {"*symbols": SYMBOLS} if kind == "asked" else {}
    tls = ("myhostname = gateway.example.net\nsmtpd_tls_cert_file = %s\nsmtpd_tls_key_file = %s\n"
           "smtpd_tls_security_level = may\n" % cert)
    with milters_kit.Table(folder, packages, table, "table-" + kind) as milter:
        with milters_kit.ByPostfix(folder + "/" + kind, [milter.socket], tls, "tlsmgr unix - - n 1000? 1 tlsmgr\n") as postfix:
            theirs = {scene: seen(milter, postfix.port, scene) for scene in SCENES}
        sink = milters_kit.Sink()
        with milters_kit.Gateway(folder + "/" + kind, [("sink", sink)], milters_kit.use("scan", milter),
                                 "scan : filter scan\naccept", listen='tls certificate "%s" tls key "%s"' % cert) as gateway:
            ours = {scene: seen(milter, gateway.ways[0].port, scene) for scene in SCENES}
    for scene in SCENES:
        failed += compare(kind + " " + scene, theirs[scene], ours[scene])
    return failed


def main():
    with servers.work_folder() as folder:
        try:
            packages, cert = milters_kit.packages(folder), kit.certificate(folder)
            failed = play(folder, packages, "unasked", cert) + play(folder, packages, "asked", cert)
        except kit.Missing as e:
            servers.skip(str(e))
    print("%d FAILED" % failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
