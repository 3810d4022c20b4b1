"use strict";
// Click on a heading: numbers by size, text by letters, empty cells always last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = table.querySelectorAll("th");
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const upwards = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", upwards ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = Array.from(body.rows, (row, place) => ({ row, place, key: row.cells[column].dataset.key }));
      rows.sort((a, b) => {
        if ((a.key === "") !== (b.key === "")) return a.key === "" ? 1 : -1;
        const x = Number(a.key === "inf" ? Infinity : a.key), y = Number(b.key === "inf" ? Infinity : b.key);
        const order = Number.isNaN(x) || Number.isNaN(y) ? a.key.localeCompare(b.key, undefined, { numeric: true }) : x < y ? -1 : x > y ? 1 : 0;
        return order ? (upwards ? order : -order) : a.place - b.place;
      });
      body.append(...rows.map((entry) => entry.row));
    });
  });
}
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
// Paper cannot unfold anything.
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
