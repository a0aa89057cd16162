"""A short run of the fuzzer, and what it would notice."""

import json
import os
import random
import time
from collections.abc import Callable

import fuzz_annotations
import pytest
from fuzz_oracle import depth, is_right

from bcnet.data.coco import annotation_rules


@pytest.fixture(autouse=True)
def any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow or busy machine is no fault of the program."""
    monkeypatch.setattr(fuzz_annotations, "HANGS", 600.0)
    monkeypatch.setattr(fuzz_annotations, "SLOW", 60.0)


def test_spoilt_files_are_taken_or_refused_rightly() -> None:
    kinds, wrong = fuzz_annotations.fuzz(300, seed=0)
    assert not wrong
    assert sum(kinds.values()) == 300
    assert kinds["accepted"] > 50
    assert len(kinds) > 20


def test_what_it_starts_from_is_right() -> None:
    for seed in range(100):
        assert is_right(json.dumps(fuzz_annotations.valid(random.Random(seed))).encode())


@pytest.mark.parametrize(
    ("part", "broken", "noticed"),
    [
        ("is_right", lambda _: os._exit(3), "case 0: ended the process with 3"),
        ("is_right", lambda _: [][0], "case 0: IndexError: list index out of range"),
        ("is_right", lambda _: True, "case 0: the oracle accepts it"),
        ("convert", lambda *_: None, "case 0: convert takes what read refuses"),
        ("main", lambda _: 1, "case 0: check says something else than read"),
    ],
)
def test_it_notices(part: str, broken: Callable, noticed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_annotations, "case", lambda *_: b"{}")
    monkeypatch.setattr(fuzz_annotations, part, broken)
    assert noticed in str(fuzz_annotations.fuzz(1, seed=0)[1])


def test_it_notices_what_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_annotations, "HANGS", 1.0)
    monkeypatch.setattr(fuzz_annotations, "is_right", lambda _: time.sleep(600))
    assert fuzz_annotations.fuzz(1, seed=0)[1] == ["case 0: hangs"]


def test_it_notices_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_annotations, "SLOW", 0.0)
    assert "case 0: it took" in str(fuzz_annotations.fuzz(1, seed=0)[1])


def test_it_notices_a_rule_that_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation_rules, "is_area", lambda _: True)
    assert "the oracle refuses it: accepted" in str(fuzz_annotations.fuzz(100, seed=0)[1])


def test_depth_is_that_of_the_lists_and_objects() -> None:
    assert [depth(text) for text in (b"1", b"[]", b'[{"a": [1]}, []]', b'["[[\\"[["]')] == [0, 1, 3, 1]
