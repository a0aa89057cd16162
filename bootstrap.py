#!/usr/bin/env python3
"""Set-up: a venv in `.venv` with the exact files of requirements.lock, by version and SHA-256, and bcnet itself.

`make setup` runs this, with any Python from 3.6 on, so that its messages appear, and alone. What would stop it
later (a wrong Python, a full disk, no way to the package index) is found before anything long is started.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
UNFINISHED = VENV / ".unfinished"
VENV_GIB, DOWNLOADS_GIB = 7, 4  # measured on Linux, where torch brings CUDA: 6.5 and 3.1
SOURCE = "git+https://github.com/facebookresearch/detectron2@a59f05630a8f205756064244bf5beb8661f96180"


class SetupError(Exception):
    """What stops the set-up, in one line that says what to do."""


def find_python():
    """The path of a Python 3.11 that can make a venv: the one that runs this, or python3.11 of PATH.

    Raises:
        SetupError: there is none.
    """
    test = (
        "import os, sys, venv, ensurepip; print(sys.version_info[:2] == (3, 11) and os.path.realpath(sys.executable))"
    )
    for python in filter(None, [sys.executable, shutil.which("python3.11")]):
        process = subprocess.Popen([python, "-c", test], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        found = process.communicate()[0].decode().strip()
        if process.returncode == 0 and found != "False":
            return found
    version = ".".join(map(str, sys.version_info[:3]))
    raise SetupError(
        f"Python 3.11 with its venv module is needed, found {version} ({sys.executable}): install it "
        "(Debian and Ubuntu: python3.11-venv), or name one: make setup PYTHON=/path/to/python3.11"
    )


def check_disk(folder, gib, what):
    """Raise SetupError if fewer than `gib` GiB are free on the disk of `folder`."""
    free = shutil.disk_usage(str(folder)).free / 2**30
    if free < gib:
        raise SetupError(f"{what} need {gib} GiB, {free:.1f} GiB are free in {folder}: make room there")


def check_compiler():
    """Raise SetupError if detectron2's source cannot be had and compiled. Nothing else needs a compiler."""
    if not any(map(shutil.which, [os.environ.get("CXX", "c++"), "g++", "clang++"])):
        raise SetupError(
            "DETECTRON2=source needs a C++ compiler (Debian: build-essential), plain `make setup` does not"
        )
    if not shutil.which("git"):
        raise SetupError("DETECTRON2=source needs git, plain `make setup` does not")


def check_index(python):
    """Raise SetupError if pip, as it is configured here, cannot get one tiny package within seconds."""
    with tempfile.TemporaryDirectory() as folder:
        tiny = ["download", "--quiet", "--no-deps", "--no-cache-dir", "--retries", "0", "--timeout", "10"]
        process = pip(python, *tiny, "--dest", folder, "yacs==0.1.8", stderr=subprocess.PIPE)
        message = process.communicate()[1].strip().splitlines() or ["nothing"]
    if process.returncode:
        raise SetupError(
            "the package index cannot be reached: set HTTPS_PROXY where there is a proxy, PIP_INDEX_URL where there is "
            f"a mirror (pip says: {message[-1]})"
        )


def pip(python, *arguments, **options):
    """Start pip of that Python."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    return subprocess.Popen(command, cwd=str(ROOT), universal_newlines=True, **options)


def install(python, step, *arguments):
    """Run `pip install` and show what it is at: on a terminal in a line that changes, else in a line a package.

    Raises:
        SetupError: pip failed; its errors are above.
    """
    print(step, flush=True)
    moving = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns - 3 if moving else 100
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = pip(python, "install", "--progress-bar", "off", "--no-compile", *arguments, **options)
    failed = False
    for line in map(str.rstrip, process.stdout):
        failed = failed or line.lower().startswith("error")
        if failed:
            print(line, file=sys.stderr)
        elif line.strip().startswith(("Downloading", "Using cached", "Building", "Installing")):
            text = f"  {line.strip()[:width]}"
            print(f"\r\033[K{text}" if moving else text, end="" if moving else "\n", flush=True)
    if moving:
        print("\r\033[K", end="")
    if process.wait():
        mark_finished()  # pip ended by itself: what it has installed is whole, and is kept
        raise SetupError("pip could not finish: see above, then make again; it goes on from there")


def site_packages(python):
    """The folder of that Python's packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return subprocess.check_output([str(python), "-c", code], universal_newlines=True).strip()


