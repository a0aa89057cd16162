"use strict";
// Of the objects in the page those are shown on which two methods differ most that the reader chooses; also only those of
// a category, of a bin of box_cover, or of which one of the two methods makes a kind of failure.

{
  const SHOWN = 12;
  const list = document.querySelector(".objects");
  const objects = [...(list?.querySelectorAll(".object") ?? [])].map((card) => ({
    card,
    panels: [...card.querySelectorAll("[data-method]")],
  }));

  const select = (name, options, chosen) => {
    const made = element("select", {}, ...options.map(([text, value]) => new Option(text, value)));
    made.value = chosen;
    return { made, label: element("label", {}, `${name} `, made) };
  };
  const any = (values) => [["any", ""], ...[...new Set(values)].map((value) => [value, value])];

  if (objects.length > 0) {
    const panels = objects.flatMap((object) => object.panels);
    const methods = objects[0].panels.map((panel, index) => [panel.dataset.method, index]);
    const [first, second] = list.dataset.chosen.split(" ");
    const bins = objects.map(({ card }) => card.dataset.bin).toSorted((a, b) => parseFloat(a) - parseFloat(b));
    const one = select("Objects on which", methods, first);
    const other = select("differs from", methods, second);
    const category = select("Category", any(objects.map(({ card }) => card.dataset.category).toSorted()), "");
    const bin = select("box_cover", any(bins), "");
    const failure = select("Outcome of either", any(panels.map((panel) => panel.dataset.failure).toSorted()), "");
    const status = element("span", { className: "soft" });
    status.setAttribute("role", "status");
    const choices = [one, other, category, bin, failure];

    const update = () => {
      const pair = [Number(one.made.value), Number(other.made.value)];
      const wanted = (value, choice) => choice.made.value === "" || value === choice.made.value;
      const difference = ({ panels }) => Math.abs(panels[pair[0]].dataset.iou - panels[pair[1]].dataset.iou);
      const fitting = objects
        .filter((object) => difference(object) > 0)
        .filter(({ card }) => wanted(card.dataset.category, category) && wanted(card.dataset.bin, bin))
        .filter(({ panels }) => pair.some((index) => wanted(panels[index].dataset.failure, failure)))
        .toSorted((a, b) => difference(b) - difference(a));
      const shown = new Set(fitting.slice(0, SHOWN));
      for (const object of objects) {
        object.card.hidden = !shown.has(object);
        object.panels.forEach((panel, index) => (panel.hidden = !pair.includes(index)));
      }
      list.append(...[...shown].map(({ card }) => card));
      status.textContent = `${shown.size} of ${fitting.length} shown`;
    };
    for (const { made } of choices) made.addEventListener("change", update);
    document.querySelector(".pair").replaceWith(
      element("div", { className: "tools" }, ...choices.map(({ label }) => label), status),
    );
    update();
  }
}
