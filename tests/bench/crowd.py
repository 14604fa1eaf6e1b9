"""crowd.py - many clients at once, in one process: thousands that do nothing, and a hundred that send much."""
import contextlib
import resource
import selectors
import socket
import threading
import time

import routes

PIECE = 65536


def enough_descriptors(count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(count, hard - 100)


def connect(port, number):
    """A client of its own address, so that no one address has more ports than there are."""
    client = socket.socket()
    client.settimeout(60)
    client.bind(("127.%d.%d.1" % (1 + number // 200 % 200, number % 200), 0))
    client.connect(("127.0.0.1", port))
    return client


def ask(client, line):
    client.sendall(line)
    return last_line(client)


def last_line(client):
    text = b""
    while not text.endswith(b"\n") or text.splitlines()[-1][3:4] == b"-":
        piece = client.recv(4096)
        if not piece:
            return b""
        text += piece
    return text.splitlines()[-1]


class Idle:
    """What 'count' clients cost that have said EHLO and then nothing: octets each, and how many were dropped."""

    def __init__(self, route, count, seconds):
        count = enough_descriptors(count)
        clients = []
        self.count = count
        with connect(route.port, 0) as first:  # what a worker allocates once is not the clients' part
            last_line(first)
            ask(first, b"EHLO first.example.org\r\n")
        time.sleep(0.3)
        before = routes.memory(route.pid)
        try:
            for i in range(count):
                clients.append(connect(route.port, i))
                last_line(clients[-1])
                ask(clients[-1], b"EHLO client%d.example.org\r\n" % i)
            time.sleep(seconds)
            after = routes.memory(route.pid)
            self.pss, self.rss = ((a - b) / count for a, b in zip(after, before))
            self.total = after[0]
            self.dropped = sum(not self.answers(c) for c in clients)
        finally:
            for c in clients:
                c.close()

    @staticmethod
    def answers(client):
        with contextlib.suppress(OSError):
            return ask(client, b"NOOP\r\n").startswith(b"250")
        return False


class Peak(threading.Thread):
    """The largest memory of a family while it runs."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.over = pid, threading.Event()
        self.pss, self.rss = routes.memory(pid)

    def run(self):
        while not self.over.wait(0.1):
            pss, rss = routes.memory(self.pid)
            self.pss, self.rss = max(self.pss, pss), max(self.rss, rss)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


class Big:
    """'count' clients send 'size' octets each, a piece at a time in turn, so that all are under way at once."""

    def __init__(self, route, count, size):
        line = b"x" * 76 + b"\r\n"
        self.text = memoryview(line * (PIECE // len(line) + 1))
        self.size = size
        self.accepted = 0
        self.answers = []
        with Peak(route.pid) as self.peak:
            begin = time.monotonic()
            clients = [self.open(route.port, i) for i in range(count)]
            self.feed(clients)
            self.seconds = time.monotonic() - begin

    @staticmethod
    def open(port, number):
        client = connect(port, number)
        last_line(client)
        for line in (b"EHLO client.example.org", b"MAIL FROM:<a@example.org>", b"RCPT TO:<bob@example.com>", b"DATA"):
            reply = ask(client, line + b"\r\n")
        if not reply.startswith(b"354"):
            raise RuntimeError("no 354 but %r" % reply)
        client.sendall(b"Subject: big\r\n\r\n")
        client.setblocking(False)
        return client

    def feed(self, clients):
        loop = selectors.DefaultSelector()
        for c in clients:
            loop.register(c, selectors.EVENT_WRITE, 0)
        while loop.get_map():
            for key, events in loop.select(300) or self.stuck():
                if events & selectors.EVENT_WRITE:
                    self.piece(loop, key)
                else:
                    self.answer(loop, key)

    def piece(self, loop, key):
        sent = key.data
        end = b"\r\n.\r\n"
        if sent < self.size:
            at = sent % 78
            sent += key.fileobj.send(self.text[at:at + min(PIECE, self.size - sent)])
        else:
            sent += key.fileobj.send(end[sent - self.size:])
        done = sent == self.size + len(end)
        loop.modify(key.fileobj, selectors.EVENT_READ if done else selectors.EVENT_WRITE, sent)

    def answer(self, loop, key):
        reply = key.fileobj.recv(4096)
        self.accepted += reply.startswith(b"250")
        self.answers.append(reply)
        loop.unregister(key.fileobj)
        key.fileobj.close()

    @staticmethod
    def stuck():
        raise RuntimeError("nothing moved for 300 s")
