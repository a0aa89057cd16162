"""The squares of a RoI, and the sheet that they are put on: what is drawn is what was given, pixel by pixel."""

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from bcnet.data.masks.segmentation import encode
from bcnet.drawing.roi_maps import DrawnDetection, colour_bar, crop, heat_map, mask_over, png_uri, squares
from bcnet.drawing.sheet import sheet

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
SCRIPT = "<script>'1'</script> & $x^2$"
NAMES = ["RoI", "occluder contour", "occluder mask", "target contour", "target mask", "final mask"]
RED = "#d55e00"


def picture() -> np.ndarray:
    """100 wide, 60 high; red tells the column, green the row."""
    rows, columns = np.mgrid[:60, :100]
    return np.stack([2 * columns, 4 * rows, np.full((60, 100), 40)], axis=-1).astype(np.uint8)


def found(names: list[str], label: str = "ring 0.90") -> DrawnDetection:
    """A detection of 28x14 pixels in the picture, whose maps are random and all different."""
    random, mask = np.random.default_rng(0), np.zeros((60, 100), bool)
    mask[20:34, 50:64] = True
    maps = {name.replace(" ", "_"): random.random((28, 28), np.float32) for name in names}
    return DrawnDetection(label, RED, np.array([50, 20, 78, 34], np.float32), encode(mask), maps)


def opened(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def test_heat_maps_have_the_fixed_range_0_to_1_and_grow_lighter() -> None:
    colours = heat_map(np.linspace(0, 1, 256)[None])[0].astype(int)
    assert colours[0].tolist() == [0, 0, 3]
    assert colours[-1].tolist() == [251, 252, 191]  # the ends of magma
    assert (np.diff(colours[::5] @ [299, 587, 114]) > 0).all()
    assert heat_map(np.full((2, 2), 0.5)).tolist() == np.full((2, 2, 3), colours[128]).tolist()  # not stretched to 0…1
    assert opened(colour_bar()).tolist() == [colours.tolist()]


def test_a_crop_is_that_part_of_the_picture_stretched_to_a_square() -> None:
    shown = crop(picture(), np.array([50, 20, 78, 34], np.float32))  # a pixel becomes 7 wide and 14 high
    assert shown.shape == (196, 196, 3)
    assert shown[7, 3:196:7, 0].tolist() == [2 * column for column in range(50, 78)]
    rows = (shown[6:196:14, 3, 1].astype(int) + shown[7:196:14, 3, 1]) / 2  # either side of a pixel's centre
    np.testing.assert_allclose(rows, [4 * row for row in range(20, 34)], atol=1)


def test_the_final_mask_has_a_coloured_edge_and_pale_surroundings() -> None:
    drawn = mask_over(picture(), found([]))
    np.testing.assert_array_equal(drawn[90:100, 20:70], crop(picture(), found([]).box)[90:100, 20:70])
    assert (drawn[90:100, 95:98] == [213, 94, 0]).all()  # RED
    assert drawn[:, 100:].min() >= 170
    assert (np.ptp(drawn[:, 100:].astype(int), axis=2) == 0).all()


def test_squares_come_in_the_papers_order_with_the_maps_untouched() -> None:
    given = found(NAMES[1:-1])
    shown = squares(picture(), given)
    assert list(shown) == NAMES
    for name, map_ in given.maps.items():
        np.testing.assert_array_equal(shown[name.replace("_", " ")], heat_map(map_))
        np.testing.assert_array_equal(opened(png_uri(heat_map(map_))), heat_map(map_))


def texts(svg: bytes) -> list[str]:
    return ["".join(each.itertext()) for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("names", [NAMES[1:-1], ["target mask"]])
def test_the_png_shows_every_cell_of_every_map_as_seven_pixels(names: list[str]) -> None:
    objects = [found(names), found(names, "star 0.80")]
    files = sheet("a.png", ["caption"], picture(), objects)
    drawn = np.asarray(Image.open(io.BytesIO(files["png"])).convert("RGB"))
    first_row = 0
    for column, (name, square) in enumerate(squares(picture(), objects[0]).items()):
        expected = square.repeat(196 // len(square), axis=0).repeat(196 // len(square), axis=1)
        left = 32 + column * (196 + 16)
        tops = [y for y in range(len(drawn) - 195) if np.array_equal(drawn[y : y + 196, left : left + 196], expected)]
        assert len(tops) == 2, name  # both objects have the same maps
        first_row = first_row or tops[0]
        assert tops[0] == first_row
    assert [each for each in texts(files["svg"]) if each in NAMES] == ["RoI", *names, "final mask"]


def test_the_svg_holds_the_maps_as_they_are() -> None:
    given = found(NAMES[1:-1])
    root = ElementTree.fromstring(sheet("a.png", [], picture(), [given])["svg"])
    images = [opened(each.attrib[HREF]) for each in root.iter(f"{SVG}image")]
    maps = [image for image in images if image.shape == (28, 28, 3)]
    for map_, image in zip(given.maps.values(), maps, strict=True):
        np.testing.assert_array_equal(image, heat_map(map_))


def test_names_are_text_and_never_markup() -> None:
    given = [found(["target mask"], f"{SCRIPT} 0.90")]
    svg = sheet(f"{SCRIPT}\x01\udcff.png", [SCRIPT], picture(), given)["svg"]
    shown = texts(svg)
    assert f"{SCRIPT}\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.png" in shown
    assert shown.count(f"{SCRIPT} 0.90") == 2  # beside the picture and above the row
    assert SCRIPT in shown
    assert not [each for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("script")]


def test_a_long_name_keeps_its_end() -> None:
    svg = sheet("a" * 300 + "z.jpg", [], picture(), [found([], "b" * 300 + " 0.12")])["svg"]
    assert max(map(len, texts(svg))) <= 150
    assert any(each.startswith("aaa") and each.endswith("z.jpg") for each in texts(svg))
    assert [each[-5:] for each in texts(svg) if each.startswith("bbb")] == [" 0.12", " 0.12"]


def test_forty_objects_have_their_place() -> None:
    """Two columns beside the picture, however low it is, and nothing runs over the rows below or off the sheet."""
    objects = [found(["target mask"], f"thing {n} 0.50") for n in range(40)]
    root = ElementTree.fromstring(sheet("a.png", [], np.zeros((34, 700, 3), np.uint8), objects)["svg"])
    places = [
        (float(each.attrib["x"]), float(each.attrib["y"]), "".join(each.itertext())) for each in root.iter(f"{SVG}text")
    ]
    (headings,) = {y for _, y, text in places if text == "RoI"}
    labels = [(x, y) for x, y, text in places if text.startswith("thing")]
    assert len(set(labels)) == 80
    assert max(y for _, y in labels[:40]) < headings - 5
    assert min(y for _, y in labels[40:]) > headings + 5
    assert max(y for _, y in labels) < float(root.attrib["viewBox"].split()[3]) - 72


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1), (700, 900)])
def test_pictures_of_any_shape_without_a_detection(size: tuple[int, int]) -> None:
    files = sheet("a.png", ["no object"], np.zeros((*size, 3), np.uint8), [])
    assert Image.open(io.BytesIO(files["png"])).width == 1320
    assert texts(files["svg"]) == ["a.png", "no object"]


def test_same_arguments_give_the_same_bytes_without_a_date() -> None:
    files = [sheet("a.png", ["caption"], picture(), [found(NAMES[1:-1])]) for _ in range(2)]
    assert files[0] == files[1]
    assert b"date" not in files[0]["svg"].lower()
    assert b"matplotlib" not in files[0]["png"].lower()
