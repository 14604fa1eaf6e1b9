#!/usr/bin/env python3
"""clients.py - mail clients that others wrote deliver through Sallyport: swaks, smtp-source, smtplib, curl."""
import os
import shutil
import smtplib
import subprocess
import sys

import servers
import wire

BODY = "Dear Bob,\n.\n..two dots\nGr\u00fc\u00dfe\n"
MESSAGE = "From: Ann <ann@sender.example>\nTo: Bob <bob@example.com>\nSubject: %s\n\n" + BODY


def run(*command, stdin=""):
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    if shutil.which(command[0], path=path) is None:
        print("%s is not installed: left out" % command[0])
        return False
    done = subprocess.run(command, input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          env=dict(os.environ, PATH=path))
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(command), done.stdout.decode(errors="replace")))
    return True


def swaks(port, folder):
    with open(folder + "/swaks.eml", "w", encoding="utf-8") as f:
        f.write(MESSAGE % "swaks")
    return run("swaks", "--server", "127.0.0.1:%d" % port, "--helo", "client.example.org", "--from",
               "swaks@sender.example", "--to", "bob@example.com", "--data", "@" + folder + "/swaks.eml"), 1


def swaks_pipelined(port, _):
    return run("swaks", "--server", "127.0.0.1:%d" % port, "--helo", "client.example.org", "--from",
               "pipelined@sender.example", "--to", "bob@example.com", "--pipeline", "--body", "hello"), 1


def smtp_source(port, _):
    return run("smtp-source", "-s", "4", "-m", "40", "-l", "3000", "-f", "source@sender.example", "-t",
               "bob@example.com", "127.0.0.1:%d" % port), 40


def smtp_source_kept(port, _):
    """-d: several messages over one connection."""
    return run("smtp-source", "-d", "-s", "4", "-m", "40", "-l", "30000", "-f", "kept@sender.example", "-t",
               "bob@example.com", "127.0.0.1:%d" % port), 40


def python_smtplib(port, _):
    message = (MESSAGE % "smtplib").replace("\n", "\r\n").encode()
    with smtplib.SMTP("127.0.0.1", port, "client.example.org") as client:
        for _ in range(3):
            client.sendmail("smtplib@sender.example", ["bob@example.com"], message)
    return True, 3


def curl(port, folder):
    with open(folder + "/curl.eml", "w", encoding="utf-8", newline="\r\n") as f:
        f.write(MESSAGE % "curl")
    return run("curl", "--silent", "--show-error", "--url", "smtp://127.0.0.1:%d/client.example.org" % port, "--mail-from",
               "curl@sender.example", "--mail-rcpt", "bob@example.com", "--upload-file", folder + "/curl.eml"), 1


CLIENTS = {"swaks": swaks, "pipelined": swaks_pipelined, "source": smtp_source, "kept": smtp_source_kept,
           "smtplib": python_smtplib, "curl": curl}


def main():
    failures = []
    with servers.work_folder() as folder, servers.Postfix(folder) as postfix, \
            servers.Sallyport(folder, postfix.port) as gateway:
        wanted = {}
        for name, client in CLIENTS.items():
            sent, count = client(gateway.port, folder)
            if sent:
                wanted[name + "@sender.example"] = count
        stored = postfix.mail()
    for sender, count in wanted.items():
        mails = [m for m in stored if wire.sent_by(m) == sender]
        print("%-24s %d sent, %d stored" % (sender, count, len(mails)))
        if len(mails) != count:
            failures.append("%s: %d of %d stored" % (sender, len(mails), count))
        if sender[:5] in ("swaks", "smtpl", "curl@") and any(BODY.encode() not in m for m in mails):
            failures.append("%s: the body is not as it was sent" % sender)
    if len(stored) != sum(wanted.values()):
        failures.append("%d stored, %d sent" % (len(stored), sum(wanted.values())))
    for failure in failures:
        print("FAILED " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
