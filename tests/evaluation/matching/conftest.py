"""What tests of `bcnet evaluate` share."""

import json

import pytest

from bcnet.evaluation.evaluate import evaluate
from bcnet.params.results import Evaluate

SETTINGS = Evaluate()


@pytest.fixture
def run(tmp_path):
    """Evaluate contents, not files; the metrics come back."""

    def run(
        truth: object, predictions: object, provenance: object = None, name: str = "out", settings: Evaluate = SETTINGS
    ) -> dict:
        for file, content in (("truth.json", truth), ("mine.json", predictions), ("mine.provenance.json", provenance)):
            if content is not None:
                (tmp_path / file).write_text(json.dumps(content))
        evaluate(tmp_path / "truth.json", tmp_path / "mine.json", tmp_path / f"{name}.json", settings)
        return json.loads((tmp_path / f"{name}.json").read_text())

    return run
