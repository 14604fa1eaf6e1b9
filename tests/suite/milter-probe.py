#!/usr/bin/python3
"""sallyport milter-probe against the milters of tests/milters: what it prints, and its exit status."""
import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from miltering import MILTERS, SALLYPORT, Folder, Milter, need_milters  # noqa: E402

need_milters()
failures = 0
checks = 0


def probe(*args, text=None, timeout=60):
    r = subprocess.run([SALLYPORT, "milter-probe", *args], input=text, capture_output=True, timeout=timeout)
    return r.returncode, r.stdout.decode("ascii", "strict"), r.stderr.decode()


def expect(what, got, status, *patterns, no=()):
    global failures, checks
    checks += 1
    code, out, err = got
    faults = []
    if code != status:
        faults.append(f"exit status {code} instead of {status}")
    for p in patterns:
        if not re.search(p, out + err, re.M):
            faults.append(f"lacks /{p}/")
    for p in no:
        if re.search(p, out + err, re.M):
            faults.append(f"has /{p}/")
    if "AddressSanitizer" in err or "runtime error" in err:
        faults.append("a sanitizer spoke")
    if faults:
        failures += 1
        print(f"FAILED {what}: {'; '.join(faults)}\n{out}{err}")


# Packets that are whole, and whose contents a probe shows as they are; it is the gateway that must refuse them.
WHOLE = {"add-name-blank", "add-name-colon", "add-name-lf", "add-name-8bit", "add-value-field", "add-value-cr", "add-value-end",
         "add-value-long", "add-many", "from-crlf", "from-args-crlf", "rcpt-crlf", "body-nul", "body-dot"}

