"""What unfinished work says of itself, so that `bcnet clean` can tell whether it will ever go on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bcnet.files import InputError, read_json, sha256, write_json
from bcnet.training.checkpoint import code_digest

NAME = "about.json"


@dataclass(frozen=True)
class About:
    """A note in the folder of a training's checkpoints, or of what is predicted so far.

    Attributes:
        makes: the file that the work ends with.
        inputs: SHA-256 by path of the files that it reads.
        code: `code_digest` of what runs it.
    """

    makes: str
    inputs: Mapping[str, str]
    code: str


def present_code() -> str:
    """The digest of this program's code."""
    return code_digest(Path(__file__).parents[1])


def note_about(folder: Path, makes: Path, inputs: list[Path]) -> None:
    """Put the note into a folder of unfinished work."""
    told = About(str(makes), {str(path): sha256(path) for path in inputs}, present_code())
    write_json(folder / NAME, asdict(told), keep_equal=True)


def about(folder: Path) -> About | None:
    """The note in a folder; None: there is none that can be read, as of an earlier version."""
    try:
        return About(**read_json(folder / NAME))
    except (InputError, TypeError):
        return None
