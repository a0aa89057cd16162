"""`split --explain`: counts, and how near each rule comes to a list, beside sets of Python."""

import json
from math import isnan

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcnet.cli import main
from bcnet.data.splits.explain import RULES, THRESHOLDS, distinct_thresholds, explain, rule_rows
from bcnet.data.splits.split import split
from bcnet.files import InputError
from bcnet.params.data import Split

NOT_OCCLUDED = {"box_cover": 0.0, "mask_cover": 0.0, "max_box_iou": 0.0, "n_occluders": 0, "same_category": False}
VALUES = st.lists(st.one_of(st.just(float("nan")), st.floats(0, 1), st.sampled_from([0, 0.2, 0.3, 1.0])), min_size=1)


def selected(values, threshold):
    return {i for i, value in enumerate(values) if value >= threshold}


@given(VALUES)
def test_distinct_thresholds_select_every_possible_set_once(values):
    thresholds = distinct_thresholds(np.array(values))
    assert thresholds == sorted(thresholds, reverse=True)
    assert all(0 <= threshold <= 1 for threshold in thresholds)
    sets = [selected(values, threshold) for threshold in thresholds]
    assert sets == [selected(values, value) for value in sorted(set(values) - {v for v in values if isnan(v)})[::-1]]


def test_a_threshold_has_as_few_decimals_as_its_set_allows():
    assert distinct_thresholds(np.array([0.2, 0.34567, 0.345, 1.0])) == [1.0, 0.3456, 0.3, 0.0]
    assert distinct_thresholds(np.array([0.31, 0.2999999999999999])) == [0.3, 0.0]


@given(VALUES, st.data())
def test_a_row_compares_two_sets(values, data):
    listed = data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))
    mask = np.isin(np.arange(len(values)), list(listed))
    rows = rule_rows(np.array(values), mask, None)
    assert [row["threshold"] for row in rows if row["of"] == "grid"] == list(THRESHOLDS)
    for row in rows:
        chosen = selected(values, row["threshold"])
        assert (row["images"], row["listed"]) == (len(chosen), len(chosen & listed))
        assert row["share"] == len(chosen) / len(values)
        assert row["recall"] == len(chosen & listed) / len(listed)
        assert row["jaccard"] == len(chosen & listed) / len(chosen | listed)
        assert row["precision"] == len(chosen & listed) / len(chosen) if chosen else isnan(row["precision"])
    best = [row["jaccard"] for row in rows if row["of"] == "best Jaccard"]
    every = [selected(values, value) for value in values if not isnan(value)]
    assert best == ([max(len(one & listed) / len(one | listed) for one in every)] if every else [])


@given(VALUES, st.integers(1, 60))
def test_the_nearest_count_of_all_thresholds(values, count):
    nearest = [row["images"] for row in rule_rows(np.array(values), None, count) if row["of"] != "grid"]
    counts = {len(selected(values, value)) for value in values if not isnan(value)}
    assert len(nearest) == bool(counts)
    assert all(abs(one - count) == min(abs(other - count) for other in counts) for one in nearest)


