"""A real S3 server and a real sshd on loopback, for tests of DVC's remotes."""

import socketserver
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

KEY, SECRET, BUCKET = "somebody", "secret", "results"
SSHD = Path("/usr/sbin/sshd")  # which insists on being called by its whole path
SSHD_CONFIG = """HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of an S3 server that has the bucket `BUCKET`; what it stores is gone afterwards."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client("s3", "us-east-1", None, True, None, address, KEY, SECRET)
        client.create_bucket(Bucket=BUCKET)
        yield address
    finally:
        server.stop()


@contextmanager
def ssh_server(folder: Path) -> Iterator[tuple[int, Path]]:
    """The port of an sshd that lets this user in, and the key that opens it; its own files lie in `folder`."""
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    config = folder / "config"
    config.write_text(SSHD_CONFIG.format(folder=folder))

    class Connection(socketserver.BaseRequestHandler):
        """Each connection is an sshd's of its own, so that no port has to be chosen for it."""

        def handle(self) -> None:
            socket = self.request.fileno()
            with (folder / "log").open("ab") as log:
                subprocess.run([SSHD, "-i", "-e", "-f", config], stdin=socket, stdout=socket, stderr=log, check=False)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], folder / "user"
        finally:
            server.shutdown()
