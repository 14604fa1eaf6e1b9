"""peers_backends.py - what is asked of each server behind the gateway, and looked up in its mailboxes and its log.

The client is a neutral one (wire.py), which says what the check says and nothing else.
"""
import base64
import contextlib
import re
import ssl
import uuid

import peers_servers as kit
import servers
import wire

GREEK = "\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae"
BOB, ANN, SENDER = "bob@example.com", "ann@example.com", "peer@sender.example"
# What a client may rely on; the others say nothing about the carrying of mail.
KEYWORDS = ("PIPELINING", "8BITMIME", "SIZE", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN", "CHUNKING", "AUTH")


def content(token, eight_bit=False):
    """A message with its line ends, with dots at the beginning of lines; the token is its subject."""
    text = ("From: Peer <peer@sender.example>\r\nTo: Bob <bob@example.com>\r\nSubject: %s\r\n"
            "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s@sender.example>\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n"
            ".one dot\r\n..two dots\r\n.\t\r\nFrom here\r\n\r\n%s\r\n"
            % (token, token, "8bit" if eight_bit else "7bit", "Gr\u00fc\u00dfe \u03b1\u03b2\u03b3" if eight_bit else "x" * 700))
    return text.encode()


class Secure(wire.Client):
    """The same client under TLS: certificates are signed by themselves and not looked at."""

    def __init__(self, port, helo="client.example.org", timeout=30):
        super().__init__(port, helo, timeout)
        if self.ask("STARTTLS").code != 220:
            raise wire.Lost("no TLS")
        if self.input:
            raise wire.Lost("something behind the reply to STARTTLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.ehlo = self.ask("EHLO " + helo)


def want(reply, code, what):
    if reply.code != code:
        raise AssertionError("%s: %s, %d wanted" % (what, reply, code))
    return reply


class Behind:
    """A server, and the ports of the gateway that lead to it."""

    def __init__(self, peer, port, tls_port, unix_port):
        self.peer, self.port, self.tls_port, self.unix_port = peer, port, tls_port, unix_port
        self.token = "t" + uuid.uuid4().hex[:12]
        self.lmtp = peer.name == "dovecot"

    def direct(self):
        """What it offers to who asks it without a gateway."""
        with wire.Client(self.peer.port, None) as client:
            return keywords(client.ask(("LHLO" if self.lmtp else "EHLO") + " client.example.org"))

    def need(self, keyword):
        if keyword not in self.direct():
            with wire.Client(self.port) as client:
                if keyword in keywords(client.ehlo):
                    raise AssertionError("the gateway offers %s, the server does not" % keyword)
            raise kit.Missing("the server does not offer " + keyword)

    def stored(self, message, box="bob", token=None):
        """Waits for the message, and compares what lies in the mailbox with what was sent."""
        token, wanted = token or self.token, message.replace(b"\r\n", b"\n")

        def found():
            return [m for b, m in self.peer.messages() if b == box and b"\nSubject: " + token.encode() + b"\n" in m]
        mails = servers.wait_until(found, "the message to be stored", 15)
        if len(mails) != 1:
            raise AssertionError("%d times in the mailbox" % len(mails))
        if not mails[0].endswith(wanted):
            raise AssertionError("stored otherwise than sent: %r" % mails[0][-len(wanted) - 100:])
        return mails[0]

    def notice(self):
        """The notice that the message was delivered, which the server sends to ann."""
        def found():
            return [m for b, m in self.peer.messages() if b == "ann" and self.token.encode() in m and b"message/delivery-status" in m
                    and re.search(rb"(?mi)^Action: delivered", m)]
        return servers.wait_until(found, "the notice of delivery", 30)[0]  # OpenSMTPD waits for others to come

    def need_tls(self):
        if self.peer.name == "opensmtpd" and not tls_works(self.peer.port):
            raise kit.Missing("its TLS fails without the gateway, too")


def tls_works(port):
    """OpenSMTPD 6.8.0 built with OpenSSL 3 cannot find its private key."""
    try:
        with Secure(port):
            return True
    except (OSError, wire.Lost):
        return False


def keywords(ehlo):
    lines = ehlo.text.split("\n")[1:]
    return {line.split()[0].upper(): line.split()[1:] for line in lines if line}


def offer(p):
    """What the server offers of that which a client may rely on, the gateway offers too; under TLS also AUTH."""
    with Secure(p.port) as client:
        through = set(keywords(client.ehlo))
    if p.lmtp or not tls_works(p.peer.port):
        direct = set(p.direct())
    else:
        with Secure(p.peer.port) as client:
            direct = set(keywords(client.ehlo))
    missing = [k for k in KEYWORDS if k in direct and k not in through]
    if missing:
        raise AssertionError("the gateway does not offer " + ", ".join(missing))


def plain(p):
    """A command at a time."""
    message = content(p.token)
    with wire.Client(p.port) as client:
        want(client.ask("MAIL FROM:<%s>" % SENDER), 250, "MAIL")
        want(client.ask("RCPT TO:<%s>" % BOB), 250, "RCPT")
        want(client.ask("DATA"), 354, "DATA")
        client.send(wire.stuffed(message) + b".\r\n")
        want(client.reply(), 250, "the dot")
        want(client.ask("QUIT"), 221, "QUIT")
    p.stored(message)


def pipelining(p):
    """Two transactions, each in one piece."""
    first, second = content(p.token + "a"), content(p.token + "b")
    with wire.Client(p.port) as client:
        want(client.message(first, SENDER, [BOB]), 250, "the first dot")
        want(client.message(second, SENDER, [ANN]), 250, "the second dot")
    p.stored(first, "bob", p.token + "a")
    p.stored(second, "ann", p.token + "b")


def two_recipients(p):
    """Both get it; by LMTP at once only where the backend says "recipients together", else one after the other."""
    message = content(p.token)
    with wire.Client(p.tls_port if p.lmtp else p.port) as client:
        want(client.message(message, SENDER, [BOB, ANN]), 250, "the dot")
    p.stored(message, "bob")
    p.stored(message, "ann")
    if not p.lmtp:
        return
    with wire.Client(p.port) as client:
        want(client.ask("MAIL FROM:<%s>" % SENDER), 250, "MAIL")
        want(client.ask("RCPT TO:<%s>" % BOB), 250, "the first")
        later = client.ask("RCPT TO:<%s>" % ANN)
        if later.code // 100 != 4:
            raise AssertionError("the second by LMTP: %s" % later)


def unknown_recipient(p):
    """The server's own refusal; the other recipient gets the message."""
    message = content(p.token)
    with wire.Client(p.port) as client:
        want(client.ask("MAIL FROM:<%s>" % SENDER), 250, "MAIL")
        refused = client.ask("RCPT TO:<nobody-here@example.com>")
        if refused.code // 100 != 5:
            raise AssertionError("unknown recipient: %s" % refused)
        want(client.ask("RCPT TO:<%s>" % BOB), 250, "RCPT")
        want(client.ask("DATA"), 354, "DATA")
        client.send(wire.stuffed(message) + b".\r\n")
        want(client.reply(), 250, "the dot")
    p.stored(message)


def size(p):
    """The server's limit is offered, ours where it has none, and what is above is refused at MAIL or at RCPT."""
    limit = kit.LIMIT if "SIZE" in p.direct() else 50 << 20
    with wire.Client(p.port) as client:
        offered = keywords(client.ehlo)["SIZE"]
        if offered != [str(limit)]:
            raise AssertionError("SIZE %s is offered, not %d" % (offered, limit))
        reply = client.ask("MAIL FROM:<%s> SIZE=%d" % (SENDER, limit + 1))
        want(reply, 552, "too big")
        want(client.ask("MAIL FROM:<%s> SIZE=1000" % SENDER), 250, "MAIL")
        want(client.ask("RCPT TO:<%s>" % BOB), 250, "RCPT")


def size_unsaid(p):
    """Too big, and not said before: refused at the dot, and nothing is stored."""
    big = content(p.token) + (b"y" * 78 + b"\r\n") * (kit.LIMIT // 40)
    if p.lmtp:
        raise kit.Missing("LMTP has no limit")
    with wire.Client(p.port) as client:
        reply = client.message(big, SENDER, [BOB])
    if reply.code // 100 != 5:
        raise AssertionError("too big: %s" % reply)


def eight_bit(p):
    p.need("8BITMIME")
    message = content(p.token, True)
    with wire.Client(p.port) as client:
        want(client.message(message, SENDER, [BOB], " BODY=8BITMIME"), 250, "the dot")
    p.stored(message)


def starttls_front(p):
    message = content(p.token)
    with Secure(p.port) as client:
        want(client.message(message, SENDER, [BOB]), 250, "the dot")
    if b"with ESMTPS id" not in p.stored(message):
        raise AssertionError("the gateway's Received does not say ESMTPS")


def starttls_back(p):
    """The server's own Received field tells of TLS (RFC 3848)."""
    p.need_tls()
    message = content(p.token)
    with wire.Client(p.tls_port) as client:
        want(client.message(message, SENDER, [BOB]), 250, "the dot")
    trace = p.stored(message).split(b"(Sallyport)")[0]
    if not re.search(rb"(?i)with (E?SMTPS|LMTPS)|TLSv?1", trace):
        raise AssertionError("no TLS in its trace: %r" % trace[:600])


def both_tls(p):
    p.need_tls()
    message = content(p.token)
    with Secure(p.tls_port) as client:
        want(client.message(message, SENDER, [BOB]), 250, "the dot")
    p.stored(message)


def need_auth(p, client):
    if "AUTH" not in keywords(client.ehlo):
        if p.lmtp:
            raise kit.Missing("LMTP without AUTH")
        with Secure(p.peer.port) as straight:
            if "AUTH" not in keywords(straight.ehlo):
                raise kit.Missing("the server does not offer AUTH")
        raise AssertionError("AUTH is not offered")


def plain_response(password):
    return base64.b64encode(("\0%s\0%s" % (kit.USER, password)).encode()).decode()


def auth(p):
    """Wrong, then right, then a message; then LOGIN on another connection.  Without TLS it is not offered."""
    p.need_tls()
    message = content(p.token)
    with wire.Client(p.tls_port) as client:
        if "AUTH" in keywords(client.ehlo):
            raise AssertionError("AUTH is offered without TLS")
    with Secure(p.tls_port) as client:
        need_auth(p, client)
        want(client.ask("AUTH PLAIN " + plain_response("wrong")), 535, "a wrong password")
        want(client.ask("AUTH PLAIN"), 334, "PLAIN without a first response")
        want(client.ask(plain_response(kit.PASSWORD)), 235, "PLAIN")
        want(client.message(message, SENDER, [BOB]), 250, "the dot")
    with Secure(p.tls_port) as client:
        want(client.ask("AUTH LOGIN"), 334, "LOGIN")
        want(client.ask(base64.b64encode(kit.USER.encode()).decode()), 334, "the name")
        want(client.ask(base64.b64encode(kit.PASSWORD.encode()).decode()), 235, "the password")
    p.stored(message)


def auth_cancelled(p):
    p.need_tls()
    with Secure(p.tls_port) as client:
        need_auth(p, client)
        want(client.ask("AUTH LOGIN"), 334, "LOGIN")
        want(client.ask("*"), 501, "cancelled")
        want(client.ask("MAIL FROM:<%s>" % SENDER), 250, "MAIL afterwards")


def smtputf8(p):
    p.need("SMTPUTF8")
    message = content(p.token, True).replace(b"Subject: ", b"X-Note: \xce\xb1\r\nSubject: ")
    with wire.Client(p.port) as client:
        want(client.message(message, "\u03b1@sender.example", ["%s@example.com" % GREEK], " BODY=8BITMIME SMTPUTF8"), 250, "the dot")
    with contextlib.suppress(RuntimeError):
        p.stored(message, "utf8")
        return
    p.stored(message, GREEK)


def smtputf8_refused(p):
    """What the server cannot bear is refused, and no server is asked."""
    if "SMTPUTF8" in p.direct():
        raise kit.Missing("it can bear it")
    with wire.Client(p.port) as client:
        reply = client.ask("MAIL FROM:<\u03b1@sender.example> SMTPUTF8")
        if reply.code // 100 != 5:
            raise AssertionError("%s" % reply)


def dsn(p):
    """All parameters of RFC 3461: the server's notice tells of ENVID and ORCPT."""
    p.need("DSN")
    message = content(p.token)
    with wire.Client(p.port) as client:
        want(client.ask("MAIL FROM:<%s> RET=HDRS ENVID=env+2B%s" % (ANN, p.token)), 250, "MAIL")
        want(client.ask("RCPT TO:<%s> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2B%s@example.com" % (BOB, p.token)), 250, "RCPT")
        want(client.ask("DATA"), 354, "DATA")
        client.send(wire.stuffed(message) + b".\r\n")
        want(client.reply(), 250, "the dot")
    p.stored(message)

    mail = p.notice()
    if p.peer.name == "opensmtpd":  # whose notices tell of neither
        return
    for text in ("first+%s@example.com" % p.token, "env+" + p.token):
        if text.encode() not in mail.replace(b"+2B", b"+"):
            raise AssertionError("the notice does not tell of %s: %r" % (text, mail[-1500:]))


def dsn_never(p):
    """NOTIFY=NEVER is taken, and RET=FULL."""
    p.need("DSN")
    with wire.Client(p.port) as client:
        want(client.ask("MAIL FROM:<%s> RET=FULL" % SENDER), 250, "MAIL")
        want(client.ask("RCPT TO:<%s> NOTIFY=NEVER" % BOB), 250, "RCPT")
        want(client.ask("RCPT TO:<%s> NOTIFY=NEVER,SUCCESS" % ANN), 501, "NEVER and another")


def chunking(p):
    """Three chunks that cut a line end and a dot; then a message in one, pipelined behind its envelope."""
    first, second = content(p.token + "a"), content(p.token + "b", True)
    with wire.Client(p.port) as client:
        if "CHUNKING" not in keywords(client.ehlo):
            if "CHUNKING" in p.direct():
                raise AssertionError("CHUNKING is not offered")
            raise kit.Missing("the server does not offer CHUNKING")
        want(client.ask("MAIL FROM:<%s>" % SENDER), 250, "MAIL")
        want(client.ask("RCPT TO:<%s>" % BOB), 250, "RCPT")
        at = first.index(b"\r\n..two") + 1
        for piece, last in ((first[:at], ""), (first[at:at + 2], ""), (first[at + 2:], ""), (b"", " LAST")):
            client.send(b"BDAT %d%s\r\n" % (len(piece), last.encode()) + piece)
            want(client.reply(), 250, "BDAT %d%s" % (len(piece), last))
        client.send(b"MAIL FROM:<%s> BODY=8BITMIME\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n"
                    % (SENDER.encode(), BOB.encode(), len(second)) + second)
        for what in ("MAIL", "RCPT", "BDAT LAST"):
            want(client.reply(), 250, what)
    p.stored(first, "bob", p.token + "a")
    p.stored(second, "bob", p.token + "b")


def prdr(p):
    """A reply for each recipient, and one for all."""
    message = content(p.token)
    with wire.Client(p.port) as client:
        if "PRDR" not in keywords(client.ehlo):
            raise kit.Missing("neither has the server")
        want(client.ask("MAIL FROM:<%s> PRDR" % SENDER), 250, "MAIL")
        want(client.ask("RCPT TO:<%s>" % BOB), 250, "the first")
        want(client.ask("RCPT TO:<%s>" % ANN), 250, "the second")
        want(client.ask("DATA"), 354, "DATA")
        client.send(wire.stuffed(message) + b".\r\n")
        for code, what in ((353, "the dot"), (250, "the first"), (250, "the second"), (250, "all")):
            want(client.reply(), code, what)
    p.stored(message, "bob")
    p.stored(message, "ann")


def unix_socket(p):
    if not p.lmtp:
        raise kit.Missing("it listens on none")
    message = content(p.token)
    with wire.Client(p.unix_port) as client:
        want(client.message(message, SENDER, [BOB]), 250, "the dot")
    p.stored(message)


def many(p):
    """Twenty messages on one connection; no one is lost or comes twice."""
    messages = {p.token + chr(97 + i): content(p.token + chr(97 + i)) for i in range(20)}
    with wire.Client(p.port) as client:
        for message in messages.values():
            want(client.message(message, SENDER, [BOB]), 250, "the dot")
    for token, message in messages.items():
        p.stored(message, "bob", token)


FEATURES = {
    "EHLO": offer, "plain": plain, "PIPELINING": pipelining, "two recipients": two_recipients,
    "unknown recipient": unknown_recipient, "SIZE": size,
    "too big, unsaid": size_unsaid, "8BITMIME": eight_bit, "STARTTLS in front": starttls_front, "STARTTLS behind": starttls_back,
    "TLS on both sides": both_tls, "AUTH": auth, "AUTH cancelled": auth_cancelled, "SMTPUTF8": smtputf8,
    "UTF-8 refused": smtputf8_refused,
    "DSN": dsn, "DSN NEVER": dsn_never, "CHUNKING": chunking, "PRDR": prdr, "unix socket": unix_socket, "20 on one": many,
}
