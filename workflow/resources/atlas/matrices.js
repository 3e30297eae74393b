// Matrices of variants by variants, a table per model.
{
  const rows = rowsOf("similarity");
  const shown = { dataset: data.datasets[0], family: 0, choice: 0 };

  const scaleOf = (kind) => kind === "angular_procrustes" ? [Math.PI / 2, 0] : [0, 1];

  // The background of a value, and the ink that is readable on it.
  const painted = (value, [low, high]) => {
    const place = Math.min(1, Math.max(0, (value - low) / (high - low)));
    const color = data.heat[Math.round(place * (data.heat.length - 1))];
    const [red, green, blue] = [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
    return `background:${color};color:${0.3 * red + 0.59 * green + 0.11 * blue > 120 ? INK : "#fff"}`;
  };

  const lines = (row, choice) => [
    interval(row),
    row.null === null ? "no null in closed form" : `null ${fixed(row.null)}: unrelated representations`,
    `${row.n} images`,
    row.p_freely === undefined || row.p_freely === null ? null : `p ${fixed(row.p_freely)} against images paired at random`,
    row.p_within_classes === undefined || row.p_within_classes === null ? null : `p ${fixed(row.p_within_classes)} within classes`,
  ];

  const drawMatrix = (model, own, choice) => {
    const cells = [];
    const body = data.variants.map((x) => {
      const line = data.variants.map((y) => {
        const row = own.find((row) => row.model === model && row.variant_x === x && row.variant_y === y);
        if (!row) return element("td", {}, "–");
        const cell = element("td", { style: painted(row.similarity, scaleOf(choice.kind)), "data-pair": `${model}|${x}|${y}` }, fixed(row.similarity, 2));
        explain(cell, `${labels.variants[x]} and ${labels.variants[y]}: ${fixed(row.similarity)}`, lines(row, choice));
        return cell;
      });
      cells.push(line);
      return element("tr", {}, element("th", { scope: "row" }, labels.variants[x]), line);
    });
    walkable(cells);
    const head = data.variants.map((name) => element("th", { scope: "col" }, labels.variants[name]));
    return element("figure", {}, element("figcaption", {}, labels.models[model]), element("div", { class: "scroll" },
      element("table", { class: "matrix" }, element("colgroup", {}, element("col"), data.variants.map(() => element("col"))),
        element("thead", {}, element("tr", {}, element("td"), head)), element("tbody", {}, body))));
  };

  const draw = () => {
    const family = data.families[shown.family], choice = family.choices[shown.choice];
    const own = rows.filter((row) => row.dataset === shown.dataset && row.measure === choice.measure);
    part("matrices", "matrices").replaceChildren(...data.models.filter((model) => own.some((row) => row.model === model))
      .map((model) => drawMatrix(model, own, choice)));
    const scale = scaleOf(choice.kind);
    part("matrices", "legend").replaceChildren(`${labels.measures[choice.measure]}: ${fixed(scale[0], scale[0] % 1 ? 2 : 0)}`,
      element("i", { class: "heat", style: `background:linear-gradient(to right, ${data.heat.join(",")})` }), `${scale[1]}`);
    drawControls();
  };

  let switches = null;
  const drawControls = () => {
    const family = data.families[shown.family];
    if (switches) switches.remove();
    switches = family.choices.length < 2 ? null : ticks("Estimate", "treatment",
      family.choices.map((choice, place) => [String(place), choice.treatment]), "radio",
      (value) => Number(value) === shown.choice, (value) => { shown.choice = Number(value); draw(); part("matrices", "controls").querySelector(`input[value="${value}"]`).focus(); });
    if (switches) part("matrices", "controls").append(switches);
  };

  if (rows.length) {
    part("matrices", "controls").append(
      chooser("Data set", "dataset", data.datasets.map((name) => [name, labels.datasets[name]]), (value) => { shown.dataset = value; draw(); }),
      chooser("Measure", "measure", data.families.map((family, place) => [String(place), family.label]),
        (value) => { shown.family = Number(value); shown.choice = 0; draw(); }));
    draw();
  } else part("matrices", "matrices").replaceChildren(element("p", { class: "note" }, "This study has no table of similarities."));
}
