"use strict";
// The browser of objects: which of them are shown, in which order, and one of them large, with masks.

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
}

async function browseObjects(place) {
  const PAGE = innerWidth < 600 ? 8 : 24; // objects shown at first, and more at a time
  const data = await unpacked(document.getElementById("objects-data").textContent);
  const { methods, fates, objects } = data;

  const FOUND = 0;
  const OF_CLASS = ["wrong class", "both"]; // the outcomes of detections of another category
  const ANY = "";
  const NONE = "-1";
  const categoryNames = new Map(data.takenFor.slice(0, -1)); // the last is "nothing"
  const fate = (method, object) => Number(objects.fate[method][object]);
  const iou = (method, object) => objects.iou[method][object] / 100;
  const svg = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  // The outcome; of a wrong class also which.
  function said(method, object) {
    const kind = fates[fate(method, object)];
    const taken = categoryNames.get(String(objects.taken[method][object]));
    const isOther = taken !== undefined && taken !== data.categories[objects.category[object]];
    return isOther && OF_CLASS.includes(kind) ? `${kind}: ${taken}` : kind;
  }

  function select(name, options, chosen) {
    const made = element("select", {}, ...options.map(([text, value]) => new Option(text, value)));
    made.value = chosen;
    return { made, label: element("label", {}, `${name} `, made) };
  }

  function thumbnail(object) {
    const tile = data.tiles[object];
    const made = element("span", { className: tile < 0 ? "thumb empty" : "thumb" });
    const [row, column] = [Math.floor(tile / data.columns), tile % data.columns];
    if (tile >= 0) made.style.backgroundPosition = `${-column * data.tile}px ${-row * data.tile}px`;
    return made;
  }

  function outcome(method, object) {
    return element(
      "span",
      { className: "outcome" },
      Object.assign(element("span", { textContent: methods[method].symbol }), { style: `color: ${methods[method].colour}` }),
      ` IoU ${iou(method, object).toFixed(2)}, ${said(method, object)}`,
    );
  }

  const about = (object) => {
    const cover = objects.cover[object] < 0 ? "" : `, box ${objects.cover[object]} % filled by others`;
    return `${data.categories[objects.category[object]]}, ${data.sizes[objects.size[object]]}${cover}`;
  };

  // One object, large: its picture with the masks of the methods that are ticked, and how each method fared.

  function open(list, at, ticked) {
    const object = list[at];
    const picture = data.pictures[objects.file[object]];
    const paths = data.masks[object];
    const dialog = element("dialog", { className: "one-object" });
    dialog.setAttribute("aria-label", about(object));
    const drawing = svg("svg", { class: "whole", role: "img", "aria-label": `${about(object)}, with masks` });
    const shapes = methods.map((_, method) => paths?.[method + 2] ?? "");
    const draw = () => {
      drawing.replaceChildren(svg("image", { href: picture.uri, width: picture.width, height: picture.height }));
      for (const method of ticked) {
        const { colour } = methods[method];
        if (shapes[method]) drawing.append(svg("path", { d: shapes[method], fill: colour, stroke: colour }));
      }
      if (paths?.[1]) drawing.append(svg("path", { d: paths[1], class: "occluder" }));
      if (paths) drawing.append(svg("path", { d: paths[0], class: "truth" }));
    };
    if (picture) {
      drawing.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
      draw();
    }
    const rows = methods.map(({ label, symbol, colour }, method) => {
      const box = element("input", { type: "checkbox", checked: ticked.has(method), disabled: !paths });
      box.addEventListener("change", () => {
        if (box.checked) ticked.add(method);
        else ticked.delete(method);
        draw();
      });
      const mark = Object.assign(element("span", { textContent: symbol }), { style: `color: ${colour}` });
      const name = element("label", {}, box, " ", mark, ` ${label}`);
      const numbers = [iou(method, object).toFixed(2), said(method, object)];
      return element("tr", {}, element("td", { className: "text" }, name), ...numbers.map((text) => element("td", {}, text)));
    });
    const head = element("tr", {}, ...["Best mask of", "IoU", "outcome"].map((text) => element("th", { scope: "col" }, text)));
    const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
    const step = (by, name) => {
      const button = element("button", { type: "button", textContent: name, disabled: !(at + by in list) });
      button.addEventListener("click", () => {
        dialog.close();
        open(list, at + by, ticked);
      });
      return button;
    };
    const close = element("button", { type: "button", textContent: "Close" });
    close.addEventListener("click", () => dialog.close());
    const [before, after] = [step(-1, "Previous"), step(1, "Next")];
    dialog.addEventListener("keydown", ({ key, target }) => {
      if (target.type === "checkbox") return;
      if (key === "ArrowLeft") before.click();
      if (key === "ArrowRight") after.click();
    });
    dialog.addEventListener("close", () => dialog.remove());
    const lacking = paths ? "" : picture ? "The page has no masks of it." : "The page has no picture of it.";
    dialog.append(
      element("p", {}, element("strong", { textContent: about(object) }), ` ${data.files[objects.file[object]]} ${lacking}`),
      element("p", {
        className: "soft",
        textContent:
          "White: the annotated mask; dashed: its occluder. Best masks are of the object's category, whatever their scores; the outcome counts detections of all categories from a score of 0.3.",
      }),
      element("div", { className: "beside" }, picture ? drawing : thumbnail(object), table),
      element("div", { className: "tools" }, before, after, close),
    );
    document.body.append(dialog);
    dialog.showModal();
    close.focus();
  }

  function browser() {
    const style = element("style", { textContent: `.thumb { background: url(${data.sprite}) 0 0 / ${data.columns * data.tile}px auto; }` });
    if (data.sprite) document.head.append(style);
    const named = methods.map(({ label }, index) => [label, String(index)]);
    const indexed = (names) => [["any", ANY], ...names.map((name, index) => [name, String(index)])];
    const [first, second] = data.chosen.map(String);
    const choices = {
      method: select("Method", [["any", ANY], ...named], first),
      other: select("compared with", [["none", NONE], ...named], second),
      fate: select("Outcome", [["any", ANY], ["not found", "failed"], ...indexed(fates).slice(1)], ANY),
      category: select("Category", indexed(data.categories), ANY),
      taken: select("taken for", [["any", ANY], ...data.takenFor.map(([id, name]) => [name, id])], ANY),
      size: select("Size", indexed(data.sizes), ANY),
      bin: select("box_cover", indexed(data.bins), ANY),
    };
    const value = (name) => choices[name].made.value;
    const status = element("span", { className: "soft" });
    status.setAttribute("role", "status");
    const list = element("ul", { className: "thumbs" });
    const more = element("button", { type: "button", textContent: "Show more" });
    const all = [...objects.category.keys()];
    let fitting = [];

    const isWanted = (object) => {
      const wanted = (name, own) => value(name) === ANY || value(name) === String(own);
      if (!["category", "size", "bin"].every((name) => wanted(name, objects[name][object]))) return false;
      const isTaken = (method) => value("taken") === ANY || String(objects.taken[method][object]) === value("taken");
      const asked = value("method") === ANY ? [...methods.keys()] : [Number(value("method"))];
      const fits = (kind) => (value("fate") === "failed" ? kind !== FOUND : wanted("fate", kind));
      return asked.some((method) => isTaken(method) && (value("fate") === ANY || fits(fate(method, object))));
    };
    const pair = () => (value("method") === ANY || value("other") === NONE ? null : [Number(value("method")), Number(value("other"))]);
    // Those that just one of the two finds go first, then those whose masks differ most.
    const isParting = ([one, other], object) => (fate(one, object) === FOUND) !== (fate(other, object) === FOUND);
    const distance = ([one, other], object) =>
      (isParting([one, other], object) ? 1000 : 0) + Math.abs(objects.iou[one][object] - objects.iou[other][object]);
    const compared = () => pair() ?? (value("method") === ANY ? [] : [Number(value("method"))]);

    const add = (count) => {
      const start = list.children.length;
      const shown = compared();
      for (const [at, object] of fitting.slice(start, start + count).entries()) {
        const lines = [element("strong", { textContent: about(object) }), ...shown.map((method) => outcome(method, object))];
        if (shown.length === 0) {
          const failed = methods.filter((_, method) => fate(method, object) !== FOUND).length;
          lines.push(element("span", { textContent: `not found by ${failed} of ${methods.length}` }));
        }
        const button = element("button", { type: "button" }, thumbnail(object), element("span", {}, ...lines));
        button.addEventListener("click", () => open(fitting, start + at, new Set(shown)));
        list.append(element("li", {}, button));
      }
      more.hidden = list.children.length >= fitting.length;
      const same = shown.length === 2 ? "; those with equal outcomes and IoUs are left out" : "";
      status.textContent = `${list.children.length} of ${fitting.length} shown${same}`;
    };
    const update = () => {
      const two = pair();
      fitting = all.filter((object) => isWanted(object) && (!two || distance(two, object) > 0));
      if (two) fitting.sort((a, b) => distance(two, b) - distance(two, a));
      list.replaceChildren();
      add(PAGE);
    };
    for (const { made } of Object.values(choices)) made.addEventListener("change", update);
    more.addEventListener("click", () => add(PAGE));

    // Links elsewhere on the page lead to the objects that they speak of.
    document.addEventListener("click", ({ target }) => {
      const link = target.closest("a[data-show]");
      if (!link) return;
      const [method, category, taken, bin] = link.dataset.show.split(" ").map((value) => (value === "-" ? ANY : value));
      const show = { method, other: NONE, fate: ANY, category, taken, size: ANY, bin };
      for (const [name, wanted] of Object.entries(show)) choices[name].made.value = wanted;
      update();
    });

    const bar = element("div", { className: "tools" }, ...Object.values(choices).map(({ label }) => label), status);
    place.replaceChildren(bar, list, more);
    update();
  }

  browser();
}

if (document.querySelector(".browser")) browseObjects(document.querySelector(".browser"));
