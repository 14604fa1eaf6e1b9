"""What the suites of milters share: starting the milters of tests/milters, and knowing when they are ready."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SALLYPORT = os.environ["SALLYPORT"]
MILTERS = os.environ.get("SALLYPORT_TEST_MILTERS", "")


def need_milters():
    if not os.path.exists(os.path.join(MILTERS, "everything")):
        print("skipped: the milters of tests/milters were not built (no libmilter)")
        sys.exit(77)


class Folder:
    """A folder of temporary files that goes away."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="sallyport-milter-")
        os.chmod(self.path, 0o755)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Milter:
    """One of tests/milters, at a unix socket; ready once it can be connected to."""

    def __init__(self, folder, *args, name="milter"):
        self.path = os.path.join(folder, name + ".sock")
        self.socket = "unix:" + self.path
        self.process = subprocess.Popen([os.path.join(MILTERS, args[0]), *args[1:], self.socket], stdin=subprocess.DEVNULL)

    def __enter__(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.path)
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the milter did not start")
                time.sleep(0.01)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        if os.path.exists(self.path):
            os.unlink(self.path)
