"use strict";
// The page is whole without its scripts. With this one its tables can be sorted, filtered and copied, and their columns
// picked. Nothing of the page's content is ever read as markup: only textContent is written.

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// A cell's texts as [text, bold], without the marks of footnotes and without what `but` selects.
function parts(cell, but = "sup") {
  const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim().replace(/\s+/g, " ");
    const parent = walker.currentNode.parentElement;
    if (text && !parent.closest(but)) found.push([text, parent.closest("strong") !== null]);
  }
  return found;
}

const words = (cell, between = " ") => parts(cell).map(([text]) => text).join(between);
const heading = (body) => body.querySelector('th[scope="rowgroup"]');
const entries = (body) => [...body.rows].filter((row) => !row.querySelector('th[scope="rowgroup"]'));

// For each column of a table the cells of the head above it, from top to bottom.
function columns(table) {
  const above = [];
  [...table.tHead.rows].forEach((row, level) => {
    let column = 0;
    for (const cell of row.cells) {
      while (above[column]?.[level]) column += 1;
      for (let end = column + cell.colSpan; column < end; column += 1) {
        above[column] ??= [];
        for (let down = 0; down < cell.rowSpan; down += 1) above[column][level + down] = cell;
      }
    }
  });
  return above.map((cells) => [...new Set(cells)]);
}

// Sorting: the rows of each body by a column, so that what is kept apart stays apart; empty cells last.

const NUMBER = /^[+\u2212-]?\d+(\.\d+)?(?![\w.-])/;
const isEmpty = (text) => text === "" || text === "—";

function byColumn(rows, column) {
  const texts = new Map(rows.map((row) => [row, words(row.cells[column])]));
  const filled = [...texts.values()].filter((text) => !isEmpty(text));
  const numeric = filled.length > 0 && filled.every((text) => NUMBER.test(text));
  const value = (text) => parseFloat(NUMBER.exec(text)[0].replace("\u2212", "-"));
  const compare = numeric ? (a, b) => value(a) - value(b) : (a, b) => a.localeCompare(b, "en", { numeric: true });
  const order = (sign) => (one, other) => {
    const [a, b] = [texts.get(one), texts.get(other)];
    return isEmpty(a) || isEmpty(b) ? isEmpty(a) - isEmpty(b) : sign * compare(a, b);
  };
  return { ways: numeric ? ["descending", "ascending", null] : ["ascending", "descending", null], order };
}

function sortable(table) {
  const bodies = [...table.tBodies].map((body) => [body, entries(body)]);
  if (bodies.every(([, rows]) => rows.length < 2)) return;
  let sorted = null;
  columns(table).forEach((cells, column) => {
    const head = cells.at(-1);
    const button = element("button", { type: "button", className: "sort" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const { ways, order } = byColumn(bodies.flatMap(([, rows]) => rows), column);
      const way = ways[(ways.indexOf(head.getAttribute("aria-sort")) + 1) % ways.length];
      sorted?.removeAttribute("aria-sort");
      if (way) head.setAttribute("aria-sort", way);
      sorted = way && head;
      const sign = way === "descending" ? -1 : 1;
      for (const [body, rows] of bodies) body.append(...(way ? rows.toSorted(order(sign)) : rows));
    });
  });
}

// Filtering: a row is shown when it or its group's heading has every word.

const FEW_ROWS = 3; // are seen at a glance

function filter(table, label, status) {
  const all = [...table.tBodies].reduce((count, body) => count + entries(body).length, 0);
  if (all <= FEW_ROWS) return [];
  const input = element("input", { type: "search", placeholder: "Filter rows" });
  input.setAttribute("aria-label", `Filter the rows of: ${label}`);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const body of table.tBodies) {
      const group = heading(body);
      const rows = entries(body);
      for (const row of rows) {
        const text = `${group ? words(group) : ""} ${words(row)}`.toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
      }
      const left = rows.filter((row) => !row.hidden).length;
      if (group) group.parentElement.hidden = left === 0;
      shown += left;
    }
    status.textContent = wanted.length ? `${shown} of ${all} rows` : "";
  });
  return [input];
}

