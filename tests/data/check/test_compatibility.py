"""Files of other programs that no other test has: rows of docs/compatibility.md, each with its right value."""

import copy
import json
from typing import Any

import numpy as np
import pytest
from check_factory import Checker
from export_factory import BOXES, HEIGHT, WIDTH, mask, outline, right

import bcnet
from bcnet.data.coco import annotation_file
from bcnet.data.masks.segmentation import decode
from bcnet.data.sources.parts import read_visible


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"name": "d", "samples": []}, "a FiftyOne dataset: export it as fiftyone.types.COCODetectionDataset"),
        ({"description": "", "size": {"height": 1}, "objects": []}, "a Supervisely file, of one image: export it"),
        ([{"data_row": {}, "projects": {}}], "a Labelbox export: export it as COCO instance segmentation"),
        ([{"image": "a.png", "annotations": [{"label": "cup"}]}], "a CreateML file: export it as COCO instance"),
        ({"type": "FeatureCollection", "features": []}, "GeoJSON: its coordinates are of a map: cut it into tiles"),
    ],
)
def test_files_that_are_not_coco_at_all_say_what_to_export(content: Any, line: str, check: Checker) -> None:
    code, said, error = check(content)
    assert (code, len(said)) == (2, 1)
    assert said[0].startswith(f"expected a COCO annotation file, this is {line}")
    assert error == "bcnet check: file.json: 1 problem in 1 entry\n"


def with_keypoints(masks: bool) -> dict[str, Any]:
    data = right()
    for entry in data["annotations"]:
        entry |= {"keypoints": [5, 5, 2], "num_keypoints": 1, "track_id": 4, "video_id": 2}
        entry |= {} if masks else {"segmentation": []}
    return data


def test_keypoints_without_masks_are_named_and_never_mended_away(check: Checker) -> None:
    code, said, _ = check(with_keypoints(masks=False))
    assert (code, said[0].partition(";")[0]) == (2, "note: all 4 annotations have a box, keypoints and no mask")
    assert check(with_keypoints(masks=False), "--fix", str(check.out), "--drop")[0] == 2
    assert not check.out.exists()


def test_keys_beside_masks_are_kept(check: Checker) -> None:
    assert check(with_keypoints(masks=True))[:2] == (0, ["file.json: nothing wrong, 0 notes"])
    assert check.fixed(with_keypoints(masks=True)) == with_keypoints(masks=True)


def track(frames: int = 5) -> dict[str, Any]:
    """A rectangle that moves by a pixel from frame to frame, and comes to rest in the last three of five."""
    data = right()
    data["images"] = [{**data["images"][0], "id": key, "file_name": f"{key}.png"} for key in range(1, frames + 1)]
    annotations = []
    for key in range(1, frames + 1):
        box = (min(key, 3), 6, 10, 8)
        entry = {"id": key, "image_id": key, "category_id": 1, "iscrowd": 0, "bbox": list(box), "area": 80}
        attributes = {"occluded": False, "track_id": 0, "keyframe": key < 4}
        annotations.append(entry | {"segmentation": [outline(box)], "attributes": attributes})
    return {**data, "annotations": annotations, "categories": data["categories"][:1]}


def test_objects_outside_their_frame_are_noted_and_removed(check: Checker, capsys: pytest.CaptureFixture[str]) -> None:
    """Datumaro writes frames where CVAT's track is outside; CVAT's own export leaves them out."""
    data = track()
    for entry in data["annotations"]:
        entry["attributes"]["outside"] = entry["id"] > 3
    code, said, _ = check(data)
    line = "file: 2 annotations are marked as outside (attributes): no object is there, --fix removes them"
    assert (code, said[0]) == (0, f"note: {line}")
    assert "2 of 5 annotations would be lost" in check(data, "--fix", str(check.out))[2]
    mended = check.fixed(data, "--drop")
    assert mended["annotations"] == data["annotations"][:3]
    check.path.write_text(json.dumps(data))
    assert len(read_visible(check.path)["annotations"]) == 5
    assert "file.json: 2 annotations are marked as outside: no object is there" in capsys.readouterr().err
    predictions = [{"image_id": 1, "category_id": 1, "score": 1.0, "segmentation": mask((1, 6, 10, 8))}]
    line = "2 annotations are marked as outside: no object is there, yet it counts as missed"
    assert line in bcnet.evaluate(data, predictions, draws=2).metrics["provenance"]["remarks"]


@pytest.mark.parametrize(
    ("attributes", "outside"),
    [
        ({"track_id": 0, "outside": True}, True),
        ({"track_id": 0, "outside": False}, False),
        ({"track_id": 0}, False),
        ({"outside": True}, False),  # a label's own attribute, such as a scene's
        ("outside", False),
        (None, False),
    ],
)
def test_only_a_track_is_outside(attributes: Any, outside: bool) -> None:
    assert annotation_file.is_outside({"attributes": attributes}) == outside


