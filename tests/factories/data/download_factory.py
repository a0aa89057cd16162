"""A file of random bytes on a server whose faults are given, and who asked for what."""

import hashlib
import threading

import numpy as np

from bcnet.data.sources.download import RemoteFile

FILE = np.random.default_rng(0).integers(0, 256, 400_000, dtype=np.uint8).tobytes()
MD5 = hashlib.md5(FILE).hexdigest()
HALF = 200_000
BLOCK = 10_000


class Waits(threading.Event):
    """Takes the pauses down instead of waiting."""

    def __init__(self):
        super().__init__()
        self.pauses = []

    def wait(self, timeout=None):
        self.pauses.append(timeout)
        return self.is_set()


def remote(server, *, md5=MD5, size=None, mirrors=()):
    return RemoteFile((f"{server.url}/file.zip", *(f"{server.url}/{mirror}" for mirror in mirrors)), md5, size)


def ranges(server):
    """First bytes that were asked for, None where no range was."""
    return [int(asked[6:-1]) if asked else None for _, asked, _ in server.asked]
