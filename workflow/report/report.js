// Sorting, filtering, switches, and what lies under the pointer. Without it the page shows everything at once.
// Plain script: these few behaviours on tables that are already in the page need less than a library's own set-up.
"use strict";

const make = (tag, attributes = {}, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
};

const choice = (label, names) => {
  const select = make("select", {}, ...names.map((name) => make("option", { value: name }, name)));
  return [make("label", { class: "tool" }, `${label} `, select), select];
};

// Tables: a button in each heading sorts; a text and a choice filter. What is no number goes last.
const number = (text) => {
  const bare = text.replace(/^at least|[,<\s]/g, "");
  const size = /\d([kMGT])B$/.exec(bare);
  return parseFloat(bare) * (size ? 1000 ** (1 + "kMGT".indexOf(size[1])) : 1);
};

const sortBy = (table, place, down) => {
  const kind = table.tHead.rows[0].cells[place].classList.contains("number");
  const key = (row) => row.cells[place].textContent.trim();
  const rows = [...table.tBodies[0].rows].map((row) => [kind ? number(key(row)) : key(row), row]);
  const sign = down ? -1 : 1;
  rows.sort(([a], [b]) => kind
    ? Number.isNaN(a) - Number.isNaN(b) || sign * (a - b) || 0
    : sign * a.localeCompare(b, "en", { numeric: true }));
  table.tBodies[0].append(...rows.map(([, row]) => row));
};

for (const table of document.querySelectorAll("table[data-sort]")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, place) => {
    const button = make("button", { type: "button", class: "sort" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const first = heading.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      sortBy(table, place, order === "descending");
    });
  });
}

for (const table of document.querySelectorAll("table[data-filter]")) {
  const rows = [...table.tBodies[0].rows];
  const told = make("output", { class: "told" });
  const text = make("input", { type: "search", placeholder: "any words" });
  const tools = make("div", { class: "tools" }, make("label", { class: "tool" }, "Filter ", text), told);
  const paper = table.closest(".table").querySelector(".paper");
  let select = { value: "" };
  if (table.dataset.choose) {
    const names = [...new Set(rows.map((row) => row.cells[0].textContent.trim()))];
    let label;
    [label, select] = choice(table.dataset.choose, names);
    select.append(make("option", { value: "" }, "all"));
    tools.prepend(label);
  }
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const content = row.textContent.toLowerCase();
      const chosen = !select.value || row.cells[0].textContent.trim() === select.value;
      row.hidden = !(chosen && words.every((word) => content.includes(word)));
      shown += !row.hidden;
    }
    told.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
    if (!paper) return;
    const left = shown - paper.dataset.first;
    paper.hidden = left <= 0;
    paper.firstElementChild.textContent = `${left.toLocaleString("en")} of ${shown.toLocaleString("en")} rows`;
  };
  text.addEventListener("input", filter);
  if (select.addEventListener) select.addEventListener("change", filter);
  table.closest(".wide").before(tools);
  filter();
}

// Switches: of several panels one is shown. Switches of the same group that know a name follow each other.
const switches = [...document.querySelectorAll(".switch")].map((element) => {
  const panels = [...element.children];
  const [label, select] = choice(element.dataset.label, panels.map((panel) => panel.dataset.name));
  const show = (name) => {
    select.value = name;
    for (const panel of panels) panel.hidden = panel.dataset.name !== name;
  };
  element.prepend(make("div", { class: "tools" }, label));
  show(panels[0].dataset.name);
  const own = { group: element.dataset.group, show, knows: (name) => panels.some((p) => p.dataset.name === name) };
  select.addEventListener("change", () => {
    for (const other of switches) if (other.group === own.group && other.knows(select.value)) other.show(select.value);
  });
  return own;
});

// A link into a panel that is not shown turns its switch.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const panel = target && target.closest(".panel[hidden]");
  if (!panel) return;
  for (const one of switches) if (one.knows(panel.dataset.name)) one.show(panel.dataset.name);
  target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();

// Maps: pointer and arrow keys tell a cell's figures in a line below.
for (const map of document.querySelectorAll("table.map")) {
  const told = map.closest(".table").querySelector("output");
  const cells = [...map.querySelectorAll("td[data-tip]")];
  const tell = (event) => {
    const cell = event.target.closest("td[data-tip]");
    if (cell) told.textContent = cell.dataset.tip;
  };
  map.addEventListener("pointerover", tell);
  map.addEventListener("focusin", tell);
  cells.forEach((cell, place) => cell.setAttribute("tabindex", place ? -1 : 0));
  map.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td");
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!cell || !step) return;
    event.preventDefault();
    let [row, column] = [cell.parentElement.sectionRowIndex + step[0], cell.cellIndex + step[1]];
    let next;
    while ((next = map.tBodies[0].rows[row]?.cells[column]) && !next.dataset.tip) {
      [row, column] = [row + step[0], column + step[1]];
    }
    if (next) next.focus();
  });
}