def test_tracks_that_stay_to_the_last_frame_are_a_note(check: Checker) -> None:
    """CVAT's COCO doesn't say outside: what was not marked so, stays where it was last."""
    line = "note: file: 1 tracks have one outline in their last 3 frames, which end the file: objects that rest look so"
    assert check(track())[1][0].startswith(line)
    drawn, moving, ended = track(), track(), track()
    drawn["annotations"][4]["attributes"]["keyframe"] = True  # somebody looked at it
    moving["annotations"][4]["segmentation"] = [outline((4, 6, 10, 8))]
    ended["images"].append({**ended["images"][0], "id": 6, "file_name": "6.png"})
    for data in (drawn, moving, ended, track(4)):
        assert not any("tracks have one outline" in said for said in check(data)[1])


def test_objects_whose_first_part_only_was_exported_are_a_note(check: Checker) -> None:
    """Box and area are of both parts."""
    data = right()
    for entry in data["annotations"]:
        x, y, w, h = BOXES[entry["id"]]
        entry |= {"segmentation": [outline((x, y, w, h // 3))], "area": w * (h // 3) + w}
    line = "4 annotations have a box and an area of more than their one polygon: were parts of objects lost"
    data["annotations"][0] |= {"bbox": [4, 6, 10, 22], "area": 100}
    code, said, _ = check(data)
    assert (code, any(note.startswith(f"note: file: {line}") for note in said)) == (0, True)
    assert [entry["segmentation"] for entry in check.fixed(data)["annotations"]] == [
        entry["segmentation"] for entry in data["annotations"]
    ]
    for entry in data["annotations"]:
        entry["area"] = entry["bbox"][2] * entry["bbox"][3]  # a box drawn by hand, and its area
    assert not any("were parts of objects lost" in note for note in check(data)[1])
    for entry in data["annotations"]:
        entry |= {"segmentation": [outline(BOXES[entry["id"]])], "area": 10_000}  # wrong, but the box is the mask's
    data["annotations"][0]["bbox"] = list(BOXES[1])
    assert not any("were parts of objects lost" in note for note in check(data)[1])


def test_holes_are_filled_as_pycocotools_fills_them(check: Checker) -> None:
    data = right()
    data["annotations"][3]["segmentation"].append(outline((10, 10, 5, 5)))
    assert check(data)[0] == 0
    read = annotation_file.read(check.path)["annotations"][3]["segmentation"]
    np.testing.assert_array_equal(decode(read, HEIGHT, WIDTH), mask(BOXES[4]))


def test_parts_that_thin_lines_join_are_read_as_they_are(check: Checker) -> None:
    """There and back along one line: it encloses nothing, so that the mask is that of both parts."""
    data = right()
    left, other = outline((2, 2, 8, 8)), outline((20, 2, 10, 8))
    joined = [*left[:4], *other, *other[:2], *left[2:]]
    data["annotations"][3] |= {"segmentation": [joined], "bbox": [2, 2, 28, 8], "area": 144}
    assert check(data)[:2] == (0, ["file.json: nothing wrong, 0 notes"])
    both = mask((2, 2, 8, 8)) | mask((20, 2, 10, 8))
    assert int((decode([joined], HEIGHT, WIDTH) ^ both).sum()) <= 10  # a line of 10 pixels may be drawn


def test_an_object_that_comes_with_and_without_its_mask_is_kept_once(check: Checker) -> None:
    data = right()
    data["annotations"].append({**data["annotations"][0], "id": 5, "segmentation": []})
    assert "1 of 5 annotations would be lost" in check(data, "--fix", str(check.out))[2]
    assert check.fixed(data, "--drop") == right()


def test_texts_as_ids_of_annotations_become_numbers(check: Checker) -> None:
    data = right()
    for entry in data["annotations"]:
        entry["id"] = f"3f2a-{entry['id']}"
    assert check.fixed(data) == right()


def test_a_category_that_only_groups_others_changes_no_number(check: Checker) -> None:
    grouped = right()
    grouped["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    assert check(grouped)[1] == ["note: category 0: no annotations", "file.json: nothing wrong, 1 note"]
    found = [
        {"image_id": 3, "category_id": entry["category_id"], "score": 0.5 + entry["id"] / 10}
        | {"segmentation": mask(BOXES[entry["id"]])}
        for entry in right()["annotations"][:3]
    ]
    numbers = [bcnet.evaluate(data, copy.deepcopy(found), draws=2).metrics["segm"] for data in (right(), grouped)]
    assert numbers[0] == numbers[1]
    assert 0 < numbers[0]["AP"] < 1
