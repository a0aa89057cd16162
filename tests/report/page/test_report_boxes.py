"""Of predictions without masks the report page shows what boxes have, and says so."""

import csv
import json
import re

from evaluation_factory import write_tables
from page_factory import Page, main_table, rows_of, section
from report_factory import run_parameters

from bcnet.report.page.page import report
from bcnet.report.tables import compare


def test_predictions_that_are_boxes_are_not_drawn_and_every_table_says_so(copied):
    path = copied / "data/demo/predictions/theirs/brought/val.json"
    boxes = [
        {key: each[key] for key in ("image_id", "category_id", "score")}
        for each in json.loads(path.read_text(encoding="utf-8"))
    ]
    path.write_text(json.dumps([each | {"bbox": [1, 2, 30, 40]} for each in boxes]), encoding="utf-8")
    for split in ("val", "occluded"):
        path = copied / f"reports/demo/metrics/theirs/brought/{split}.json"
        metrics = json.loads(path.read_text(encoding="utf-8"))
        metrics["provenance"]["iou_type"] = "bbox"
        metrics |= dict.fromkeys(("segm", "boundary"), dict.fromkeys(metrics["segm"]))
        metrics |= dict.fromkeys(("failures", "leak", "amodal", "order"))
        metrics["categories"] = [
            {key: each[key] for key in ("id", "name", "objects", "bbox")} for each in metrics["categories"]
        ]
        path.write_text(json.dumps(metrics), encoding="utf-8")
        write_tables(path, 10, [3] * 30, [0.0] * 20 + [0.2] * 10, "bbox")
    compare.compare(run_parameters(), copied / "reports")
    report(run_parameters(), copied / "data", copied / "reports")
    text = (copied / "reports/demo/index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.text.count("_Theirs: predictions without masks are not drawn") == 8
    assert len(re.findall("The zoo's: . of 3 objects found", page.text)) == 8
    for rows in main_table(text).values():
        row = rows["_Theirs"]
        assert row["box AP"].startswith("45.00")
        of_masks = ("AP", "AP50", "APs", "boundary AP", "found", "leak (lower is better)", "AR\nno occluder")
        assert {row[name][0] for name in of_masks} == {"—"}
    of_differences = [row for row in rows_of(section(text, "differences")) if row[0].startswith("_Theirs")]
    assert [[index for index, cell in enumerate(row) if index and cell[0] != "—"] for row in of_differences] == [
        *([4], [4]),  # box AP
        *([], []),
    ]
    places = ("occlusion", "same-category")
    bins = {place: [row for row in rows_of(section(text, place)) if row[0].startswith("_Theirs")] for place in places}
    assert [len(rows) for rows in bins.values()] == [18, 6]  # of two splits: three measures of three bins; the fourth
    assert {cell[0] for rows in bins.values() for row in rows for cell in row[1:]} == {"—"}
    (theirs, _) = [row for row in rows_of(section(text, "boxes")) if row[0].startswith("_Theirs")]  # of two splits
    sure = {
        (row["metric"], row["measure"], row["from"]): row
        for row in csv.DictReader((copied / "reports/demo/tables/intervals.csv").read_text().splitlines())
        if (row["label"], row["split"]) == ("_Theirs", "val") and row["low"]
    }
    bins = re.findall(r"(\w+),?\s+box_cover ([\d.]+) to", section(text, "boxes"))
    assert bins == [
        (number, low) for number in ("AR", "AP", "APn") for low in ("0.0", "0.1", "0.3")
    ]  # of no other measure
    for place, key in {
        2: ("box_AP", "", ""),
        3: ("AR", "box_cover", "0.0"),
        12: ("found", "", ""),
        24: ("missed", "", ""),
    }.items():
        assert [sure[key][name] in theirs[place] for name in ("value", "low", "high")] == [True] * 3
    assert ("AR", "", "") not in sure
    for place in ("comparison", "differences", *places):
        assert "<li>the predictions are boxes</li>" in section(text, place)
