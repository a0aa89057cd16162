"""Rows of the validation curve: which iterations and images they are of, which is the best, when all are there."""

from pathlib import Path

import pytest
import torch

from bcnet.inference.validation import spread_part
from bcnet.params.models import Schedule
from bcnet.training.curve import ValidationCurve, due, is_whole

SCHEDULE = {"iterations": 12, "batch": 1, "lr": 0.1, "short_side": [64], "max_side": 64}


@pytest.mark.parametrize(("every", "iterations"), [(None, []), (5, [5, 10, 12]), (6, [6, 12]), (12, [12]), (99, [12])])
def test_the_last_iteration_is_always_measured(every: int | None, iterations: list[int]) -> None:
    assert due(Schedule.model_validate({**SCHEDULE, "validate_every": every})) == iterations


class Measure:
    """Gives these APs in turn."""

    def __init__(self, *aps: float, images: int = 2) -> None:
        self.aps, self.about = list(aps), {"images": images, "annotations_sha256": "ab"}

    def __call__(self, model, stop):
        return None if stop() else dict.fromkeys(("AP", "AP50", "AP75"), self.aps.pop(0))


class Model:
    def __init__(self, value: int) -> None:
        self.value = value

    def state_dict(self):
        return {"x": torch.tensor(self.value)}


def test_of_equal_aps_the_first_is_the_best_and_its_tensors_are_kept(tmp_path: Path) -> None:
    schedule = Schedule.model_validate({**SCHEDULE, "validate_every": 4})
    validation = ValidationCurve(schedule, Measure(0.1, 0.3, 0.3))
    for iteration in due(schedule):
        validation.measure(iteration, Model(iteration))
    assert validation.best_row["iteration"] == 8
    assert validation.best["x"] == 8
    assert not any(validation.is_due(iteration) for iteration in due(schedule))
    stopped = ValidationCurve(schedule, Measure(0.1))
    assert stopped.measure(4, Model(4), lambda: True) is None
    assert (stopped.rows, stopped.is_due(4), stopped.is_due(5)) == ([], True, False)
    other = ValidationCurve(schedule, Measure(images=3))
    other.load_state_dict(validation.state_dict())
    assert (other.rows, other.best) == ([], {})  # of other images
    path = tmp_path / "curve.csv"
    assert not is_whole(path, schedule, validation.validate)
    validation.write(path)
    assert is_whole(path, schedule, validation.validate)
    assert not is_whole(path, schedule, other.validate)
    validation.rows = validation.rows[1:]  # turned on later
    validation.write(path)
    assert is_whole(path, schedule, validation.validate)
    assert not is_whole(path, Schedule.model_validate({**SCHEDULE, "validate_every": 5}), validation.validate)
    path.write_bytes(path.read_bytes()[:-20] + b"\xff")
    assert not is_whole(path, schedule, validation.validate)


@pytest.mark.parametrize(("images", "chosen"), [(1, [1]), (2, [1, 5]), (4, [1, 2, 5, 7]), (9, [1, 2, 3, 5, 6, 7, 8])])
def test_the_part_of_val_is_spread_over_all_ids(images: int, chosen: list[int]) -> None:
    content = {
        "images": [{"id": id} for id in (8, 7, 6, 5, 3, 2, 1)],
        "annotations": [{"image_id": id} for id in (1, 7, 8)],
    }
    part = spread_part(content, images)
    assert [image["id"] for image in part["images"]] == chosen
    assert [each["image_id"] for each in part["annotations"]] == [id for id in (1, 7, 8) if id in chosen]
