"""What the numbers of a run mean: the one table of definitions, whose thresholds are those that are computed with.

The report's page shows it; docs/benchmark.md says more of each, under the same names.
"""

from dataclasses import dataclass

from bcnet.data.coco.prediction_format import DETECTIONS
from bcnet.evaluation.matching.coco_matching import AREAS, IOU_THRESHOLDS
from bcnet.evaluation.matching.overlap import DILATION
from bcnet.evaluation.metrics import calibration, failures, invisible, separated, tide
from bcnet.evaluation.statistics.interpolation import RECALLS

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

_first, _second, *_, _last = map(iou, IOU_THRESHOLDS)
_score, _found, _background = map(share, (failures.MIN_SCORE, failures.FOUND_IOU, failures.BACKGROUND_IOU))
_near, _far = share(tide.FOREGROUND), share(tide.BACKGROUND)
_thresholds = NUMBERS[len(IOU_THRESHOLDS)]

RULES = (  # of what all others go by
    "A prediction finds an object when both have the same category and their masks' overlap is at least a threshold; "
    f"predictions choose in the order of their scores, each object is found once, and at most {DETECTIONS} predictions "
    "of a category and picture count (COCO's rules). The overlap of a predicted mask <i>P</i> and an object's mask "
    "<i>G</i> is"
)
IOU = r"IoU(P, G) = \frac{|P ∩ G|}{|P \cup G|}"

