"""Thousands of spoilt annotation files: each must be taken or refused rightly, at once, and never crash anything.

python benchmarks/fuzz/fuzz_annotations.py [cases] [seed]
"""

import copy
import io
import json
import multiprocessing
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_oracle import depth, is_right

from bcnet.cli import main
from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import encode, run_lengths
from bcnet.data.occlusion.convert import convert
from bcnet.files import InputError
from bcnet.params.data import Convert

HANGS, SLOW = 30.0, 1.0  # seconds: without an answer; of processor time
WRITABLE = 254  # levels: orjson reads 1024
NUMBERS = (0, 1, -1, 2, 7, 2.0, 2.5, -0.0, 60, 1000, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30)
NUMBERS += (1e-320, 1e308, -1e308, float("nan"), float("inf"), -float("inf"))
TEXTS = ("", "3", "7.0", "a.png", "../a.png", "/a.png", "a/../b", "a\0b", "a\n", "\u2028", "\ud800", "nan", "x" * 9999)
TEXTS += ("\u00e9\u4e2d\U0001f600", "DEEP 3", "DEEP 240", "DEEP 500", "DEEP 2000")  # lists in lists in the file's text


def junk(rng: random.Random) -> Any:
    """A value that hardly ever belongs where it is put."""
    choices = (None, True, False, rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice(TEXTS), rng.choice(TEXTS))
    return rng.choice((*choices, [], {}, [[]], [{}], [rng.choice(NUMBERS) for _ in range(6)]))


def valid(rng: random.Random, objects: int | None = None) -> dict[str, Any]:
    """A small right file: polygons, both kinds of RLE, crowds, amodal keys, what may be left out.

    Args:
        objects: how many; None: one to six.
    """
    sizes = [(rng.randint(6, 40), rng.randint(6, 40)) for _ in range(rng.randint(1, 3))]
    images = [
        {"id": 3 * i + rng.randint(0, 2), "height": h, "width": w, "file_name": f"{i}.png"}
        for i, (h, w) in enumerate(sizes)
    ]
    categories = [{"id": i * i, "name": f"c{i}"} for i in range(1, rng.randint(2, 4))]
    annotations = []
    for number in range(rng.randint(1, 6) if objects is None else objects):
        image = rng.choice(images)
        h, w = image["height"], image["width"]
        x, y = rng.randint(0, w - 5), rng.randint(0, h - 5)
        right, bottom = rng.randint(x + 3, w), rng.randint(y + 3, h)
        mask = np.zeros((h, w), bool)
        mask[y:bottom, x:right] = True
        rle = encode(mask)
        runs = {"size": [h, w], "counts": run_lengths(rle["counts"]).tolist()}
        corners = [x + rng.choice((0, 0.25)), y, right, y, right, bottom, x, bottom]
        polygons = [[*corners, *corners[:2]], [x, y, right, y, right, bottom]][: rng.randint(1, 2)]
        annotation = {"id": 10 * number, "image_id": image["id"], "category_id": rng.choice(categories)["id"]}
        annotation |= {"segmentation": rng.choice((polygons, polygons, rle, runs)), "iscrowd": int(rng.random() < 0.2)}
        annotation |= {"bbox": [x, y, right - x, bottom - y], "area": (right - x) * (bottom - y)}
        if rng.random() < 0.3:
            annotation |= {"a_segm": polygons, "a_bbox": [x, y, 3, 3], "occluder": rle, "occlusion": {"box_cover": 0.5}}
        for key in ("iscrowd", "bbox", "area"):
            if rng.random() < 0.1:
                del annotation[key]
        annotations.append(annotation)
    return {"info": {"year": 2024}, "images": images, "annotations": annotations, "categories": categories}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or object of a content with each key or index of it."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def spoil(data: dict, rng: random.Random) -> None:
    """One change of a content, in place."""
    holder, key = rng.choice(list(places(data)))
    value = holder[key]
    kind = rng.random()
    if kind < 0.45:
        holder[key] = junk(rng)
    elif kind < 0.55:
        del holder[key]
    elif kind < 0.65 and isinstance(holder, list):
        holder.insert(rng.randint(0, len(holder)), copy.deepcopy(value))
    elif kind < 0.75 and isinstance(value, list):
        rng.shuffle(value)
    elif isinstance(value, str) and value:
        at, letter = rng.randrange(len(value)), rng.choice("0123456789:;?@AOPQ_`oz \u00e9")
        holder[key] = rng.choice((value[:at], value[at:], value[:at] + letter + value[at + 1 :], value + letter))
    elif isinstance(value, int | float):
        holder[key] = rng.choice((value + 1, -value, float(value), str(value), value * 1000, value + 0.5, bool(value)))
    else:
        other, place = rng.choice(list(places(data)))
        holder[key] = copy.deepcopy(other[place])


