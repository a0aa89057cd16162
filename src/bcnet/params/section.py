"""What the sections of `params.yaml` have in common."""

import re
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bcnet.files import shown

LARGEST = 10**9  # of all numbers: nothing that is counted or measured here is as large
UNPRINTABLE = "expected a text with a letter or digit and without control characters or line ends"


def _printable(text: str) -> str:
    if not text.isprintable() or not any(map(str.isalnum, text)):
        raise ValueError(f"{shown(text)}: {UNPRINTABLE}")
    return text


def _has_no_nul(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("expected a path without a zero byte")
    return path


def _is_one_path(path: Any) -> Any:
    """Snakemake takes {x} for a wildcard, DVC ${x} for a parameter, and x:// for a file of another machine."""
    if isinstance(path, str | Path) and (sign := re.search(r"[{}]|^[A-Za-z][\w+.-]*:/", str(path))):
        raise ValueError(f"{shown(str(path))}: has {sign[0]!r}: expected the path of a file, without {{ }} or ://")
    return path


# safe as a folder, a stage and a wildcard, and short enough for the names of files that are made of it
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]
Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]  # of a row of the tables
UserPath = Annotated[Path, AfterValidator(_has_no_nul)]
InputPath = Annotated[UserPath, BeforeValidator(_is_one_path)]  # that a stage depends on, so that both tools read it
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A mapping with fixed keys: an unknown key is an error, and values are not changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _numbers_make_sense(cls, values: Any) -> Any:
        """Refuse what pydantic would take for a number: true, infinities, and what is beyond all measure."""
        for key, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(key) if isinstance(key, str) else None
            if field is None:
                continue  # an unknown key, which is an error of its own
            for number in value if isinstance(value, list | tuple) else [value]:
                if isinstance(number, bool) and not _takes(field.annotation, bool):
                    raise ValueError(f"{key}: {str(number).lower()}: expected no truth value")
                if isinstance(number, int | float) and not abs(number) <= LARGEST:  # as of NaN
                    raise ValueError(f"{key}: {shown(number)}: expected a number up to {LARGEST}")
        return values


def _takes(kind: Any, member: type) -> bool:
    """Whether a value of this type is one of the types that an annotation is made of."""
    return kind in (member, Any) or any(_takes(part, member) for part in get_args(kind))
