"""Official files are told by the names of their tensors: each is of one kind, whatever the order of the table."""

import json

import pytest
from places import GOLDEN

from bcnet.weights.official import KINDS

FILES = {path.parent.relative_to(GOLDEN).as_posix(): path for path in sorted(GOLDEN.rglob("state.json"))}


@pytest.mark.parametrize("model", FILES)
def test_the_authors_files_are_of_one_kind_each(model: str) -> None:
    names = set(json.loads(FILES[model].read_text()))
    (kind,) = (kind for kind in KINDS if kind.has(names))
    assert kind.method == {"centermask2": "centermask"}.get(model, model.partition("/")[0])
    if kind.method == "condinst":
        assert kind.name == "released CondInst"
        (semantic,) = (kind for kind in KINDS if kind.has(names | {"mask_branch.logits.weight"}))
        assert semantic.name == "released CondInst with semantic loss"


def test_each_kind_of_the_golden_files_is_another() -> None:
    assert len(FILES) == 10
    kinds = {
        next(kind.name for kind in KINDS if kind.has(set(json.loads(path.read_text())))) for path in FILES.values()
    }
    assert len(kinds) == 10
