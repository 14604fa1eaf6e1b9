#!/usr/bin/env python3
"""milters_headers.py - what an edit's index means: one milter, by Postfix and by the gateway, the same fields in the same order.

CASES is the table: actions of milters_python.py at the end of the message, and what Postfix made of them, which is compared too, so
that the table is true as it stands.  The letters stand for the fields of BASE, "@" for the Received field of the server that asked
the milter (Postfix's own, or the gateway's), which no milter sees; another field is written out, with "~" for a line break.
A fourth member is what Sallyport makes of it where that differs on purpose, with the reason beside it.
"""
import sys

import milters_kit
import peers_servers as kit
import servers

BASE = {
    "R": "Received: from a.example by b.example; Thu, 1 Jan 2026 00:00:00 +0000",
    "F": "From: a@sender.example",
    "A1": "X-A: 1",
    "B": "X-B: one\n two",
    "A2": "X-A: 2",
    "a3": "x-a: 3",
    "S": "Subject: case",
    "T": "X-Tight:none",
    "W": "X-Wide:   three",
    "E": "X-Empty:",
}
ALL = "@ | R | F | A1 | B | A2 | a3 | S | T | W | E"
TRACE = "from c by d; Thu, 1 Jan 2026 00:00:00 +0000"

# name, actions, fields afterwards
CASES = [
    ("add", [["add", "X-New", "v"]],
     ALL + " | X-New: v"),
    ("add-twice", [["add", "X-New", "v"], ["add", "X-New", "w"]],
     ALL + " | X-New: v | X-New: w"),
    ("add-existing", [["add", "X-A", "4"]],
     ALL + " | X-A: 4"),
    ("add-case", [["add", "x-NEW", "V"]],
     ALL + " | x-NEW: V"),
    ("add-folded", [["add", "X-New", "one\n\ttwo\n three"]],
     ALL + " | X-New: one~\ttwo~ three"),
    ("add-crlf", [["add", "X-New", "one\r\n\ttwo"]],
     ALL + " | X-New: one\r~\ttwo",
     ALL + " | X-New: one~\ttwo"),  # Postfix passes the CR on; the gateway never sends a bare one
    ("add-empty", [["add", "X-New", ""]],
     ALL + " | X-New: "),
    ("add-blank", [["add", "X-New", " v"]],
     ALL + " | X-New:  v"),
    ("add-long", [["add", "X-New", "x" * 1200]],
     ALL + " | X-New: " + "x" * 991 + "~ " + "x" * 209),
    ("add-received", [["add", "Received", TRACE]],
     ALL + " | Received: " + TRACE),
    ("insert-0", [["insert", 0, "X-New", "v"]],
     "X-New: v | @ | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-1", [["insert", 1, "X-New", "v"]],
     "@ | X-New: v | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-2", [["insert", 2, "X-New", "v"]],
     "@ | R | X-New: v | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-5", [["insert", 5, "X-New", "v"]],
     "@ | R | F | A1 | B | X-New: v | A2 | a3 | S | T | W | E"),
    ("insert-10", [["insert", 10, "X-New", "v"]],
     "@ | R | F | A1 | B | A2 | a3 | S | T | W | X-New: v | E"),
    ("insert-11", [["insert", 11, "X-New", "v"]],
     ALL + " | X-New: v"),
    ("insert-beyond", [["insert", 100, "X-New", "v"]],
     ALL + " | X-New: v"),
    ("insert-0-0", [["insert", 0, "X-New", "v"], ["insert", 0, "X-New", "w"]],
     "X-New: w | X-New: v | @ | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-0-1", [["insert", 0, "X-New", "v"], ["insert", 1, "X-New", "w"]],
     "X-New: v | X-New: w | @ | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-1-1", [["insert", 1, "X-New", "v"], ["insert", 1, "X-New", "w"]],
     "@ | X-New: w | X-New: v | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-1-2", [["insert", 1, "X-New", "v"], ["insert", 2, "X-New", "w"]],
     "@ | X-New: v | X-New: w | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-2-1", [["insert", 2, "X-New", "v"], ["insert", 1, "X-New", "w"]],
     "@ | X-New: w | R | X-New: v | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-0-received", [["insert", 0, "Received", TRACE]],
     "Received: " + TRACE + " | @ | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-1-received", [["insert", 1, "Received", TRACE]],
     "@ | Received: " + TRACE + " | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-existing", [["insert", 4, "X-A", "4"]],
     "@ | R | F | A1 | X-A: 4 | B | A2 | a3 | S | T | W | E"),
    ("insert-folded", [["insert", 1, "X-New", "one\n\ttwo"]],
     "@ | X-New: one~\ttwo | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-empty", [["insert", 1, "X-New", ""]],
     "@ | X-New:  | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("change-1", [["change", 1, "X-A", "9"]],
     "@ | R | F | X-A: 9 | B | A2 | a3 | S | T | W | E"),
    ("change-2", [["change", 2, "X-A", "9"]],
     "@ | R | F | A1 | B | X-A: 9 | a3 | S | T | W | E"),
    ("change-3", [["change", 3, "X-A", "9"]],
     "@ | R | F | A1 | B | A2 | X-A: 9 | S | T | W | E"),
    ("change-beyond", [["change", 4, "X-A", "9"]],
     ALL + " | X-A: 9"),
    ("change-far", [["change", 99, "X-A", "9"]],
     ALL + " | X-A: 9"),
    ("change-0", [["change", 0, "X-A", "9"]],
     "@ | R | F | X-A: 9 | B | A2 | a3 | S | T | W | E"),
    ("change-absent", [["change", 1, "X-None", "9"]],
     ALL + " | X-None: 9"),
    ("change-absent-0", [["change", 0, "X-None", "9"]],
     ALL + " | X-None: 9"),
    ("change-absent-2", [["change", 2, "X-None", "9"]],
     ALL + " | X-None: 9"),
    ("change-case", [["change", 1, "x-B", "9"]],
     "@ | R | F | A1 | x-B: 9 | A2 | a3 | S | T | W | E"),
    ("change-folded", [["change", 1, "X-B", "nine\n\tten"]],
     "@ | R | F | A1 | X-B: nine~\tten | A2 | a3 | S | T | W | E"),
    ("change-tight", [["change", 1, "X-Tight", "9"]],
     "@ | R | F | A1 | B | A2 | a3 | S | X-Tight: 9 | W | E"),
    ("change-wide", [["change", 1, "X-Wide", "9"]],
     "@ | R | F | A1 | B | A2 | a3 | S | T | X-Wide: 9 | E"),
    ("change-empty-one", [["change", 1, "X-Empty", "9"]],
     "@ | R | F | A1 | B | A2 | a3 | S | T | W | X-Empty: 9"),
    ("change-received-1", [["change", 1, "Received", "9"]],
     "@ | Received: 9 | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("change-received-2", [["change", 2, "Received", "9"]],
     ALL + " | Received: 9"),
    ("change-received-0", [["change", 0, "Received", "9"]],
     "@ | Received: 9 | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("delete-1", [["delete", 1, "X-A"]],
     "@ | R | F | B | A2 | a3 | S | T | W | E"),
    ("delete-2", [["delete", 2, "X-A"]],
     "@ | R | F | A1 | B | a3 | S | T | W | E"),
    ("delete-3", [["delete", 3, "X-A"]],
     "@ | R | F | A1 | B | A2 | S | T | W | E"),
    ("delete-beyond", [["delete", 4, "X-A"]],
     ALL),
    ("delete-0", [["delete", 0, "X-A"]],
     "@ | R | F | B | A2 | a3 | S | T | W | E"),
    ("delete-absent", [["delete", 1, "X-None"]],
     ALL),
    ("delete-case", [["delete", 1, "SUBJECT"]],
     "@ | R | F | A1 | B | A2 | a3 | T | W | E"),
    ("delete-folded", [["delete", 1, "X-B"]],
     "@ | R | F | A1 | A2 | a3 | S | T | W | E"),
    ("delete-received-1", [["delete", 1, "Received"]],
     "@ | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("delete-received-2", [["delete", 2, "Received"]],
     ALL),
    ("delete-1-1", [["delete", 1, "X-A"], ["delete", 1, "X-A"]],
     "@ | R | F | B | a3 | S | T | W | E"),
    ("delete-1-2", [["delete", 1, "X-A"], ["delete", 2, "X-A"]],
     "@ | R | F | B | A2 | S | T | W | E"),
    ("delete-1-1-1", [["delete", 1, "X-A"], ["delete", 1, "X-A"], ["delete", 1, "X-A"]],
     "@ | R | F | B | S | T | W | E"),
    ("delete-3-2-1", [["delete", 3, "X-A"], ["delete", 2, "X-A"], ["delete", 1, "X-A"]],
     "@ | R | F | B | S | T | W | E"),
    ("delete-1-change-1", [["delete", 1, "X-A"], ["change", 1, "X-A", "9"]],
     "@ | R | F | B | X-A: 9 | a3 | S | T | W | E"),
    ("delete-1-change-2", [["delete", 1, "X-A"], ["change", 2, "X-A", "9"]],
     "@ | R | F | B | A2 | X-A: 9 | S | T | W | E"),
    ("delete-1-insert-3", [["delete", 1, "X-A"], ["insert", 3, "X-New", "v"]],
     "@ | R | F | X-New: v | B | A2 | a3 | S | T | W | E"),
    ("delete-1-insert-4", [["delete", 1, "X-A"], ["insert", 4, "X-New", "v"]],
     "@ | R | F | B | X-New: v | A2 | a3 | S | T | W | E"),
    ("delete-1-add", [["delete", 1, "X-A"], ["add", "X-A", "4"]],
     "@ | R | F | B | A2 | a3 | S | T | W | E | X-A: 4"),
    ("change-1-delete-1", [["change", 1, "X-A", "9"], ["delete", 1, "X-A"]],
     "@ | R | F | B | A2 | a3 | S | T | W | E"),
    ("change-1-change-1", [["change", 1, "X-A", "8"], ["change", 1, "X-A", "9"]],
     "@ | R | F | X-A: 9 | B | A2 | a3 | S | T | W | E"),
    ("change-1-change-2", [["change", 1, "X-A", "8"], ["change", 2, "X-A", "9"]],
     "@ | R | F | X-A: 8 | B | X-A: 9 | a3 | S | T | W | E"),
    ("insert-0-change-1", [["insert", 0, "X-A", "0"], ["change", 1, "X-A", "9"]],
     "X-A: 9 | @ | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-1-change-1", [["insert", 1, "X-A", "0"], ["change", 1, "X-A", "9"]],
     "@ | X-A: 9 | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-4-change-2", [["insert", 4, "X-A", "0"], ["change", 2, "X-A", "9"]],
     "@ | R | F | A1 | X-A: 9 | B | A2 | a3 | S | T | W | E"),
    ("insert-1-delete-1", [["insert", 1, "X-New", "v"], ["delete", 1, "X-New"]],
     ALL),
    ("insert-0-delete-1", [["insert", 0, "X-New", "v"], ["delete", 1, "X-New"]],
     ALL),
    ("insert-0-received-change-1", [["insert", 0, "Received", TRACE], ["change", 1, "Received", "9"]],
     "Received: 9 | @ | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("insert-1-received-change-1", [["insert", 1, "Received", TRACE], ["change", 1, "Received", "9"]],
     "@ | Received: 9 | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("add-change-1", [["add", "X-New", "v"], ["change", 1, "X-New", "9"]],
     ALL + " | X-New: 9"),
    ("add-change-4", [["add", "X-A", "4"], ["change", 4, "X-A", "9"]],
     ALL + " | X-A: 9"),
    ("add-delete-1", [["add", "X-New", "v"], ["delete", 1, "X-New"]],
     ALL),
    ("add-delete-4", [["add", "X-A", "4"], ["delete", 4, "X-A"]],
     ALL),
    ("add-insert-beyond", [["add", "X-New", "v"], ["insert", 100, "X-New", "w"]],
     ALL + " | X-New: v | X-New: w"),
    ("insert-beyond-add", [["insert", 100, "X-New", "w"], ["add", "X-New", "v"]],
     ALL + " | X-New: w | X-New: v"),
    ("change-beyond-change", [["change", 4, "X-A", "8"], ["change", 4, "X-A", "9"]],
     ALL + " | X-A: 9"),
    ("change-beyond-delete", [["change", 4, "X-A", "8"], ["delete", 4, "X-A"]],
     ALL),
    ("many", [["insert", 0, "X-Top", "t"], ["delete", 2, "X-A"], ["change", 2, "X-A", "9"], ["insert", 2, "X-Two", "u"],
        ["add", "X-End", "e"], ["delete", 1, "Subject"], ["change", 1, "X-End", "f"]],
     "X-Top: t | @ | X-Two: u | R | F | A1 | B | X-A: 9 | T | W | E | X-End: f"),
    ("delete-all", [["delete", 1, "Received"], ["delete", 1, "From"], ["delete", 1, "X-A"], ["delete", 1, "X-A"],
        ["delete", 1, "X-A"], ["delete", 1, "X-B"], ["delete", 1, "Subject"], ["delete", 1, "X-Tight"],
        ["delete", 1, "X-Wide"], ["delete", 1, "X-Empty"]],
     "@"),
]

