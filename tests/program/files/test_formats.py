"""docs/formats.md names the keys and columns of the files as they are written."""

import re

import pytest
from places import ROOT

from bcnet.data.occlusion.convert import COLUMNS as OCCLUSION_TABLE
from bcnet.data.occlusion.convert import OCCLUDER_KEY
from bcnet.evaluation.matching import object_table
from bcnet.evaluation.metrics.coco_ap import NAMES
from bcnet.evaluation.metrics.failures import NAMES as FAILURES
from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE, EQUAL_SIZE_GAP, GAP, KEPT
from bcnet.inference.speed import Speed
from bcnet.report.tables import ablation_steps, comparison, differences, intervals, occlusion, published
from bcnet.unfinished.folder import About

TEXT = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"`([^`\n]+)`", TEXT))
MATCHED_BETWEEN = set(object_table.MATCHED) - {"matched_50", "matched_55", "matched_95"}  # "…" in the document
OTHERS = {f"{name}_occluded" for name in FAILURES[2:]} | {f"tide_{kind}" for kind in occlusion.TIDE[1:]}  # "and so on"


@pytest.mark.parametrize(
    "names",
    [
        OCCLUSION_TABLE,
        OCCLUDER_KEY.values(),
        set(object_table.SCHEMA.names) - MATCHED_BETWEEN,
        NAMES,
        FAILURES,
        occlusion.TIDE,
        Speed.model_fields,
        About.__dataclass_fields__,
        comparison.ABOUT,
        set(occlusion.BENCHMARK) - OTHERS,
        [*occlusion.BIN, *occlusion.IN_BINS],
        occlusion.CATEGORY,
        [*differences.KEYS, *differences.NUMBERS, "verdict"],
        intervals.COLUMNS,
        [GAP, EQUAL_SIZE, EQUAL_SIZE_GAP, KEPT],
        ablation_steps.SWITCH,
        published.COLUMNS,
    ],
)
def test_keys_and_columns_are_named(names: list[str]) -> None:
    assert not set(names) - WORDS


def test_no_verdict_is_left_out() -> None:
    assert {published.REPRODUCED, published.NOT_REPRODUCED, published.NOT_RUN} <= WORDS
