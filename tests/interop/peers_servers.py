"""peers_servers.py - mail servers that others wrote, each as its package has it: Exim, OpenSMTPD and Dovecot's LMTP.

Their packages exclude each other and Postfix.  So each is unpacked over this system's files in a mount namespace of its own,
which ends with the server, and the system itself stays as it is.  All that a peer leaves behind goes to its folder "share",
which it knows as /peer.
"""
import contextlib
import crypt
import glob
import os
import re
import shutil
import signal
import subprocess
import threading

import servers

# What must be unpacked where it is not installed already, besides the server itself.
LIBRARIES = {
    "exim4-daemon-light": ["libdb5.3", "libnsl2", "libtirpc3", "libgnutls-dane0", "libunbound8", "libevent-2.1-7", "libidn12"],
    "opensmtpd": ["libdb5.3", "libevent-2.1-7"],
    "dovecot-lmtpd": ["dovecot-core", "libapparmor1", "libexttextcat-2.0-0", "libicu72", "liblua5.4-0", "libsodium23",
                      "libstemmer0d", "libtirpc3", "libunwind8", "libwrap0"],
    "libnet-ssleay-perl": [],
    "msmtp": ["libgsasl18", "libgssglue1", "libntlm0", "libidn12", "libsecret-1-0", "libglib2.0-0"],
}
USERS = ("Debian-exim", "opensmtpd", "opensmtpq", "dovecot", "dovenull")
BOX_USER = 9099  # whom the mailboxes belong to
USER, PASSWORD = "ann", "open-sesame"
LIMIT = 1 << 20  # octets of a message, everywhere

ENTER = """set -e
mount -t tmpfs tmpfs {root}
mkdir {root}/deb {root}/upper {root}/work {root}/merged {root}/upper/etc {root}/upper/peer
for p in {packages}; do dpkg-deb -x "$p" {root}/deb; done
if [ -L /lib ] && [ -d {root}/deb/lib ]; then cp -a {root}/deb/lib/. {root}/deb/usr/lib/; rm -r {root}/deb/lib; fi
cp {share}/passwd {share}/group {share}/hosts {share}/resolv.conf {root}/upper/etc/
mount -t overlay overlay -o lowerdir={root}/deb:/,upperdir={root}/upper,workdir={root}/work {root}/merged
mount --rbind /dev {root}/merged/dev
mount -t proc proc {root}/merged/proc
mount --bind {share} {root}/merged/peer
exec chroot {root}/merged /bin/sh -e /peer/start
"""


class Missing(Exception):
    """This peer cannot be had here; the text says why."""


