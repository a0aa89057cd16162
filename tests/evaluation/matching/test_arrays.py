"""The order of detections, against Python's sort."""

import numpy as np
import pytest
from evaluation_factory import columns

from bcnet.evaluation.matching.arrays import coco_order, detections_of


@pytest.mark.parametrize("categories", [[1, 2], [3, 300, 70_000, 2**40]])
@pytest.mark.parametrize("images", [20, 700])
def test_the_order_of_many_images_and_of_any_ids(images: int, categories: list[int]) -> None:
    """More images and larger ids than have room in 8, 16 or 32 bits; equal scores stay in the file's order."""
    random = np.random.default_rng(0)
    ids = np.sort(random.choice(2**50, images, replace=False))
    entries = [
        {"image_id": int(image), "category_id": int(category), "score": float(score), "bbox": [0, 0, 1, 1]}
        for image, category, score in zip(
            random.choice(ids, 4000), random.choice(categories, 4000), random.integers(0, 5, 4000) / 4, strict=True
        )
    ]
    key = [(entry["image_id"], entry["category_id"], -entry["score"]) for entry in entries]
    best: dict[tuple[int, int], list[int]] = {}
    for place in sorted(range(len(entries)), key=key.__getitem__):
        best.setdefault(key[place][:2], []).append(place)
    expected = [place for places in best.values() for place in places[:100]]
    found = detections_of(columns(entries, "bbox"), ids)
    assert found.place.tolist() == expected
    assert np.diff(found.ends, prepend=0).tolist() == [
        sum(entries[place]["image_id"] == image for place in expected) for image in ids.tolist()
    ]
    known = np.array(categories[1:])
    order, category = coco_order(found.category, found.score, known)
    left = [k for k, place in enumerate(expected) if entries[place]["category_id"] != categories[0]]
    assert order.tolist() == sorted(left, key=lambda k: (entries[expected[k]]["category_id"], -found.score[k]))
    assert known[category].tolist() == found.category[order].tolist()
