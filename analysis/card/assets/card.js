"use strict";
(() => {
  const LIGHT = { ink: "#1b2430", grid: "#e9edf1", line: "#aab4bf", hover: "#ffffff" };
  const DARK = { ink: "#cfd7e0", grid: "#2a333e", line: "#5d6976", hover: "#1d242d" };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  /* What of a chart's layout goes with the ground that it stands on; traces look right on both. */
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

  const now = () => (dark.matches ? DARK : LIGHT);
  const charts = [...document.querySelectorAll("[data-figure]")];
  const repaint = (theme) => charts.forEach((chart) => Plotly.relayout(chart, themed(chart.layout, theme)));

  page.draw((layout) => applied(layout, themed(layout, now()))).then(() => {
    dark.addEventListener("change", () => repaint(now()));
    /* Paper is white. */
    window.addEventListener("beforeprint", () => repaint(LIGHT));
    window.addEventListener("afterprint", () => repaint(now()));
    page.ready();
  });
})();