with Folder() as folder:
    # nobody there
    path = os.path.join(folder, "nobody.sock")
    expect("no socket", probe("unix:" + path), 2, r"there is no socket at unix:/.*nobody\.sock$")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    expect("a dead socket", probe("unix:" + path), 2, r"nothing listens at unix:/.*nobody\.sock$")
    expect("the same, as a path", probe(path), 2, r"nothing listens at /.*nobody\.sock$")
    dead.close()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        expect("no port", probe(f"inet:{port}@127.0.0.1"), 2, rf"nothing listens at inet:{port}@127\.0\.0\.1$")
        expect("no port, other way", probe(f"127.0.0.1:{port}"), 2, r"nothing listens at")
    expect("no socket given", probe(), 2, r"a socket is expected")
    expect("no socket at all", probe("nonsense"), 2, r"'nonsense' is no socket")
    expect("wrong address", probe("--client", "nobody", "/x"), 2, r"--client takes an address")
    expect("no such file", probe("/x", path + ".eml"), 2, r"cannot read .*nobody\.sock\.eml")
    expect("help", probe("--help"), 0, r"^usage: sallyport milter-probe", r"Exit status: 0 the milter accepts")

    # all edits
    edits = ["add X-A one", r"insert 0 X-B two\n three", "change 1 Subject new", "delete 2 Received", "from a@b.example SIZE=4",
             "rcpt c@d.example", "rcpt e@f.example NOTIFY=NEVER", "unrcpt recipient@example.com", r"body hello\r\n", "progress"]
    args = [x for e in edits for x in ("-e", e)]
    log = os.path.join(folder, "log")
    with Milter(folder, "everything", "-m", "-l", log, *args) as m:
        expect("edits", probe(m.socket, "--from", "me@example.net", "--to", "x@example.com", "--to", "y@example.com", "--client", "2001:db8::1",
                              "--client-name", "c.example.net", "--helo", "h.example.net", "--macro", "{auth_authen}=joe", "--macro", "i=77"),
               0, r"^ +0\.\d    connected  unix:", r"> negotiate  version 6$", r"< negotiate  version 6$",
               r"^ +actions    add-header change-header change-body change-from add-rcpt add-rcpt-args delete-rcpt quarantine macro-list$",
               r"> connect    c\.example\.net \[2001:db8::1\]$", r"> helo       h\.example\.net$", r"> mail       <me@example\.net>$",
               r"> rcpt       <x@example\.com>$", r"> rcpt       <y@example\.com>$", r"macros     i=77 \{auth_authen\}=joe ",
               r"> header     Subject: ", r"> body       \d+ octets$", r"< add        X-A: one  \(after \d+\.\d ms\)$",
               r"< insert     at 0: X-B: two\\n three ", r"< change     number 1: Subject: new ", r"< delete     number 2: Received ",
               r"< from       a@b\.example SIZE=4 ", r"< rcpt       c@d\.example ", r"< rcpt-args  e@f\.example NOTIFY=NEVER ",
               r"< unrcpt     recipient@example\.com ", r"< body       7 octets: hello\\r\\n ", r"< progress ", r"> quit$",
               r"^result: accepted at end, 9 edits$")
        told = open(log).read()
        for line in ("1 connect c.example.net 2001:db8::1", "1 helo h.example.net", "1 mail <me@example.net>", "1 rcpt <y@example.com>",
                     "1 macro mail {auth_authen}=joe", "1 macro rcpt {rcpt_addr}=y@example.com", "1 data", "1 eoh", "1 close"):
            checks += 1
            # the first connection was the one that found it ready
            if not re.search("^" + re.escape(line).replace("1", r"\d+", 1) + "$", told, re.M):
                failures += 1
                print(f"FAILED the milter was not told '{line}'")

        # the message's own edits; all kinds of ends of lines; what stands before the header and what ends it
        message = b"From someone Mon\nX-Test-Edit: reply 550 5.7.1 not\\nso\nX-Long: a\n b\nSubject: x\n\nbody\n\nend"
        expect("a file", probe(m.socket, "-", text=message), 1, r"> header     X-Long: a\\n b$", r"> body       13 octets$",
               r"< reply      550 5\.7\.1 not\\nso ", r"^result: rejected at end: 550 5\.7\.1 not so, 9 edits$", no=(r"> header     From",))
        expect("no header", probe(m.socket, "-", text=b"no field\nx\n"), 0, r"> body       13 octets", no=(r"> header",))
        expect("CR LF", probe(m.socket, "-", text=b"A: b\r\n\r\nx\r\n"), 0, r"> header     A: b$", r"> body       3 octets")
        expect("a big body", probe(m.socket, "-", text=b"A: b\n\n" + (b"x" * 62 + b"\n") * 4000), 0, r"> body       65535 octets$",
               r"> body       59395 octets$")
        expect("quarantine", probe(m.socket, "-", text=b"X-Test-Edit: quarantine because\n\n"), 1, r"< quarantine because ",
               r"^result: quarantined at end, 10 edits$")
        expect("version 2", probe("--version", "2", m.socket), 1, r"> negotiate  version 2$",
               r"^ +actions    add-header change-header change-body add-rcpt delete-rcpt quarantine$", r"451 4\.3\.0 edit: from a@b\.example",
               no=(r"> data",))
    with Milter(folder, "everything", "-s") as m:
        expect("leading blanks", probe(m.socket, "-", text=b"A: b\n\n"), 0, r"protocol   leading-blank$", r"> header     A:  b$")
    with Milter(folder, "noop") as m:
        expect("no commands", probe(m.socket), 0, r"protocol   no-connect no-helo no-mail no-rcpt no-data no-header no-eoh no-body no-unknown$",
               r"^result: accepted at end, 0 edits$", no=(r"> (connect|helo|mail|rcpt|data|header|eoh|body)\b",))
    with Milter(folder, "noop", "-n") as m:
        expect("no answers", probe(m.socket), 0, r"protocol   mute-connect", r"\(no answer is due\)")
        # one answer: that to the end
        checks += 1
        if probe(m.socket)[1].count("< continue") != 1:
            failures += 1
            print("FAILED a milter that answers only the end did more")

    # verdicts at each stage
    for stage in ("connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom"):
        at = "end" if stage == "eom" else stage
        for action, status, result in (("accept", 0, "accepted"), ("reject", 1, "rejected"), ("tempfail", 1, "deferred"),
                                       ("discard", 1, "discarded")):
            if stage in ("connect", "helo") and action == "discard":
                continue  # libmilter makes a reject of it
            with Milter(folder, "failing", stage, action) as m:
                expect(f"{action} at {stage}", probe(m.socket), status, rf"^result: {result} at {at}, 0 edits$")
        with Milter(folder, "failing", stage, "reply 451 4.7.1 later") as m:
            expect(f"reply at {stage}", probe(m.socket), 1, rf"^result: deferred at {at}: 451 4\.7\.1 later, 0 edits$")
        with Milter(folder, "failing", stage, "die") as m:
            expect(f"die at {stage}", probe(m.socket), 3, rf"^result: the milter closed the connection after {at}, 0 edits$")
        with Milter(folder, "failing", stage, "hang") as m:
            expect(f"hang at {stage}", probe("--timeout", "1", m.socket), 3, rf"^result: the milter did not answer in time after {at}, 0 edits$")
    with Milter(folder, "failing", "body", "skip") as m:
        expect("skip", probe(m.socket, "-", text=b"A: b\n\n" + (b"x" * 62 + b"\n") * 4000), 0, r"< skip ", r"^result: accepted at end")
        checks += 1
        if probe(m.socket, "-", text=b"A: b\n\n" + (b"x" * 62 + b"\n") * 4000)[1].count("> body") != 1:
            failures += 1
            print("FAILED the body went on after skip")
    with Milter(folder, "failing", "eom", "slow 2") as m:
        expect("progress keeps it waiting", probe("--timeout", "5", m.socket), 0, r"< progress .*\n.*< progress ")

    # what breaks the protocol
    listed = subprocess.run([os.path.join(MILTERS, "broken"), "-l"], capture_output=True, text=True, check=True).stdout.split("\n")
    for line in filter(None, listed):
        kind, _, edit = line.partition(" ")
        if kind in ("body-long", "progress"):
            continue  # without an end
        commands = ["end"] if edit else ["negotiate"] if kind.startswith(("version", "optneg-")) else ["negotiate", "mail", "end"]
        for command in commands:
            if kind == "early-add" and command == "end":
                continue  # there it is none
            status = 0 if kind in WHOLE else 3
            if kind in ("optneg", "optneg-steps") and command == "negotiate":
                status = 0
            if kind == "two-answers" and command != "negotiate":
                status = 1 if command == "mail" else 0  # the second answers the next command
            with Milter(folder, "broken", kind, command) as m:
                expect(f"{kind} at {command}", probe("--timeout", "1", m.socket), status, r"^result: ", no=(r"\x1b",))

print(f"{checks} checks, {failures} failed")
sys.exit(failures != 0)
