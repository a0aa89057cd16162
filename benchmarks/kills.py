"""Kills Snakemake or DVC at random moments, starts it again with the same command, and compares what it makes.

python benchmarks/kills.py {snakemake,dvc} [--kills 100] [--minutes M] [--seed 0] [--longest SECONDS] [--data]

It runs all stages on a few small images: without a kill for the hashes of its files, then again and again with kills,
each after up to `--longest` seconds, by default as many as the first run took: with fewer a training, which starts
for seconds, never comes to a checkpoint. `--data` runs the stages without models only, which are quick, so that a kill
is likelier to hit what the tool itself writes. `--minutes` ends it before all kills are done.

Half of the kills take the tool alone, so that the stage it was at goes on as an orphan; half take the stage as well, as
a machine that goes down does. Each run that ends by itself must have ended well and with equal hashes; then its files
are removed, and the next one begins. Seconds differ from run to run: what shows them is left out.
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
GRAPH = ["dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/plots", "Snakefile", "workflow", "profiles"]
GRAPH += ["reference", "pretrained"]
COMMANDS = {"snakemake": ["snakemake", "--cores", "1"], "dvc": ["bcnet", "run", "dvc"]}
DATA = {
    "snakemake": [f"data/demo/{name}.json" for name in ("splits/val", "splits/occluded", "bilayer/train")],
    "dvc": ["split@val", "split@occluded", "convert@train"],
}
LOCKS = {"snakemake": ".snakemake/locks/*.lock", "dvc": ".dvc/tmp/rwlock"}
MADE = ("data", "reports", "logs", ".snakemake", ".dvc/cache", ".dvc/tmp", "dvc.lock")
SPEED = re.compile(rb'<section id="size">.*?</section>', flags=re.DOTALL)


def project(folder: Path) -> None:
    """The graph, with six images of 64 pixels, six iterations, and for Snakemake two shards."""
    for name in GRAPH:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, target)
    yaml = YAML()
    params = yaml.load(ROOT / "presets/demo.yaml")
    del params["variants"]["mask-rcnn"]
    params["datasets"]["demo"] |= {"size": 64, "train": 6, "val": 4}
    params["schedule"] |= {"iterations": 6, "batch": 2, "warmup": 2, "short_side": [64], "max_side": 64}
    params["schedule"]["checkpoint_every"] = 2
    params["shards"] = 2
    params["predict"] |= {"short_side": 64, "max_side": 64}
    params["model"] |= {"rois": 16, "fpn_channels": 32, "box_channels": 32}
    params["evaluate"]["draws"] = 100
    yaml.dump(params, folder / "params.yaml")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)


def start(tool: str, targets: list[str], folder: Path, log: Path) -> subprocess.Popen:
    """The command for all or some stages, in a process group of its own."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", *COMMANDS[tool], *targets]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that stages make, but for times and what shows them."""
    digests = {}
    for top in ("data/demo", "reports"):
        for path in sorted((folder / top).rglob("*")):
            name = str(path.relative_to(folder))
            if path.name.startswith(".") or name.endswith((".speed.json", "speed.svg")) or not path.is_file():
                continue
            content = path.read_bytes()
            digests[name] = hashlib.sha256(
                SPEED.sub(b"", content) if path.name == "index.html" else content
            ).hexdigest()
    return digests


def remove(folder: Path) -> None:
    for name in MADE:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", choices=COMMANDS)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no kill follows")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--longest", type=float, help="seconds before a kill, at most")
    parser.add_argument("--data", action="store_true", help="the stages without models only")
    parser.add_argument("--folder", type=Path, help="a new folder to work in")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    log, draw = folder.with_suffix(".log"), random.Random(args.seed)
    project(folder)
    targets = DATA[args.tool] if args.data else []

    began = time.monotonic()
    if start(args.tool, targets, folder, log).wait():
        sys.exit(f"the undisturbed run failed: {log}")
    seconds = time.monotonic() - began
    print(f"undisturbed: {seconds:.0f} s", flush=True)
    expected = hashes(folder)
    remove(folder)
    kills = locks = ended = failed = different = 0
    while kills < args.kills and time.monotonic() - began < 60 * args.minutes:
        process = start(args.tool, targets, folder, log)
        alone = draw.random() < 0.5
        try:
            status = process.wait(timeout=draw.uniform(0.2, args.longest or seconds))
        except subprocess.TimeoutExpired:
            if alone:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            left = [path for path in folder.glob(LOCKS[args.tool]) if path.read_text() != '{"write": {}, "read": {}}']
            locks += bool(left)
            print(f"{kills} kills, {locks} left a lock, {ended} runs ended by themselves", flush=True)
            continue
        ended += 1
        failed += status != 0
        made = expected if status else hashes(folder)
        wrong = sorted(name for name in expected | made if expected.get(name) != made.get(name))
        different += bool(wrong)
        print(f"after {kills} kills: exit code {status}, other bytes: {', '.join(wrong) or 'none'}", flush=True)
        if status == 0:
            remove(folder)
    if start(args.tool, targets, folder, log).wait() or hashes(folder) != expected:
        failed += 1
    print(
        f"{args.tool}: {kills} kills, {locks} left a lock; {ended + 1} runs ended by themselves, {failed} of them badly"
    )
    print(f"{different} with other bytes than the undisturbed run; log: {log}")


if __name__ == "__main__":
    main()
