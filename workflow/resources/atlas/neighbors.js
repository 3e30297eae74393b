// Whose neighbours are whose: a stacked bar per variant.
{
  const rows = rowsOf("neighbors");
  const shown = {};
  const settings = { centering: "Representations", metric: "Distance", k: "Neighbours" };
  const names = { raw: "as they are", centred: "each variant centred", cosine: "cosine", euclidean: "Euclidean" };

  const drawBars = (model, own) => {
    const cells = [];
    const body = data.variants.filter((variant) => own.some((row) => row.model === model && row.variant === variant)).map((variant) => {
      const order = [variant, ...data.variants.filter((name) => name !== variant)];
      const found = order.map((other) => own.find((row) => row.model === model && row.variant === variant && row.neighbor_variant === other)).filter(Boolean);
      const line = found.map((row) => {
        const segment = element("span", { style: `width:${100 * row.share}%;background:${data.colors[row.neighbor_variant]}`, role: "img",
          "aria-label": `${labels.variants[row.neighbor_variant]} ${fixed(row.share)}` });
        explain(segment, `Neighbours of ${labels.variants[variant]} that are ${labels.variants[row.neighbor_variant]}: ${fixed(row.share)}`,
          [interval(row), `null ${fixed(row.null)}: the variant plays no part`, `${fixed(row.enrichment, 2)} times that`]);
        return segment;
      });
      cells.push(line);
      const mark = element("i", { style: `left:${100 * found[0].null}%` });
      return element("tr", {}, element("th", { scope: "row" }, labels.variants[variant]), element("td", {}, element("div", { class: "bar" }, line, mark)));
    });
    walkable(cells);
    return element("figure", {}, element("figcaption", {}, labels.models[model]), element("table", { class: "bars" }, element("tbody", {}, body)));
  };

  const draw = () => {
    const own = rows.filter((row) => Object.entries(shown).every(([key, value]) => row[key] === value));
    part("neighbors", "bars").replaceChildren(...data.models.filter((model) => own.some((row) => row.model === model)).map((model) => drawBars(model, own)));
  };

  if (rows.length) {
    shown.dataset = data.datasets[0];
    const controls = [chooser("Data set", "dataset", data.datasets.map((name) => [name, labels.datasets[name]]), (value) => { shown.dataset = value; draw(); })];
    for (const [key, label] of Object.entries(settings)) {
      const levels = levelsOf(rows, key);
      shown[key] = levels[0];
      controls.push(chooser(label, key, levels.map((level) => [level, names[level] ?? level]), (value) => { shown[key] = value; draw(); }));
    }
    part("neighbors", "controls").append(...controls);
    part("neighbors", "legend").append(...legendOf(swatch));
    draw();
  } else part("neighbors", "bars").replaceChildren(element("p", { class: "note" }, "This study has no table of neighbours."));
}
