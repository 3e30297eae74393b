// The plane of UMAP: a switch per variant, and the picture behind a point.
{
  const datasets = Object.keys(data.umap);
  const trust = rowsOf("trustworthiness");
  const shown = { dataset: datasets[0], hidden: new Set() };
  const plane = part("umap", "plane"), panel = part("umap", "point");
  let drawn = false, current = null;

  const fitsOf = (dataset) => data.umap[dataset].fits;
  const fit = () => fitsOf(shown.dataset).find((one) => one.model === shown.model && String(one.seed) === shown.seed) ?? fitsOf(shown.dataset)[0];
  const visible = () => data.variants.filter((name) => !shown.hidden.has(name) && fit().x[name]);
  const pointsOf = (variant) => fit().x[variant].map((x, place) => ({ variant, place, x, y: fit().y[variant][place] }));

  const draw = () => {
    const { x, y } = fit();
    const dense = data.umap[shown.dataset].images.length > 300;
    const traces = data.variants.filter((name) => x[name]).map((variant) => ({
      x: x[variant], y: y[variant], type: "scatter", mode: "markers", name: plain(labels.variants[variant]), visible: !shown.hidden.has(variant), hoverinfo: "none",
      marker: { color: data.colors[variant], symbol: MARKERS[data.variants.indexOf(variant) % MARKERS.length], size: dense ? 5 : 7, opacity: 0.75, line: { width: 0 } },
      meta: variant,
    }));
    const axis = { visible: false, fixedrange: false };
    plot(plane, traces, { xaxis: axis, yaxis: { ...axis, scaleanchor: "x" }, margin: { l: 4, r: 4, t: 4, b: 4 }, shapes: [] }, BUTTONS).then(listen);
    const told = trust.find((row) => row.dataset === shown.dataset && row.model === fit().model && Number(row.seed) === fit().seed);
    const { images, n } = data.umap[shown.dataset];
    part("umap", "legend").replaceChildren(
      `${images.length < n ? `${images.length} of ${n} embedded images, drawn evenly over the classes` : `${n} images`}, ${visible().length} variants shown. `,
      told ? `Trustworthiness ${fixed(told.trustworthiness)} (${told.k} neighbours, ${told.metric}); 1 where no neighbour in the plane is a stranger.` : "");
    current = null;
    panel.replaceChildren(element("p", { class: "legend" }, "Point at a dot, tap it, or move with the arrow keys: its picture appears here."));
  };

  // Rings the point, ties it to the other variants of its image, and shows its picture.
  const show = (point) => {
    current = point;
    const circle = { type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: point.x, yanchor: point.y, x0: -9, x1: 9, y0: -9, y1: 9, line: { color: INK, width: 2 } };
    const ties = visible().filter((name) => name !== point.variant).map((name) => (
      { type: "line", layer: "below", x0: point.x, y0: point.y, x1: fit().x[name][point.place], y1: fit().y[name][point.place], line: { color: data.colors[name], width: 1.5 } }));
    plotly().relayout(plane, { shapes: [...ties, circle] });
    const [id, name] = data.umap[shown.dataset].images[point.place];
    const place = records.findIndex((record) => record.dataset === shown.dataset && record.id === id);
    panel.replaceChildren(
      place < 0 ? element("p", { class: "note" }, "The picture is not among those that this page holds.") : picture(records[place], point.variant),
      element("dl", {}, element("dt", {}, "Class"), element("dd", {}, readable(name)), element("dt", {}, "Variant"),
        element("dd", {}, glyph(point.variant), labels.variants[point.variant]), element("dt", {}, "Image"), element("dd", {}, id)),
      place < 0 ? null : element("button", { type: "button", onclick: () => openImage(records, place) }, "Open the image"));
    panel.dataset.shown = `${id}|${point.variant}`;
  };

  let listening = false;
  const listen = () => {
    if (listening) return;
    listening = true;
    const chosen = (event) => { const { data: trace, pointIndex } = event.points[0]; show(pointsOf(trace.meta)[pointIndex]); };
    plane.on("plotly_hover", chosen);
    plane.on("plotly_click", chosen);
  };

  // The nearest point within 45 degrees of the direction of an arrow key; the first point to begin with.
  plane.addEventListener("keydown", (event) => {
    const direction = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === "Enter" && current) panel.querySelector("button")?.click();
    if (!direction || !drawn) return;
    event.preventDefault();
    const points = visible().flatMap(pointsOf);
    if (!current || shown.hidden.has(current.variant)) { if (points.length) show(points[0]); return; }
    let best = null, least = Infinity;
    for (const point of points) {
      const [dx, dy] = [point.x - current.x, point.y - current.y];
      const along = dx * direction[0] + dy * direction[1], length = Math.hypot(dx, dy);
      if (length > 0 && along >= length * Math.SQRT1_2 && length < least) { best = point; least = length; }
    }
    if (best) show(best);
  });

  if (datasets.length) {
    const redraw = () => { if (drawn) draw(); };
    const models = () => levelsOf(fitsOf(shown.dataset), "model").map((name) => [name, labels.models[name]]);
    const seeds = () => levelsOf(fitsOf(shown.dataset), "seed").map((seed) => [String(seed), String(seed)]);
    shown.model = models()[0][0];
    shown.seed = seeds()[0][0];
    part("umap", "controls").append(
      chooser("Data set", "dataset", datasets.map((name) => [name, labels.datasets[name]]), (value) => { shown.dataset = value; redraw(); }),
      chooser("Model", "model", models(), (value) => { shown.model = value; redraw(); }),
      chooser("Seed", "seed", seeds(), (value) => { shown.seed = value; redraw(); }),
      ticks("Variants", "variant", data.variants.map((name) => [name, glyph(name), labels.variants[name]]), "checkbox", () => true,
        (variant, on) => { shown.hidden[on ? "delete" : "add"](variant); redraw(); }));
    whenNear(plane, () => { drawn = true; draw(); });
  } else {
    plane.removeAttribute("tabindex");
    plane.style.display = "none";
    panel.replaceChildren(element("p", { class: "note" }, "This study has no UMAP."));
  }
}
