"""The validation curve of a training, and its best model so far."""

import csv
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from bcnet.files import atomic_output
from bcnet.models.segmenter import Segmenter
from bcnet.params.models import Schedule

METRICS = ("AP", "AP50", "AP75")
COLUMNS = ("iteration", *METRICS, "images", "annotations_sha256")


class Validate(Protocol):
    """AP of a model, on images of val that are always the same; `about` has the columns that say which."""

    about: Mapping[str, Any]

    def __call__(self, model: Segmenter, stop: Callable[[], bool]) -> dict[str, float | None] | None:
        """METRICS, 0 to 1, None: undefined; neither the model nor a random number changes.

        None for all: `stop` said so, which is asked before each image.
        """


class ValidationCurve:
    """The curve of a training: a row each `validate_every` iterations, and one for the last.

    Args:
        schedule: of the training.
        validate: measures; None: nothing is, and the curve stays empty.
    """

    def __init__(self, schedule: Schedule, validate: Validate | None) -> None:
        self.schedule, self.validate = schedule, validate
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}  # the tensors of the best row's model, on the CPU

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs of it."""
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, if that was measured on the same images; else begin anew."""
        about = self.validate.about if self.validate else {}
        if self.validate and all(row[key] == about[key] for row in state["rows"] for key in about):
            self.rows = state["rows"]
            self.best = {name: tensor.cpu() for name, tensor in state["best"].items()}

    @property
    def best_row(self) -> dict[str, Any] | None:
        """The row of the highest AP, the first of equal ones; None: no AP is known."""
        return max((row for row in self.rows if row["AP"] is not None), key=lambda row: row["AP"], default=None)

    def is_due(self, iteration: int) -> bool:
        """Whether a row is due after so many iterations, and is missing."""
        if self.validate is None or any(row["iteration"] == iteration for row in self.rows):
            return False
        return iteration in due(self.schedule)

    def measure(self, iteration: int, model: Segmenter, stop: Callable[[], bool] = lambda: False) -> str | None:
        """The row of an iteration, and the model, if it is the best so far.

        Args:
            iteration: how many are done.
            model: of that iteration.
            stop: whether to end without a row; it is asked often.

        Returns:
            The row for people; None: it was stopped.
        """
        assert self.validate is not None
        start = time.monotonic()
        numbers = self.validate(model, stop)
        if numbers is None:
            return None
        row = {"iteration": iteration, **numbers, **self.validate.about}
        self.rows.append(row)
        if self.best_row is row:
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        ap = "undefined" if row["AP"] is None else f"{100 * row['AP']:.2f}"
        return f"iteration {iteration}: AP {ap} on {row['images']} images of val  {time.monotonic() - start:.1f} s"

    def write(self, path: Path) -> None:
        """The curve as a table, APs in percent."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            shares = {name: None if row[name] is None else round(100 * row[name], 4) for name in METRICS}
            writer.writerow({**row, **shares})
        with atomic_output(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")


def due(schedule: Schedule) -> list[int]:
    """The iterations after which AP on val is measured."""
    if schedule.validate_every is None:
        return []
    return [*range(schedule.validate_every, schedule.iterations, schedule.validate_every), schedule.iterations]


def is_whole(path: Path, schedule: Schedule, validate: Validate) -> bool:
    """Whether a table is that of a training with that schedule, on these images.

    It may begin late: where validation was turned on in the middle of a training.
    """
    if not path.exists():
        return False
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8", errors="replace"))))
    about = {key: str(value) for key, value in validate.about.items()}
    wanted = [{"iteration": str(iteration), **about} for iteration in due(schedule)]
    return bool(rows) and [{key: row.get(key) for key in ("iteration", *about)} for row in rows] == wanted[-len(rows) :]