def converted(folder, boxes):
    """A converted file with these boxes, (image, category, box), in images 1 to 4."""
    content = {
        "images": [{"id": i, "height": 20, "width": 20, "file_name": f"{i}.png"} for i in (1, 2, 3, 4)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "segmentation": [[0, 0, 4, 0, 4, 4]],
                "bbox": box,
            }
            | {"area": 8, "iscrowd": 0, "occlusion": {**NOT_OCCLUDED, "box_cover": image / 10}}
            for number, (image, category, box) in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    path = folder / "bilayer.json"
    path.write_text(json.dumps(content))
    return path


BOXES = [
    *((1, 1, [0, 0, 4, 4]), (1, 2, [0, 2, 4, 4])),  # IoU 1/3, of two categories
    *((2, 1, [0, 0, 10, 1]), (2, 1, [8, 0, 10, 1])),  # IoU 1/9, of one
    (3, 1, [0, 0, 4, 4]),
]


def test_the_table_says_what_split_selects(tmp_path):
    path = converted(tmp_path, BOXES)
    text = explain(path, None, None, tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table) == ["rule", "same_category", "threshold", "of", "images", "share"]
    assert [*zip(table["rule"], table["same_category"], table["threshold"], strict=True)] == [
        (*rule, threshold) for rule in RULES for threshold in THRESHOLDS
    ]
    assert text.splitlines()[0].split() == ["rule", "same_category", "threshold", "images", "share"]
    counts = table.groupby(["rule", "same_category"])["images"]
    assert len(text.splitlines()) == 1 + sum((own > 0).sum() + (own == 0).any() for _, own in counts)
    for row in table.itertuples():
        rule = Split(rule=row.rule, threshold=row.threshold, same_category=row.same_category)
        try:
            split(path, tmp_path / "split.json", "name", rule)
            images = len(json.loads((tmp_path / "split.json").read_text())["images"])
        except InputError:
            images = 0
        assert (row.images, row.share) == (images, images / 4)
    assert table.groupby(["rule", "same_category"])["images"].max().to_dict() == {
        ("box_iou", False): 2,
        ("box_iou", True): 1,
        ("box_iou_inclusive", False): 2,
        ("box_iou_inclusive", True): 1,
        ("box_over_smaller", False): 2,
        ("box_over_smaller", True): 1,
        ("box_over_larger", False): 2,
        ("box_over_larger", True): 1,
        ("box_cover", False): 3,
        ("mask_cover", False): 0,
        ("image_overlap", False): 2,
    }


def test_with_a_list_the_best_rule_stands_first(tmp_path, capsys):
    path = converted(tmp_path, BOXES)
    (tmp_path / "ids.txt").write_text("2\n")
    arguments = ["--ids", str(tmp_path / "ids.txt"), "--count", "2", "--out", str(tmp_path / "t.csv")]
    assert main(["split", "--annotations", str(path), "--explain", *arguments]) == 0
    table = pd.read_csv(tmp_path / "t.csv")
    assert list(table["jaccard"]) == sorted(table["jaccard"], reverse=True)
    assert set(table["of"]) == {"grid", "best Jaccard", "count nearest to 2"}
    first = table.iloc[0]
    assert (first["rule"], first["same_category"], first["threshold"], first["jaccard"]) == ("box_iou", True, 0.0, 1.0)
    other = table[(table["rule"] == "box_iou") & ~table["same_category"] & (table["of"] == "best Jaccard")].iloc[0]
    assert (other["images"], other["precision"], other["recall"], other["jaccard"]) == (2, 0.5, 1.0, 0.5)
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == list(table)
    assert said[1].split() == [
        "box_iou",
        "True",
        "0.0",
        "best",
        "Jaccard",
        "1",
        "0.250",
        "1",
        "1.000",
        "1.000",
        "1.000",
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--count 0", "--count 0: expected 1 or more"),
        ("--out bilayer.json", "--out bilayer.json: with --explain expected a .csv file"),
        ("--ids ids.txt", "ids.txt: 1 of its 2 images are not in the annotations, the first is 8"),
    ],
)
def test_wrong_arguments_end_in_one_line(tmp_path, monkeypatch, capsys, arguments, line):
    monkeypatch.chdir(tmp_path)
    before = converted(tmp_path, BOXES).read_bytes()
    (tmp_path / "ids.txt").write_text("1\n8\n")
    assert main(["split", "--annotations", "bilayer.json", "--explain", *arguments.split()]) == 2
    assert capsys.readouterr().err == f"bcnet split: {line}\n"
    assert (tmp_path / "bilayer.json").read_bytes() == before


def test_a_file_without_images_or_not_converted(tmp_path):
    path = converted(tmp_path, BOXES)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"images": [], "annotations": []}))
    with pytest.raises(InputError, match="no images"):
        explain(path, None, None, None)
    del content["annotations"][1]["occlusion"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="annotation 1 has no 'occlusion' with box_cover"):
        explain(path, None, None, None)


def test_images_without_objects_are_reached_by_no_threshold(tmp_path):
    text = explain(converted(tmp_path, []), None, 1, None)
    assert "count nearest" not in text
    assert all(line.split()[-2:] == ["0", "0.000"] for line in text.splitlines()[1:])
