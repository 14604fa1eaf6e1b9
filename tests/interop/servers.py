"""servers.py - the programs that the interop tests and the bench run: Sallyport and a private Postfix.

Every server lives in a folder of its own below one temporary folder, listens on a free port of 127.0.0.1,
and is ended by its process id.  The system's own Postfix is never touched.
"""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SKIP = 77  # what ctest takes for "skipped"
HERE = os.path.dirname(os.path.abspath(__file__))


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended


def skip(why):
    print("skipped: " + why)
    sys.exit(SKIP)


def sallyport_path():
    path = os.environ.get("SALLYPORT", os.path.join(HERE, "..", "..", "build", "sallyport"))
    if not os.access(path, os.X_OK):
        skip("no program %s: set SALLYPORT to it" % path)
    return os.path.abspath(path)


def data_folder(name):
    """A folder of the test material of others."""
    path = os.path.join(os.environ.get("SALLYPORT_DATA", ""), name)
    if not os.environ.get("SALLYPORT_DATA") or not os.path.isdir(path):
        skip("no test material %s: set SALLYPORT_DATA to the folder that has it" % name)
    return path


@contextlib.contextmanager
def work_folder():
    """A temporary folder, in memory where that is possible: Postfix writes each message through to its disk."""
    memory = "/dev/shm"
    roomy = os.path.isdir(memory) and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    path = tempfile.mkdtemp(prefix="sallyport-", dir=memory if roomy else None)
    os.chmod(path, 0o755)  # Postfix's processes run as other users
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(ask, what, seconds=20):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise RuntimeError("waited %d s in vain: %s" % (seconds, what))
        time.sleep(0.02)


def answers(port, first=b""):
    """Is there a banner, once what is to be said first has been said?"""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.sendall(first)
            return s.recv(3) == b"220"
    except OSError:
        return False


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Sallyport:
    """The gateway with a policy.  'backend' is a port; 'listen' and 'more' go into the policy as they are."""

    def __init__(self, folder, backend, listen="", more="rules { accept }", backend_more="", env=None, options=()):
        self.folder = os.path.join(folder, "sallyport")
        os.makedirs(self.folder, exist_ok=True)
        self.policy = os.path.join(self.folder, "site.policy")
        self.log_path = os.path.join(self.folder, "log")
        with open(self.policy, "w") as f:
            f.write('policy 1\nlog "%s"\nlisten 127.0.0.1:0 { hostname "gateway.example.net"\n%s\n}\n'
                    'backend mail { address 127.0.0.1:%d\n%s\n}\n%s\n'
                    % (self.log_path, listen, backend, backend_more, more))
        self.env = dict(os.environ, **(env or {}))
        self.options = list(options)
        self.process = None

    def __enter__(self):
        with open(self.log_path, "w"):
            pass
        self.process = subprocess.Popen([sallyport_path(), "run"] + self.options + [self.policy], env=self.env)
        try:
            wait_until(self._ready, "Sallyport to be ready")
        except BaseException:
            self.stop()
            raise
        self.port = int(re.search(r"event=listening .*port=(\d+)", self.log()).group(1))
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError("Sallyport ended at once, with status %d" % self.process.returncode)
        return 'text="ready:' in self.log()

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None and (self.process.returncode != 0 or "another takes its place" in self.log()):
            raise RuntimeError("Sallyport or one of its workers died, with status %d" % self.process.returncode)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/postfix.log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
