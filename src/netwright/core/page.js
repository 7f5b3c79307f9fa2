for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending", text = "text" in head.dataset;
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = row => text ? row.cells[column].textContent.trim() : Number(row.cells[column].dataset.value ?? NaN);
    const missing = one => one === "" || Number.isNaN(one);
    const order = (a, b) => missing(a) || missing(b) ? missing(a) - missing(b)
      : (up ? 1 : -1) * (text ? a.localeCompare(b) : a - b);
    [...body.rows].sort((a, b) => order(value(a), value(b))).forEach(row => body.append(row));
  }));
}