DEFINITIONS = (
    Definition(
        "AP",
        f"Average precision: the mean of the precision at {len(RECALLS)} recalls from {RECALLS[0]:g} to "
        f"{RECALLS[-1]:g}, then over the categories and over the {_thresholds} IoU thresholds {_first}, {_second}, …, "
        f"{_last}.",
        heading=COCO,
        thresholds=(str(len(RECALLS)), _first, _last),
    ),
    Definition("AP50, AP75", f"The same at the one threshold {_first} or {iou(IOU_THRESHOLDS[5])}.", heading=COCO),
    Definition(
        "APs, APm, APl",
        f"AP of small (area under {side(AREAS['small'][1])} pixels), medium, and large (over {side(AREAS['large'][0])} "
        "pixels) objects.",
        heading=COCO,
        thresholds=(side(AREAS["small"][1]), side(AREAS["large"][0])),
    ),
    Definition(
        "AR1, AR10, AR100",
        "Average recall: the highest recall with at most so many predictions a picture, averaged over the categories "
        f"and the {_thresholds} thresholds.",
        heading=COCO,
    ),
    Definition("box AP", "AP where the boxes around the masks are compared instead of the masks.", heading=COCO),
    Definition(
        "boundary AP",
        "AP where the lower one of two IoUs counts: of the masks, and of their boundaries <i>∂P</i> and <i>∂G</i>, the "
        f"pixels of a mask that are within {percent(DILATION)} of the picture's diagonal of the outside (Boundary IoU, "
        "Cheng et al., CVPR 2021),",
        r"\sub{IoU}{∂}(P, G) = min(IoU(P, G), IoU(∂P, ∂G))",
        heading=COCO,
        thresholds=(percent(DILATION),),
    ),
    Definition(
        "box_cover",
        "How occluded an object is: the share of its box <i>B<sub>i</sub></i> that the masks <i>M<sub>j</sub></i> of "
        "the other objects of its picture cover (crowd regions do not),",
        r"\sub{box_cover}{i} = \frac{|\sub{B}{i} ∩ \under{\bigcup}{j ≠ i} \sub{M}{j}|}{|\sub{B}{i}|}",
        heading=OCCLUSION,
    ),
    Definition(
        "mask_cover",
        "The share of an object's own mask that the masks of others overlap; in COCO it is as much about how "
        "annotators draw as about occlusion,",
        r"\sub{mask_cover}{i} = \frac{|\sub{M}{i} ∩ \under{\bigcup}{j ≠ i} \sub{M}{j}|}{|\sub{M}{i}|}",
        heading=OCCLUSION,
    ),
    Definition(
        "max_box_iou",
        "The highest IoU of an object's box with the box of another object,",
        r"\sub{max_box_iou}{i} = \under{max}{j ≠ i} IoU(\sub{B}{i}, \sub{B}{j})",
        heading=OCCLUSION,
    ),
    Definition(
        "occluder",
        "What occludes an object in training: the masks of all others whose boxes overlap its box (by how much, the "
        "parameters of the conversion say), cut to its box; an object that has one is called occluded here. The bins "
        "are of whether the one with most pixels there is of the object's category.",
        heading=OCCLUSION,
    ),
    Definition(
        "recall in a bin",
        "Over the objects whose measure of occlusion is at least the bin's lower end and below its upper one (the last "
        "bin holds its upper end too), all categories together: AR50 and AR75 are the shares found at IoU "
        f"{_first} and {iou(IOU_THRESHOLDS[5])}, AR the mean share over the {_thresholds} thresholds <i>t</i>,",
        rf'AR = \frac{{1}}{{{len(IOU_THRESHOLDS)}}} \under{{∑}}{{t}} \frac{{"objects found at IoU~" t}}'
        r'{"objects in the bin"}',
        heading=OCCLUSION,
        thresholds=(_first,),
    ),
    Definition(
        "AP, APn in a bin",
        "COCO's matching is of all objects; predictions matched to objects of other bins are left out, those matched "
        "to none are false in every bin. Of a category with <i>n</i> objects in the bin and <i>N</i> in the split, "
        "after each right prediction, with <i>F</i> false ones so far and a recall <i>R</i> of the bin's objects, the "
        "precision is",
        r'AP: \frac{R n}{R n + F}, "~~" APn: \frac{R N}{R N + F}',
        "AP of a bin with few objects is low however well these are found; APn, normalised by how many there are, can "
        "be compared between bins (after Hoiem et al., ECCV 2012).",
        heading=AP_BY_OCCLUSION,
    ),
    Definition(
        "found",
        f"The share of objects that a prediction with a score of at least {_score} has with the right category and a "
        f"mask IoU of at least {_found} (one prediction may have several); of all, of occluded and of separated "
        "objects,",
        r'found = \frac{"objects with such a prediction"}{"objects"}',
        "False predictions cost nothing in it.",
        heading=FAILURES,
        thresholds=(_score, _found),
    ),
    Definition(
        "separated",
        f"An object whose mask is in two parts or more (8-connected, of at least {separated.MIN_PIXELS} pixels and "
        f"{percent(separated.MIN_SHARE)} of the mask), split by one other object: it fills at least "
        f"{SHARES[separated.FILLED]} of the gap, the pixels <i>p</i> between two parts <i>A</i> and <i>C</i> for which",
        rf"d(p, A) + d(p, C) ≤ d(A, C) + {separated.WIDTH:g}",
        f"reaches within {separated.REACH} pixels of both, and covers less than {SHARES[separated.UNDERLAY]} of the "
        "object itself. After the idea of Separated COCO (Zhan et al., BMVC 2022), whose list of objects is another "
        "one.",
        heading=SEPARATED,
        thresholds=(
            *(f"{separated.MIN_PIXELS} pixels", percent(separated.MIN_SHARE), f"{separated.REACH} pixels"),
            *(f"+ {separated.WIDTH:g}", SHARES[separated.FILLED]),
        ),
    ),
    Definition(
        "wrong class, badly localised, both, missed",
        "What becomes of an object that is not found: the first that is true of any prediction with a score of at "
        f"least {_score}: another category and IoU ≥ {_found}; its category and IoU ≥ {_background}; another category "
        f"and IoU ≥ {_background}; none of these. With <i>found</i> they add up to 100.",
        heading=FAILURES,
        thresholds=(_score, _found, _background),
    ),
    Definition(
        "leak",
        "How much of a predicted mask <i>P</i> is on the occluder <i>O</i> of its object, and not on the object's own "
        "mask <i>T</i>; the mean over objects with an occluder that are found at IoU .5,",
        r"leak = \frac{|P ∩ O \setminus T|}{|P|}",
        "Less is better. It is of found objects only: a method can leak less by finding less.",
        heading=LEAK,
    ),
    Definition(
        "TIDE",
        "By how many points AP50 would rise if all errors of one kind were mended (Bolya et al., ECCV 2020). Of a "
        "wrong prediction, <i>s</i> being its highest IoU with an object of its category and <i>o</i> with one of "
        f"another: Loc, {_far} ≤ <i>s</i> ≤ {_near}; Cls, <i>o</i> ≥ {_near}; Dupe, <i>s</i> &gt; {_near}, a better "
        f"one has the object; Bkg, <i>s</i> &lt; {_far} and <i>o</i> ≤ {_far}; Both, the rest. Miss: objects that "
        "nobody found and no Loc or Cls points at. FP: all wrong predictions; FN: all objects not found.",
        r'\sub{TIDE}{k} = \sub{AP50}{"errors of kind~" k "~mended"} - AP50',
        "Gains do not add up.",
        heading=TIDE,
        thresholds=(_near, _far),
    ),
    Definition(
        "ECE",
        f"Expected calibration error: predictions in {NUMBERS[calibration.BINS]} bins <i>b</i> by their score; of "
        "<i>n</i> of all <i>N</i> predictions in a bin the distance of their mean score to the share of right ones (at "
        "IoU .5),",
        r'ECE = \under{∑}{b} \frac{\sub{n}{b}}{N} |\sub{"mean score"}{b} - \sub{"right"}{b}|',
        "Less is better (Guo et al., ICML 2017).",
        heading=CALIBRATION,
        thresholds=(NUMBERS[calibration.BINS],),
    ),
    Definition(
        "invisible AP, IoU",
        "Of amodal masks, by what is not seen: with <i>A</i> an object's amodal mask, <i>V</i> its visible one, "
        "<i>P</i> the prediction,",
        r'\sub{IoU}{"invisible"} = IoU(P \setminus V, A \setminus V)',
        f"and 0 where <i>P</i> and <i>A</i> overlap by less than {share(invisible.MIN_IOU)}. AP by it leaves out "
        f"objects with fewer than {invisible.MIN_PIXELS} invisible pixels; IoU is the mean over those with an "
        "invisible part that are found at .5.",
        heading=INVISIBLE,
        amodal=True,
        thresholds=(share(invisible.MIN_IOU), f"{invisible.MIN_PIXELS} invisible pixels"),
    ),
    Definition(
        "order",
        "Who is in front, from the occluder masks <i>O</i> of a head that predicts them: of two found objects of known "
        "depth whose amodal masks overlap, with predicted masks <i>M</i>, <i>i</i> is said to be behind <i>j</i> if",
        r"|\sub{O}{i} ∩ \sub{M}{j}| > |\sub{O}{j} ∩ \sub{M}{i}|",
        "Decided: the share of pairs where they differ; right of these, and right of all pairs; by masks alone: the "
        "same with the box around <i>M<sub>i</sub></i> in the place of <i>O<sub>i</sub></i>, which is what to compare "
        "with.",
        heading=ORDER,
        amodal=True,
    ),
)
HEADINGS = tuple(dict.fromkeys(definition.heading for definition in DEFINITIONS))
