"""What predictions of any pictures call these."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bcnet.files import InputError


def image_ids(pictures: Sequence[Path]) -> list[str]:
    """An `image_id` for each picture: its file name, or where two have one name, all their paths below a common folder.

    Raises:
        InputError: the same picture twice.
    """
    places = [Path(os.path.normpath(path.absolute())) for path in pictures]
    for path, times in Counter(places).items():
        if times > 1:
            raise InputError(f"{path}: given {times} times, expected different images")
    names = [path.name for path in pictures]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([place.parent for place in places])
    return [place.relative_to(common).as_posix() for place in places]
