// Table 1: dots with intervals, and the same as a table.
{
  const rows = rowsOf("table1");
  const protocols = levelsOf(rows, "protocol");

  const draw = (protocol) => {
    const own = rows.filter((row) => row.protocol === protocol);
    drawTable(own);
    whenNear(part("table1", "plots"), () => drawDots(own));
  };

  const lines = (row) => [
    `standard deviation over ${row.n_folds} fold${row.n_folds > 1 ? "s" : ""}: ${row.n_folds > 1 ? fixed(row.balanced_accuracy_std) : "–"}`,
    row.low === null ? null : `${interval(row)}, all images pooled`,
    `chance ${fixed(row.chance)}` + (row.shuffled === null ? "" : `; with shuffled labels ${fixed(row.shuffled)}`),
    row.paper_mean === null ? null : `the paper: ${fixed(row.paper_mean, 2)} (${fixed(row.paper_std, 2)})`,
    row.differs ? `what differs: ${row.differs}` : null,
  ];

  const drawTable = (own) => {
    const cells = [];
    const body = data.datasets.flatMap((dataset) => data.models.map((model, place) => {
      const line = [];
      const found = data.variants.map((variant) => {
        const row = own.find((row) => row.dataset === dataset && row.model === model && row.variant === variant);
        if (!row) return element("td", { class: "figure" }, "–");
        const spread = row.n_folds > 1 ? ` (${fixed(row.balanced_accuracy_std, 2)})` : "";
        const cell = element("td", { class: "figure" }, fixed(row.balanced_accuracy_mean, 2) + spread);
        explain(cell, `${labels.models[model]}, ${labels.variants[variant]}: ${fixed(row.balanced_accuracy_mean)}`, lines(row));
        line.push(cell);
        return cell;
      });
      if (line.length) cells.push(line);
      return element("tr", { class: place ? null : "first" }, element("td", {}, place ? "" : labels.datasets[dataset]),
        element("th", { scope: "row" }, labels.models[model]), found);
    }));
    const head = ["Data set", "Model", ...data.variants.map((name) => labels.variants[name])];
    part("table1", "table").replaceChildren(element("table", { class: "ruled" },
      element("thead", {}, element("tr", {}, head.map((text) => element("th", { scope: "col" }, text)))), element("tbody", {}, body)));
    walkable(cells);
  };

  const drawDots = (own) => {
    const panels = data.datasets.map((dataset) => {
      const node = element("div", { style: `height:${90 + 62 * data.models.length}px`, role: "img",
        "aria-label": `Balanced accuracy on ${labels.datasets[dataset]}; the numbers stand in the table below` });
      return [dataset, node];
    });
    part("table1", "plots").replaceChildren(...panels.map(([dataset, node]) =>
      element("div", {}, element("h3", {}, labels.datasets[dataset]), node)));
    for (const [dataset, node] of panels) {
      const here = own.filter((row) => row.dataset === dataset);
      const step = 0.7 / Math.max(1, data.variants.length - 1);
      const traces = data.variants.map((variant, place) => {
        const points = here.filter((row) => row.variant === variant);
        const mean = points.map((row) => row.balanced_accuracy_mean);
        return {
          x: mean, y: points.map((row) => data.models.indexOf(row.model) - 0.35 + place * step), mode: "markers", type: "scatter",
          marker: { color: data.colors[variant], symbol: MARKERS[place % MARKERS.length], size: 8 },
          error_x: { type: "data", symmetric: false, color: data.colors[variant], thickness: 1.2, width: 0,
            array: points.map((row, i) => Math.max(0, row.high - mean[i])), arrayminus: points.map((row, i) => Math.max(0, mean[i] - row.low)) },
          text: points.map((row) => plain(`${labels.models[row.model]}, ${labels.variants[variant]}: ${fixed(row.balanced_accuracy_mean)}`)),
          hovertemplate: "%{text}<extra></extra>",
        };
      });
      const chance = here[0]?.chance ?? 0;
      plot(node, traces, {
        xaxis: { ...AXIS, range: [0, 1.02], title: { text: "balanced accuracy", standoff: 4 } },
        yaxis: { ...AXIS, range: [data.models.length - 0.5, -0.5], tickvals: data.models.map((_, place) => place), showgrid: false, ticks: "", showline: false,
          ticktext: data.models.map((name) => wrapped(labels.models[name])), automargin: true },
        shapes: [{ type: "line", x0: chance, x1: chance, y0: 0, y1: 1, yref: "paper", line: { color: INK, width: 1, dash: "dash" } }],
      });
    }
  };

  // Long names take two lines, so that dots keep their room.
  const wrapped = (name) => {
    const middle = name.indexOf(" ", Math.floor(name.length / 2) - 2);
    return name.length > 16 && middle > 0 ? `${plain(name.slice(0, middle))}<br>${plain(name.slice(middle + 1))}` : plain(name);
  };

  if (rows.length) {
    part("table1", "controls").append(
      chooser("Probe", "protocol", protocols.map((name) => [name, labels.probes[name] ?? name]), draw));
    part("table1", "legend").append(...legendOf(glyph));
    draw(protocols[0]);
  } else part("table1", "table").replaceChildren(element("p", { class: "note" }, "This study has no Table 1."));
}
