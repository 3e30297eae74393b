// One image in all variants, its mask's origin and every probe's prediction; and what a probe predicts.
const viewer = document.getElementById("viewer");
const probes = { protocol: data.cells[0]?.protocol, fitted: "own" };

// The class that a model's probe gives an image in a variant: a label, or -1 where it was not asked.
function predicted(record, model, variant, { protocol, fitted }) {
  const train = fitted === "own" ? variant : data.reference;
  const place = data.cells.findIndex((cell) => cell.model === model && cell.protocol === protocol && cell.train === train && cell.test === variant);
  return place < 0 ? -1 : record.predicted[place];
}

function probeChoosers(chosen, change) {
  const protocols = levelsOf(data.cells, "protocol");
  const fitted = [["own", "the variant it is asked about"], ["reference", labels.variants[data.reference]]];
  return [
    chooser("Probe", "protocol", protocols.map((name) => [name, labels.probes[name] ?? name]), (value) => { chosen.protocol = value; change(); }, chosen.protocol),
    chooser("Fitted on", "fitted", data.reference ? fitted : fitted.slice(0, 1), (value) => { chosen.fitted = value; change(); }, chosen.fitted),
  ];
}

function predictionTable(record) {
  const body = data.models.map((model) => element("tr", {}, element("th", { scope: "row" }, labels.models[model]), data.variants.map((variant) => {
    const label = predicted(record, model, variant, probes);
    if (label < 0) return element("td", {}, "not asked");
    const right = label === record.label;
    return element("td", { class: right ? "right" : "wrong", "data-cell": `${model}|${variant}` }, `${right ? "✓" : "✗"} ${readable(data.classes[record.dataset][label])}`);
  })));
  const head = ["Model", ...data.variants.map((name) => labels.variants[name])];
  return element("table", { class: "ruled" }, element("thead", {}, element("tr", {}, head.map((text) => element("th", { scope: "col" }, text)))), element("tbody", {}, body));
}

// A prompt's JSON in words: what it is, and numbers as they stand.
function told(json) {
  if (!json) return null;
  const words = (value) => {
    if (Array.isArray(value)) return value.map(words).join(value.some((one) => typeof one === "object") ? "; " : ", ");
    if (value === null || typeof value !== "object") return String(value);
    return Object.entries(value).map(([key, one]) => key === "kind" ? readable(one) : `${key} ${words(one)}`).join(", ");
  };
  return words(JSON.parse(json));
}

function maskFacts(record) {
  const made = data.masking[record.dataset];
  const facts = [
    ["Segmenter", made.segmenter], ["Prompt", told(record.prompt)], ["Asked", told(record.query)],
    ["Fallback", record.fallback === undefined ? null : record.fallback || "none: the prompt’s own mask"],
    ["Passes", record.passes === null || record.passes === undefined ? null : record.passes ? "yes" : "no"],
    ["Score", record.score], ["Predicted IoU", record.predicted_iou], ["Stability", record.stability], ["IoU with the exact mask", record.iou],
    ["IoU with the second prompt’s", record.agreement], ["Area, share of the crop", record.area], ["Parts", record.components],
    ["Share of the border", record.border_contact], ["Changed by cleaning", record.cleaned],
  ];
  return element("dl", {}, facts.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, typeof value === "number" ? String(value) : value)]));
}

// Opens the record at `place` of `list`; arrow keys and buttons go to its neighbours there.
function openImage(list, place) {
  const record = list[place];
  const go = (step) => () => { if (list[place + step]) openImage(list, place + step); };
  const table = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Predictions" }, predictionTable(record));
  const close = element("button", { type: "button", onclick: () => viewer.close() }, "Close");
  viewer.replaceChildren(element("div", { class: "viewer" },
    element("div", { class: "bar-of-buttons" },
      element("h2", { id: "viewer-title" }, `${readable(record.class)} · ${record.id}`),
      element("div", { class: "controls", style: "margin:0" },
        element("button", { type: "button", onclick: go(-1), disabled: place === 0 }, "← Previous"),
        element("button", { type: "button", onclick: go(1), disabled: place === list.length - 1 }, "Next →"), close)),
    element("p", { class: "legend" }, `${labels.datasets[record.dataset]}, image ${place + 1} of ${list.length} chosen`),
    element("div", { class: "variants" }, data.variants.map((variant) =>
      element("figure", {}, picture(record, variant), element("figcaption", {}, swatch(variant), labels.variants[variant])))),
    element("h3", {}, "What every model’s probe says of it, out of fold"),
    element("div", { class: "controls" }, probeChoosers(probes, () => table.replaceChildren(predictionTable(record)))),
    table,
    element("h3", {}, "Where its mask comes from"), maskFacts(record)));
  viewer.onkeydown = (event) => {
    if (event.target.closest("select, .scroll")) return;
    if (event.key === "ArrowLeft") go(-1)();
    if (event.key === "ArrowRight") go(1)();
  };
  if (!viewer.open) viewer.showModal();
  close.focus();
}
