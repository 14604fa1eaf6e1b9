#!/usr/bin/env python3
"""milters_replies.py - what a milter answers at each stage, and its edits of envelope and body: by Postfix, and by the gateway.

CASES is the table: what the milter does at which stage (actions of milters_python.py), and what the client and the sink saw of it
by Postfix.  Refusals stand with the command they answer, in full; then what was stored, "lost" for a connection that was closed
instead, or "nothing" where the message was taken and thrown away.  The message goes to bob and ann; on the same connection another
one follows, for which the milter does nothing; where that is not stored, "then not stored" says so.
A fourth member is what Sallyport makes of it where that differs on purpose, with the reason beside it.
"""
import sys

import milters_kit
import peers_servers as kit
import servers
import wire

RCPTS = ("bob@example.com", "ann@example.com")
TEXT = "one\ntwo\n"

CASES = [
    ("connect-reject", {"connect": [["reject"]]},
     "connect: 554 store.example.net ESMTP not accepting connections; then not stored",
     "connect: 554 5.7.1 Command rejected; then not stored"),  # Postfix does not tell the milter's words
    ("connect-tempfail", {"connect": [["tempfail"]]},
     "mail: 451 4.7.1 Service unavailable - try again later; then not stored",
     # at once: Postfix waits for MAIL
     "connect: 421 4.7.0 gateway.example.net Service unavailable - try again later; next: lost; then not stored"),
    ("connect-reply5", {"connect": [["reply", "554", "5.7.9", "no, thanks"]]},
     "connect: 554 store.example.net ESMTP not accepting connections; then not stored",
     "connect: 554 5.7.1 no, thanks; then not stored"),  # a banner has an enhanced code of its own
    ("connect-reply4", {"connect": [["reply", "452", "4.3.1", "not now"]]},
     "mail: 452 4.3.1 not now; then not stored",
     "connect: 421 4.7.0 gateway.example.net not now; next: lost; then not stored"),  # at once: Postfix waits for MAIL
    ("connect-accept", {"connect": [["accept"]], "eom": [["reject"]]},
     "stored"),
    ("helo-reject", {"helo": [["reject"]]},
     "mail: 550 5.7.1 Command rejected; then not stored",
     "helo: 550 5.7.1 Command rejected; then not stored"),  # at once: Postfix waits for MAIL
    ("helo-tempfail", {"helo": [["tempfail"]]},
     "mail: 451 4.7.1 Service unavailable - try again later; then not stored",
     "helo: 451 4.7.1 Service unavailable - try again later; then not stored"),  # at once: Postfix waits for MAIL
    ("helo-reply5", {"helo": [["reply", "554", "5.7.9", "no, thanks"]]},
     "mail: 554 5.7.9 no, thanks; then not stored",
     "helo: 554 5.7.9 no, thanks; then not stored"),  # at once: Postfix waits for MAIL
    ("helo-reply4", {"helo": [["reply", "452", "4.3.1", "not now"]]},
     "mail: 452 4.3.1 not now; then not stored",
     "helo: 452 4.3.1 not now; then not stored"),  # at once: Postfix waits for MAIL
    ("helo-accept", {"helo": [["accept"]], "eom": [["reject"]]},
     "stored"),
    ("mail-reject", {"mail": [["reject"]]},
     "mail: 550 5.7.1 Command rejected"),
    ("mail-tempfail", {"mail": [["tempfail"]]},
     "mail: 451 4.7.1 Service unavailable - try again later"),
    ("mail-reply5", {"mail": [["reply", "554", "5.7.9", "no, thanks"]]},
     "mail: 554 5.7.9 no, thanks"),
    ("mail-reply4", {"mail": [["reply", "452", "4.3.1", "not now"]]},
     "mail: 452 4.3.1 not now"),
    ("mail-accept", {"mail": [["accept"]], "eom": [["reject"]]},
     "stored"),
    ("mail-discard", {"mail": [["discard"]]},
     "nothing"),
    ("rcpt-reject", {"rcpt": [["reject"]]},
     "rcpt bob: 550 5.7.1 Command rejected; stored from <a@sender.example> to <ann@example.com>"),
    ("rcpt-tempfail", {"rcpt": [["tempfail"]]},
     "rcpt bob: 451 4.7.1 Service unavailable - try again later; stored from <a@sender.example> to <ann@example.com>"),
    ("rcpt-reply5", {"rcpt": [["reply", "554", "5.7.9", "no, thanks"]]},
     "rcpt bob: 554 5.7.9 no, thanks; stored from <a@sender.example> to <ann@example.com>"),
    ("rcpt-reply4", {"rcpt": [["reply", "452", "4.3.1", "not now"]]},
     "rcpt bob: 452 4.3.1 not now; stored from <a@sender.example> to <ann@example.com>"),
    ("rcpt-accept", {"rcpt": [["accept"]], "eom": [["reject"]]},
     "stored"),
    ("rcpt-discard", {"rcpt": [["discard"]]},
     "nothing"),
    ("data-reject", {"data": [["reject"]]},
     "data: 550 5.7.1 Command rejected"),
    ("data-tempfail", {"data": [["tempfail"]]},
     "data: 451 4.7.1 Service unavailable - try again later"),
    ("data-reply5", {"data": [["reply", "554", "5.7.9", "no, thanks"]]},
     "data: 554 5.7.9 no, thanks"),
    ("data-reply4", {"data": [["reply", "452", "4.3.1", "not now"]]},
     "data: 452 4.3.1 not now"),
    ("data-accept", {"data": [["accept"]], "eom": [["reject"]]},
     "stored"),
    ("data-discard", {"data": [["discard"]]},
     "nothing"),
    ("header-reject", {"header": [["reject"]]},
     "dot: 550 5.7.1 Command rejected"),
    ("header-tempfail", {"header": [["tempfail"]]},
     "dot: 451 4.7.1 Service unavailable - try again later"),
    ("header-reply5", {"header": [["reply", "554", "5.7.9", "no, thanks"]]},
     "dot: 554 5.7.9 no, thanks"),
    ("header-reply4", {"header": [["reply", "452", "4.3.1", "not now"]]},
     "dot: 452 4.3.1 not now"),
    ("header-accept", {"header": [["accept"]], "eom": [["reject"]]},
     "stored"),
    ("header-discard", {"header": [["discard"]]},
     "nothing"),
    ("eoh-reject", {"eoh": [["reject"]]},
     "dot: 550 5.7.1 Command rejected"),
    ("eoh-tempfail", {"eoh": [["tempfail"]]},
     "dot: 451 4.7.1 Service unavailable - try again later"),
    ("eoh-reply5", {"eoh": [["reply", "554", "5.7.9", "no, thanks"]]},
     "dot: 554 5.7.9 no, thanks"),
    ("eoh-reply4", {"eoh": [["reply", "452", "4.3.1", "not now"]]},
     "dot: 452 4.3.1 not now"),
    ("eoh-accept", {"eoh": [["accept"]], "eom": [["reject"]]},
     "stored"),
    ("eoh-discard", {"eoh": [["discard"]]},
     "nothing"),
    ("body-reject", {"body": [["reject"]]},
     "dot: 550 5.7.1 Command rejected"),
    ("body-tempfail", {"body": [["tempfail"]]},
     "dot: 451 4.7.1 Service unavailable - try again later"),
    ("body-reply5", {"body": [["reply", "554", "5.7.9", "no, thanks"]]},
     "dot: 554 5.7.9 no, thanks"),
    ("body-reply4", {"body": [["reply", "452", "4.3.1", "not now"]]},
     "dot: 452 4.3.1 not now"),
    ("body-accept", {"body": [["accept"]], "eom": [["reject"]]},
     "stored"),
    ("body-discard", {"body": [["discard"]]},
     "nothing"),
    ("eom-reject", {"eom": [["reject"]]},
     "dot: 550 5.7.1 Command rejected"),
    ("eom-tempfail", {"eom": [["tempfail"]]},
     "dot: 451 4.7.1 Service unavailable - try again later"),
    ("eom-reply5", {"eom": [["reply", "554", "5.7.9", "no, thanks"]]},
     "dot: 554 5.7.9 no, thanks"),
    ("eom-reply4", {"eom": [["reply", "452", "4.3.1", "not now"]]},
     "dot: 452 4.3.1 not now"),
    ("eom-accept", {"eom": [["accept"]]},
     "stored"),
    ("eom-discard", {"eom": [["discard"]]},
     "nothing"),
    ("body-skip", {"body": [["skip"]]},
     "stored"),
    ("reply-lines", {"eom": [["reply", "550", "5.7.1", "first", "second", "third"]]},
     "dot: 550 5.7.1 first / 5.7.1 second / 5.7.1 third"),
    ("reply-plain", {"eom": [["reply", "550", None, "no enhanced code"]]},
     "dot: 550 no enhanced code",
     "dot: 550 5.7.1 no enhanced code"),  # every refusal has one
    ("reply-percent", {"eom": [["reply", "550", "5.7.1", "100%% %%s {x} of it"]]},
     "dot: 550 5.7.1 100% %s {x} of it"),
    ("reply-421", {"eom": [["reply", "421", "4.7.0", "go away"]]},
     "dot: 421 4.7.0 go away; then: lost; then not stored",
     "dot: 451 4.7.0 go away"),  # only the server itself ends a connection
    ("reply-no-text", {"eom": [["reply", "550", "5.7.1", ""]]},
     "dot: 550 5.7.1 ",
     "dot: 550 5.7.1 refused"),  # a reply has a text
    ("sender", {"eom": [["sender", "new@other.example", None]]},
     "stored from <new@other.example> to <ann@example.com> <bob@example.com>"),
    ("sender-brackets", {"eom": [["sender", "<new@other.example>", None]]},
     "stored from <new@other.example> to <ann@example.com> <bob@example.com>"),
    ("sender-null", {"eom": [["sender", "<>", None]]},
     "stored from <> to <ann@example.com> <bob@example.com>"),
    ("sender-args", {"eom": [["sender", "new@other.example", "RET=HDRS ENVID=abc"]]},
     "stored from <new@other.example> ENVID=abc RET=HDRS to <ann@example.com> <bob@example.com>"),
    ("sender-twice", {"eom": [["sender", "one@other.example", None], ["sender", "two@other.example", None]]},
     "stored from <two@other.example> to <ann@example.com> <bob@example.com>"),
    ("rcpt", {"eom": [["rcpt", "carl@example.com", None]]},
     "stored from <a@sender.example> to <ann@example.com> <bob@example.com> <carl@example.com>"),
    ("rcpt-brackets", {"eom": [["rcpt", "<carl@example.com>", None]]},
     "stored from <a@sender.example> to <ann@example.com> <bob@example.com> <carl@example.com>"),
    ("rcpt-args", {"eom": [["rcpt", "carl@example.com", "NOTIFY=NEVER"]]},
     "stored from <a@sender.example> to <ann@example.com> <bob@example.com> <carl@example.com> NOTIFY=NEVER"),
    ("rcpt-there", {"eom": [["rcpt", "bob@example.com", None]]},
     "stored from <a@sender.example> to <ann@example.com> <bob@example.com> <bob@example.com>",
     "stored"),  # once is enough
    ("rcpt-twice", {"eom": [["rcpt", "carl@example.com", None], ["rcpt", "carl@example.com", None]]},
     "stored from <a@sender.example> to <ann@example.com> <bob@example.com> <carl@example.com>"),
    ("unrcpt", {"eom": [["unrcpt", "bob@example.com"]]},
     "stored from <a@sender.example> to <ann@example.com>"),
    ("unrcpt-brackets", {"eom": [["unrcpt", "<bob@example.com>"]]},
     "stored from <a@sender.example> to <ann@example.com>"),
    ("unrcpt-case", {"eom": [["unrcpt", "BOB@example.com"]]},
     "stored"),
    ("unrcpt-domain-case", {"eom": [["unrcpt", "bob@EXAMPLE.com"]]},
     "stored",
     "stored from <a@sender.example> to <ann@example.com>"),  # a domain has no case
    ("unrcpt-absent", {"eom": [["unrcpt", "carl@example.com"]]},
     "stored"),
    ("unrcpt-all", {"eom": [["unrcpt", "bob@example.com"], ["unrcpt", "ann@example.com"]]},
     "nothing"),
    ("unrcpt-rcpt", {"eom": [["unrcpt", "bob@example.com"], ["rcpt", "bob@example.com", None]]},
     "stored"),
    ("rcpt-unrcpt", {"eom": [["rcpt", "carl@example.com", None], ["unrcpt", "carl@example.com"]]},
     "stored"),
    ("replaced", {"eom": [["unrcpt", "bob@example.com"], ["unrcpt", "ann@example.com"], ["rcpt", "carl@example.com", None]]},
     "stored from <a@sender.example> to <carl@example.com>"),
    ("body", {"eom": [["body", "new\r\nbody\r\n"]]},
     "stored, body 'new\\nbody\\n'"),
    ("body-lf", {"eom": [["body", "new\nbody\n"]]},
     "stored, body 'new\\nbody\\n'",
     "dot: 451 4.7.1 cannot be decided now, try again later"),  # a bare LF never goes to the backend, nor is it guessed what it meant
    ("body-no-end", {"eom": [["body", "new\r\nbody"]]},
     "stored, body 'new\\nbody\\n'"),
    ("body-pieces", {"eom": [["body", "new\r"], ["body", "\nbo"], ["body", "dy\r\n"]]},
     "stored, body 'new\\nbody\\n'"),
    ("body-dots", {"eom": [["body", ".\r\n..\r\n.x\r\n"]]},
     "stored, body '.\\n..\\n.x\\n'"),
    ("body-blank", {"eom": [["body", "\r\n"]]},
     "stored, body '\\n'"),
    ("all", {"eom": [["add", "X-New", "v"], ["sender", "new@other.example", None], ["rcpt", "carl@example.com", None],
                     ["unrcpt", "ann@example.com"], ["body", "new\r\n"]]},
     "stored from <new@other.example> to <bob@example.com> <carl@example.com>, body 'new\\n', X-New: v"),
    ("edits-accept", {"eom": [["add", "X-New", "v"], ["accept"]]},
     "stored, X-New: v"),
    ("edits-reject", {"eom": [["add", "X-New", "v"], ["rcpt", "carl@example.com", None], ["reject"]]},
     "dot: 550 5.7.1 Command rejected"),
    ("edits-discard", {"eom": [["add", "X-New", "v"], ["discard"]]},
     "nothing"),
    ("quarantine", {"eom": [["quarantine", "looks odd"]]},
     "nothing"),
    ("quarantine-edits", {"eom": [["add", "X-New", "v"], ["quarantine", "looks odd"]]},
     "nothing"),
]


