"""What Python and PyTorch say where there is no more memory, in a line."""

import re

ASKED = re.compile(r"tried to allocate (?P<size>[\d.]+ ?\w+)", re.IGNORECASE)


def out_of_memory(error: BaseException) -> str | None:
    """The line for an error that says that memory has run out; None: it says something else."""
    text = str(error)
    on_gpu = type(error).__name__ == "OutOfMemoryError"  # PyTorch's, which is not loaded for this
    if not (on_gpu or isinstance(error, MemoryError) or "can't allocate memory" in text):
        return None
    asked = ASKED.search(text)
    much = f" for {asked['size']} more" if asked else ""
    where = "GPU" if on_gpu else "machine"
    return f"no memory is left on the {where}{much}: take smaller batches or images, or fewer --jobs"
