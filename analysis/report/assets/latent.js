"use strict";
/* Maps of embeddings: places by the chosen encoder, colors by the chosen column. */
(() => {
  const latent = page.data.latent;
  const byId = (id) => document.getElementById(id);

  function legend(names) {
    byId("map-legend").replaceChildren(
      ...(names ?? []).flatMap((name, i) => {
        const swatch = document.createElement("span");
        swatch.className = "swatch";
        swatch.style.background = latent.palette[i];
        return [swatch, `${name}\u2003`];
      }),
    );
  }

  function show(chart) {
    const map = latent.maps[Number(byId("map-encoder").value)];
    const name = byId("map-column").value;
    const { values, names } = latent.columns[name];
    const trace = (role) => chart.data.findIndex((each) => each.meta.role === role);
    const known = values.filter((value) => value !== null);
    const along = (axis) => latent.paths.flatMap((rows) => [...rows.map((row) => map[axis][row]), null]);
    const last = (axis) => latent.paths.map((rows) => map[axis][rows.at(-1)]);
    const said = values.map((value) => `${name.replaceAll("_", " ")}: ${names ? names[value] : (value ?? "not known")}`);
    Plotly.restyle(
      chart,
      {
        x: [map.x],
        y: [map.y],
        text: [said],
        "marker.color": [names ? values.map((value) => latent.palette[value]) : values],
        "marker.cmin": names ? null : Math.min(...known),
        "marker.cmax": names ? null : Math.max(...known),
        "marker.showscale": !names,
      },
      [trace("points")],
    );
    Plotly.restyle(chart, { x: [along("x")], y: [along("y")] }, [trace("paths")]);
    Plotly.restyle(chart, { x: [last("x")], y: [last("y")] }, [trace("ends")]);
    Plotly.relayout(chart, { "xaxis.title.text": map.axes[0], "yaxis.title.text": map.axes[1] });
    legend(names);
  }

  page.drawn.then(() => {
    const chart = byId("latent");
    for (const id of ["map-encoder", "map-column"]) byId(id).addEventListener("change", () => show(chart));
    show(chart);
  });
})();
