"""What `bcnet evaluate` prints: header, units, intervals, counts, and what to note."""

import pytest

from bcnet.evaluation.statistics.summary import HAS_NOT_LEARNT, has_not_learnt, kept, sentence, summary


def metrics(**changes: object) -> dict:
    return {
        "provenance": {"images": 1200, "objects": 4000, "predictions": 9000, "iou_type": "segm"},
        "segm": {"AP": 0.5},
        "bbox": {"AP": 0.6},
        "boundary": {"AP": 0.4},
        "failures": {
            "all": {"found": 0.3, "missed": 0.125, "objects": 4000},
            "occluded": None,
            "separated": {"found": 0.25, "missed": 0.5, "objects": 8},
        },
        "leak": None,
        "recall": {
            "box_cover": [
                {"from": 0.0, "to": 0.3, "AR": 0.25, "AP": 0.4, "APn": 0.5, "objects": 3000},
                {"from": 0.3, "to": 1.0, "AR": 0.2, "AP": 0.1, "APn": 0.3, "objects": 1000},
            ],
            "occluder": [{"occluder": "none", "AR": 0.75, "objects": 30}],
        },
        "equal_size": {"box_cover": {"raw_gap": -0.05, "gap": -0.07, "kept": 0.68}},
        "intervals": {
            "AP": [0.45, 0.55],
            "found": [0.2, 0.4],
            "found_separated": [0.0, 0.6],
            "missed": [0.1, 0.15],
            "missed_separated": [0.2, 0.8],
            "leak": None,
            "AR box_cover 0-0.3": [0.2, 0.3],
            "APn box_cover 0.3-1": [0.25, 0.35],
            "AR occluder none": [0.7, 0.8],
            "AR_equal_size_gap box_cover": [-0.1, -0.04],
            "AR_kept box_cover": [0.6, 0.75],
        },
        "few": ["found_separated"],
        **changes,
    }


def test_each_number_that_is_known_has_its_interval_and_count_under_a_header():
    assert [line.split() for line in summary(metrics()).splitlines()[:-2]] == [
        ["1,200", "images,", "4,000", "objects,", "9,000", "predicted", "masks"],
        ["percent", "value", "95", "%", "interval", "objects"],
        ["AP", "50.0", "45.0", "to", "55.0", "4,000"],
        ["found", "30.0", "20.0", "to", "40.0", "4,000"],
        ["found_separated", "25.0", "0.0", "to", "60.0", "8", "*"],
        ["missed", "12.5", "10.0", "to", "15.0", "4,000"],
        ["AR", "box_cover", "0-0.3", "25.0", "20.0", "to", "30.0", "3,000"],
        ["APn", "box_cover", "0.3-1", "30.0", "25.0", "to", "35.0", "1,000"],
        ["AR_equal_size_gap", "box_cover", "-7.0", "-10.0", "to", "-4.0", "1,000"],
        ["AR", "occluder", "none", "75.0", "70.0", "to", "80.0", "30"],
    ]


def test_it_ends_with_what_to_note_and_a_sentence():
    note, keeps = summary(metrics()).splitlines()[-2:]
    assert note.startswith("* of fewer than 20 objects")
    assert keeps == (
        "It keeps 68 % (60 to 75) of its recall where others cover 30 % or more of an object's box, compared at equal "
        "size."
    )
    assert "*" not in summary(metrics(few=[]))
    assert kept(metrics(equal_size=None)) is None
    assert "no worse" in sentence(104, 98, 110, 30)


@pytest.mark.parametrize(("ap", "learnt"), [(0.0, False), (0.0099, False), (0.01, True), (None, True)])
def test_a_method_whose_ap_is_near_zero_has_not_learnt(ap, learnt):
    of_method = metrics(segm={"AP": ap})
    assert has_not_learnt(of_method) is not learnt
    last = summary(of_method).splitlines()[-1]
    assert (last == HAS_NOT_LEARNT) is not learnt
    assert learnt or "It keeps" not in summary(of_method)


def test_boxes_are_judged_by_box_ap():
    about = metrics()["provenance"] | {"iou_type": "bbox"}
    assert has_not_learnt(metrics(provenance=about, segm={"AP": None}, bbox={"AP": 0.0}))


def test_it_is_said_why_kept_recall_is_not_known():
    unknown = "How much of its recall it keeps under occlusion is not known: "
    for weights, why in (
        ({}, "1000 objects are covered 30 % or more, and it takes 10 of one size (small, medium or large)"),
        ({"large": 1.0}, "it finds too few of the objects that others cover least."),
    ):
        row = {"weights": weights, "AR": [], "raw_gap": None, "gap": None, "kept": None}
        assert summary(metrics(equal_size={"box_cover": row})).splitlines()[-1].startswith(unknown + why)
    assert "not known" not in summary(metrics(equal_size=None))
    assert "not known" not in summary(metrics())
