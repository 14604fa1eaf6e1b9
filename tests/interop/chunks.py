#!/usr/bin/env python3
"""chunks.py - real mail arrives as it was sent, however it is cut into chunks (RFC 3030).

The messages of two collections are sent by BDAT, cut at random, with a fondness for line ends and dots, pipelined on kept
connections.  Behind the gateway is a server that has DATA only, so that each is stuffed and ended afresh; a part goes
to one that has CHUNKING and BINARYMIME, where what was said to be binary, or lacks its last CRLF, must come by BDAT.
Below the one Received field of the gateway every octet must be what was sent; what the gateway must refuse must not come.

SALLYPORT_CHUNKS says how many messages, SALLYPORT_SEED which.
"""
import collections
import multiprocessing
import os
import random
import re
import socket
import sys
import threading
import time

import mails
import servers
import wire

COUNT = int(os.environ.get("SALLYPORT_CHUNKS", "100000"))
SEED = int(os.environ.get("SALLYPORT_SEED", "1"))
BATCH, CONNECTIONS = 40, 4
PLAIN = b"250-backend\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
CHUNKS = b"250-backend\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250 8BITMIME\r\n"
TRACE = re.compile(rb"Received: from [^\n]* \(Sallyport\)[^\n]*\r\n(?:\t[^\n]*\r\n)*|Received: [^\n]*\r\n(?:\t[^\n]*\r\n)*")


# ---- what is sent, and what must come of it ---------------------------------------------------------

def with_empty_line(content):
    """Where the header ends at a line that is no field, the gateway puts the empty line in."""
    at = 0
    while at < len(content):
        end = content.find(b"\r\n", at)
        line = content[at:] if end < 0 else content[at:end]
        if line == b"":
            return content
        if not re.match(rb"[!-9;-~]+[ \t]*:" if at == 0 else rb"[ \t]|[!-9;-~]+[ \t]*:", line):
            return content[:at] + b"\r\n" + content[at:]
        at = len(content) if end < 0 else end + 2
    return content


class Mail:
    def __init__(self, content):
        header = re.split(rb"\r\n\r\n|\A\r\n", content, 1)[0]
        self.content = content
        self.refusal = mails.documented(content)
        self.binary_refusal = mails.documented(header + b"\r\n\r\n")
        if len(header) == len(content):
            self.binary_refusal = self.refusal
        self.expected = with_empty_line(content)

    def stored(self, binary, chunking):
        """How it must lie behind the gateway."""
        if binary or chunking or self.expected.endswith(b"\r\n"):
            return self.expected
        return self.expected + b"\r\n"


def cuts(content, pick):
    """Where the chunks end: anywhere, or within and around line ends and dots."""
    at = []
    for _ in range(pick.choice((0, 0, 1, 1, 2, 3, 5, 8, 30))):
        where = pick.randrange(len(content) + 1)
        if pick.random() < 0.7:
            near = content.find(pick.choice((b"\r\n", b"\n.", b"\r\n\r\n", b".")), where)
            where = min(len(content), near + pick.randrange(4)) if near >= 0 else where
        at.append(where)
    return sorted(at)


def chunked(content, pick):
    """The commands and their octets, and how many replies they get."""
    out, start, ends = [], 0, cuts(content, pick)
    for end in ends:
        out.append(b"BDAT %d\r\n" % (end - start))
        out.append(content[start:end])
        start = end
    out.append(b"BDAT %d LAST\r\n" % (len(content) - start))
    out.append(content[start:])
    return out, len(ends) + 1


# ---- behind the gateway ------------------------------------------------------------------------------

class Backend:
    """A process that judges what it is given: a good message is counted by its number, others are told."""

    def __init__(self, all_mails, offer):
        self.mails, self.offer = all_mails, offer
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        self.ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(theirs,), daemon=True)
        self.process.start()
        self.listener.close()

    def run(self, pipe):
        self.count, self.ways, self.failures = collections.Counter(), collections.Counter(), []
        threading.Thread(target=self.accept, daemon=True).start()
        pipe.recv()
        pipe.send((self.count, self.ways, self.failures))

    def result(self):
        self.ours.send("done")
        result = self.ours.recv()
        self.process.join()
        return result

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            self.converse(connection)
        except ConnectionError:
            pass  # the gateway ended with idle connections

    def converse(self, connection):
        data, sender, message = b"", "", []
        connection.sendall(b"220 backend\r\n")
        with connection:
            while True:
                while b"\r\n" not in data:
                    piece = connection.recv(1 << 20)
                    if not piece:
                        return
                    data += piece
                line, data = data.split(b"\r\n", 1)
                verb, reply = line[:4].upper(), b"250 ok\r\n"
                if verb == b"MAIL":
                    sender, message = line, []
                elif verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    content, data = self.data(connection, b"\r\n" + data)
                    self.judge(sender, content, "DATA")
                elif verb == b"BDAT":
                    words = line.split(b" ")
                    while len(data) < int(words[1]):
                        data += connection.recv(1 << 20)
                    message.append(data[:int(words[1])])
                    data = data[int(words[1]):]
                    if words[2:] == [b"LAST"]:
                        self.judge(sender, b"".join(message), "BDAT")
                elif verb == b"EHLO":
                    reply = self.offer
                elif verb == b"QUIT":
                    reply = b"221 bye\r\n"
                connection.sendall(reply)

    @staticmethod
    def data(connection, data):
        while b"\r\n.\r\n" not in data[-70000:]:
            data += connection.recv(1 << 20)
        content, _, rest = data.partition(b"\r\n.\r\n")
        return content[2:] + b"\r\n", rest

    def judge(self, line, content, way):
        number, index = (int(n) for n in re.match(rb"MAIL FROM:<m(\d+)\.(\d+)@", line).groups())
        binary = b" BODY=BINARYMIME" in line
        expected = self.mails[index].stored(binary, self.offer is CHUNKS)
        wanted = "BDAT" if self.offer is CHUNKS and (binary or not expected.endswith(b"\r\n")) else "DATA"
        if way == "DATA":
            expected = wire.stuffed(expected)
        self.count[number] += 1
        self.ways[way] += 1
        head = content[:len(content) - len(expected)]
        if way != wanted:
            self.failures.append("message %d (%d) came by %s" % (number, index, way))
        if not content.endswith(expected) or not TRACE.fullmatch(head):
            at = len(os.path.commonprefix([content[::-1], expected[::-1]]))
            self.failures.append("message %d (%d) by %s differs %d octets before its end: %r, sent %r" % (
                number, index, way, at, content[len(content) - at - 40:][:80], expected[len(expected) - at - 40:][:80]))


