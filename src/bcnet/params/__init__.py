"""The parameters of a run: what `params.yaml` may say, checked before any work is done.

The classes here are the schema: their fields are the legal keys, their types the legal values. `config/README.md`
explains each for users; `workflow/schemas/params.schema.json` is generated from them.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bcnet.files import InputError
from bcnet.layout import IMPORTED
from bcnet.params.data import Convert, Dataset, Shapes, Split, Synthetic
from bcnet.params.methods import METHODS, AnyVariant
from bcnet.params.models import Model, RunPredict, Schedule
from bcnet.params.reference import check_published
from bcnet.params.results import Brought, Evaluate, Imported, Tables
from bcnet.params.section import Name, Section
from bcnet.params.variants import Variant
from bcnet.suggest import legal
from bcnet.validation import one_line

PARAMS = Path("params.yaml")
PRESETS = Path("presets")
T = TypeVar("T")


class Params(Section):
    """All of `params.yaml`. Every section must be there, an empty one as `{}`: DVC knows no defaults.

    `shards` is no section: it is of how the work is shared out, and no stage of DVC reads it.
    """

    dataset: Name
    datasets: dict[Name, Dataset]
    synthetic: dict[Name, Synthetic]
    convert: Convert
    splits: dict[Name, Split]
    train_on: Name
    schedule: Schedule
    model: Model
    predict: RunPredict
    evaluate: Evaluate
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**20, strict=True)], ...] = Field(min_length=1)  # DVC takes the text
    variants: dict[Name, AnyVariant] = Field(min_length=1)
    imported: dict[Name, Imported]
    predictions: dict[Name, Brought]
    tables: Tables
    shards: int = Field(1, ge=1, le=10_000)  # in which Snakemake converts and predicts

    @model_validator(mode="after")
    def _data_fit(self) -> "Params":
        if self.dataset not in self.datasets:
            raise ValueError(f"dataset: {self.dataset!r} is not one of datasets{legal(self.dataset, self.datasets)}")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} names a seed twice")
        if "val" not in self.splits:
            raise ValueError("splits: needs one named val: the report takes its images from it")
        if taken := sorted({"train", "val", "test"} & self.synthetic.keys()):
            raise ValueError(f"synthetic: {taken[0]!r} is the name of a part of every dataset")
        if self.train_on not in ("train", *self.synthetic):
            names = ", ".join(["train", *self.synthetic])
            raise ValueError(f"train_on: {self.train_on!r} is neither train nor one of synthetic ({names})")
        return self

    @model_validator(mode="after")
    def _rows_differ(self) -> "Params":
        if both := sorted(self.variants.keys() & self.predictions.keys()):
            raise ValueError(f"predictions: {both[0]!r} is already the name of a variant")
        if both := sorted(self.imported.keys() & (self.variants.keys() | self.predictions.keys())):
            raise ValueError(f"imported: {both[0]!r} is already the name of a variant or of predictions")
        labels = [variant.label or name for name, variant in self.variants.items()]
        labels += [model.label for model in self.imported.values()]
        labels += [brought.label for brought in self.predictions.values()]
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise ValueError(f"label: {twice[0]!r} is used twice: rows of tables need different labels")
        return self

    @model_validator(mode="after")
    def _tables_fit(self) -> "Params":
        if self.tables.published and isinstance(self.datasets[self.dataset], Shapes):
            raise ValueError("tables.published: synthetic data is not comparable with published numbers, use []")
        methods = [*self.variants, *self.imported, *self.predictions]
        for name, wanted in self.tables.reproduces.items():
            _one_of(methods, name, "the methods", "tables.reproduces")
            _one_of(self.tables.published, wanted.table, "tables.published", f"tables.reproduces.{name}.table")
            _one_of(self.splits, wanted.split, "splits", f"tables.reproduces.{name}.split")
        if unknown := [name for name in self.tables.compare_to if name not in methods]:
            names = f"a variant nor one of imported or predictions ({', '.join(methods)})"
            raise ValueError(f"tables.compare_to: {unknown[0]!r} is neither {names}")
        for key, listed in (("compare_to", self.tables.compare_to), ("published", self.tables.published)):
            if len(set(listed)) != len(listed):
                raise ValueError(f"tables.{key}: {list(listed)} names one twice")
        return self

    @model_validator(mode="after")
    def _variants_fit(self) -> "Params":
        views = (1 + self.predict.flip) * (1 + len(self.predict.extra_short_sides))
        for name, variant in self.variants.items():
            schedule = self.schedule_of(name)
            if self.predict.checkpoint == "best" and schedule.validate_every is None:
                raise ValueError(f"predict.checkpoint: best needs schedule.validate_every, which {name} has not")
            if views > 1 and not METHODS[variant.method].merges_views:
                raise ValueError(f"variants.{name}: method: {variant.method}: sees one view only, see `predict`")
        return self

    def schedule_of(self, variant: str) -> Schedule:
        """The schedule that a variant is trained with: the shared one, with the variant's own keys replaced.

        Raises:
            ValueError: the variant's keys do not make a legal schedule.
        """
        own = self.variants[variant].schedule
        try:
            return Schedule.model_validate({**self.schedule.model_dump(), **own})
        except ValidationError as error:
            raise ValueError(f"variants.{variant}.schedule.{one_line(error, Schedule)}") from error

    def remarks(self, *variants: str) -> list[str]:
        """What is legal but hardly meant in the schedules of variants, by default of all, a line each."""
        lines = []
        for name in variants or self.variants:
            key = f"variants.{name}.schedule" if self.variants[name].schedule else "schedule"
            lines += [f"{key}.{line}" for line in self.schedule_of(name).remarks()]
        return list(dict.fromkeys(lines))

    def variant(self, name: str) -> Variant:
        """The variant of that name; the other methods do the same for their sections.

        Raises:
            InputError: there is none.
        """
        return _entry("variants", self.variants, name)

    def run(self, name: str, seed: int) -> str:
        """The folder of a model below its name: the seed of a variant, `imported` of an imported model.

        Raises:
            InputError: there is neither a variant nor an imported model of that name.
        """
        if name in self.imported:
            return IMPORTED
        self.variant(name)
        return str(seed)

    def dataset_named(self, name: str) -> Dataset:
        return _entry("datasets", self.datasets, name)

    def synthetic_named(self, name: str) -> Synthetic:
        return _entry("synthetic", self.synthetic, name)

    def split_named(self, name: str) -> Split:
        return _entry("splits", self.splits, name)

    def imported_named(self, name: str) -> Imported:
        return _entry("imported", self.imported, name)

    def brought(self, name: str) -> Brought:
        return _entry("predictions", self.predictions, name)


def _one_of(names: Collection[str], name: str, section: str, key: str) -> None:
    if name not in names:
        raise ValueError(f"{key}: {name!r} is not one of {section}{legal(name, names)}")


def _entry(section: str, entries: dict[str, T], name: str) -> T:
    if name not in entries:
        raise InputError(f"{PARAMS}: {section}: no {name!r}{legal(name, entries)}")
    return entries[name]


def load(path: Path = PARAMS) -> Params:
    """Read and check a params file.

    Raises:
        InputError: missing, not YAML, a key twice, or a key or value that is not legal; the line names the legal ones.
            Also for a published table or row that reference/results.yaml does not have.
    """
    content = _parsed(path)
    if content is None:
        raise InputError(f"{path}: an empty file, expected the sections of a run{_made()}")
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {one_line(error, Params)}") from error
    check_published(params.tables)
    return params


def _made() -> str:
    """How to get a params file, for a line. Presets lie in a clone of the project; an installed package has none."""
    if PRESETS.is_dir():
        return " (`bcnet preset demo` makes one)"
    return ": run this in a clone of bcnet's repository, where `bcnet preset demo` makes one"


def _parsed(path: Path) -> Any:
    """What a YAML file says.

    Raises:
        InputError: missing, no UTF-8, or not YAML.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return YAML(typ="safe", pure=True).load(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}{_made()}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        what = f"byte 0x{error.object[error.start]:02x} is no UTF-8: save the file as UTF-8"
        raise InputError(f"{path}:{line}: {what}") from error
    except DuplicateKeyError as error:
        raise InputError(f"{path}:{error.problem_mark.line + 1}: {str(error.problem).splitlines()[0]}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: not valid YAML: {' '.join(str(error.problem).split())}") from error
    except RecursionError as error:
        raise InputError(f"{path}: not valid YAML: nested too deeply") from error
    except (YAMLError, ValueError, TypeError, OverflowError) as error:  # control characters, dates that are none
        why = " ".join(str(error).split())
        why = "a number of too many digits" if "int_max_str_digits" in why else why
        raise InputError(f"{path}: not valid YAML: {why}") from error


def schema() -> dict[str, Any]:
    """The JSON schema of params.yaml, for editors and for Snakemake."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
