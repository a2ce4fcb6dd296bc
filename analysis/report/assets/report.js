"use strict";
(() => {
  const report = page.data;
  const byId = (id) => document.getElementById(id);

  /* Amortization: total_bits_per_weight(N) = code + shared / N, both in bits per weight. */
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

  function amortize(chart, slider) {
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
          quality: trace.meta.quality[i],
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
    const enough = points.filter((p) => p.role === "codec" && p.quality >= report.target.value).sort((a, b) => a.x - b.x)[0];
    byId("copies-best").textContent = enough
      ? `cheapest measured setting with at least ${report.target.words}: ${enough.label}, ${Number(enough.x.toPrecision(3))} bits per weight`
      : `no measured setting reaches ${report.target.words}`;
  }

  /* Fidelity: original against reconstructed score of one result. */
  function showFidelity(chart, select) {
    const result = report.fidelity.results[Number(select.value)];
    Plotly.restyle(
      chart,
      { x: [report.fidelity.originals[result.original]], y: [result.reconstructed], "marker.color": result.color },
      [chart.data.findIndex((trace) => trace.meta.role === "members")],
    );
    byId(select.dataset.summary).textContent = result.summary;
  }

  page.drawn.then(() => {
    const slider = byId("copies");
    if (slider) {
      const chart = document.querySelector('[data-figure="amortized"]');
      slider.addEventListener("input", () => amortize(chart, slider));
      amortize(chart, slider);
    }
    document.querySelectorAll("select[data-chart]").forEach((select) => {
      const chart = byId(select.dataset.chart);
      select.addEventListener("change", () => showFidelity(chart, select));
      showFidelity(chart, select);
    });
  });
})();
