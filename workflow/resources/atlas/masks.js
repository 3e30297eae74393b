// Histograms of the masks' scores, prompts' own masks and fallbacks one on the other.
{
  const node = part("masks", "histograms");
  const draw = () => {
    let last = null;
    for (const row of data.histograms) {
      if (row.dataset !== last) node.append(element("h3", {}, labels.datasets[row.dataset]));
      last = row.dataset;
      const total = [...row.own, ...row.fallback].reduce((sum, count) => sum + count, 0);
      const panel = element("div", { style: "height:190px", role: "img", "aria-label": `${row.title}, ${labels.datasets[row.dataset]}: histogram of ${total} masks` });
      node.append(panel);
      const centers = row.own.map((_, bin) => (bin + 0.5) / row.own.length);
      const bars = (counts, color, name) => ({ x: centers, y: counts, type: "bar", marker: { color }, width: 1 / counts.length, hovertemplate: `%{y} ${name} around %{x:.2f}<extra></extra>` });
      plot(panel, [bars(row.own, data.palette[0], "masks"), bars(row.fallback, data.palette[1], "fallbacks")], {
        barmode: "stack", bargap: 0, margin: { l: 34, r: 6, t: 6, b: 38 },
        xaxis: { ...AXIS, range: [0, 1], showgrid: false, title: { text: row.title, standoff: 4 } }, yaxis: { ...AXIS, showgrid: false, nticks: 4, tickformat: "d" },
        shapes: data.passing[row.column] === undefined ? [] : [{ type: "line", x0: data.passing[row.column], x1: data.passing[row.column], y0: 0, y1: 1, yref: "paper", line: { color: INK, width: 1, dash: "dash" } }],
      });
    }
  };
  if (node && data.histograms.length) whenNear(node, draw);
}
