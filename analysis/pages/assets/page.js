"use strict";
/* What every page does: draw its charts on light or dark ground, sort its tables.
   A page's own script goes on with page.drawn.then(…); when all have run, the body is marked as ready. */
const page = (() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const config = {
    responsive: true,
    displaylogo: false,
    /* plotly.js would offer to upload a chart's data to its maker. */
    showSendToCloud: false,
    plotlyServerURL: "",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: "zooscale" },
  };
  const LIGHT = { ink: "#1b2430", grid: "#e9edf1", line: "#aab4bf", hover: "#ffffff" };
  const DARK = { ink: "#cfd7e0", grid: "#2a333e", line: "#5d6976", hover: "#1d242d" };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const now = () => (dark.matches ? DARK : LIGHT);
  const charts = [...document.querySelectorAll("[data-figure]")];

  /* What of a chart's layout goes with the ground that it stands on. */
  function themed(layout, theme) {
    const clear = "rgba(0,0,0,0)";
    const changed = {
      paper_bgcolor: clear,
      plot_bgcolor: clear,
      "font.color": theme.ink,
      "hoverlabel.bgcolor": theme.hover,
      "hoverlabel.bordercolor": theme.line,
      "hoverlabel.font.color": theme.ink,
    };
    for (const axis of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
      if (layout[axis].gridcolor !== clear) changed[`${axis}.gridcolor`] = theme.grid;
      changed[`${axis}.linecolor`] = changed[`${axis}.tickcolor`] = theme.line;
    }
    return changed;
  }

  function applied(layout, changed) {
    for (const [path, value] of Object.entries(changed)) {
      const names = path.split(".");
      const last = names.pop();
      names.reduce((inner, name) => (inner[name] ??= {}), layout)[last] = value;
    }
    return layout;
  }

  /* Traces look right on both grounds, but for lines in the color of text. */
  const inked = (traces) => traces.flatMap((trace, i) => (trace.line?.color === LIGHT.ink ? [i] : []));

  function draw(element) {
    /* Two charts may show the same figure, and plotly.js keeps and changes what it is given. */
    const figure = structuredClone(data.figures[element.dataset.figure]);
    element.inked = inked(figure.data);
    for (const i of element.inked) figure.data[i].line.color = now().ink;
    return Plotly.newPlot(element, figure.data, applied(figure.layout, themed(figure.layout, now())), config);
  }

  function repaint(theme) {
    for (const chart of charts) {
      Plotly.relayout(chart, themed(chart.layout, theme));
      if (chart.inked.length) Plotly.restyle(chart, { "line.color": theme.ink }, chart.inked);
    }
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

  function ready() {
    document.querySelectorAll("table.sortable").forEach(sortable);
    dark.addEventListener("change", () => repaint(now()));
    const resize = () => charts.forEach((chart) => Plotly.Plots.resize(chart));
    /* Paper is white, and of another width. */
    window.addEventListener("beforeprint", () => (repaint(LIGHT), resize()));
    window.addEventListener("afterprint", () => (repaint(now()), resize()));
    document.body.dataset.ready = "true";
  }

  return { data, drawn: Promise.all(charts.map(draw)), ready };
})();
