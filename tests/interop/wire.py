"""wire.py - an SMTP client that sends exactly the bytes it is given, and what a stored message is made of."""
import re
import socket

TRACE = [b"Return-Path", b"X-Original-To", b"Delivered-To", b"Received"]  # what Postfix puts on top


class Reply:
    def __init__(self, lines):
        self.code = int(lines[0][:3])
        self.text = "\n".join(line[4:] for line in lines)

    def __repr__(self):
        return "%d %s" % (self.code, self.text)


class Lost(Exception):
    """The server has gone, or does not speak SMTP."""


class Client:
    """One connection.  With helo=None nothing is said after the banner."""

    def __init__(self, port, helo="client.example.org", timeout=60):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        except OSError as e:
            raise Lost(str(e)) from e
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = b""
        self.banner = self.reply()
        if helo is not None:
            self.ehlo = self.ask("EHLO " + helo)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as e:
            raise Lost(str(e)) from e

    def _line(self):
        while b"\n" not in self.input:
            try:
                piece = self.socket.recv(65536)
            except OSError as e:
                raise Lost(str(e)) from e
            if not piece:
                raise Lost("end of file")
            self.input += piece
        line, self.input = self.input.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def reply(self):
        lines = [self._line()]
        while lines[-1][3:4] == "-":
            lines.append(self._line())
        if not re.match(r"[2-5]\d\d", lines[0]):
            raise Lost("not a reply: " + lines[0])
        return Reply(lines)

    def ask(self, line):
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def message(self, content, sender, rcpts, options=""):
        """Sends one message with a pipelined envelope; content has CRLF ends.  Returns the reply that decided."""
        self.send(b"".join([b"MAIL FROM:<%s>%s\r\n" % (sender.encode(), options.encode())]
                           + [b"RCPT TO:<%s>\r\n" % r.encode() for r in rcpts] + [b"DATA\r\n"]))
        replies = [self.reply() for _ in range(len(rcpts) + 2)]
        if replies[-1].code != 354:
            return next((r for r in replies if r.code >= 400), replies[-1])
        self.send(stuffed(content) + b".\r\n")
        return self.reply()


def stuffed(content):
    """content with its leading dots doubled and a CRLF at its end."""
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    return re.sub(rb"(?:\A|(?<=\r\n))\.", b"..", content)


def field(message):
    """The first header field, with its folded lines, and the rest."""
    m = re.match(rb"([!-9;-~]+)[ \t]*:.*\n(?:[ \t].*\n)*", message)
    return (m.group(1), m.group(0), message[m.end():]) if m else (b"", b"", message)


def sent_by(message):
    """The envelope sender that Postfix noted."""
    m = re.search(rb"^Return-Path: <(.*)>$", message, re.M)
    return m.group(1).decode() if m else ""


def queue_id(message):
    """The id that Postfix gave a stored message."""
    m = re.search(rb"\(Postfix\) with E?SMTPS? id (\w+)", message)
    return m.group(1).decode() if m else ""


def without_trace(message, gateway):
    """A stored message less what Postfix put on top, and less the gateway's Received field if it came through it.

    Returns the rest and the gateway's field (None if it is missing).
    """
    for name in TRACE:
        first, _, rest = field(message)
        if first == name:
            message = rest
    if not gateway:
        return message, None
    name, whole, rest = field(message)
    if name == b"Received" and b"(Sallyport)" in whole:
        return rest, whole
    return message, None
