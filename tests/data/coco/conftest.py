"""What tests of files in COCO's format share."""

import json

import pytest
from evaluation_factory import made

from bcnet.data.coco import prediction_file, prediction_format


@pytest.fixture
def read(tmp_path):
    """Read text or content as a file of predictions of `made(0)`."""

    def read(content: object, left_out: frozenset[int] = frozenset()) -> prediction_format.Predictions:
        path = tmp_path / "mine.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return prediction_file.read(path, made(0)[0], left_out)

    return read
