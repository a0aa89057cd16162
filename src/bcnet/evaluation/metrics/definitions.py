"""What the numbers of a run mean: the one table of definitions, whose thresholds are those that are computed with.

The report's page shows it; docs/benchmark.md says more of each, under the same names.
"""

from dataclasses import dataclass

from bcnet.data.coco.prediction_format import DETECTIONS
from bcnet.evaluation.matching.coco_matching import AREAS, IOU_THRESHOLDS
from bcnet.evaluation.matching.overlap import DILATION
from bcnet.evaluation.metrics import calibration, confusion, failures, tide
from bcnet.evaluation.metrics.occlusion import equal_size, invisible, separated
from bcnet.evaluation.statistics.average_precision import RECALLS

NUMBERS = {2: "two", 10: "ten"}
SHARES = {0.5: "half"}


@dataclass(frozen=True)
class Definition:
    """What a number means.

    `name`: of the numbers, as the page calls them, with commas; `text`: HTML, after which the formula stands, if there
    is one, and `after`; `formula`: as of `bcnet.report.page.formula`; `heading`: of the section of docs/benchmark.md
    that says more; `amodal`: only where the ground truth is amodal; `thresholds`: those of `text`, as they are written.
    """

    name: str
    text: str
    formula: str = ""
    after: str = ""
    heading: str = ""
    amodal: bool = False
    thresholds: tuple[str, ...] = ()


def share(value: float) -> str:
    """Such as .5: without a zero before the point."""
    return f"{value:g}".removeprefix("0")


def percent(value: float) -> str:
    """Such as 2 %."""
    return f"{100 * value:g} %"


def iou(threshold: float) -> str:
    """An IoU threshold of COCO's, with two decimals."""
    return f"{threshold:.2f}".removeprefix("0")


def side(area: float) -> str:
    """The area of a square by its side, such as 32²."""
    return f"{area**0.5:g}²"


COCO = "COCO's numbers, and those of boundaries"
OCCLUSION = "Recall by occlusion"
AP_BY_OCCLUSION = "AP by occlusion"
SEPARATED = "Separated objects"
FAILURES = "Found objects and failures"
LEAK = "Leak"
INVISIBLE = "Invisible parts"
ORDER = "Occlusion order"
TIDE = "Errors by kind"
CALIBRATION = "Calibration"
CURVES = "Curves"
CONFUSIONS = "Confusions"

_first, _second, *_, _last = map(iou, IOU_THRESHOLDS)
_score, _found, _background = map(share, (failures.MIN_SCORE, failures.FOUND_IOU, failures.BACKGROUND_IOU))
_near, _far = share(tide.FOREGROUND), share(tide.BACKGROUND)
_thresholds = NUMBERS[len(IOU_THRESHOLDS)]

RULES = (  # of what all others go by
    "A prediction is matched to an object if both have the same category and the IoU of their masks is at least a "
    "threshold; the prediction then finds the object. Predictions are matched in the order of their scores, each "
    f"object is matched once, and at most {DETECTIONS} predictions per category and image count (COCO's rules). The "
    "IoU of a predicted mask <i>P</i> and an object's mask <i>G</i> is"
)
IOU = r"IoU(P, G) = \frac{|P ∩ G|}{|P \cup G|}"

