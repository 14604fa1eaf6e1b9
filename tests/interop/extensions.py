"""extensions.py - SMTPUTF8, DSN and ETRN to a real Postfix: what it offers is offered, and goes through; what it lacks is not."""
import sys

import servers
import wire

LISTEN = "relay to example.com  etrn from 127.0.0.0/8  pass LIMITS, DELIVERBY"
SENDERS = ["θσερ@εχαμπλε.ψομ", "иван.сергеев@пример.рф", "用户@例子.广告", "अजय@डाटा.भारत"]


def expect(what, got, code, text=""):
    if got.code != code or text not in got.text:
        sys.exit("%s: %d %s was expected, this came: %r" % (what, code, text, got))


def keywords(reply):
    return {line.split(" ")[0] for line in reply.text.split("\n")[1:]}


def with_everything(folder):
    with servers.Postfix(folder, main="smtputf8_enable = yes\nfast_flush_domains = example.com\n") as postfix, \
            servers.Sallyport(folder, postfix.port, listen=LISTEN) as gateway, wire.Client(gateway.port) as client:
        lacks = {"SMTPUTF8", "DSN", "ETRN", "8BITMIME", "LIMITS"} - keywords(client.ehlo)
        if lacks or "DELIVERBY" in keywords(client.ehlo):
            sys.exit("EHLO: %r" % client.ehlo)
        expect("ETRN", client.ask("ETRN example.com"), 250)
        expect("ETRN of another", client.ask("ETRN other.example"), 459)
        for sender in SENDERS:
            expect(sender, client.ask("MAIL FROM:<%s> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=x+2By" % sender), 250)
            expect("RCPT", client.ask("RCPT TO:<bob@example.com> NOTIFY=NEVER ORCPT=rfc822;bob@example.com"), 250)
            expect("DATA", client.ask("DATA"), 354)
            expect("message", client.ask("Subject: привет\r\n\r\nhi\r\n."), 250)
        stored = [m.decode() for m in postfix.mail()]
        for sender in SENDERS:
            if not any("Return-Path: <%s>" % sender in m and m.count(" with UTF8SMTP id ") == 2 and "Subject: привет" in m
                       for m in stored):
                sys.exit("%s: its mail is not there as it was sent" % sender)


def with_little(folder):
    with servers.Postfix(folder, main="smtputf8_enable = no\nsmtpd_discard_ehlo_keywords = DSN, ETRN\n") as postfix, \
            servers.Sallyport(folder, postfix.port, listen=LISTEN) as gateway, wire.Client(gateway.port) as client:
        if {"SMTPUTF8", "DSN", "ETRN"} & keywords(client.ehlo):
            sys.exit("EHLO: %r" % client.ehlo)
        expect("ETRN", client.ask("ETRN example.com"), 502)
        expect("UTF-8", client.ask("MAIL FROM:<%s> SMTPUTF8" % SENDERS[0]), 553, "5.6.7")
        expect("RET", client.ask("MAIL FROM:<a@example.org> RET=HDRS"), 555, "5.5.4")
        expect("MAIL", client.ask("MAIL FROM:<a@example.org>"), 250)
        expect("NOTIFY", client.ask("RCPT TO:<bob@example.com> NOTIFY=NEVER"), 555, "5.5.4")
        expect("RCPT", client.ask("RCPT TO:<bob@example.com>"), 250)


for case in (with_everything, with_little):
    with servers.work_folder() as work:
        case(work)
print("SMTPUTF8, DSN and ETRN: as Postfix has them")
