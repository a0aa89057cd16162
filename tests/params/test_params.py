"""params.yaml: what is legal runs, what is not ends in one line that says what would be."""

from pathlib import Path

import pytest
from places import ROOT

from bcnet import params
from bcnet.files import InputError
from bcnet.params.methods import METHODS
from bcnet.params.variants import WithNeck

DEMO = (ROOT / "presets/demo.yaml").read_text()
PASTED = "{pictures: 5, pasted: [1, 3]}"


def error_after(change: tuple[str, str], folder: Path) -> str:
    """The line that the demo preset ends in after a change of its text."""
    old, new = change
    assert old in DEMO
    path = folder / "params.yaml"
    path.write_text(DEMO.replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        params.load(path)
    line = str(raised.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    return line.removeprefix(str(path))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("# ä\nseeds: [é]".encode("latin-1"), ":1: byte 0xe4 is no UTF-8: save the file as UTF-8"),
        (b"a: 1\n\xff\xfe", ":2: byte 0xff is no UTF-8"),
        (b"seeds: [2024-13-45]", ": not valid YAML: month must be in 1..12"),
        (b"seeds: [" + b"9" * 5000 + b"]", ": not valid YAML: a number of too many digits"),
        (b"a: " + b"[" * 3000, ": not valid YAML: nested too deeply"),
        (b"".join(b" " * level + b"a:\n" for level in range(3000)), ": not valid YAML: nested too deeply"),
        (b"a: \x07", ": not valid YAML: unacceptable character"),
        (b"", ": an empty file, expected the sections of a run (`bcnet preset demo` makes one)"),
        (b"# nothing\n", ": an empty file, expected the sections"),
        (b"- 1", ": [1]: expected the keys dataset, datasets, synthetic, "),
        (b"text", ": 'text': expected the keys dataset"),
        (b"!!python/object/apply:os.system [ls]", ":1: not valid YAML: could not determine a constructor"),
    ],
)
def test_what_is_no_params_file_ends_in_one_line(content: bytes, line: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        params.load(path)
    assert str(raised.value).startswith(f"{path}{line}")
    assert len(str(raised.value)) < 500 + len(str(path))
    assert "\n" not in str(raised.value)


def test_aliases_that_multiply_are_shown_short(tmp_path: Path) -> None:
    lists = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lists += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 9)]
    path = tmp_path / "params.yaml"
    path.write_text("\n".join([*lists, DEMO.replace("seeds: [0]", "seeds: *a8")]))
    with pytest.raises(InputError, match="a0: unknown key"):
        params.load(path)
    path.write_text(DEMO.replace("batch: 4", "batch: {nested: [[1]]}"))
    with pytest.raises(InputError, match=r"schedule\.batch"):
        params.load(path)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(DEMO, encoding="utf-8-sig")
    assert params.load(tmp_path / "params.yaml") == params.load(ROOT / "presets/demo.yaml")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            ("iterations: 500", "iteration: 500"),
            ": schedule.iteration: unknown key, did you mean 'iterations'? Legal here: ",
        ),
        (
            ("size: 160,", "sizze: 160,"),
            ": datasets.demo.sizze: unknown key, did you mean 'size'? Legal here: source, seed, size, train, val",
        ),
        (("batch: 4", "batch: four"), ": schedule.batch: 'four': input should be a valid integer"),
        (("batch: 4", "batch: 0"), ": schedule.batch: 0: input should be greater than or equal to 1"),
        (
            ("method: bcnet", "method: bc"),
            ": variants.bcnet.method: 'bc', expected one of: mask_rcnn, bcnet, pointrend",
        ),
        (("method: bcnet", "methood: bcnet"), ": variants.bcnet.method: missing"),
        (
            ("method: bcnet", "mask_head: bcnet"),
            ": variants.bcnet: mask_head: this key is called method since 0.2: write `method: bcnet`",
        ),
        (("  bcnet:", "  mask-rcnn:"), ':52: found duplicate key "mask-rcnn"'),
        (
            ("dataset: demo", "dataset: dem"),
            ": dataset: 'dem' is not one of datasets, did you mean 'demo'? There",
        ),
        (("  bcnet: {", "  b/c: {"), ": variants.b/c: 'b/c': string should match pattern"),
        (
            ("label: BCNet}", "label: BCNet, schedule: {lrr: 1}}"),
            ": variants.bcnet.schedule.lrr: unknown key, did you mean 'lr'? Legal here: iter",
        ),
        (
            ("label: BCNet}", "label: BCNet, occluder: {maks: true}}"),
            "occluder.maks: unknown key, did you mean 'mask'? Legal here: mask, contour",
        ),
        (
            ("label: Mask R-CNN}", "layer: fcn}"),
            ": variants.mask-rcnn.layer: unknown key, did you mean 'label'? Legal here: method, backbone, label, ",
        ),
        (("label: BCNet}", "mask_rois: proposals}"), ": variants.bcnet: mask_rois: only for detector: fcos"),
        (("fcos_ranges: [32, 64,", "fcos_ranges: [64, 64,"), ": model: fcos_ranges must rise from above 0"),
        (("fcos_ranges: [32, 64,", "fcos_ranges: [0, 64,"), ": model: fcos_ranges must rise from above 0"),
        (("label: BCNet}", "structure: single, occluder: {mask: false}}"), "structure: single has no occluder layer"),
        (
            ("label: BCNet}", "structure: single, occluder_rois: all}"),
            "occluder_rois: structure: single has no occluder",
        ),
        (("label: BCNet}", "depth: 4}"), "depth: 4: structure: bilayer has two layers of four convolutions"),
        (("label: BCNet}", "structure: single, depth: 4, fusion: sum}"), "fusion: depth: 4 has one layer only"),
        (
            ("label: Mask R-CNN}", "label: Mask R-CNN, fusion: sum}"),
            ": variants.mask-rcnn.fusion: unknown key, legal here: ",
        ),
        (("nms: 0.5", "flip: both"), ": predict.flip: 'both': input should be a valid boolean"),
        (
            ("nms: 0.5", "extra_short_sides: [200, 16]"),
            ": predict.extra_short_sides.1: 16: input should be greater than",
        ),
        (("nms: 0.5", "extra_short_sides: [160]"), ": predict: extra_short_sides: 160 is a view twice"),
        (("published: []", "published: [kins]"), ": tables.published: synthetic data is not comparable"),
        (
            ("published: []", "compare_to: [mask_rcnn]"),
            ": tables.compare_to: 'mask_rcnn' is neither a variant nor one of imported or predictions (mask-rcnn",
        ),
        (("published: []", "compare_to: [bcnet, bcnet]"), ": tables.compare_to: ['bcnet', 'bcnet'] names one twice"),
        (("published: []", "draws: 0"), ": tables.draws: 0: input should be greater than or equal to 1"),
        (("decay: cosine", "decay: cosine\n  steps: [70]"), "steps go with decay: steps, not with decay: cosine"),
        (("decay: cosine", "steps: [700]"), ": schedule: steps must rise and lie between 0 and iterations (500)"),
        (("rule: all}", "rule: all, threshold: 0.1}"), ": splits.val: threshold: 0.1: rule 'all' takes none"),
        (("seeds: [0]", "seeds: [1, 1]"), ": seeds: [1, 1] names a seed twice"),
        (("batch: 4", "batch: true"), ": schedule: batch: true: expected no truth value"),
        (("lr: 0.001", "lr: .inf"), ": schedule: lr: inf: expected a number up to 1000000000"),
        (("lr: 0.001", "lr: .nan"), ": schedule: lr: nan: expected a number up to 1000000000"),
        (("lr: 0.001", "lr: 1e300"), ": schedule: lr: 1e+300: expected a number up to 1000000000"),
        (
            ("iterations: 500", f"iterations: 1{'0' * 20}"),
            ": schedule: iterations: 100000000000000000000: expected a n",
        ),
        (("iterations: 500", f"iterations: 1{'0' * 400}"), ": schedule: iterations: 1000000"),
        (("iterations: 500", "iterations: 100000001"), ": schedule.iterations: 100000001: input should be less than"),
        (("label: BCNet}", "label: ''}"), ": variants.bcnet.label: '': string should have at least 1 character"),
        (("label: BCNet}", "label: ' - '}"), ": variants.bcnet.label: ' - ': expected a text with a letter or digit"),
        (("label: BCNet}", 'label: "a\\x07"}'), ": variants.bcnet.label: 'a\\x07': expected a text with a letter"),
        (("label: BCNet}", 'label: "a\\nb"}'), ": variants.bcnet.label: 'a\\nb': expected a text with a letter"),
        (("label: BCNet}", f"label: {'x' * 101}}}"), "string should have at most 100 characters"),
        (("  bcnet: {", f"  {'b' * 300}: {{"), "string should have at most 100 characters"),
        (("imported: {}", 'imported: {a: {file: "", label: b}}'), ": imported.a.file: '': string should have at least"),
        (
            ("predictions: {}", 'predictions: {a: {file: "x\\0", label: b}}'),
            ": predictions.a.file: expected a path without a zero byte",
        ),
        *(
            (
                ("predictions: {}", f'predictions: {{a: {{file: "{path}", label: b}}}}'),
                f": predictions.a.file: '{path}': has '{sign}': expected the path of a file, without {{ }} or ://",
            )
            for path, sign in (
                ("a{b}.json", "{"),
                ("}.json", "}"),
                ("${x}", "{"),
                ("s3://a/b", "s3:/"),
                ("x:/b", "x:/"),
            )
        ),
        (
            ("label: BCNet}", 'label: BCNet, init: "pretrained/{x}.pth"}'),
            ": variants.bcnet.init: 'pretrained/{x}.pth': has '{'",
        ),
        (("seeds: [0]", "seeds: [true]"), ": seeds: true: expected no truth value"),
        (("seeds: [0]", "seeds: [1e0]"), ": seeds.0: 1.0: input should be a valid integer"),
        (
            ("predictions: {}", "predictions: {bcnet: {file: a, label: b}}"),
            "predictions: 'bcnet' is already the name of a",
        ),
        (
            ("imported: {}", "imported: {bcnet: {file: a.pth, label: b}}"),
            "imported: 'bcnet' is already the name of a variant or",
        ),
        (("imported: {}", "imported: {a: {file: a.pth, label: BCNet}}"), ": label: 'BCNet' is used twice"),
        (("imported: {}", "imported: {a: {label: b}}"), ": imported.a.file: missing"),
        (
            (
                "detector: faster_rcnn, backbone: efficientnet_lite0, method: mask_rcnn",
                "detector: fcos, backbone: resnet50, method: pointrend",
            ),
            ": variants.mask-rcnn.detector: 'fcos': input should be 'faster_rcnn'",
        ),
        (
            ("cover_bins: [0.0,", "cover_bins: [0.1,"),
            ": evaluate.cover_bins: [0.1, 0.1, 0.3, 1.0]: must rise",
        ),
        (("dataset: demo", "dataset: ["), "not valid YAML"),
        (("dataset: demo", "dataset: \x07"), ": not valid YAML: unacceptable character #x0007"),
        (("dataset: demo", "dataset: 2001-99-99"), ": not valid YAML: month must be in 1..12"),
        (("dataset: demo", "dataset: " + 500 * "["), ": not valid YAML: nested too deeply"),
        (("  occluded:", '  "a\\nb":'), ": splits.'a\\nb': 'a\\nb': string should match pattern"),
        (("seeds: [0]", "seeds: [' 0_1']"), ": seeds.0: ' 0_1': input should be a valid integer"),
        (("seeds: [0]", ""), ": seeds: missing"),
        (("label: BCNet}", "label: Mask R-CNN}"), ": label: 'Mask R-CNN' is used twice"),
        (("  val: {rule: all}", "  whole: {rule: all}"), ": splits: needs one named val"),
        (("rule: all}", "rule: box_iou}"), ": splits.val: threshold: missing: rule 'box_iou' needs it"),
        (("rule: all}", "rule: all, file: ids.txt}"), ": splits.val: file: ids.txt: rule 'all' takes none"),
        (
            ("rule: all}", "rule: all, same_category: true}"),
            ": splits.val: same_category: true: only for rules of two boxes",
        ),
        (("size: 160,", "size: 160, objects: [9, 2],"), ": datasets.demo: objects: [9, 2]: expected the least first"),
        (("train_on: train", "train_on: more"), ": train_on: 'more' is neither train nor one of synthetic (train)"),
        (("synthetic: {}", f"synthetic: {{val: {PASTED}}}"), ": synthetic: 'val' is the name of a part of every"),
        (
            ("synthetic: {}", f"synthetic: {{more: {PASTED.replace('[1, 3]', '[3, 1]')}}}"),
            ": synthetic.more: pasted: [3, 1]: expected the least first",
        ),
    ],
)
def test_one_line_names_key_value_and_what_is_legal(change: tuple[str, str], line: str, tmp_path: Path) -> None:
    assert line in error_after(change, tmp_path)