def outcome(name, replies, mail, after):
    """In the table's words."""
    refused = ["%s: %s" % (stage, milters_kit.refusal(r).replace("\n", " / ") if r else "lost") for stage, r in replies
               if r is None or r.code >= 400]
    words = ["; ".join(refused)] if refused else []
    if mail:
        words.append(mail_words(name, mail))
    elif not refused or replies[-1][1] is not None and replies[-1][1].code < 400:
        words.append("nothing")
    if not after:
        words.append("then not stored")
    return "; ".join(words)


def mail_words(name, mail):
    sender, *rcpts = [line.decode().replace("@%s." % name, "@") for line in milters_kit.plain(mail.envelope)]
    text = "stored from %s to %s" % (sender, " ".join(rcpts))
    if (sender, rcpts) == ("<a@sender.example>", ["<ann@example.com>", "<bob@example.com>"]):
        text = "stored"
    body = mail.body.decode("latin-1")
    if body != "\n" + TEXT:
        text += ", body %r" % body[1:]
    edits = [f.decode().strip() for f in mail.fields if f.startswith(b"X-New")]
    return ", ".join([text] + edits)


def message(name):
    return ("X-Case: case=%s\nFrom: a@sender.example\nSubject: x\n\n%s" % (name, TEXT)).replace("\n", "\r\n").encode()