# The same with HDR_LEADSPC: the blank behind the colon is part of the value, and none is put before a milter's.
LEADSPC = [
    ("lead-nothing", [],
     ALL),
    ("lead-add", [["add", "X-New", "v"]],
     ALL + " | X-New:v"),
    ("lead-add-blank", [["add", "X-New", " v"]],
     ALL + " | X-New: v"),
    ("lead-add-tab", [["add", "X-New", "\tv"]],
     ALL + " | X-New:\tv"),
    ("lead-add-two", [["add", "X-New", "  v"]],
     ALL + " | X-New:  v"),
    ("lead-add-folded", [["add", "X-New", "\n\tv"]],
     ALL + " | X-New:~\tv"),
    ("lead-insert", [["insert", 1, "X-New", "v"]],
     "@ | X-New:v | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("lead-insert-blank", [["insert", 1, "X-New", " v"]],
     "@ | X-New: v | R | F | A1 | B | A2 | a3 | S | T | W | E"),
    ("lead-change", [["change", 1, "X-A", "9"]],
     "@ | R | F | X-A:9 | B | A2 | a3 | S | T | W | E"),
    ("lead-change-blank", [["change", 1, "X-A", " 9"]],
     "@ | R | F | X-A: 9 | B | A2 | a3 | S | T | W | E"),
    ("lead-change-beyond", [["change", 4, "X-A", " 9"]],
     ALL + " | X-A: 9"),
    ("lead-delete", [["delete", 2, "X-A"]],
     "@ | R | F | A1 | B | a3 | S | T | W | E"),
]


