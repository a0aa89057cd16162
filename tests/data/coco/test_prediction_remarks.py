"""What is odd about predictions that are right is said."""

from evaluation_factory import boxes, columns, made

from bcnet.data.coco import prediction_format


def remarks(predictions: list[dict], iou_type: str = "segm") -> str:
    return "; ".join(prediction_format.remarks(columns(predictions, iou_type), images=8))


def test_remarks_on_predictions():
    _, predictions = made(0)
    assert remarks(predictions) == ""
    assert remarks([]) == "there are no predictions: every number is 0"
    assert remarks([each for each in predictions if each["image_id"] > 20]) == "2 of 8 images have no predictions"
    assert remarks([*predictions, {**predictions[0], "score": 3}]).startswith("scores go from 0 to 3: they are no")
    assert remarks([{**each, "score": each["score"] - 0.5} for each in predictions]).startswith(
        "scores go from -0.5 to"
    )


def test_a_remark_on_box_scores_of_some_predictions():
    truth, predictions = made(0)
    images, count = len(truth["images"]), len(predictions)
    plain = prediction_format.remarks(columns(predictions), images)
    scored = [each | {"box_score": 0.5} for each in predictions]
    assert prediction_format.remarks(columns(scored), images) == plain
    line = f"2 of {count} predictions have no box_score: their boxes are ranked by score"
    assert prediction_format.remarks(columns([*predictions[:2], *scored[2:]]), images) == [*plain[:1], line, *plain[1:]]


def test_remarks_on_repeated_predictions():
    _, predictions = made(0)
    other = {**predictions[1], "score": predictions[1]["score"] + 1e-9}
    again = [predictions[1], *predictions, predictions[1], other, predictions[2]]
    assert remarks(again) == "3 predictions repeat another one exactly: all but one of equal ones count as wrong"
    assert remarks(boxes(again), "bbox") == remarks(again)
    shifted = boxes(predictions)
    shifted.append({**shifted[0], "bbox": [0, *shifted[0]["bbox"][1:]]})
    assert remarks(shifted, "bbox") == ""


def test_remarks_on_more_than_a_hundred():
    _, predictions = made(0)
    many = [{**predictions[0], "score": place / 200} for place in range(120)]
    rest = [each for each in predictions if each["image_id"] != predictions[0]["image_id"]]
    said = remarks(many + rest)
    assert "1 of 8 images have more than 100 predictions (image 1: 120): COCO's server takes no more" in said
    assert "20 predictions are not among the 100 best of a category in their image: COCO's evaluation does not" in said
    spread = [{**each, "category_id": (3, 7)[place % 2]} for place, each in enumerate(many)]
    assert "not among the 100 best" not in remarks(spread + rest)


def test_ids_of_predictions_are_not_read_but_said_to_repeat(read):
    _, predictions = made(0)
    with_ids = read([{**each, "id": place // 2} for place, each in enumerate(predictions)])
    assert f"{len(predictions) // 2} predictions have the id of another one: ids are not read" in "; ".join(
        prediction_format.remarks(with_ids, 8)
    )
