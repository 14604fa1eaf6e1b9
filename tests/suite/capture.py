"""A backend that takes every message and keeps it, and a gateway in front of it, for suites that look at what comes out.

    with work_folder() as folder, Gateway(folder, "filter size\nrules { accept }") as gateway:
        reply, stored = gateway.pass_on(b"Subject: hello\r\n\r\nhi\r\n")

stored: the message as it came over the wire, dots unstuffed; None: the backend got none.
"""
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import servers  # noqa: E402
import wire  # noqa: E402

work_folder = servers.work_folder


class Backend:
    """Takes all that is said and keeps the messages, in the order in which they came."""

    ANSWERS = {b"EHLO": b"250-backend\r\n250-PIPELINING\r\n250 8BITMIME\r\n", b"QUIT": b"221 bye\r\n"}

    def __init__(self):
        self.messages = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 backend\r\n")
            for line in iter(lines.readline, b""):
                verb = line[:4].upper()
                if verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    self.messages.append(self._content(lines))
                connection.sendall(self.ANSWERS.get(verb, b"250 ok\r\n"))
                if verb == b"QUIT":
                    return

    @staticmethod
    def _content(lines):
        content = []
        for line in iter(lines.readline, b".\r\n"):
            if not line:
                raise EOFError("the gateway broke off")
            content.append(line[1:] if line.startswith(b".") else line)
        return b"".join(content)


class Gateway:
    """"sallyport run" with a backend of its own; policy: filters, tables and rules; listen: settings of its listener."""

    def __init__(self, folder, policy, listen=""):
        self.backend = Backend()
        self.server = servers.Sallyport(folder, self.backend.port, listen=listen, more=policy)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *why):
        try:
            self.server.__exit__(*why)
        finally:
            self.backend.close()

    def log(self):
        return self.server.log()

    def pass_on(self, message, sender="a@sender.example", recipient="bob@example.com"):
        """Sends a message (CRLF ends); its reply and what the backend stored of it."""
        before = len(self.backend.messages)
        with wire.Client(self.server.port) as client:
            reply = client.message(message, sender, [recipient])
        got = self.backend.messages[before:]
        return reply, got[0] if got else None