class Talk:
    """One connection for one case: what was said and answered."""

    def __init__(self, port):
        self.port, self.replies = port, []

    def say(self, stage, line):
        self.replies.append((stage, self.client.ask(line)))
        return self.replies[-1][1].code

    def transaction(self, name, sender):
        if self.say("mail", "MAIL FROM:<%s>" % sender) >= 400:
            return
        if sum(self.say("rcpt " + r[:3], "RCPT TO:<%s>" % r) < 400 for r in RCPTS) and self.say("data", "DATA") == 354:
            self.client.send(wire.stuffed(message(name)) + b".\r\n")
            self.replies.append(("dot", self.client.reply()))
        self.client.ask("RSET")

    def run(self, name):
        """The case's message, and one after it."""
        try:
            with wire.Client(self.port, None) as self.client:
                self.client.ask("EHLO before.example.org")
                if self.say("connect", "XCLIENT ADDR=%s NAME=%s.client.example" % (milters_kit.CLIENT, name)) < 400 \
                        and self.say("helo", "EHLO %s.client.example" % name) < 400:
                    self.transaction(name, "a@%s.sender.example" % name)
                    mark = len(self.replies)
                    self.transaction("after-" + name, "a@sender.example")
                    del self.replies[mark:]
                self.client.ask("QUIT")
        except wire.Lost:
            self.replies.append(("then" if self.replies and self.replies[-1][0] == "dot" else "next", None))
        return self.replies