def mark_finished():
    """Nothing is half-installed in `.venv`."""
    if UNFINISHED.exists():
        UNFINISHED.unlink()


def make_venv():
    """The Python of `.venv`, which is made when it is missing, and made anew when the last set-up was killed.

    Raises:
        SetupError: no Python 3.11, no room, no package index.
    """
    python = VENV / "bin/python"
    if not python.exists() or UNFINISHED.exists():
        base = find_python()
        downloads = tempfile.gettempdir()
        one_disk = os.stat(downloads).st_dev == os.stat(str(ROOT)).st_dev
        check_disk(ROOT, VENV_GIB + one_disk * DOWNLOADS_GIB, "the packages")
        check_disk(downloads, DOWNLOADS_GIB, "their downloads (to be put where TMPDIR says)")
        if VENV.exists():
            shutil.rmtree(str(VENV))
        VENV.mkdir()
        UNFINISHED.touch()
        subprocess.check_call([base, "-m", "venv", str(VENV)])
        check_index(python)
    UNFINISHED.touch()
    return python


def install_detectron2(python, kind):
    """Install detectron2 by its `kind`, "wheel" or "source".

    It has no official package. The wheel holds the Python code of the official commit. It is tagged for Python 3.10
    because of one compiled file, for operators that are not used here; all else runs on 3.11. pip checks its SHA-256.
    """
    if kind == "source":
        install(python, "detectron2, from its source", "--no-deps", "--no-build-isolation", SOURCE)
        return
    site = site_packages(python)
    foreign = ["--no-deps", "--only-binary=:all:", "--python-version", "3.10", "--upgrade", "--target", site]
    install(python, "detectron2", *foreign, "--require-hashes", "-r", "requirements-detectron2.txt")
    shutil.rmtree(os.path.join(site, "tools"), ignore_errors=True)  # scripts that the wheel drops among the packages


def compile_ahead(python):
    """Compile packages, but for their tests, to bytecode, and what evaluation needs to this processor's machine code.

    Where that fails, the first import or the first evaluation does it.
    """
    print("Compiled code", flush=True)
    quiet = {"cwd": str(ROOT), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    packages = ["-x", "/tests?/", site_packages(python)]
    bytecode = subprocess.Popen([str(python), "-m", "compileall", "-q", *packages], **quiet)
    subprocess.call([str(python), "-m", "bcnet.evaluation.warm"], **quiet)
    bytecode.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detectron2", choices=("wheel", "source"), default="wheel", help="where it is taken from")
    parser.add_argument(
        "--here", action="store_true", help="install into this Python, as in a container, not into .venv"
    )
    args = parser.parse_args()
    try:
        if args.detectron2 == "source":
            check_compiler()
        if args.here and sys.version_info[:2] != (3, 11):
            raise SetupError(f"--here: Python 3.11 is needed, {sys.executable} is {sys.version.split()[0]}")
        python = sys.executable if args.here else make_venv()
        install(python, "Packages", "--require-hashes", "-r", "requirements.lock")
        install_detectron2(python, args.detectron2)
        install(python, "bcnet", "--no-deps", "--no-build-isolation", "--editable", ".")
        compile_ahead(python)
    except SetupError as error:
        sys.exit(f"setup: {error}")
    except KeyboardInterrupt:
        sys.exit("setup: interrupted, the next make starts it anew")
    mark_finished()


if __name__ == "__main__":
    main()
