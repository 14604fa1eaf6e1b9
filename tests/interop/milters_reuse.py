#!/usr/bin/env python3
"""milters_reuse.py - sessions one after the other with one milter, whatever the session before did: each is served at once.

libmilter takes "this session is over, another follows" (QUIT_NC) only right behind an end of message that it answered with
"continue", or behind an unknown command.  Anywhere else it passes over that command and then over the next session's connect,
without a word.
"""
import sys
import time

import milters_kit
import peers_servers as kit
import servers
import wire

CASES = {"accept": {"eom": [["accept"]]}, "reject": {"eom": [["reject"]]}, "early": {"mail": [["accept"]]},
         "discard": {"eoh": [["discard"]]}, "skip": {"body": [["skip"]]}}
CONTENT = b"From: a@sender.example\r\nSubject: x\r\n\r\nx\r\n.\r\n"
SLOW = 3  # seconds; the milter's own timeout is ten times that


def said(client, *lines):
    for line in lines:
        client.ask(line)


def message(name):
    def talk(client):
        said(client, "MAIL FROM:<a@%s.sender.example>" % name, "RCPT TO:<bob@example.com>", "DATA")
        client.send(CONTENT)
        client.reply()
    return talk


SESSIONS = {
    "nothing": lambda client: None,
    "noop": lambda client: said(client, "NOOP", "HELP"),
    "mail": lambda client: said(client, "MAIL FROM:<a@b.example>"),
    "reset": lambda client: said(client, "MAIL FROM:<a@b.example>", "RCPT TO:<bob@example.com>", "RSET"),
    "again": lambda client: (message("plain")(client), message("plain")(client)),
    "undone": lambda client: (message("plain")(client), said(client, "MAIL FROM:<a@b.example>", "RSET")),
    **{name: message(name) for name in ["plain"] + list(CASES)},
}


def run(port, milter, name):
    """A session of that kind; seconds, and how often the milter heard of a client meanwhile."""
    began, mark = time.monotonic(), len(milter.events())
    with wire.Client(port) as client:
        SESSIONS[name](client)
        client.ask("QUIT")
    took = time.monotonic() - began
    return took, sum(e["stage"] == "connect" for e in milter.events()[mark:])


def main():
    failed = 0
    with servers.work_folder() as folder:
        try:
            with milters_kit.Table(folder, milters_kit.packages(folder), CASES) as milter:
                sink = milters_kit.Sink()
                with milters_kit.Gateway(folder, [("sink", sink)], milters_kit.use("scan", milter), "scan : filter scan\naccept",
                                         more="workers 1\n") as gateway:
                    for before in SESSIONS:
                        run(gateway.ways[0].port, milter, before)
                        took, heard = run(gateway.ways[0].port, milter, "plain")
                        ok = took < SLOW and heard == 1
                        failed += not ok
                        print("%s after %-8s %.2f s, %d connect" % ("ok    " if ok else "FAILED", before, took, heard))
        except kit.Missing as e:
            servers.skip(str(e))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
