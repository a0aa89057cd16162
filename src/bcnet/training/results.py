"""What a finished training leaves."""

from pathlib import Path
from typing import Any

from bcnet.files import atomic_output
from bcnet.layout import RunFiles
from bcnet.training.curve import ValidationCurve
from bcnet.training.progress import Training
from bcnet.weights.model_file import save_model


def write_results(out: RunFiles, training: Training, curve: ValidationCurve, description: dict[str, Any]) -> list[Path]:
    """Write the model, the log, the validation curve, and the best model of that, if it has one.

    Args:
        out: where they go.
        training: all iterations are done.
        curve: all rows are measured.
        description: of the model's file, with its provenance.

    Returns:
        The files.
    """
    with atomic_output(out.training_log) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in training.log["lines"]))
    save_model(out.model, training.model.state_dict(), description)
    curve.write(out.validation_curve)
    written = [out.model, out.training_log, out.validation_curve]
    if curve.best_row is None:
        out.best_model.unlink(missing_ok=True)  # of a training before
        return written
    of_best = {**description, "provenance": {**description["provenance"], "best": curve.best_row}}
    save_model(out.best_model, curve.best, of_best)
    return [*written, out.best_model]