// Notes on empty cells: those of the columns shown, with their numbers.

function notes(table) {
  const list = table.closest(".table").nextElementSibling;
  if (!list?.matches(".notes")) return;
  const reasons = new Set([...table.querySelectorAll("td.empty:not([hidden])")].map((cell) => cell.title));
  [...list.children].forEach((note, place) => {
    note.value = place + 1;
    note.hidden = !reasons.has(note.textContent);
  });
}

// Columns: those that the reader picks, at first those without data-more.

function picker(table, label) {
  const heads = [...table.tHead.rows[0].cells];
  const picked = heads.filter((head) => head.dataset.set);
  if (picked.length === 0) return [];
  const show = (head, shown) => {
    const column = heads.indexOf(head);
    head.hidden = !shown;
    for (const body of table.tBodies) for (const row of entries(body)) row.cells[column].hidden = !shown;
  };
  const sets = new Map();
  for (const head of picked) {
    const box = element("input", { type: "checkbox", checked: head.dataset.more === undefined });
    box.addEventListener("change", () => {
      show(head, box.checked);
      notes(table);
    });
    show(head, box.checked);
    const set = sets.get(head.dataset.set) ?? element("fieldset", {}, element("legend", { textContent: head.dataset.set }));
    set.append(element("label", {}, box, ` ${words(head)}`));
    sets.set(head.dataset.set, set);
  }
  const all = element("button", { type: "button", textContent: "All columns" });
  const boxes = [...sets.values()].flatMap((set) => [...set.querySelectorAll("input")]);
  all.addEventListener("click", () => {
    for (const box of boxes) box.checked = true;
    for (const head of picked) show(head, true);
    notes(table);
  });
  notes(table);
  const summary = element("summary", { textContent: "Columns" });
  summary.setAttribute("aria-label", `Columns of: ${label}`);
  return [element("details", { className: "columns" }, summary, all, ...sets.values())];
}

// Copying: the rows and columns shown, in their order; the heading of a body is a column of its own. A cell is its texts,
// and the ends of its interval and how many objects it is of, where it has these.

const INTERVAL = /^(\S+) to (\S+)$/;

function whole(cell) {
  const ends = [...cell.querySelectorAll("td > small.below")].map((below) => INTERVAL.exec(words(below))).find(Boolean);
  const count = cell.querySelector("td > small.count");
  return {
    texts: parts(cell, ends ? "sup, small.count, small.below" : "sup, small.count"),
    ends: ends?.slice(1),
    count: count && words(count).slice(2), // after "n "
  };
}

const only = (text) => ({ texts: [[text, false]] });

function content(table) {
  const grouped = [...table.tBodies].some(heading);
  const above = columns(table);
  const isShown = (_, column) => !above[column].at(-1).hidden;
  const shown = above.filter(isShown);
  const heads = shown.map((cells) => only(cells.map((cell) => words(cell)).join(", ")));
  const isText = shown.map((cells, column) => column === 0 || cells.at(-1).classList.contains("text"));
  const rows = [...table.tBodies].flatMap((body) =>
    entries(body)
      .filter((row) => !row.hidden)
      .map((row) => [
        ...(grouped ? [only(heading(body) ? words(heading(body), ", ") : "")] : []),
        ...[...row.cells].filter(isShown).map(whole),
      ]),
  );
  return {
    heads: grouped ? [only("Group"), ...heads] : heads,
    isText: grouped ? [true, ...isText] : isText,
    rows,
  };
}

const line = (cells, isText, write) => cells.map((cell, column) => write(cell, isText[column]));