# ---- in front of it ----------------------------------------------------------------------------------

class Sender(threading.Thread):
    """One connection: groups of many whole transactions, then all their replies."""

    def __init__(self, port, all_mails, numbers, binary):
        super().__init__(daemon=True)
        self.port, self.mails, self.numbers, self.binary = port, all_mails, numbers, binary
        self.taken, self.refused, self.chunks, self.failures = [], 0, 0, []

    def run(self):
        try:
            self.work()
        except Exception as e:  # the thread's end would be seen by nobody
            self.failures.append("a connection ended: %r" % e)

    def work(self):
        with wire.Client(self.port) as client:
            for at in range(0, len(self.numbers), BATCH):
                batch = [self.transaction(n) for n in self.numbers[at:at + BATCH]]
                client.send(b"".join(octets for transaction in batch for octets in transaction[0]))
                for _, number, replies, wanted in batch:
                    self.replies(client, number, replies, wanted)

    def transaction(self, number):
        pick = random.Random(SEED * 1000003 + number)
        index = pick.randrange(len(self.mails)) if number >= len(self.mails) else number
        mail, binary = self.mails[index], self.binary and pick.random() < 0.5
        out, chunks = chunked(mail.content, pick)
        self.chunks += chunks
        head = b"MAIL FROM:<m%d.%d@sender.example>%s\r\nRCPT TO:<bob@example.com>\r\n" % (
            number, index, b" BODY=BINARYMIME" if binary else b"")
        return [head] + out, number, chunks + 2, mail.binary_refusal if binary else mail.refusal

    def replies(self, client, number, count, wanted):
        for _ in range(count - 1):
            reply = client.reply()
            if reply.code != 250:
                self.failures.append("message %d: %r before its end" % (number, reply))
        reply = client.reply()
        if wanted is not None and repr(reply).startswith(wanted):
            self.refused += 1
        elif wanted is not None or reply.code != 250:
            self.failures.append("message %d: %r, wanted %s" % (number, reply, wanted or "250"))
        else:
            self.taken.append(number)


def run(folder, all_mails, numbers, offer):
    """Returns what failed."""
    backend = Backend(all_mails, offer)
    start = time.monotonic()
    with servers.Sallyport(folder, backend.port, listen="several from yes\nrelay to example.com") as gateway:
        senders = [Sender(gateway.port, all_mails, numbers[i::CONNECTIONS], offer is CHUNKS) for i in range(CONNECTIONS)]
        for s in senders:
            s.start()
        for s in senders:
            s.join()
    count, ways, failures = backend.result()
    seconds = time.monotonic() - start
    taken = sorted(n for s in senders for n in s.taken)
    failures += [f for s in senders for f in s.failures]
    if sorted(count.elements()) != taken:
        failures.append("%d messages were answered with 250, %d came, %d of them once" % (
            len(taken), sum(count.values()), sum(n == 1 for n in count.values())))
    print("%d messages in %d chunks: %d byte-identical (%s), %d refused as documented; %.0f s, %.0f a second" % (
        len(numbers), sum(s.chunks for s in senders), len(taken) - len(failures),
        ", ".join("%d by %s" % (n, way) for way, n in sorted(ways.items())), sum(s.refused for s in senders),
        seconds, len(numbers) / seconds), flush=True)
    return failures


def main():
    all_mails = [Mail(content) for _, content in mails.messages()]
    plain = range(0, COUNT - COUNT // 5)
    both = range(COUNT - COUNT // 5, COUNT)
    failures = []
    with servers.work_folder() as folder:
        failures += run(folder, all_mails, plain, PLAIN)
        failures += run(folder, all_mails, both, CHUNKS)
    print("%d messages of the collections" % len(all_mails))
    for failure in failures[:20]:
        print("FAILED " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