multi_instance_enable = no
alias_maps =
alias_database =
myhostname = store.example.net
mydestination =
mynetworks =
smtpd_relay_restrictions = reject_unauth_destination
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = static:all
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000000
smtpd_hard_error_limit = 1000001
smtpd_junk_command_limit = 1000000
in_flow_delay = 0
enable_long_queue_ids = yes
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
transport_retry_time = 1s
default_process_limit = 100
message_size_limit = 67108864
mailbox_size_limit = 0
local_header_rewrite_clients =
message_drop_headers =
virtual_mailbox_domains = example.com
virtual_mailbox_base = {folder}/mail
virtual_mailbox_limit = 0
virtual_mailbox_maps = inline:{{ bob@example.com=bob/ ann@example.com=ann/ }}
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_destination_concurrency_limit = 20
recipient_delimiter = +
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
postlog   unix-dgram n - n - 1 postlogd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 discard
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
"""


class Postfix:
    """A private Postfix that files mail for bob@example.com and ann@example.com (and bob+x) as Maildir.

    'main' is added to its main.cf, 'smtpd' (lines "  -o name=value") to its smtpd in master.cf; 'first' is what it wants to
    hear before its banner.
    """

    def __init__(self, folder, main="", smtpd="", port=0, first=b""):
        self.first = first
        self.postfix = shutil.which("postfix", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if self.postfix is None:
            skip("no Postfix")
        if os.geteuid() != 0:
            skip("Postfix's master wants to be started by root")
        import pwd
        owner = pwd.getpwnam("nobody")
        self.folder = os.path.join(folder, "postfix")
        self.config = os.path.join(self.folder, "etc")
        self.port = port or free_port()
        for name in ("", "etc", "queue", "data", "log", "mail"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        shutil.chown(os.path.join(self.folder, "data"), "postfix")
        os.chown(os.path.join(self.folder, "mail"), owner.pw_uid, owner.pw_gid)
        self.settle(MAIN_CF.format(folder=self.folder, uid=owner.pw_uid, gid=owner.pw_gid) + main)
        service, rest = MASTER_CF.format(port=self.port).strip().split("\n", 1)
        with open(os.path.join(self.config, "master.cf"), "w") as f:
            f.write(service + "\n" + smtpd + rest + "\n")

    def settle(self, text):
        """Writes main.cf with the last value of each name only: Postfix's log server may hang on warnings about the others."""
        values = dict(line.split(" =", 1) for line in re.split(r"\n(?![ \t])", text) if " =" in line)
        with open(os.path.join(self.config, "main.cf"), "w") as f:
            f.write("".join("%s =%s\n" % pair for pair in values.items()))

    def run(self, command):
        return subprocess.run([self.postfix, "-c", self.config, command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

    def master_pid(self):
        with contextlib.suppress(OSError, ValueError):
            with open(os.path.join(self.folder, "queue", "pid", "master.pid")) as f:
                pid = int(f.read())
            return pid if alive(pid) else 0
        return 0

    def start(self):
        for _ in range(5):  # its check of the queue fails where a file vanishes meanwhile
            if self.run("start") == 0:
                break
            time.sleep(0.3)
        else:
            raise RuntimeError("Postfix does not start: " + self.log()[-2000:])
        wait_until(lambda: answers(self.port, self.first), "Postfix to answer")

    def stop(self):
        pid = self.master_pid()
        if pid == 0:
            return
        self.run("stop")
        try:
            wait_until(lambda: not alive(pid), "Postfix to stop", 20)
        except RuntimeError:
            os.kill(pid, signal.SIGKILL)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self):
        with contextlib.suppress(OSError):
            with open(os.path.join(self.folder, "log", "postfix.log"), errors="replace") as f:
                return f.read()
        return ""

    def _queued(self):
        """Is there mail to deliver?  A file without the x bit is one that was not finished: Postfix took no such mail."""
        for name in ("incoming", "active", "deferred", "maildrop"):
            for path, _, files in os.walk(os.path.join(self.folder, "queue", name)):
                for f in files:
                    with contextlib.suppress(FileNotFoundError):
                        if os.stat(os.path.join(path, f)).st_mode & 0o100:
                            return True
        return False

    def mail(self, box="bob", seconds=120):
        """The messages of a mailbox, as bytes, once Postfix has nothing left to deliver."""
        wait_until(lambda: not self._queued() and not self._queued(), "Postfix to empty its queue", seconds)
        new = os.path.join(self.folder, "mail", box, "new")
        messages = []
        for name in os.listdir(new) if os.path.isdir(new) else []:
            with open(os.path.join(new, name), "rb") as f:
                messages.append(f.read())
        return messages
