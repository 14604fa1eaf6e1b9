"""milters_programs.py - the milters of Debian that milters.py runs, each with a small configuration of its own and no network."""
import os
import subprocess

import milters_kit
import peers_servers as kit

AUTHSERV = "auth.example.net"
INTERNAL = "192.0.2.10"  # who may have mail signed
SELECTOR, DOMAIN = "sel", "sender.example"


class Rspamd(milters_kit.Milter):
    """All of its own rules, as packaged; what asks others over the network is off."""

    package, name, seconds = "rspamd", "rspamd", 60

    def prepare(self):
        self._write("options", 'dns { nameserver = ["%s"]; timeout = 1s; retransmits = 1; enable_dnssec = false; }\n'
                    'url_tld = "/peer/tld";\n'
                    'pidfile = "/peer/run/pid"; control_socket = "/peer/run/control mode=0600"; check_all_filters = true;\n'
                    % self.dns.host)
        self._write("proxy", 'bind_socket = "/peer/run/milter mode=0666"; milter = yes; timeout = 60s; count = 1;\n'
                    'upstream "local" { default = yes; self_scan = yes; }\n')
        self._write("tld", "com\norg\nnet\nexample\n")  # its own list takes seconds to compile
        self._write("logging", 'type = "file"; filename = "/peer/log/rspamd"; level = "notice";\n')
        self._write("headers", 'use = ["x-spamd-bar", "x-spam-level", "x-spam-status", "authentication-results"];\n'
                    "skip_local = false; skip_authenticated = false;\n")
        return """o=/etc/rspamd/override.d
mkdir -p $o /var/lib/rspamd /var/log/rspamd /run/rspamd
cp /peer/options $o/options.inc
cp /peer/proxy $o/worker-proxy.inc
cp /peer/logging $o/logging.inc
cp /peer/headers $o/milter_headers.conf
for w in normal controller fuzzy; do echo 'enabled = false; count = 0;' >$o/worker-$w.inc; done
for m in rbl asn fuzzy_check phishing redis surbl neural bayes_expiry elastic greylist ratelimit history_redis replies reputation \
	dkim_signing arc mx_check url_redirector dmarc dkim spf maillist; do
	[ $m = dkim ] || [ $m = spf ] || echo 'enabled = false;' >$o/$m.conf
done
rm -f /etc/rspamd/statistic.conf && touch /etc/rspamd/statistic.conf
chown -R _rspamd /var/lib/rspamd /var/log/rspamd /run/rspamd /peer/run /peer/log
exec /usr/bin/rspamd -f -u _rspamd -g _rspamd -c /etc/rspamd/rspamd.conf
"""


def dkim_key(folder):
    """A private key, and what stands of it in the DNS."""
    path = os.path.join(folder, "dkim.key")
    subprocess.run(["openssl", "genrsa", "-out", path, "1024"], check=True, stderr=subprocess.DEVNULL)
    public = subprocess.run(["openssl", "rsa", "-in", path, "-pubout"], check=True, capture_output=True).stdout.decode()
    return path, "v=DKIM1; k=rsa; p=" + "".join(public.split("\n")[1:-2])


class OpenDkim(milters_kit.Milter):
    """Signs mail of sender.example from INTERNAL, verifies that of others, and refuses what is signed badly."""

    package, name = "opendkim", "opendkim"

    def __init__(self, folder, packages, dns, key):
        self.key = key
        super().__init__(folder, packages, dns)

    def prepare(self):
        with open(self.key) as f:
            self._write("dkim.key", f.read())
        os.chmod(os.path.join(self.share, "dkim.key"), 0o600)
        self._write("internal", INTERNAL + "\n")
        self._write("conf", "Mode sv\nDomain %s\nSelector %s\nKeyFile /peer/dkim.key\nSocket local:/peer/run/milter\nUMask 000\n"
                    "InternalHosts /peer/internal\nExternalIgnoreList /peer/internal\nNameservers %s\nAuthservID %s\n"
                    "AlwaysAddARHeader yes\nOn-BadSignature reject\nCanonicalization relaxed/simple\nSyslog no\n"
                    "RequireSafeKeys no\nMinimumKeyBits 512\nDNSTimeout 3\nOversignHeaders From\n" % (DOMAIN, SELECTOR, self.dns.host, AUTHSERV))
        return "exec /usr/sbin/opendkim -f -x /peer/conf\n"


class OpenDmarc(milters_kit.Milter):
    """Judges by what OpenDKIM before it has written and by SPF; refuses what the domain wants to have refused."""

    package, name = "opendmarc", "opendmarc"

    def prepare(self):
        self._write("conf", "Socket local:/peer/run/milter\nUMask 000\nAuthservID %s\nTrustedAuthservIDs %s\nRejectFailures true\n"
                    "SPFSelfValidate true\nSPFIgnoreResults true\nSyslog false\n" % (AUTHSERV, AUTHSERV))
        return "exec /usr/sbin/opendmarc -f -c /peer/conf\n"


EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class ClamAv(milters_kit.Milter):
    """clamd with a database of one signature, and its milter, which refuses what it finds."""

    package, name = "clamav-milter", "clamav"

    def prepare(self):
        self._write("eicar.ndb", "Eicar-Test-Signature:0:*:%s\n" % EICAR.hex())
        self._write("clamd.conf", "LocalSocket /peer/run/clamd\nDatabaseDirectory /peer/db\nForeground yes\nLogFile /peer/log/clamd\n"
                    "User root\nMaxThreads 2\n")
        self._write("milter.conf", 'MilterSocket unix:/peer/run/milter\nMilterSocketMode 666\n'
                    'ClamdSocket unix:/peer/run/clamd\nUser root\n'
                    'Foreground yes\nOnInfected Reject\nRejectMsg "infected: %v"\n'
                    'AddHeader Replace\nReportHostname scanner.example.net\n'
                    "LogFile /peer/log/milter\nLogInfected Basic\n")
        return """mkdir -p /peer/db
cp /peer/eicar.ndb /peer/db
/usr/sbin/clamd -c /peer/clamd.conf &
n=0; while [ ! -S /peer/run/clamd ] && [ $n -lt 200 ]; do sleep 0.1; n=$((n + 1)); done
exec /usr/sbin/clamav-milter -c /peer/milter.conf
"""


SPAM_RULES = """required_score 5
report_safe 0
use_bayes 0
use_auto_welcomelist 0
clear_headers
add_header all Status _YESNO_, score=_SCORE_ required=_REQD_ tests=_TESTS_
add_header spam Flag _YESNOCAPS_
body GTUBE /XJS\\*C4JDBQADN1\\.NSBN3\\*2IDNEN\\*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL\\*C\\.34X/
score GTUBE 1000
body BUY_NOW /\\b(?:buy|order|click)\\b.{0,30}\\b(?:now|here|today)\\b/i
score BUY_NOW 3
header CAPITALS Subject =~ /^[A-Z ]+$/
score CAPITALS 3
"""


class SpamAss(milters_kit.Milter):
    """spamd with three rules, and a milter that marks mail, and refuses what has 15 points."""

    package, name, seconds = "spamass-milter", "spamass", 60

    def prepare(self):
        self._write("local.cf", SPAM_RULES)
        self._write("init.pre", "loadplugin Mail::SpamAssassin::Plugin::Check\n")
        return """mkdir -p /peer/rules /peer/site /var/lib/spamassassin
cp /peer/local.cf /peer/rules/
cp /peer/init.pre /peer/site/
export PERL5LIB=/usr/share/perl5
/usr/sbin/spamd -L -x -m 2 --min-children=1 -C /peer/rules --siteconfigpath=/peer/site \\
	--socketpath=/peer/run/spamd -s /peer/log/spamd -r /peer/run/spamd.pid &
n=0; while [ ! -S /peer/run/spamd ] && [ $n -lt 400 ]; do sleep 0.1; n=$((n + 1)); done
exec /usr/sbin/spamass-milter -p /peer/run/milter -r 15 -- --socket=/peer/run/spamd
"""


FILTER = """#pragma regex +extended
require status

precious string client ""
precious string name ""
string subject ""

prog connect
do
  set client $4
done

prog helo
do
  set name $1
done

prog envfrom
do
  if $1 matches '.*@refused\\.example'
    reject 550 5.1.8 "sender $mail_addr is not wanted"
  fi
done

prog envrcpt
do
  if $rcpt_addr matches 'ann@.*'
    tempfail 451 4.2.1 "ann is away"
  fi
done

prog header
do
  if $1 = "Subject"
    set subject $2
  fi
done

prog eom
do
  if subject matches 'GTUBE|LOTTERY'
    reject 554 5.7.1 "no: subject %subject"
  fi
  add "X-Mailfromd" "from $mail_addr by helo %name, client %client"
  replace "X-Seen" "%subject"
done
"""


class MailFromd(milters_kit.Milter):
    """A filter in its language: refuses a sender, a recipient and subjects, and adds a field with what it was told."""

    package, name = "mailfromd", "mailfromd"

    def prepare(self):
        self._write("filter.mfl", FILTER)
        return "exec /usr/sbin/mailfromd --foreground --stderr --no-config -u mailfromd -p unix:/peer/run/milter /peer/filter.mfl\n"


kit.LIBRARIES.update({
    "rspamd": ["libhyperscan5", "libluajit-5.1-common", "libluajit-5.1-2", "libicu72", "libsodium23",
               "libglib2.0-0", "libunwind8", "libarchive13"],
    "opendkim": ["libhashkit2", "libmemcached11", "libopendbx1", "librbl1", "libvbr2", "libopendkim11",
                 "libmilter1.0.1", "libunbound8", "libevent-2.1-7", "liblua5.3-0"],
    "opendmarc": ["libopendmarc2", "libmilter1.0.1", "libspf2-2"],
    "clamav-milter": ["clamav-daemon", "clamav-base", "libclamav12", "libmspack0", "libjson-c5", "libmilter1.0.1"],
    "spamass-milter": ["spamc", "spamd", "spamassassin", "libhtml-parser-perl", "libhtml-tagset-perl",
                       "libnetaddr-ip-perl", "libnet-dns-perl", "libsocket6-perl", "libregexp-ipv6-perl", "liburi-perl",
                       "libtimedate-perl", "libhttp-date-perl", "libsys-hostname-long-perl", "libdigest-hmac-perl", "libmail-dkim-perl", "libmilter1.0.1"],
    "mailfromd": ["m4", "libsigsegv2", "libadns1", "libmailutils9", "libmu-dbm9", "libgsasl18",
                  "libgssglue1", "libidn12", "libntlm0", "libltdl7", "libmariadb3", "libpq5", "guile-3.0-libs", "libmaxminddb0",
                  "liblzo2-2", "libkyotocabinet16v5", "libmilter1.0.1"],
})