@pytest.mark.parametrize("several", ["flip: true", "extra_short_sides: [200]"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_several_views_are_refused_where_a_method_sees_one_only(method: str, several: str, tmp_path: Path) -> None:
    detectors = METHODS[method].detectors
    keys = ", ".join([*(f"detector: {name}" for name in detectors[:1]), "backbone: efficientnet_lite0"])
    text = DEMO.replace("nms: 0.5", f"nms: 0.5, {several}").replace(
        "bcnet: {detector: faster_rcnn, backbone: efficientnet_lite0, method: bcnet",
        f"bcnet: {{{keys}, method: {method}",
    )
    assert text.count(several) == 1
    assert f"method: {method}, label: BCNet" in text
    (tmp_path / "params.yaml").write_text(text)
    if METHODS[method].merges_views:
        params.load(tmp_path / "params.yaml")
        return
    with pytest.raises(InputError, match=f"variants.bcnet: method: {method}: sees one view only"):
        params.load(tmp_path / "params.yaml")


def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    loaded = params.load(ROOT / "presets/demo.yaml")
    with pytest.raises(InputError, match="variants: no 'bc', there are: mask-rcnn, bcnet"):
        loaded.variant("bc")
    with pytest.raises(InputError, match="predictions: no 'mine', there are: none"):
        loaded.brought("mine")


def test_the_table_of_methods_in_the_documentation_is_the_programs() -> None:
    lines = (ROOT / "config/README.md").read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("| `method` | in the literature"))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[name.strip("`")] = cells
    shared = {"method", "detector", *WithNeck.model_fields}
    expected = {
        name: [
            method.name,
            ", ".join(f"`{detector}`" for detector in method.detectors) or "none",
            ", ".join(f"`{key}`" for key in method.variant.model_fields if key not in shared) or "none",
            ", ".join(official.name for official in method.official) or "none",
        ]
        for name, method in METHODS.items()
    }
    assert rows == expected