// In a spreadsheet the ends of intervals and the counts are columns of their own.
function csv({ heads, isText, rows }) {
  const field = (words, text) => {
    const plain = words.replaceAll("\u2212", "-");
    // A spreadsheet would run a name that begins like a formula.
    const safe = isEmpty(plain) ? "" : text && /^'*[=+\-@\t\r]/.test(plain) ? `'${plain}` : plain;
    return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const plain = ({ texts }) => texts.map(([part]) => part).join(" ");
  const has = (key) => heads.map((_, column) => rows.some((row) => row[column][key]));
  const [ends, count] = [has("ends"), has("count")];
  const fields = (row, more) =>
    row.flatMap((cell, column) => {
      const [low, high, number] = more(cell);
      const beside = [...(ends[column] ? [low, high] : []), ...(count[column] ? [number] : [])];
      return [field(plain(cell), isText[column]), ...beside.map((text) => field(text ?? "", false))];
    });
  const top = fields(heads, (cell) => ["low", "high", "n"].map((name) => `${plain(cell)}, ${name}`));
  const body = rows.map((row) => fields(row, ({ ends = [], count }) => [ends[0], ends[1], count]));
  return [top, ...body].map((row) => row.join(",") + "\r\n").join("");
}

const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$" };
Object.assign(TEX, { "\u2212": "$-$", "—": "---", "≥": "$\\geq$", "×": "$\\times$", "<": "$<$", ">": "$>$", "|": "$|$" });

function latex({ heads, isText, rows }) {
  const escaped = (text) => text.replace(/[\\~^±\u2212—≥×<>|]|[&%$#_{}]/g, (sign) => TEX[sign] ?? `\\${sign}`);
  const field = ({ texts, ends, count }) => {
    const small = [ends && `[${ends.map(escaped).join(", ")}]`, count && `$n = ${count}$`].filter(Boolean).join(", ");
    const plain = texts.map(([part, bold]) => (bold ? `\\textbf{${escaped(part)}}` : escaped(part))).join(" ");
    return small ? `${plain} {\\scriptsize ${small}}` : plain;
  };
  const [top, ...body] = [heads, ...rows].map((row) => `${line(row, isText, field).join(" & ")} \\\\\n`);
  const places = isText.map((text) => (text ? "l" : "r")).join("");
  return `\\begin{tabular}{${places}}\n\\toprule\n${top}\\midrule\n${body.join("")}\\bottomrule\n\\end{tabular}\n`;
}

function markdown({ heads, isText, rows }) {
  const escaped = (text) => text.replace(/[\\`*[\]<>|#~]|(?<!\w)_|_(?!\w)/g, "\\$&");
  const field = ({ texts, ends, count }) => {
    const plain = texts.map(([part, bold]) => (bold ? `**${escaped(part)}**` : escaped(part)));
    return [...plain, ...(ends ? [`(${ends.join(" to ")})`] : []), ...(count ? [`n ${count}`] : [])].join(" ");
  };
  const [top, ...body] = [heads, ...rows].map((row) => `| ${line(row, isText, field).join(" | ")} |\n`);
  return `${top}|${isText.map((text) => (text ? " --- |" : " ---: |")).join("")}\n${body.join("")}`;
}

const FORMATS = { CSV: csv, LaTeX: latex, Markdown: markdown };

// Where the browser keeps the clipboard from a page that was opened from disk, the reader copies by hand.
async function copy(text, name, status) {
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = `Copied as ${name}`;
  } catch {
    const area = element("textarea", { value: text, readOnly: true, rows: 12 });
    area.setAttribute("aria-label", `The table as ${name}`);
    const close = element("button", { type: "button", textContent: "Close" });
    const dialog = element("dialog", {}, element("p", { textContent: `${name}, to be copied` }), area, close);
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    area.select();
  }
}

function tools(table, label) {
  const status = element("span", { className: "soft" });
  status.setAttribute("role", "status");
  const buttons = Object.entries(FORMATS).map(([name, write]) => {
    const button = element("button", { type: "button", textContent: name });
    button.setAttribute("aria-label", `Copy as ${name}: ${label}`);
    button.addEventListener("click", () => copy(write(content(table)), name, status));
    return button;
  });
  const bar = element("div", { className: "tools" }, ...filter(table, label, status));
  bar.append(element("span", { className: "soft", textContent: "Copy" }), ...buttons, status, ...picker(table, label));
  return bar;
}

for (const box of document.querySelectorAll(".table")) {
  const table = box.querySelector("table");
  box.prepend(tools(table, box.querySelector(".scroll").getAttribute("aria-label")));
  sortable(table);
}
