"""The report page in a real browser: the objects that methods missed or confused are chosen, opened and led to."""

import base64
import json
import re
import zlib
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import browser_factory
from browser_factory import HOSTILE, unfold
from playwright.sync_api import Locator, Page

address, browser = browser_factory.address, browser_factory.browser  # fixtures
context, page = browser_factory.context, browser_factory.page


def cards(page: Page) -> list[str]:
    return page.locator(".thumbs li").all_inner_texts()


def status(page: Page) -> tuple[int, int]:
    """How many are shown, of how many."""
    shown, fitting = re.match(
        r"(\d+) of (\d+) shown", page.locator("#objects").get_by_role("status").inner_text()
    ).groups()
    return int(shown), int(fitting)


def choice(page: Page, name: str) -> Locator:
    return page.locator(".browser").get_by_role("combobox", name=name, exact=True)


def data(page: Page) -> dict:
    return json.loads(zlib.decompress(base64.b64decode(page.locator("#objects-data").text_content())))


def test_all_objects_that_any_method_missed_or_confused_are_there(page):
    content = data(page)
    fates = content["objects"]["fate"]
    assert all(any(of_method[k] != "0" for of_method in fates) for k in range(len(fates[0])))
    choice(page, "Method").select_option("any")
    assert status(page) == (24, len(fates[0]))
    page.get_by_role("button", name="Show more").click()
    assert status(page)[0] == min(48, len(fates[0]))


def test_of_two_methods_those_go_first_on_which_they_part_most(page):
    content = data(page)
    ious = [[float(number) for number in re.findall(r"IoU (\d\.\d\d),", text)] for text in cards(page)]
    assert all(len(pair) == 2 for pair in ious)
    fates = [content["objects"]["fate"][k] for k in content["chosen"]]
    parted = sum((one == "0") != (other == "0") for one, other in zip(*fates, strict=True))
    found = [text.count(" found") for text in cards(page)]
    assert all(count == 1 for count in found[: min(parted, 24)])
    rest = [abs(one - other) for one, other in ious[parted:]]
    assert rest == sorted(rest, reverse=True)
    choice(page, "compared with").select_option("mask-rcnn")
    assert status(page) == (0, 0)  # a method does not differ from itself


def test_the_class_that_an_object_is_taken_for_stands_beside_a_wrong_class(context, address, tmp_path):
    """Beside no other outcome: a found object may be overlapped by something else, too."""
    text = Path(url2pathname(urlsplit(address).path)).read_text(encoding="utf-8")
    packed = re.search(r'(?<=id="objects-data">)[^<]*', text)[0]
    content = json.loads(zlib.decompress(base64.b64decode(packed)))
    objects, category = content["objects"], content["categories"][content["objects"]["category"][0]]
    key, other = next(entry for entry in content["takenFor"] if entry[1] not in (category, "nothing"))
    for method, kind in enumerate(("wrong class", "badly localised")):
        objects["fate"][method] = str(content["fates"].index(kind)) + objects["fate"][method][1:]
        objects["taken"][method][0] = int(key)
    changed = base64.b64encode(zlib.compress(json.dumps(content).encode())).decode()
    (tmp_path / "page.html").write_text(text.replace(packed, changed), encoding="utf-8")
    page, _ = browser_factory.opened(context, (tmp_path / "page.html").as_uri())
    choice(page, "compared with").select_option("none")
    for method, ending in enumerate((f", wrong class: {other}", ", badly localised")):
        choice(page, "Method").select_option(content["methods"][method]["label"])
        assert cards(page)[0].endswith(ending)


def test_objects_are_filtered_by_what_they_are_and_how_they_fared(page):
    choice(page, "compared with").select_option("none")
    choice(page, "Category").select_option(HOSTILE)
    assert all(text.startswith(HOSTILE) for text in cards(page))
    _, all_of_them = status(page)
    choice(page, "box_cover").select_option("0.1 to 0.3")
    assert all(10 <= int(re.search(r"box (\d+) % filled", text)[1]) <= 30 for text in cards(page))
    assert 0 < status(page)[1] < all_of_them
    choice(page, "Outcome").select_option("not found")
    assert cards(page)
    assert not any(" found" in text for text in cards(page))
    choice(page, "Size").select_option("large")
    assert status(page) == (0, 0)


def test_an_object_opens_with_its_picture_and_the_masks_that_are_ticked(page):
    page.locator(".thumbs button").first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    drawing = dialog.get_by_role("img")
    assert drawing.locator("image").get_attribute("href").startswith("data:image/jpeg;base64,")
    assert drawing.locator("path:not(.truth, .occluder)").count() == 2
    dialog.get_by_role("checkbox", name="The zoo's").check()
    assert drawing.locator("path:not(.truth, .occluder)").count() == 3
    assert drawing.locator(".truth").count() == 1
    assert len(dialog.locator("tbody tr").all()) == 4
    before = dialog.locator("p").first.inner_text()
    dialog.get_by_role("button", name="Next").click()
    assert page.get_by_role("dialog").locator("p").first.inner_text() != before
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("dialog").locator("p").first.inner_text() == before
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


def test_a_cell_of_the_confusions_leads_to_its_objects(page):
    unfold(page)
    link = page.locator("#confusion a[data-show]").first
    count, objects = map(int, re.match(r"(\d+) of (\d+)", link.get_attribute("title")).groups())
    show = dict(zip(("method", "category", "taken", "bin"), link.get_attribute("data-show").split(), strict=True))
    content = data(page)
    method = int(show["method"])
    columns = content["objects"]
    wanted = [
        k
        for k in range(len(columns["category"]))
        if str(columns["category"][k]) == show["category"] and str(columns["taken"][method][k]) == show["taken"]
    ]
    link.click()
    assert status(page)[1] == len(wanted) <= count <= objects
    assert choice(page, "Method").input_value() == show["method"]
    assert page.locator("#objects").is_visible()
