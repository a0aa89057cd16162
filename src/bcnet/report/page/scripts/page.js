"use strict";
// The contents lead into what is folded, a method stands out in all charts, colours are chosen, and all is printed.

// Folded sections open where a link leads into them.

function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  const inside = target.querySelector(":scope > details");
  if (inside) inside.open = true;
  for (let folded = target.closest("details"); folded; folded = folded.parentElement.closest("details")) folded.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();
for (const link of document.querySelectorAll('a[href^="#"]')) {
  link.addEventListener("click", () => {
    if (link.hash === location.hash) reveal(); // which the browser does not call a change
  });
}

// The section that is read is marked in the contents.

const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const read = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      for (const [id, link] of links) {
        if (id === target.id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }
  },
  { rootMargin: "-10% 0px -80% 0px" },
);
for (const section of document.querySelectorAll("main > section")) read.observe(section);

// Methods: those whose names are pressed stand out in every chart, and the one under the pointer does.

const chosen = new Set();
function standOut(pointed) {
  for (const part of document.querySelectorAll("[data-method]")) {
    const { method } = part.dataset;
    part.classList.toggle("apart", chosen.has(method) || method === pointed);
  }
}
for (const name of document.querySelectorAll(".answers [data-method] strong")) {
  const { method } = name.closest("[data-method]").dataset;
  const button = element("button", { type: "button", className: "name-button", title: "Show it in the charts" }, name.textContent);
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    if (!chosen.delete(method)) chosen.add(method);
    button.setAttribute("aria-pressed", String(chosen.has(method)));
    standOut();
  });
  name.replaceChildren(button);
}
for (const part of document.querySelectorAll(".lines [data-method], .answers [data-method]")) {
  part.addEventListener("pointerenter", () => standOut(part.dataset.method));
  part.addEventListener("pointerleave", () => standOut());
}

// Colours: as the system has them, or light, or dark.

const themes = element("select", {}, ...["system", "light", "dark"].map((name) => new Option(name)));
themes.addEventListener("change", () => (document.documentElement.dataset.theme = themes.value));
document.querySelector("header").prepend(element("label", { className: "theme" }, "Colours ", themes));

// What is folded is printed as well.

const opened = new Set();
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not([open])")) {
    opened.add(folded);
    folded.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const folded of opened) folded.open = false;
  opened.clear();
});