DEFINITIONS = (
    Definition(
        "AP",
        f"Average precision: the mean of the precision at {len(RECALLS)} recalls from {RECALLS[0]:g} to "
        f"{RECALLS[-1]:g}, averaged over the categories and over the {_thresholds} IoU thresholds {_first}, {_second}, "
        f"…, {_last}.",
        heading=COCO,
        thresholds=(str(len(RECALLS)), _first, _last),
    ),
    Definition("AP50, AP75", f"AP at the single IoU threshold {_first} or {iou(IOU_THRESHOLDS[5])}.", heading=COCO),
    Definition(
        "APs, APm, APl",
        f"AP of small objects (area below {side(AREAS['small'][1])} pixels), medium objects, and large objects (above "
        f"{side(AREAS['large'][0])} pixels).",
        heading=COCO,
        thresholds=(side(AREAS["small"][1]), side(AREAS["large"][0])),
    ),
    Definition(
        "AR1, AR10, AR100",
        "Average recall: the highest recall with at most 1, 10 or 100 predictions per category and image, averaged "
        f"over the categories and the {_thresholds} thresholds.",
        heading=COCO,
    ),
    Definition(
        "box AP",
        "AP with the IoU of the boxes around the masks instead of the masks, also of methods that predict no boxes.",
        heading=COCO,
    ),
    Definition(
        "boundary AP",
        "AP with the lower of two IoUs: that of the masks, and that of their boundaries <i>∂P</i> and <i>∂G</i>. A "
        f"boundary is the pixels of a mask within {percent(DILATION)} of the image's diagonal of the mask's outside "
        "(Boundary IoU, Cheng et al., CVPR 2021):",
        r"\sub{IoU}{∂}(P, G) = min(IoU(P, G), IoU(∂P, ∂G))",
        heading=COCO,
        thresholds=(percent(DILATION),),
    ),
    Definition(
        "box_cover",
        "How occluded an object is: the share of its box <i>B<sub>i</sub></i> that is covered by the masks "
        "<i>M<sub>j</sub></i> of the other objects in the image, in front or behind (crowd regions do not count):",
        r"\sub{box_cover}{i} = \frac{|\sub{B}{i} ∩ \under{\bigcup}{j ≠ i} \sub{M}{j}|}{|\sub{B}{i}|}",
        heading=OCCLUSION,
    ),
    Definition(
        "mask_cover",
        "The share of an object's own mask that the masks of other objects overlap. In COCO this depends on how "
        "annotators draw as much as on occlusion:",
        r"\sub{mask_cover}{i} = \frac{|\sub{M}{i} ∩ \under{\bigcup}{j ≠ i} \sub{M}{j}|}{|\sub{M}{i}|}",
        heading=OCCLUSION,
    ),
    Definition(
        "max_box_iou",
        "The highest IoU of an object's box with the box of another object:",
        r"\sub{max_box_iou}{i} = \under{max}{j ≠ i} IoU(\sub{B}{i}, \sub{B}{j})",
        heading=OCCLUSION,
    ),
    Definition(
        "occluder",
        "What occludes an object in training: the masks of all objects whose boxes overlap its box by more than a "
        "threshold (a parameter of the conversion), cropped to its box. Here an object with an occluder is called "
        "occluded. The bins say whether the object that covers most pixels of this crop has the same category.",
        heading=OCCLUSION,
    ),
    Definition(
        "recall in a bin",
        "Computed over the objects whose measure of occlusion lies in the bin, all categories together. A bin contains "
        "its lower end but not its upper end; the last bin contains both. AR50 and AR75 are the shares of these "
        f"objects found at IoU {_first} and {iou(IOU_THRESHOLDS[5])}. AR is the mean share over the {_thresholds} "
        "thresholds <i>t</i>:",
        rf'AR = \frac{{1}}{{{len(IOU_THRESHOLDS)}}} \under{{∑}}{{t}} \frac{{"objects found at IoU~" t}}'
        r'{"objects in the bin"}',
        heading=OCCLUSION,
        thresholds=(_first,),
    ),
    Definition(
        "equal size",
        "Occluded objects are often larger or smaller than others, which changes recall by itself. At equal size, AR "
        "in a bin is a mean of its AR over COCO's areas <i>a</i> (small, medium, large), with weights <i>w</i> that "
        "all bins share: how many of the objects in all bins have this size. An area counts if every bin has at least "
        f"{equal_size.LEAST} objects of it:",
        r"AR = \under{∑}{a} \sub{w}{a} \sub{AR}{a}",
        "AR gap: AR in the last bin minus AR in the first. AR kept: the ratio of both, at equal size.",
        heading=OCCLUSION,
        thresholds=(f"{equal_size.LEAST} objects",),
    ),
    Definition(
        "AP, APn in a bin",
        "All objects are matched as in COCO. Predictions matched to objects of other bins are then ignored; "
        "predictions without a match count as false in every bin. For a category with <i>n</i> objects in the bin and "
        "<i>N</i> in the split, let <i>F</i> be the number of false predictions so far and <i>R</i> the recall of the "
        "bin's objects. The precision after each correct prediction is",
        r'AP: \frac{R n}{R n + F}, "~~" APn: \frac{R N}{R N + F}',
        "AP of a bin with few objects is low however well they are found. APn is normalised by the number of objects "
        "and can be compared between bins (after Hoiem et al., ECCV 2012).",
        heading=AP_BY_OCCLUSION,
    ),
    Definition(
        "found",
        f"The share of objects for which a prediction with a score of at least {_score} has the right category and a "
        f"mask IoU of at least {_found}. One prediction may find several objects. The share is given for all, for "
        "occluded and for separated objects:",
        r'found = \frac{"objects with such a prediction"}{"objects"}',
        "False predictions do not lower it.",
        heading=FAILURES,
        thresholds=(_score, _found),
    ),
    Definition(
        "separated",
        f"An object whose mask has two or more parts (8-connected, each of at least {separated.MIN_PIXELS} pixels and "
        f"{percent(separated.MIN_SHARE)} of the mask) because one other object splits it. The gap between two parts "
        "<i>A</i> and <i>C</i> is the set of pixels <i>p</i> with",
        rf"d(p, A) + d(p, C) ≤ d(A, C) + {separated.WIDTH:g}",
        f"The other object must fill at least {SHARES[separated.FILLED]} of the gap, come within {separated.REACH} "
        f"pixels of both parts, and cover less than {SHARES[separated.UNDERLAY]} of the object itself. The idea is "
        "that of Separated COCO (Zhan et al., BMVC 2022), but the list of objects is a different one.",
        heading=SEPARATED,
        thresholds=(
            *(f"{separated.MIN_PIXELS} pixels", percent(separated.MIN_SHARE), f"{separated.REACH} pixels"),
            *(f"+ {separated.WIDTH:g}", SHARES[separated.FILLED]),
        ),
    ),
    Definition(
        "wrong class, badly localised, both, missed",
        "What happens to an object that is not found: the first of the following that is true for any prediction with "
        f"a score of at least {_score}. Wrong class: another category and IoU ≥ {_found}. Badly localised: the same "
        f"category and IoU ≥ {_background}. Both: another category and IoU ≥ {_background}. Missed: none of these. "
        "Together with <i>found</i> the shares add up to 100.",
        heading=FAILURES,
        thresholds=(_score, _found, _background),
    ),
    Definition(
        "leak",
        "The share of a predicted mask <i>P</i> that lies on the occluder <i>O</i> of its object but not on the "
        "object's own mask <i>T</i>, averaged over the objects with an occluder that are found at IoU .5:",
        r"leak = \frac{|P ∩ O \setminus T|}{|P|}",
        "Lower is better. Only found objects count, so a method can also leak less by finding fewer objects. Found by "
        "both: the difference of two methods on the objects that both find.",
        heading=LEAK,
    ),
    Definition(
        "TIDE",
        "How many points AP50 would gain if all errors of one kind were corrected (Bolya et al., ECCV 2020). For a "
        "wrong prediction, let <i>s</i> be its highest IoU with an object of its category and <i>o</i> its highest IoU "
        f"with an object of another category. Loc: {_far} ≤ <i>s</i> ≤ {_near}. Cls: <i>o</i> ≥ {_near}. Dupe: "
        f"<i>s</i> &gt; {_near}, but a better prediction is matched to the object. Bkg: <i>s</i> &lt; {_far} and "
        f"<i>o</i> ≤ {_far}. Both: all others. Miss: objects that are not found and that have no Loc or Cls error. FP: "
        "all wrong predictions. FN: all objects that are not found.",
        r'\sub{TIDE}{k} = \sub{AP50}{"errors of kind~" k "~corrected"} - AP50',
        "The gains do not add up.",
        heading=TIDE,
        thresholds=(_near, _far),
    ),
    Definition(
        "ECE",
        f"Expected calibration error: the distance between the scores of predictions and how often they are right (at "
        f"IoU .5). Predictions are put into {NUMBERS[calibration.BINS]} bins <i>b</i> by score, with <i>n</i> of all "
        "<i>N</i> predictions in a bin:",
        r'ECE = \under{∑}{b} \frac{\sub{n}{b}}{N} |\sub{"mean score"}{b} - \sub{"share of right ones"}{b}|',
        "Lower is better (Guo et al., ICML 2017).",
        heading=CALIBRATION,
        thresholds=(NUMBERS[calibration.BINS],),
    ),
    Definition(
        "curves",
        "Precision by recall: interpolated as for AP, the mean over categories; the area below it is AP50 or AP75. By "
        "score: precision, recall and their harmonic mean F1 of the predictions of a score or more, all categories "
        "together, at IoU .5.",
        heading=CURVES,
        thresholds=(".5",),
    ),
    Definition(
        "taken for",
        "The category of the prediction that overlaps an object's mask most, of those with a score of at least "
        f"{_score} and an IoU of at least {share(confusion.TAKEN_IOU)}; nothing, if there is none.",
        heading=CONFUSIONS,
        thresholds=(_score, share(confusion.TAKEN_IOU)),
    ),
    Definition(
        "invisible AP, IoU",
        "How well the invisible part of an object is predicted. With <i>A</i> its amodal mask, <i>V</i> its visible "
        "mask and <i>P</i> the predicted mask,",
        r'\sub{IoU}{"invisible"} = IoU(P \setminus V, A \setminus V)',
        f"and 0 if the IoU of <i>P</i> and <i>A</i> is below {share(invisible.MIN_IOU)}. AP with this IoU ignores "
        f"objects with fewer than {invisible.MIN_PIXELS} invisible pixels. IoU is its mean over the objects with an "
        "invisible part that are found at IoU .5.",
        heading=INVISIBLE,
        amodal=True,
        thresholds=(share(invisible.MIN_IOU), f"{invisible.MIN_PIXELS} invisible pixels"),
    ),
    Definition(
        "order",
        "Which of two objects is in front, for heads that predict occluder masks <i>O</i>. Counted are pairs of found "
        "objects of known depth whose amodal masks overlap. With predicted masks <i>M</i>, object <i>i</i> is "
        "predicted to be behind object <i>j</i> if",
        r"|\sub{O}{i} ∩ \sub{M}{j}| > |\sub{O}{j} ∩ \sub{M}{i}|",
        "Decided: the share of pairs for which the two sides differ. Right: the share of correct answers, among "
        "decided pairs and among all pairs. By masks alone: the same with the box around <i>M<sub>i</sub></i> instead "
        "of <i>O<sub>i</sub></i>, as a baseline.",
        heading=ORDER,
        amodal=True,
    ),
)