def spoilt_bytes(raw: bytes, rng: random.Random) -> bytes:
    """A few bytes cut, doubled, or replaced."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        start = rng.randrange(len(raw) + 1)
        end = min(len(raw), start + rng.choice((1, 1, 2, 10, 100)))
        some = rng.choice((rng.randbytes(1), rng.randbytes(4), b"[", b"}", b",", b"-", b"1e999", b"\xef\xbb\xbf", b""))
        before, cut, after = raw[:start], raw[start:end], raw[end:]
        raw = rng.choice(
            (before, before + after, before + some + cut + after, before + some + after, before + cut * 2 + after)
        )
    return raw


def case(number: int, seed: int) -> bytes:
    """The spoilt file with this number."""
    rng = random.Random(f"{seed} {number}")
    data = valid(rng)
    in_bytes = rng.random() < 0.25
    for _ in range(0 if in_bytes else rng.choice((0, 1, 1, 1, 2, 3))):
        spoil(data, rng)
    text = re.sub(r'"DEEP (\d+)"', lambda deep: "[" * int(deep[1]) + "]" * int(deep[1]), json.dumps(data))
    raw = text.encode()
    for _ in range(rng.choice((1, 1, 2, 5)) if in_bytes else 0):
        start = rng.randrange(len(raw) + 1)
        end = min(len(raw), start + rng.choice((1, 1, 2, 10, 100)))
        before, cut, after = raw[:start], raw[start:end], raw[end:]
        some = rng.choice((rng.randbytes(1), rng.randbytes(4), b"[", b"}", b",", b"-", b"1e999", b"\xef\xbb\xbf"))
        raw = rng.choice(
            (before, before + after, before + some + cut + after, before + cut + cut + after, before + some + after)
        )
    return raw


def judge(raw: bytes, folder: Path) -> tuple[str, list[str]]:
    """Run a file through everything: how it was taken, and what is wrong with that."""
    path, out = folder / "case.json", folder / "out.json"
    path.write_bytes(raw)
    out.unlink(missing_ok=True)
    kind, wrong, right = "accepted", [], is_right(raw)
    started = time.process_time()
    try:
        annotation_file.read(path)
    except InputError as error:
        kind = re.sub(r"^\S+( at place)? \d+( \(from 0\))?:? |[-\d'\"\[{(].*", "", str(error).removeprefix(f"{path}: "))
        if len(str(error).splitlines()) != 1 or not str(error).startswith(f"{path}: ") or len(str(error)) > 1000:
            wrong.append(f"not one line that names the file: {error}")
    accepted = kind == "accepted"
    if accepted != right:
        wrong.append(f"the oracle {'accepts' if right else 'refuses'} it: {kind}")
    try:
        convert(path, out, Convert(), 1)
        if not accepted:
            wrong.append("convert takes what read refuses")
    except InputError as error:
        if accepted and depth(raw) <= WRITABLE - 2:
            wrong.append(f"convert refuses: {error}")
    if main(["check", str(path)]) != (0 if accepted else 2):
        wrong.append("check says something else than read")
    out.unlink(missing_ok=True)
    mended = main(["check", str(path), "--fix", str(out)]) == 0
    if mended != out.exists() or (accepted and not mended and depth(raw) <= WRITABLE):
        wrong.append("check --fix: exit code and file do not fit")
    if mended and (not is_right(out.read_bytes()) or main(["check", str(out)]) != 0):
        wrong.append("what check --fix wrote is not right")
    if (seconds := time.process_time() - started) > SLOW:
        wrong.append(f"it took {seconds:.1f} s")
    return kind, wrong


def _work(numbers: range, seed: int, connection: Any) -> None:
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        path = Path(folder) / "first.json"
        path.write_text(json.dumps(valid(random.Random(0))))
        convert(path, path.with_stem("out"), Convert(), 1)  # compiles what it uses first, which is not timed
        connection.send("ready")
        for number in numbers:
            try:
                answer = judge(case(number, seed), Path(folder))
            except Exception as error:  # whatever escapes is what this looks for
                answer = "crashed", [f"{type(error).__name__}: {error!s:.200}"]
            connection.send((number, *answer))


def fuzz(cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Judge all cases in a process that may crash or hang: counts of how they were taken, and what is wrong."""
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    done = 0
    while done < cases:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.get_context("fork").Process(target=_work, args=(range(done, cases), seed, theirs))
        worker.start()
        theirs.close()
        hangs = False
        try:
            ours.recv()
            while done < cases:
                if hangs := not ours.poll(HANGS):
                    raise EOFError
                number, kind, found = ours.recv()
                kinds[kind] += 1
                wrong += [f"case {number}: {each}" for each in found]
                done += 1
        except EOFError:
            if not hangs:
                worker.join()
            wrong.append(f"case {done}: " + ("hangs" if hangs else f"ended the process with {worker.exitcode}"))
            done += 1
        worker.kill()
        worker.join()
    return kinds, wrong


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    total, first_seed = (arguments + [10_000, 0][len(arguments) :])[:2]
    taken, problems = fuzz(total, first_seed)
    print(f"{total} cases, seed {first_seed}: {taken['accepted']} accepted, {total - taken['accepted']} refused:")
    for name, times in taken.most_common():
        print(f"{times:7} {name}")
    print(*problems, f"{len(problems)} wrong", sep="\n")
    sys.exit(bool(problems))
