"""What `bcnet evaluate` prints of its metrics: the main numbers, with units, intervals and counts."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from bcnet.evaluation.metrics.failures import FOUND, NAMES
from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE_GAP, GAP, LEAST
from bcnet.evaluation.metrics.occlusion.occlusion_bins import GROUPS, PRECISION_MEASURE, PRECISIONS, Metric
from bcnet.evaluation.statistics.drawn import AP
from bcnet.evaluation.statistics.intervals import name_of
from bcnet.evaluation.statistics.samples import FEW

LEARNT = 0.01  # AP below which a method has not learnt to find objects
HAS_NOT_LEARNT = f"Has not learnt: AP is below {100 * LEARNT:g} %, so that its other numbers mean nothing."
LOWER_IS_BETTER = ("leak",)
SEPARATED = GROUPS[-1]  # of these few objects only the found ones are listed


class _Number(NamedTuple):
    """A number of the metrics by name, 0 to 1, and how many objects it is about."""

    name: str
    value: float | None
    objects: int


def has_not_learnt(metrics: Mapping[str, Any]) -> bool:
    """Whether AP, of masks or else of boxes, is below `LEARNT`."""
    ap = metrics[metrics["provenance"]["iou_type"]]["AP"]
    return ap is not None and ap < LEARNT


def summary(metrics: Mapping[str, Any]) -> str:
    """The numbers of metrics that have an interval, in lines under a header; what to note; recall at equal size."""
    about = metrics["provenance"]
    kind = {"segm": "masks", "bbox": "boxes"}[about["iou_type"]]
    lines = [f"{about['images']:,} images, {about['objects']:,} objects, {about['predictions']:,} predicted {kind}"]
    lines.append(f"{'percent':32}{'value':>7}   {'95 % interval':15}{'objects':>9}")
    few = False
    for number in _numbers(metrics):
        between = metrics["intervals"].get(number.name)
        if number.value is None or between is None:
            continue
        low, high = (100 * end for end in between)
        name = f"{number.name} (lower is better)" if number.name in LOWER_IS_BETTER else number.name
        mark = " *" if number.name in metrics["few"] else ""
        few |= bool(mark)
        lines.append(f"{name:32}{100 * number.value:7.1f}   {f'{low:.1f} to {high:.1f}':15}{number.objects:9,}{mark}")
    if few:
        lines.append(f"* of fewer than {FEW} objects, or of objects in fewer than {FEW} images: too few to say much")
    if has_not_learnt(metrics):
        lines.append(HAS_NOT_LEARNT)
    elif keeps := kept(metrics) or not_kept(metrics):
        lines.append(keeps)
    return "\n".join(lines)


def kept(metrics: Mapping[str, Any]) -> str | None:
    """What is left of recall under occlusion, at equal size, as a sentence; None where it is not known."""
    equal = (metrics.get("equal_size") or {}).get("box_cover")
    between = metrics["intervals"].get("AR_kept box_cover")
    if not equal or equal["kept"] is None or between is None:
        return None
    cover = metrics["recall"]["box_cover"][-1]["from"]
    low, high = between
    return sentence(100 * equal["kept"], 100 * low, 100 * high, 100 * cover)


def not_kept(metrics: Mapping[str, Any]) -> str | None:
    """Why that is not known, as a sentence; None where recall by occlusion is not known either."""
    equal, rows = (metrics.get("equal_size") or {}).get("box_cover"), (metrics["recall"] or {}).get("box_cover")
    if not equal or not rows:
        return None
    unknown = "How much of its recall it keeps under occlusion is not known"
    if rows[-1]["objects"] and equal["weights"]:
        return f"{unknown}: it finds too few of the objects that others cover least."
    few = f"{rows[-1]['objects']} objects are covered {100 * rows[-1]['from']:.0f} % or more"
    return f"{unknown}: {few}, and it takes {LEAST} of one size (small, medium or large) in each bin of box_cover."


def sentence(share: float, low: float, high: float, cover: float) -> str:
    """How much of its recall a method keeps, all in percent.

    Args:
        share: of its recall of the least covered objects, at equal size, that it has of the most covered ones.
        low, high: its interval.
        cover: of an object's box, from which an object is among the most covered ones.
    """
    if share > 100:
        return (
            f"Of objects of equal size it finds those of which others cover {cover:.0f} % or more no worse: "
            f"{share:.0f} % ({low:.0f} to {high:.0f}) of its recall where they cover least."
        )
    return (
        f"It keeps {share:.0f} % ({low:.0f} to {high:.0f}) of its recall where others cover {cover:.0f} % or more "
        "of an object's box, compared at equal size."
    )


def _numbers(metrics: Mapping[str, Any]) -> Iterator[_Number]:
    objects = metrics["provenance"]["objects"]
    for kind, name in AP.items():
        yield _Number(name, metrics[kind]["AP"], objects)
    failures, leak, recall = (metrics[key] or {} for key in ("failures", "leak", "recall"))
    for kind, group in product(NAMES, GROUPS):
        if kind == NAMES[FOUND] or group != SEPARATED:
            shares = failures.get(group.removeprefix("_") or "all") or {}
            yield _Number(f"{kind}{group}", shares.get(kind), shares.get("objects", 0))
    yield _Number("leak", leak.get("rate"), leak.get("objects", 0))
    for measure, rows in recall.items():
        for number in ("AR", *PRECISIONS) if measure == PRECISION_MEASURE else ("AR",):
            for row in rows:
                metric = Metric(number, measure, row.get("from"), row.get("to"), row.get("occluder"))
                yield _Number(name_of(metric), row[number], row["objects"])
        equal = (metrics.get("equal_size") or {}).get(measure, {})
        for key, name in (("raw_gap", GAP), ("gap", EQUAL_SIZE_GAP)):
            fewest = min(rows[0]["objects"], rows[-1]["objects"])
            yield _Number(f"{name} {measure}", equal.get(key), fewest)
