"""Seconds a picture: what is timed, also by a run that was killed, and what a speed file may say."""

import re
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bcnet.files import InputError, write_json
from bcnet.inference import chunks, speed
from bcnet.inference.speed import Speed, Times
from bcnet.parallel import Shard

KEYS = "device, pictures, median_seconds, mean_seconds, median_processor_seconds"
IMAGES = [{"id": index} for index in range(5)]
RIGHT = {"device": "CPU, 1 thread", "pictures": 2, "median_seconds": 0.5, "mean_seconds": 1}
RIGHT["median_processor_seconds"] = 0.25


class Model:
    """What stands for one: an image takes 1, 2, 4, 8 or 16 seconds, half of them the processor's.

    The model's `failing`-th image is its last one.
    """

    def __init__(self, patch: pytest.MonkeyPatch, failing: int = 99) -> None:
        self.now, self.left = 100.0, failing
        patch.setattr(chunks, "CHUNK", 2)
        patch.setattr(chunks.time, "perf_counter", lambda: self.now)
        patch.setattr(chunks.time, "process_time", lambda: self.now / 2)

    def __call__(self, image: dict) -> list[dict]:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        self.now += 2 ** image["id"]
        return [{"image_id": image["id"]}]


def timed(tmp_path: Path, model: Model, device: str = "first") -> list[Times]:
    chunks.predict_chunks(IMAGES, model, "predicting", tmp_path / "done", device)
    times, _ = chunks.join_chunks(IMAGES, tmp_path / "done", tmp_path / "out.json")
    model.now += 1000  # between two runs
    return times


def test_every_picture_is_timed_on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = timed(tmp_path, Model(monkeypatch))
    assert [part.seconds for part in parts] == [(1, 2), (4, 8), (16,)]
    assert [part.processor_seconds for part in parts] == [(0.5, 1), (2, 4), (8,)]
    right = Speed(device="first", pictures=5, median_seconds=4, mean_seconds=6.2, median_processor_seconds=2)
    assert speed.speed(parts, "first") == right


def test_waiting_is_time_of_the_clock_and_not_of_the_processor(tmp_path: Path) -> None:
    def waits(image: dict) -> list[dict]:
        time.sleep(0.2)
        return []

    def works(image: dict) -> list[dict]:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        return []

    took = {}
    for what in (waits, works):
        chunks.predict_chunks(IMAGES[:1], what, "", tmp_path / what.__name__, "CPU")
        parts, _ = chunks.join_chunks(IMAGES[:1], tmp_path / what.__name__, tmp_path / "out.json")
        took[what] = parts[0].seconds[0], parts[0].processor_seconds[0]
    assert took[waits][0] >= 0.2
    assert took[waits][1] < took[waits][0] - 0.1  # however long a busy machine made it wait
    assert min(took[works]) >= 0.2


def test_a_killed_run_keeps_the_times_of_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        timed(tmp_path, Model(monkeypatch, failing=4))
    parts = timed(tmp_path, Model(monkeypatch))
    assert [part.seconds for part in parts] == [(1, 2), (4, 8), (16,)]
    assert timed(tmp_path, Model(monkeypatch, failing=1)) == parts  # nothing is left to predict


@pytest.mark.parametrize("name", ["00000002.json", "00000002.seconds.json"])
@pytest.mark.parametrize("left", [None, "", "[", "{}"])
def test_half_a_chunk_is_predicted_again(
    left: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run leaves it that is killed while it removes the folder, and a disk that loses its power."""
    parts = timed(tmp_path, Model(monkeypatch))
    whole = (tmp_path / "out.json").read_bytes()
    path = tmp_path / "done" / name
    path.unlink() if left is None else path.write_text(left)
    model = Model(monkeypatch)
    assert timed(tmp_path, model) == parts
    assert model.left == 99 - 2
    assert (tmp_path / "out.json").read_bytes() == whole


def test_shards_are_the_chunks_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times, whole = timed(tmp_path, Model(monkeypatch)), (tmp_path / "out.json").read_bytes()
    model, done, out = Model(monkeypatch), tmp_path / "shards", tmp_path / "gathered.json"
    counts = [chunks.predict_chunks(IMAGES, model, "", done, "first", (k, 4)) for k in (4, 2, 1, 3)]
    assert counts == [0, 2, 2, 1]
    assert model.left == 99 - len(IMAGES)
    assert chunks.predict_chunks(IMAGES, model, "", done, "first") == len(IMAGES)
    assert model.left == 99 - len(IMAGES), "nothing was left to predict"
    assert chunks.join_chunks(IMAGES, done, out)[0] == times
    assert out.read_bytes() == whole


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 0), (-1, 2)])
def test_a_shard_that_does_not_exist_is_refused(shard: Shard, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^--shard {shard[0]}/{shard[1]}: expected two whole numbers K/N"):
        chunks.predict_chunks(IMAGES, lambda image: [], "", tmp_path, "first", shard)


def test_of_two_devices_the_one_that_went_on_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        timed(tmp_path, Model(monkeypatch, failing=3))
    found = speed.speed(timed(tmp_path, Model(monkeypatch), "second"), "second")
    mean = round(28 / 3, 6)
    assert found == Speed(device="second", pictures=3, median_seconds=8, mean_seconds=mean, median_processor_seconds=4)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_median_and_mean_are_those_of_all_pictures(count: int) -> None:
    seconds = np.random.default_rng(count).exponential(size=count)
    parts = [
        Times(device="a", seconds=tuple(part.tolist()), processor_seconds=tuple((part / 4).tolist()))
        for part in np.array_split(seconds, 3)
    ]
    found = speed.speed(parts, "a")
    ordered = sorted(seconds.tolist())
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    assert found.pictures == count
    assert found.median_seconds == pytest.approx(middle, abs=1e-6)
    assert found.median_processor_seconds == pytest.approx(middle / 4, abs=1e-6)
    assert found.mean_seconds == pytest.approx(statistics.fmean(ordered), abs=1e-6)


def test_without_pictures_there_is_a_file_all_the_same(tmp_path: Path) -> None:
    speed.write(tmp_path / "val.speed.json", speed.speed([], "CPU, 1 thread"))
    found = speed.read(tmp_path / "val.speed.json", Speed)
    assert (found.device, found.pictures, found.on_cpu) == ("CPU, 1 thread", 0, True)
    assert (found.median_seconds, found.mean_seconds, found.median_processor_seconds) == (None, None, None)


def test_a_device_is_named_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert speed.device_name(torch.device("cpu")) == "CPU, 3 threads"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA {device.index}")
    assert speed.device_name(torch.device("cuda", 1)) == "NVIDIA 1"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"median_seconds": -0.5}, "median_seconds: -0.5: input should be greater than or equal to 0"),
        ({"mean_seconds": "slow"}, "mean_seconds: 'slow': input should be a valid number"),
        ({"pictures": 1.5}, "pictures: 1.5: input should be a valid integer"),
        ({"pictures": None}, "pictures: None: input should be a valid integer"),
        ({"host": "mine"}, f"host: unknown key, legal here: {KEYS}"),
        ([1], f"[1]: expected an object of {KEYS}"),
        ("{", "not valid JSON (truncated?): "),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, change: object, line: str) -> None:
    path = tmp_path / "val.speed.json"
    if isinstance(change, str):
        path.write_text(change)
    else:
        write_json(path, RIGHT | change if isinstance(change, dict) else change)
    with pytest.raises(InputError, match=re.escape(f"{path}: {line}")) as error:
        speed.read(path, Speed)
    assert "\n" not in str(error.value)