def message(name):
    return ("\n".join(BASE.values()) + "\n\ncase=%s\n" % name).replace("\n", "\r\n").encode()


def shown(mail):
    """The fields in the table's words."""
    words = {v: k for k, v in BASE.items()}
    fields = [f.decode("latin-1").rstrip("\n") for f in mail.fields]
    return " | ".join(words.get(f, f.replace("\n", "~")) for f in fields)


def through(way, cases):
    """Sends the message of each case; {case: fields as they arrived, or the reply}."""
    session = milters_kit.Session(way.port)
    replies = {name: session.message(message(name), "a@%s.sender.example" % name, ["bob@example.com"]) for name, *_ in cases}
    session.close()
    stored = {m.case(): m for m in way.settled()}
    return {name: shown(stored[name]) if name in stored else repr(replies[name][-1]) for name, *_ in cases}


def run(folder, packages, kind, cases):
    table = {name: {"eom": actions} for name, actions, *_ in cases}
    table["*leadspc"] = kind == "leadspc"
    failed = 0
    with milters_kit.Table(folder, packages, table, "table-" + kind) as milter:
        with milters_kit.ByPostfix(folder + "/" + kind, [milter.socket]) as postfix:
            theirs = through(postfix, cases)
        sink = milters_kit.Sink()
        with milters_kit.Gateway(folder + "/" + kind, [("sink", sink)], milters_kit.use("scan", milter),
                                 "scan : filter scan\naccept") as gateway:
            ours = through(gateway.ways[0], cases)
        sink.stop()
    for name, actions, wanted, *purpose in cases:
        if theirs[name] == wanted and ours[name] == (purpose or [wanted])[0]:
            continue
        failed += 1
        print("FAILED %s: %r\n  table     %s\n  postfix   %s\n  sallyport %s"
              % (name, actions, (purpose or [wanted])[0], theirs[name], ours[name]))
    print("%s: %d cases, %d of them as the table has it" % (kind, len(cases), len(cases) - failed))
    return failed


def main():
    with servers.work_folder() as folder:
        try:
            packages = milters_kit.packages(folder)
            failed = run(folder, packages, "plain", CASES) + run(folder, packages, "leadspc", LEADSPC)
        except kit.Missing as e:
            servers.skip(str(e))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
