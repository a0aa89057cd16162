"""Where a training begins: it is finished, goes on from a checkpoint, or begins at 0. The first process decides."""

from pathlib import Path
from typing import Any

from bcnet.layout import RunFiles
from bcnet.training.checkpoint import load_checkpoint, newest_checkpoint, take_results
from bcnet.training.curve import ValidationCurve, is_whole
from bcnet.training.progress import Training, say
from bcnet.training.together import Together
from bcnet.unfinished.folder import RESULTS, of_other_settings


def is_finished(name: str, folder: Path, out: RunFiles, curve: ValidationCurve, together: Together) -> bool:
    """Whether a training is finished already; its files are where they belong then. In all processes the same.

    Args:
        name: of the variant, for messages.
        folder: of its unfinished work, which keeps the files of a finished one.
        out: where they belong.
        curve: nothing is measured yet; validates as this training is to.
        together: all processes.
    """
    return together.of_first(together.rank == 0 and _take(name, folder, out, curve))


def _take(name: str, folder: Path, out: RunFiles, curve: ValidationCurve) -> bool:
    results = [out.model, out.training_log, out.validation_curve]
    if curve.validate or (folder / out.best_model.name).exists():
        results.append(out.best_model)
    if curve.validate and not is_whole(folder / out.validation_curve.name, curve.schedule, curve.validate):
        if (folder / RESULTS).exists():
            say(0, f"{name}: trained already, but without this validation: trains again")
        return False
    if not take_results(folder, results):
        return False
    say(0, f"{name}: already trained, {out.model} is unchanged")
    return True


def resume(training: Training, curve: ValidationCurve, together: Together, folder: Path, anyway: bool) -> None:
    """Go on from the newest checkpoint that the first process can read, if there is one.

    Args:
        training: at its start.
        curve: nothing is measured yet.
        together: all processes.
        folder: of its unfinished work.
        anyway: where it has no checkpoint, go on from one of other settings (`of_other_settings`).

    Raises:
        InputError: another process cannot read it.
    """
    path, state, before = _newest(folder, anyway) if together.rank == 0 else (None, None, {})
    path, before = together.of_first((path, before))
    if path and together.rank > 0:
        state = load_checkpoint(path)
    together.check_same({"the checkpoint to resume from": None if state is None else state["log"]["iteration"]})
    if state is None:
        return
    training.load_state_dict(state)
    curve.load_state_dict(state["validation"])
    until = ""
    if before:
        until = f", until which it had {', '.join(f'{key} {value}' for key, value in before.items())}"
        training.log["resumed"].append({"until": training.iteration, **before})
    say(together.rank, f"{training.name}: resuming at iteration {training.iteration}{until}")


def _newest(folder: Path, anyway: bool) -> tuple[Path | None, dict[str, Any] | None, dict[str, Any]]:
    """The newest checkpoint, its state, and which settings were others until then."""
    if newest := newest_checkpoint(folder):
        return *newest, {}
    other = of_other_settings(folder) if anyway else None
    if other and (newest := newest_checkpoint(other[0])):
        return *newest, other[1]
    return None, None, {}
