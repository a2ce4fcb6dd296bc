"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const byId = (id) => document.getElementById(id);
  const config = {
    responsive: true,
    displaylogo: false,
    /* plotly.js would offer to upload a chart's data to its maker. */
    showSendToCloud: false,
    plotlyServerURL: "",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: "zooscale" },
  };

  const drawn = [...document.querySelectorAll("[data-figure]")].map((element) => {
    /* Two charts may show the same figure, and plotly.js keeps and changes what it is given. */
    const figure = structuredClone(report.figures[element.dataset.figure]);
    return Plotly.newPlot(element, figure.data, figure.layout, config);
  });

  /* Amortisation: total_bits_per_weight(N) = code + shared / N, both in bits per weight. */
  const spaced = (n) => Math.round(n).toLocaleString("en-US").replace(/,/g, "\u202f");

  function copiesAt(slider) {
    const step = Number(slider.value);
    if (step >= Number(slider.max)) return Infinity;
    const exact = Math.min(10 ** (step / report.steps_per_decade), 1e6);
    return exact < 10 ? Math.round(exact) : Number(exact.toPrecision(2));
  }

  function totals(trace, copies) {
    return trace.meta.code.map((code, i) => code + trace.meta.shared[i] / copies);
  }

  /* A control that sends next to nothing is a line that starts where its shared part is paid. */
  function lineFrom(start, trace) {
    const [low, high] = trace.meta.range;
    const first = Math.min(Math.max(start, low), high);
    const steps = trace.y.length - 1;
    return trace.y.map((_, i) => first * (high / first) ** (i / steps));
  }

  /* Points that no other beats in both, by rising rate; y is a loss, so less is better. */
  function front(points) {
    let best = Infinity;
    return [...points]
      .sort((a, b) => a.x - b.x || a.y - b.y)
      .filter((point) => point.y < best && ((best = point.y), true));
  }

  function amortise(chart, slider) {
    const copies = copiesAt(slider);
    const moved = [];
    const points = [];
    chart.data.forEach((trace, index) => {
      if (!trace.meta.code) return;
      const x = totals(trace, copies);
      moved.push({ index, x: trace.meta.role === "line" ? lineFrom(x[0], trace) : x, y: [...trace.y] });
      x.forEach((rate, i) =>
        points.push({
          x: rate,
          y: trace.y[i],
          role: trace.meta.role,
          label: trace.meta.labels[i],
          agreement: trace.meta.agreement[i],
        }),
      );
    });
    const index = chart.data.findIndex((trace) => trace.meta.role === "front");
    const [low, high] = chart.data[index].meta.range;
    const best = front(points);
    moved.push({
      index,
      x: [...best.map((point) => Math.max(point.x, low / 10)), high],
      y: [...best, best[best.length - 1]].map((point) => point.y),
    });
    Plotly.restyle(chart, { x: moved.map((m) => m.x), y: moved.map((m) => m.y) }, moved.map((m) => m.index));

    const written = copies === Infinity ? "∞" : spaced(copies);
    byId("copies-value").textContent = written;
    slider.setAttribute("aria-valuetext", copies === Infinity ? "infinitely many networks" : `${written} networks`);
    const enough = points.filter((p) => p.role === "codec" && p.agreement >= 0.97).sort((a, b) => a.x - b.x)[0];
    byId("copies-best").textContent = enough
      ? `cheapest measured setting with at least 97 % agreement: ${enough.label}, ${Number(enough.x.toPrecision(3))} bits per weight`
      : "no measured setting reaches 97 % agreement";
  }

  /* Fidelity: original against reconstructed accuracy of one result. */
  function showFidelity(chart, select) {
    const result = report.fidelity.results[Number(select.value)];
    Plotly.restyle(
      chart,
      { x: [report.fidelity.originals[result.original]], y: [result.reconstructed], "marker.color": result.colour },
      [chart.data.findIndex((trace) => trace.meta.role === "members")],
    );
    byId(select.dataset.summary).textContent = result.summary;
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

  Promise.all(drawn).then(() => {
    const slider = byId("copies");
    if (slider) {
      const chart = document.querySelector('[data-figure="amortised"]');
      slider.addEventListener("input", () => amortise(chart, slider));
      amortise(chart, slider);
    }
    document.querySelectorAll("select[data-chart]").forEach((select) => {
      const chart = byId(select.dataset.chart);
      select.addEventListener("change", () => showFidelity(chart, select));
      showFidelity(chart, select);
    });
    document.querySelectorAll("table.sortable").forEach(sortable);
    const resize = () => document.querySelectorAll("[data-figure]").forEach((chart) => Plotly.Plots.resize(chart));
    window.addEventListener("beforeprint", resize);
    window.addEventListener("afterprint", resize);
    document.body.dataset.ready = "true";
  });
})();