class Packages:
    """Debian's packages, downloaded once into a folder that may be kept."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.lock = threading.Lock()
        self.failed = ""

    def fetch(self, name):
        """The files of a package and of what it lacks here."""
        lacking = [name] + [p for p in LIBRARIES[name] if not installed(p)]
        with self.lock:
            absent = [p for p in lacking if not self._files(p)]
            if absent and shutil.which("apt-get") is None:
                raise Missing("no apt-get to download it with")
            if absent and not self.failed:  # once is enough to know that there is no way out
                done = subprocess.run(["timeout", "40", "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download"] + absent,
                                      cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
                if any(not self._files(p) for p in absent):
                    said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.startswith("E:")]
                    self.failed = "cannot be downloaded: %s" % (said or ["status %d" % done.returncode])[0][:160]
            if any(not self._files(p) for p in absent):
                raise Missing(self.failed)
        return [self._files(p)[-1] for p in lacking]

    def _files(self, name):
        return sorted(glob.glob(os.path.join(glob.escape(self.folder), name + "_*.deb")))


def installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=False)
    return b"ok installed" in done.stdout


def certificate(folder):
    """A certificate signed by itself, and its key; Exim wants it readable for its own user.

    RSA, since this OpenSMTPD cannot use others with OpenSSL 3.
    """
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
                    "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o644)
    return cert, key


def accounts():
    """Lines of passwd and of group for the users that the packages would have made."""
    passwd, group = [open("/etc/passwd").read()], [open("/etc/group").read()]
    known = {line.split(":")[0] for line in passwd[0].splitlines()}
    for i, name in enumerate([n for n in USERS if n not in known] + ["peerbox"]):
        number = BOX_USER if name == "peerbox" else 9001 + i
        passwd.append("%s:x:%d:%d::/peer/mail:/bin/sh\n" % (name, number, number))
        group.append("%s:x:%d:\n" % (name, number))
    return "".join(passwd), "".join(group)


class Peer:
    """A program in a namespace.  'files' are put below /peer; 'start' is the shell script that ends in exec."""

    package = ""
    name = ""

    def __init__(self, folder, packages, cert):
        if os.geteuid() != 0:
            raise Missing("namespaces want root")
        self.folder = os.path.join(folder, self.name)
        self.share = os.path.join(self.folder, "share")
        self.port = servers.free_port()
        self.process = None
        self.debs = packages.fetch(self.package)
        for name in ("root", "share/log", "share/mail"):
            os.makedirs(os.path.join(self.folder, name))
        for path in cert:
            shutil.copy(path, self.share)
        os.chmod(os.path.join(self.share, "log"), 0o777)
        os.chown(os.path.join(self.share, "mail"), BOX_USER, BOX_USER)
        self._write("passwd", accounts()[0])
        self._write("group", accounts()[1])
        self._write("hosts", "127.0.0.1 localhost %s.example.net %s\n" % (self.name, os.uname().nodename))
        self._write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")  # which nobody answers

    def _write(self, name, text):
        with open(os.path.join(self.share, name), "w") as f:
            f.write(text)

    def _spawn(self, start):
        self._write("start", start)
        script = ENTER.format(root=self.folder + "/root", share=self.share,
                              packages=" ".join("'%s'" % d for d in self.debs))
        self.output = open(os.path.join(self.folder, "output"), "wb")
        self.process = subprocess.Popen(["unshare", "-m", "-p", "--fork", "--kill-child=SIGKILL", "sh", "-c", script],
                                        stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output)

    def _ready(self):
        if self.process.poll() is not None:
            raise Missing("does not start: " + self.said()[-300:].strip().replace("\n", "; "))
        return servers.answers(self.port)

    def start(self):
        try:
            servers.wait_until(self._ready, self.name, 20)
        except RuntimeError as e:
            raise Missing("does not answer: " + self.said()[-300:]) from e

    def said(self):
        with open(os.path.join(self.folder, "output"), errors="replace") as f:
            return f.read()

    def log(self):
        """All that it has logged."""
        text = self.said()
        for path in glob.glob(os.path.join(self.share, "log", "*")):
            with open(path, errors="replace") as f:
                text += f.read()
        return text

    def stop(self):
        if self.process and self.process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
                    os.kill(int(f.read()), signal.SIGKILL)  # the namespace's first: with it go all that are in it
            self.process.kill()
            self.process.wait()

    def messages(self):
        return maildir(os.path.join(self.share, "mail"))


def maildir(folder):
    """Every message of every mailbox below: (box, octets with LF line ends)."""
    found = []
    for path in glob.glob(os.path.join(glob.escape(folder), "*", "new", "*")):
        with open(path, "rb") as f:
            found.append((os.path.basename(os.path.dirname(os.path.dirname(path))), f.read().replace(b"\r\n", b"\n")))
    return found


EXIM = """
primary_hostname = {name}.example.net
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
disable_ipv6
log_file_path = /peer/log/exim_%slog
log_selector = +smtp_confirmation +tls_cipher +received_recipients
spool_directory = /var/spool/exim4
host_lookup =
rfc1413_hosts =
hostlist relay_from = 127.0.0.1
message_size_limit = {limit}
pipelining_advertise_hosts = *
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
prdr_enable
tls_advertise_hosts = *
tls_certificate = /peer/cert.pem
tls_privatekey = /peer/key.pem
auth_advertise_hosts = {auth_hosts}
queue_only = false
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_accept_queue = 0
{main}
begin acl
begin routers
{routers}
begin transports
box:
  driver = appendfile
  directory = /peer/mail/$local_part_data
  maildir_format
  create_directory
  user = peerbox
  group = peerbox
  delivery_date_add
  envelope_to_add
  return_path_add
{transports}
begin retry
* * F,1h,1s
begin authenticators
{authenticators}
"""

EXIM_START = """mkdir -p /etc/exim4 /var/spool/exim4
chown Debian-exim /var/spool/exim4
cp /peer/exim4.conf /etc/exim4/exim4.conf
exec /usr/sbin/exim4 -bdf -q1s
"""


class Exim(Peer):
    """Files mail for bob, ann and utf8@example.com; knows AUTH PLAIN, LOGIN and CRAM-MD5."""

    package, name = "exim4-daemon-light", "exim"
    CONFIG = {
        "auth_hosts": "*",
        "main": "acl_smtp_data_prdr = accept\nacl_smtp_rcpt = ${if and{{eqi{$domain}{example.com}}"
                "{inlisti{$local_part}{bob:ann:\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae}}}{accept}{deny}}\n",
        "routers": "boxes:\n  driver = accept\n  domains = example.com\n"
                   "  local_parts = bob : ann : \u03b4\u03bf\u03ba\u03b9\u03bc\u03ae\n  transport = box\n",
        "transports": "",
        "authenticators": "plain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n"
                          "  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}\n"
                          "  server_set_id = $auth2\n"
                          "login:\n  driver = plaintext\n  public_name = LOGIN\n  server_prompts = Username:: : Password::\n"
                          "  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}\n"
                          "  server_set_id = $auth1\n"
                          "cram:\n  driver = cram_md5\n  public_name = CRAM-MD5\n"
                          "  server_secret = ${{if eq{{$auth1}}{{{user}}}{{{password}}}fail}}\n  server_set_id = $auth1\n",
    }

    def __init__(self, folder, packages, cert):
        super().__init__(folder, packages, cert)
        parts = dict(self.config())
        parts["authenticators"] = parts["authenticators"].format(user=USER, password=PASSWORD)
        self._write("exim4.conf", EXIM.format(name=self.name, port=self.port, limit=LIMIT, **parts))
        self._spawn(EXIM_START)

    def config(self):
        return self.CONFIG


class EximClient(Exim):
    """An Exim that hands everything on to the gateway; under TLS what comes from tls@, with AUTH what comes from auth@.

    'gateway' is the port for all, 'prdr' the one for what comes from prdr@.
    """

    name = "exim-client"

    def __init__(self, folder, packages, cert, gateway, prdr):
        self.gateway, self.prdr = gateway, prdr
        super().__init__(folder, packages, cert)

    def config(self):
        return {
            "auth_hosts": "",
            "main": "acl_smtp_rcpt = accept\n",
            "routers": "smart:\n  driver = manualroute\n  route_list = * 127.0.0.1\n  self = send\n  transport = gateway\n",
            "transports": "gateway:\n  driver = smtp\n  port = ${if eqi{$sender_address_local_part}{prdr}{%d}{%d}}\n  allow_localhost\n"
                          "  hosts_avoid_tls = ${if inlisti{$sender_address_local_part}{tls:auth}{}{*}}\n"
                          "  hosts_require_tls = ${if inlisti{$sender_address_local_part}{tls:auth}{*}{}}\n"
                          "  hosts_try_auth = ${if eqi{$sender_address_local_part}{auth}{*}{}}\n"
                          "  hosts_require_auth = ${if eqi{$sender_address_local_part}{auth}{*}{}}\n"
                          "  hosts_try_chunking = ${if eqi{$sender_address_local_part}{data}{}{*}}\n"
                          "  tls_tempfail_tryclear = false\n  tls_verify_certificates =\n  tls_try_verify_hosts =\n"
                          % (self.prdr, self.gateway),
            "authenticators": "plain:\n  driver = plaintext\n  public_name = PLAIN\n  client_send = ^{user}^{password}\n",
        }


OPENSMTPD = """
pki peer cert "/peer/cert.pem"
pki peer key "/peer/key.pem"
table people {{ {user} = "{crypted}" }}
smtp max-message-size "{limit}"
listen on 127.0.0.1 port {port} tls pki peer auth-optional <people> hostname opensmtpd.example.net
table boxes {{ "bob" = "peerbox", "ann" = "peerbox" }}
action file maildir "/peer/mail/%{{rcpt.user}}" virtual <boxes>
match from any for domain "example.com" action file
"""

OPENSMTPD_START = """mkdir -p /var/lib/opensmtpd/empty
chmod 711 /var/lib/opensmtpd/empty
cp /peer/cert.pem /peer/key.pem /root/
chmod 600 /peer/key.pem
chown root:root /peer /peer/key.pem
chmod 755 /peer
cp /peer/smtpd.conf /etc/smtpd.conf
exec /usr/sbin/smtpd -dv
"""


class OpenSmtpd(Peer):
    """Files mail for bob and ann@example.com; knows AUTH under TLS."""

    package, name = "opensmtpd", "opensmtpd"

    def __init__(self, folder, packages, cert):
        super().__init__(folder, packages, cert)
        self._write("smtpd.conf", OPENSMTPD.format(port=self.port, limit=LIMIT, user=USER,
                                                   crypted=crypt.crypt(PASSWORD, crypt.METHOD_SHA512)))
        self._spawn(OPENSMTPD_START)


DOVECOT = """
protocols = lmtp
base_dir = /run/dovecot
log_path = /peer/log/dovecot
auth_debug = no
hostname = dovecot.example.net
ssl = yes
ssl_cert = </peer/cert.pem
ssl_key = </peer/key.pem
auth_mechanisms = plain login
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:/peer/mail/%n
submission_host =
postmaster_address = postmaster@example.com
lda_mailbox_autocreate = yes
recipient_delimiter = +
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n /peer/people
}}
userdb {{
  driver = passwd-file
  args = username_format=%n /peer/people
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener /peer/lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener /peer/auth {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
"""

DOVECOT_START = """mkdir -p /run/dovecot /etc/dovecot
cp /peer/dovecot.conf /etc/dovecot/dovecot.conf
exec /usr/sbin/dovecot -F
"""


class Dovecot(Peer):
    """LMTP for bob and ann@example.com, and the socket by which Postfix asks for passwords."""

    package, name = "dovecot-lmtpd", "dovecot"

    def __init__(self, folder, packages, cert):
        super().__init__(folder, packages, cert)
        self._write("people", "".join("%s:%s:%d:%d::/peer/mail/%s::\n" % (who, PASSWORD, BOX_USER, BOX_USER, who)
                                      for who in ("bob", "ann")))
        self._write("dovecot.conf", DOVECOT.format(port=self.port))
        self._spawn(DOVECOT_START)


class PostfixPeer:
    """The private Postfix of the other tests, with TLS, and with AUTH where Dovecot keeps the passwords."""

    name = "postfix"

    def __init__(self, folder, cert, dovecot):
        auth = ""
        if dovecot:
            auth = "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = %s/auth\n" % dovecot.share
        self.postfix = servers.Postfix(folder, main="smtpd_tls_cert_file = %s\nsmtpd_tls_key_file = %s\n"
                                       "smtpd_tls_security_level = may\n"
                                       "smtpd_tls_received_header = yes\nmessage_size_limit = %d\nsmtputf8_enable = yes\n"
                                       "virtual_mailbox_maps = inline:{{bob@example.com=bob/} {ann@example.com=ann/} "
                                       "{\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae@example.com=utf8/}}\n%s" % (cert + (LIMIT, auth)),
                                       smtpd="tlsmgr unix - - n 1000? 1 tlsmgr\n")
        self.port = self.postfix.port

    def start(self):
        self.postfix.start()

    def stop(self):
        self.postfix.stop()

    def log(self):
        return self.postfix.log()

    def messages(self):
        return maildir(os.path.join(self.postfix.folder, "mail"))


class PostfixClient(PostfixPeer):
    """A Postfix that hands everything on to the gateway, with TLS what comes from tls@."""

    name = "postfix-client"

    def __init__(self, folder, plain, tls):
        self.postfix = servers.Postfix(
            os.path.join(folder, "front"), main="virtual_mailbox_domains =\nvirtual_mailbox_maps =\n"
            "smtpd_relay_restrictions = permit_mynetworks, reject\nmynetworks = 127.0.0.0/8\n"
            "default_transport = smtp\nsmtputf8_enable = yes\nmyhostname = front.example.net\n"
            "relayhost = [127.0.0.1]:%d\nsender_dependent_relayhost_maps = inline:{{tls@sender.example=[127.0.0.1]:%d}}\n"
            "smtp_tls_security_level = none\nsmtp_tls_policy_maps = inline:{{[127.0.0.1]:%d=encrypt}}\n"
            "smtp_tls_loglevel = 1\nmessage_size_limit = %d\n" % (plain, tls, tls, LIMIT),
            smtpd="tlsmgr unix - - n 1000? 1 tlsmgr\n")
        path = os.path.join(self.postfix.config, "master.cf")
        with open(path) as f:
            services = f.read()
        with open(path, "w") as f:
            f.write(services.replace(" 0 discard", " 0 bounce"))  # a client that writes to its users
        self.port = self.postfix.port


def version(peer):
    m = re.search(r"_(?:\d+%3a)?([\d.p]+)", os.path.basename(peer.debs[0])) if hasattr(peer, "debs") else None
    return m.group(1) if m else ""
