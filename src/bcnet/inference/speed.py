"""How long a model takes for a picture: measured while it predicts, shown by the report.

By the clock, and by the processor, which does not count the time for which other work had it (but the busy waiting of
threads for each other).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, TypeVar

import torch
from pydantic import Field, ValidationError

from bcnet.files import InputError, read_json, shown, write_json
from bcnet.params.section import Section
from bcnet.validation import one_line

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
CPU = "CPU"  # with which the name of each begins


class Times(Section):
    """Seconds of reading, model, pasting and encoding of some pictures, each, and the device that took them.

    Attributes:
        device: its name.
        seconds: by the clock.
        processor_seconds: of the host's processor, of all threads together.
    """

    device: str
    seconds: tuple[Seconds, ...]
    processor_seconds: tuple[Seconds, ...]


class Speed(Section):
    """What a speed file (`SPLIT.speed.json`) says: seconds a picture on a device; null where no picture was timed."""

    device: str
    pictures: Annotated[int, Field(ge=0)]
    median_seconds: Seconds | None
    mean_seconds: Seconds | None
    median_processor_seconds: Seconds | None

    @property
    def on_cpu(self) -> bool:
        """Whether the host's processor did all the work, so that its time is what the model took."""
        return self.device.startswith(CPU)


Content = TypeVar("Content", Times, Speed)


def device_name(device: torch.device) -> str:
    """A GPU's name as torch gives it, or a CPU with the number of torch's threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{CPU}, {threads} thread{'s' if threads > 1 else ''}"


def speed(parts: Sequence[Times], device: str) -> Speed:
    """The speed of one device.

    Args:
        parts: times in the order in which they were taken. Where a killed run went on on another device, those of that
            one count.
        device: the device where there are none.
    """
    device = parts[-1].device if parts else device
    of_device = [part for part in parts if part.device == device]
    seconds = [second for part in of_device for second in part.seconds]
    processor = [second for part in of_device for second in part.processor_seconds]
    return Speed(
        device=device,
        pictures=len(seconds),
        median_seconds=_rounded(median, seconds),
        mean_seconds=_rounded(fmean, seconds),
        median_processor_seconds=_rounded(median, processor),
    )


def _rounded(statistic: Callable[[Sequence[float]], float], seconds: Sequence[float]) -> float | None:
    return round(statistic(seconds), 6) if seconds else None


def write(path: Path, content: Times | Speed) -> None:
    """Write times or a speed as JSON, atomically."""
    write_json(path, content.model_dump(mode="json"), indent=True)


def read(path: Path, kind: type[Content]) -> Content:
    """What `write` wrote.

    Raises:
        InputError: the file is missing, not JSON, or a value is not what it should be, which it names.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: {shown(content)}: expected an object of {', '.join(kind.model_fields)}")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {one_line(error, kind)}") from error
