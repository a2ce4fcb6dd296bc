"use strict";
/* What every page does: draw its charts, sort its tables. */
const page = (() => {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const config = {
    responsive: true,
    displaylogo: false,
    /* plotly.js would offer to upload a chart's data to its maker. */
    showSendToCloud: false,
    plotlyServerURL: "",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: "zooscale" },
  };

  /* Draws all charts; themed, if given, changes a figure's layout first. */
  function draw(themed) {
    const drawn = [...document.querySelectorAll("[data-figure]")].map((element) => {
      /* Two charts may show the same figure, and plotly.js keeps and changes what it is given. */
      const figure = structuredClone(report.figures[element.dataset.figure]);
      const layout = themed ? themed(figure.layout) : figure.layout;
      return Plotly.newPlot(element, figure.data, layout, config);
    });
    return Promise.all(drawn);
  }

  /* Tables: a click on a header sorts by it; absent values always come last. */
  function sortable(table) {
    const body = table.tBodies[0];
    const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    headers.forEach((header, column) => {
      const button = header.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        headers.forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
        header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
        const compare = (a, b) => {
          const [x, y] = [key(a), key(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          const [n, m] = [Number(x), Number(y)];
          return sign * (Number.isNaN(n) || Number.isNaN(m) ? x.localeCompare(y) : n - m);
        };
        body.append(...[...body.rows].sort(compare));
      });
    });
  }

  /* Once all that a page does itself is done. */
  function ready() {
    document.querySelectorAll("table.sortable").forEach(sortable);
    const resize = () => document.querySelectorAll("[data-figure]").forEach((chart) => Plotly.Plots.resize(chart));
    window.addEventListener("beforeprint", resize);
    window.addEventListener("afterprint", resize);
    document.body.dataset.ready = "true";
  }

  return { data: report, draw, ready };
})();
