"""Programs in the place of `bcnet` and `python`, whose processes are forked from the server of `warm_process.py`.

What starts them, a test, a workflow tool or torchrun, sees a process as always: its folder, environment, streams, exit
code, and the signals that it gets. The first process of each verb is the real program's all the same.
"""

import json
import multiprocessing
import os
import runpy
import selectors
import socket
import sys
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from warm_process import SERVER

CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
if os.path.basename(sys.argv[0]) == "bcnet":
    try:
        os.mkdir(os.path.join({started!r}, sys.argv[1]))
        os.execv({bcnet!r}, ["bcnet", *sys.argv[1:]])
    except FileExistsError:
        pass
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"0"], [0, 1, 2])
    answers = server.makefile()
    server.sendall(json.dumps([os.getcwd(), dict(os.environ), *sys.argv]).encode())
    server.shutdown(socket.SHUT_WR)
    process = int(answers.readline())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: os.kill(process, number))
    status = int(answers.readline())
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def programs(folder: Path, started: Path) -> Path:
    """A folder, made here, with `bcnet`, and with `python`, which runs a script or a module (`-m`).

    Args:
        folder: a new one.
        started: the folder that notes which verbs were run as the real program; several may share it.
    """
    folder.mkdir()
    started.mkdir(exist_ok=True)
    real = str(Path(sys.executable).with_name("bcnet"))
    text = CLIENT.format(python=sys.executable, started=str(started), bcnet=real, address=_server())
    for name in ("bcnet", "python"):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


@cache
def _server() -> str:
    """The address at which a thread of this process takes what clients want to be run."""
    folder = TemporaryDirectory(prefix="bcnet-")  # deleted when this process ends
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder.name}/socket")
    listener.listen(64)
    Thread(target=_serve, args=(listener, folder), daemon=True).start()
    return listener.getsockname()


def _serve(listener: socket.socket, _: Any) -> None:
    """Start a process for each client, and tell the client how it ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    client, process = _started(listener)
                    selector.register(process.sentinel, selectors.EVENT_READ, (client, process))
                else:
                    selector.unregister(key.fileobj)
                    client, process = key.data
                    process.join()
                    with client, suppress(BrokenPipeError):  # a client that was killed
                        client.sendall(f"{process.exitcode}\n".encode())


def _started(listener: socket.socket) -> tuple[socket.socket, Any]:
    client, _ = listener.accept()
    _, descriptors, _, _ = socket.recv_fds(client, 1, 3)
    streams = [Connection(descriptor) for descriptor in descriptors]  # which a process can be given
    with client.makefile("rb") as file:
        request = json.load(file)
    process = SERVER.Process(target=_run, args=(streams, *request))
    process.start()
    client.sendall(f"{process.pid}\n".encode())
    return client, process


def _run(streams: list[Connection], folder: str, environment: dict[str, str], program: str, *arguments: str) -> None:
    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # as in a process that nobody forked
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    if Path(program).name == "bcnet":
        from bcnet.__main__ import run

        sys.argv = ["bcnet", *arguments]
        sys.exit(run())
    elif arguments[0] == "-m":
        sys.executable = program  # a workflow tool starts others with it
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")
