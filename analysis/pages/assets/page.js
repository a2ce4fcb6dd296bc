"use strict";
/* What every page does: draw its charts on light or dark ground and at any width, save them, sort its tables.
   A page's own script goes on with page.drawn.then(…); when all have run, the body is marked as ready. */
const page = (() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const LIGHT = { ink: "#1b2430", muted: "#5d6b7b", grid: "#e9edf1", line: "#aab4bf", hover: "#ffffff" };
  const DARK = { ink: "#cfd7e0", muted: "#9fabb8", grid: "#2a333e", line: "#5d6976", hover: "#1d242d" };
  const CLEAR = "rgba(0,0,0,0)";
  /* A chart that is less wide, in pixels, has its legend below. */
  const NARROW = 480;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const now = () => (dark.matches ? DARK : LIGHT);
  const charts = [...document.querySelectorAll("[data-figure]")];
  const button = (format) => ({
    name: format,
    title: `Save as ${format.toUpperCase()}`,
    icon: format === "svg" ? Plotly.Icons.disk : Plotly.Icons.camera,
    click: (chart) => save(chart, format),
  });
  const config = {
    responsive: true,
    displaylogo: false,
    /* plotly.js would offer to upload a chart's data to its maker. */
    showSendToCloud: false,
    plotlyServerURL: "",
    modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d", "autoScale2d"],
    modeBarButtonsToAdd: [button("svg"), button("png")],
  };

  /* What of a chart's layout goes with the ground that it stands on. */
  function themed(layout, theme) {
    const changed = {
      paper_bgcolor: CLEAR,
      plot_bgcolor: CLEAR,
      "font.color": theme.ink,
      "hoverlabel.bgcolor": theme.hover,
      "hoverlabel.bordercolor": theme.line,
      "hoverlabel.font.color": theme.ink,
      "modebar.bgcolor": CLEAR,
      "modebar.color": theme.muted,
      "modebar.activecolor": theme.ink,
    };
    for (const axis of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
      if (layout[axis].gridcolor !== CLEAR) changed[`${axis}.gridcolor`] = theme.grid;
      changed[`${axis}.linecolor`] = changed[`${axis}.tickcolor`] = theme.line;
    }
    (layout.annotations ?? []).forEach((_, i) => (changed[`annotations[${i}].font.color`] = theme.muted));
    return changed;
  }

  function applied(layout, changed) {
    for (const [path, value] of Object.entries(changed)) {
      const names = path.match(/[^.[\]]+/g);
      const last = names.pop();
      names.reduce((inner, name) => (inner[name] ??= {}), layout)[last] = value;
    }
    return layout;
  }

  /* Traces look right on both grounds, but for lines in the color of text. */
  function inked(traces, theme) {
    const lines = traces.filter((trace) => [LIGHT.ink, DARK.ink].includes(trace.line?.color));
    for (const trace of lines) trace.line.color = theme.ink;
    return lines.map((trace) => traces.indexOf(trace));
  }

  /* A legend beside a chart would leave hardly any of a narrow one: there it lies below, in as much room as it needs. */
  const beside = (layout) => layout.legend?.orientation !== "h" && layout.showlegend !== false;

  async function fit(chart) {
    const { layout, data: traces } = data.figures[chart.dataset.figure];
    const narrow = chart.clientWidth < NARROW;
    if (narrow === chart.narrow || !beside(layout) || traces.length < 2) return;
    chart.narrow = narrow;
    const { legend, margin, height } = layout;
    /* Who sets a height sets the width at hand as well, which must go on following the page. */
    const free = { autosize: true, width: null };
    if (!narrow) {
      return Plotly.relayout(chart, structuredClone({ legend: { entrywidth: 0, ...legend }, margin, height, ...free }));
    }
    const columns = { orientation: "h", entrywidth: 0.45, entrywidthmode: "fraction", font: { size: 11 } };
    const below = { ...legend, ...columns, x: 0, xanchor: "left", y: -80 / height, yanchor: "top" };
    const slim = { ...margin, l: 8, r: 8 };
    await Plotly.relayout(chart, { legend: below, margin: slim });
    const taken = chart.querySelector(".legend")?.getBBox().height ?? 0;
    return Plotly.relayout(chart, { height: height + taken, ...free });
  }

  async function draw(chart) {
    /* Two charts may show the same figure, and plotly.js keeps and changes what it is given. */
    const figure = structuredClone(data.figures[chart.dataset.figure]);
    inked(figure.data, now());
    await Plotly.newPlot(chart, figure.data, applied(figure.layout, themed(figure.layout, now())), config);
    chart.narrow = false;
    return fit(chart);
  }

  function repaint(theme) {
    for (const chart of charts) {
      Plotly.relayout(chart, themed(chart.layout, theme));
      const lines = inked(chart.data, theme);
      if (lines.length) Plotly.restyle(chart, { "line.color": theme.ink }, lines);
    }
  }

  /* What is saved is for paper, whatever ground the page stands on, and called as the chart is. */
  function onPaper(chart, format) {
    const { data: traces, layout } = structuredClone({ data: chart.data, layout: chart.layout });
    inked(traces, LIGHT);
    const paper = { ...themed(layout, LIGHT), paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff" };
    const { clientWidth: width, clientHeight: height } = chart;
    const options = { format, filename: chart.id, width, height, scale: format === "png" ? 2 : 1 };
    return [{ data: traces, layout: applied(layout, paper) }, options];
  }

  const save = (chart, format) => Plotly.downloadImage(...onPaper(chart, format));
  const image = (name, format) => Plotly.toImage(...onPaper(document.getElementById(name), format));

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
    window.addEventListener("resize", () => charts.forEach(fit));
    const resize = () => charts.forEach((chart) => Plotly.Plots.resize(chart));
    /* Paper is white, and of another width. */
    window.addEventListener("beforeprint", () => (repaint(LIGHT), resize()));
    window.addEventListener("afterprint", () => (repaint(now()), resize()));
    document.body.dataset.ready = "true";
  }

  return { data, drawn: Promise.all(charts.map(draw)), image, ready };
})();
