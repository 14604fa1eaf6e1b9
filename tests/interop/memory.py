#!/usr/bin/env python3
"""memory.py - without memory nothing fails open: workers whose allocations fail at random, and a backend that is well.

What got a 2xx is stored once and bears the field that the policy adds; what got anything else is not stored, or the log says
that the client may not know; no worker dies of it.  (libev ends a worker that has no memory for its own tables: SIGABRT.)
"""
import collections
import os
import re
import sys

import model
import servers

RULES = """filter rate { c : key client.ip 100000/s burst 100000 }
filter size
rules {
  flood : if rate.c.over defer 450 4.7.1 "flood"
  spam  : if message.header("Subject") ~ /spam/ reject 550 5.7.1 "spam"
  big   : if size.longest_line > 100000 reject 550 5.7.1 "big"
  mark  : if message.size > 1 add-header "X-Seen" "{mail.address}"
  accept
}"""


def judge(results, backend, log):
    lines = {m.group(1): m.group(0) for m in re.finditer(r"event=transaction .*from=<(f[^@]*)@.*", log)}
    failures = results.failures + backend.errors
    for key, replies in results.messages.items():
        stored, accepted = backend.stored.get(key, []), replies.get("dot", 0) // 100 == 2
        told = key not in lines or "dup=possible" in lines[key]  # a line can be lost for want of memory, too
        if accepted and len(stored) != 1:
            failures.append("%s: 2xx, and stored %d times" % (key, len(stored)))
        if not accepted and len(stored) > int(told):
            failures.append("%s: %r, and stored %d times: %s" % (key, replies, len(stored), lines.get(key)))
        if any(b"X-Seen: %s@sender.example\r\n" % key.encode() not in s for s in stored):
            failures.append("%s: stored without the field that a rule adds: %r" % (key, stored[0][:300]))
    return failures + [line for line in log.splitlines() if re.search(r"ended by (signal (?!6;)|exit)", line)]


def run(folder, every):
    backend = model.Backend()
    gateway = servers.Sallyport(folder, backend.port, listen=model.LISTEN.replace("max errors 7", "max errors 1000"), more=RULES,
                                env={"LD_PRELOAD": os.environ["SALLYPORT_NOMEM"], "NOMEM_EVERY": str(every)})
    try:
        gateway.__enter__()
        results = model.in_threads(model.play_faults, gateway.port, 400)
    finally:
        gateway.stop()
    codes = collections.Counter(r.get("dot", 0) // 100 for r in results.messages.values())
    print("one in %d allocations fails: %s" % (every, ", ".join("%dxx %d times" % c for c in sorted(codes.items()))))
    return judge(results, backend, gateway.log()) + ([] if codes[2] > 20 else ["too few messages went through"])


def main():
    module = os.environ.get("SALLYPORT_NOMEM", "")
    if not os.path.exists(module):
        servers.skip("set SALLYPORT_NOMEM to the shared object of nomem.c")
    with open(servers.sallyport_path(), "rb") as f:
        if b"__asan_init" in f.read():
            servers.skip("AddressSanitizer has an allocator of its own")
    failures = []
    for every in 2000, 300, 60:
        with servers.work_folder() as folder:
            failures += ["1/%d: %s" % (every, f) for f in run(folder, every)]
    for failure in failures[:20]:
        print("FAILED " + failure[:1000])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
