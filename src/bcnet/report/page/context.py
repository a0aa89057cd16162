"""What every section of the report's page is made from: the run, its files, and the look of its methods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from bcnet import layout
from bcnet.data.coco import annotation_file
from bcnet.drawing.figures import Look, look
from bcnet.files import read_json
from bcnet.layout import DatasetFiles, ReportFiles
from bcnet.params import Params
from bcnet.report.tables.measured import is_there, read_table_of
from bcnet.report.tables.rows import Method, evaluate_command, methods

Data = TypeVar("Data")


@dataclass(frozen=True)
class Context:
    """A run as its report reads it.

    `data` and `reports` are the folders of the run's dataset; `missing` gets a line for each file that a section would
    have shown and that is not there yet.
    """

    params: Params
    data: Path
    reports: Path
    missing: list[str] = field(default_factory=list)
    _shared: dict[Callable[..., Any], Any] = field(default_factory=dict)

    @cached_property
    def looks(self) -> dict[Method, Look]:
        """The run's methods in the order of params.yaml, each with its colour and marker."""
        return {method: look(index) for index, method in enumerate(methods(self.params))}

    @property
    def files(self) -> DatasetFiles:
        """Where the dataset's files lie."""
        return DatasetFiles(self.data)

    @property
    def report_files(self) -> ReportFiles:
        """Where those of the results lie."""
        return ReportFiles(self.reports)

    @property
    def tables(self) -> Path:
        """The folder of the tables that `bcnet compare` wrote."""
        return self.report_files.tables

    @property
    def pictures(self) -> Path:
        """The folder of the pictures of val."""
        return self.files.images("val")

    @property
    def val_file(self) -> Path:
        """The annotation file of the split val."""
        return self.files.split("val")

    @cached_property
    def val(self) -> dict[str, Any]:
        """The content of `val_file`, checked.

        Raises:
            InputError: it is no annotation file.
        """
        return annotation_file.read(self.val_file)

    def metrics(self, method: Method, run: str, split: str) -> Path:
        """The metrics of one of a method's runs on a split; the table of objects lies beside them."""
        return self.report_files.metrics(method.name, run, split)

    def object_file(self, method: Method) -> Path:
        """The table of objects that `bcnet evaluate` wrote of a method's first run on val."""
        return layout.object_table(self.metrics(method, method.runs[0], "val"))

    def objects(self, method: Method, columns: Sequence[str]) -> pd.DataFrame | None:
        """Columns of that table, a row an object; None where it is missing.

        `missing` gets a line about it, unless the metrics beside it are missing as well: these have one already.

        Raises:
            InputError: it is none, or lacks a column; the line names the command that makes it.
        """
        file, metrics = self.object_file(method), self.metrics(method, method.runs[0], "val")
        command = evaluate_command(metrics, method, self.params.dataset)
        if not metrics.exists() or not is_there(file, command, self.missing):
            return None
        return read_table_of(file, columns, command).to_pandas()

    def boxes(self, method: Method, split: str = "val") -> bool:
        """Whether a method's predictions were evaluated as boxes on a split; false where they were not evaluated."""
        path = self.metrics(method, method.runs[0], split)
        return path.exists() and read_json(path)["provenance"]["iou_type"] == "bbox"

    def predictions(self, method: Method) -> Path:
        """The predictions of a method's first run on val."""
        return self.files.run(method.name, method.runs[0]).predictions()

    def model(self, name: str, run: str) -> Path:
        """The model file of one of a method's runs."""
        return self.files.run(name, run).model

    def once(self, function: Callable[["Context"], Data]) -> Data:
        """What a function gives of this context, computed at the first call: for sections that share it."""
        if function not in self._shared:
            self._shared[function] = function(self)
        return self._shared[function]
