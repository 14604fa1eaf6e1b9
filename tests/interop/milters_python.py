#!/usr/bin/env python3
"""milters_python.py - a milter that does what a table says, in Python over libmilter (python3-milter); a program of milters_*.py.

    milters_python.py SOCKET CASES LOG

CASES is a JSON object: a case's name to {stage: [action, ...]}, stages connect helo mail rcpt data header eoh body eom.  The case is
named by the domain of the envelope's sender up to its first dot ("h7" for <any@h7.sender.example>), at connect and helo by the
client's host name or HELO name.  "*" is for all that are not named.  An action is a list of a word and its values:

    ["add", name, value]   ["insert", index, name, value]   ["change", index, name, value]   ["delete", index, name]
    ["sender", address, parameters]   ["rcpt", address, parameters]   ["unrcpt", address]   ["body", text]   ["quarantine", reason]
    ["reply", code, enhanced, text, ...]   and what a callback returns: ["accept"] ["reject"] ["tempfail"] ["discard"] ["skip"]

CASES may have "*leadspc": true, for HDR_LEADSPC, and "*symbols": {stage: "names of macros"}, which are then asked for.  Each line
of LOG is a JSON object: what came at a stage, with all macros that were set.
"""
import json
import re
import sys

import Milter

SOCKET, CASES, LOG = sys.argv[1:]
with open(CASES) as f:
    TABLE = json.load(f)
NAMES = ["j", "_", "i", "v", "r", "s", "{auth_type}", "{auth_authen}", "{auth_author}", "{auth_ssf}", "{client_addr}", "{client_name}",
         "{client_port}", "{client_ptr}", "{client_resolve}", "{client_connections}", "{daemon_addr}", "{daemon_name}", "{daemon_port}",
         "{if_addr}", "{if_name}", "{mail_addr}", "{mail_host}", "{mail_mailer}", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}",
         "{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}", "{verify}", "{msg_id}", "{nrcpts}"]
VERDICTS = {"accept": Milter.ACCEPT, "reject": Milter.REJECT, "tempfail": Milter.TEMPFAIL, "discard": Milter.DISCARD,
            "skip": Milter.SKIP}
STAGES = {"connect": Milter.M_CONNECT, "helo": Milter.M_HELO, "mail": Milter.M_ENVFROM, "rcpt": Milter.M_ENVRCPT,
          "data": Milter.M_DATA, "eoh": Milter.M_EOH, "eom": Milter.M_EOM}


class Actor(Milter.Base):
    """One connection of the server."""

    def __init__(self):
        self.case, self.count = {}, 0

    def negotiate(self, opts):
        print("offered: actions %#x, protocol %#x" % tuple(opts[:2]), file=sys.stderr)
        for stage, names in TABLE.get("*symbols", {}).items():
            self._ctx.setsymlist(STAGES[stage], names)  # its own method wants octets where this wants text
        opts[0] &= 0x1ff
        opts[1] = opts[1] & Milter.P_HDR_LEADSPC if TABLE.get("*leadspc") else 0
        opts[1] |= Milter.P_SKIP
        opts[2] = opts[3] = 0
        return Milter.CONTINUE

    def note(self, stage, *values):
        macros = {name: self.getsymval(name) for name in NAMES}
        with open(LOG, "a") as f:
            f.write(json.dumps({"stage": stage, "values": [str(v) for v in values],
                                "macros": {n: v for n, v in macros.items() if v is not None}}) + "\n")

    def choose(self, text):
        key = text.split(".")[0]
        self.case = TABLE.get(key, TABLE.get("*", {}))

    def act(self, stage):
        verdict = Milter.CONTINUE
        for word, *values in self.case.get(stage, []):
            if word == "reply":
                self.setreply(*values)
                verdict = Milter.REJECT if values[0][0] == "5" else Milter.TEMPFAIL
            elif word in VERDICTS:
                verdict = VERDICTS[word]
            else:
                getattr(self, "do_" + word)(*values)
        return verdict

    def do_add(self, name, value):
        self.addheader(name, value)

    def do_insert(self, index, name, value):
        self.addheader(name, value, index)

    def do_change(self, index, name, value):
        self.chgheader(name, index, value)

    def do_delete(self, index, name):
        self.chgheader(name, index, "")

    def do_sender(self, address, parameters):
        self.chgfrom(address, parameters or None)

    def do_rcpt(self, address, parameters):
        self.addrcpt(address, parameters or None)

    def do_unrcpt(self, address):
        self.delrcpt(address)

    def do_body(self, text):
        self.replacebody(text.encode())

    def do_quarantine(self, reason):
        self.quarantine(reason)

    # ---- callbacks

    def connect(self, hostname, family, hostaddr):
        self.choose(hostname)
        self.note("connect", hostname, family, hostaddr)
        return self.act("connect")

    def hello(self, name):
        self.choose(name)
        self.note("helo", name)
        return self.act("helo")

    def envfrom(self, address, *parameters):
        self.choose(re.sub(".*@", "", address).rstrip(">"))
        self.count = 0
        self.note("mail", address, *parameters)
        return self.act("mail")

    def envrcpt(self, address, *parameters):
        self.note("rcpt", address, *parameters)
        return self.act("rcpt") if "ann@" not in address else Milter.CONTINUE

    def data(self):
        self.note("data")
        return self.act("data")

    @Milter.decode("bytes")
    def header(self, name, value):
        self.count += 1
        self.note("header", name, repr(value))
        return self.act("header") if self.count == 1 else Milter.CONTINUE

    def eoh(self):
        self.note("eoh")
        return self.act("eoh")

    def body(self, block):
        self.note("body", len(block))
        return self.act("body")

    def eom(self):
        self.note("eom")
        return self.act("eom")

    def unknown(self, command):
        self.note("unknown", command)
        return Milter.CONTINUE

    def abort(self):
        self.note("abort")
        return Milter.CONTINUE

    def close(self):
        self.note("close")
        return Milter.CONTINUE


Milter.factory = Actor
Milter.set_flags(Milter.ADDHDRS + Milter.CHGHDRS + Milter.CHGBODY + Milter.ADDRCPT + Milter.ADDRCPT_PAR + Milter.DELRCPT
                 + Milter.CHGFROM + Milter.QUARANTINE + Milter.SETSYMLIST)
Milter.runmilter("table", "unix:" + SOCKET, 60)