def through(way, cases):
    replies = {name: Talk(way.port).run(name) for name, *_ in cases}
    mails = {m.case(): m for m in way.settled()}
    return {name: outcome(name, replies[name], mails.get(name), mails.get("after-" + name)) for name, *_ in cases}


JAIL = "backend jail { address 127.0.0.1:%d }\n"
RULES = 'scan : filter scan\nheld : if scan.quarantine != "" quarantine jail\naccept'


def play(folder, packages):
    with milters_kit.Table(folder, packages, {name: actions for name, actions, *_ in CASES}) as milter:
        with milters_kit.ByPostfix(folder, [milter.socket]) as postfix:
            theirs = through(postfix, CASES)
        sink, jail = milters_kit.Sink(), milters_kit.Sink()
        with milters_kit.Gateway(folder, [("sink", sink)], milters_kit.use("scan", milter), RULES,
                                 JAIL % jail.port) as gateway:
            ours = through(gateway.ways[0], CASES)
        held = {m.case() for m in jail.messages()}
    return theirs, ours, held


def main():
    with servers.work_folder() as folder:
        try:
            theirs, ours, held = play(folder, milters_kit.packages(folder))
        except kit.Missing as e:
            servers.skip(str(e))
    failed = 0
    for name, actions, wanted, *purpose in CASES:
        if theirs[name] == wanted and ours[name] == (purpose or [wanted])[0]:
            continue
        failed += 1
        print("FAILED %s: %r\n  table     %s\n  postfix   %s\n  sallyport %s"
              % (name, actions, (purpose or [wanted])[0], theirs[name], ours[name]))
    wanted = {name for name, actions, *_ in CASES if "quarantine" in str(actions)}
    if held != wanted:
        failed += 1
        print("FAILED held: %r instead of %r" % (held, wanted))
    print("%d cases, %d of them right, %d of those otherwise than Postfix on purpose"
          % (len(CASES), len(CASES) - failed, sum(len(c) > 3 for c in CASES)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
