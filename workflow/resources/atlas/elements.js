// What the other parts share: the page's data, and ways to make its elements. Text is set as text, never as HTML.
const data = JSON.parse(document.getElementById("atlas-data").textContent);
const records = JSON.parse(document.getElementById("atlas-images").textContent);
const labels = data.labels;
const INK = "#222222";
const FONT = { family: getComputedStyle(document.body).fontFamily, size: 12, color: INK };
const MARKERS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon"];
const GLYPHS = ["●", "■", "◆", "▲", "✚", "✖", "★", "⬢"];
const coarse = matchMedia("(pointer: coarse)").matches;

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// A packed table as a list of objects, a row each.
function rowsOf(name) {
  const columns = Object.entries(data.tables[name] ?? {}).map(([key, column]) =>
    [key, Array.isArray(column) ? column : column.codes.map((code) => column.levels[code])]);
  const n = columns.length ? columns[0][1].length : 0;
  return Array.from({ length: n }, (_, row) => Object.fromEntries(columns.map(([key, column]) => [key, column[row]])));
}

const levelsOf = (rows, key) => [...new Set(rows.map((row) => row[key]))];
const part = (id, name) => document.querySelector(`#${id} [data-${name}]`);
const fixed = (value, digits = 3) => value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
const interval = (row) => row.low === null || row.low === undefined ? null : `${data.level} interval ${fixed(row.low)} to ${fixed(row.high)}`;
const swatch = (variant) => element("i", { class: "swatch", style: `background:${data.colors[variant]}` });
// The same mark that the variant has in a plot.
const glyph = (variant) => element("i", { class: "glyph", "aria-hidden": "true", style: `color:${data.colors[variant]}` }, GLYPHS[data.variants.indexOf(variant) % GLYPHS.length]);
const legendOf = (mark) => data.variants.map((name) => element("span", {}, mark(name), labels.variants[name]));
const readable = (name) => name.replaceAll("_", " ");
// Plotly reads a little HTML in its texts.
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function chooser(label, name, options, change, value) {
  const select = element("select", { name, onchange: () => change(select.value) },
    options.map(([key, text]) => element("option", { value: key, selected: key === value }, text)));
  const wrapped = element("label", {}, label, select);
  wrapped.select = select;
  return wrapped;
}

// Radio buttons or, with type checkbox, a switch per option.
function ticks(legend, name, options, type, checked, change) {
  return element("fieldset", {}, element("legend", {}, legend), options.map(([value, ...content]) =>
    element("label", { class: "tick" },
      element("input", { type, name, value, checked: checked(value), onchange: (event) => change(value, event.target.checked) }),
      element("span", {}, content))));
}

function picture(record, variant) {
  const cover = record.covers[variant] ?? data.covers[variant];
  return element("span", { class: "picture" },
    element("img", { src: record.photo, alt: `${readable(record.class)}: ${labels.variants[variant]}`, decoding: "async" }),
    cover ? element("img", { src: cover, alt: "" }) : null);
}

// One tooltip, for whatever is pointed at or focused; Escape closes it.
const tip = document.getElementById("tip");
let explained = null;

function closeTip() {
  explained?.removeAttribute("aria-describedby");
  explained = null;
  tip.hidden = true;
}

function placeTip() {
  if (!explained) return;
  const box = explained.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - own.width / 2), document.documentElement.clientWidth - own.width - 8);
  const above = box.top - own.height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 48 ? above : box.bottom + 8}px`;
}

function explain(node, title, lines) {
  const show = () => {
    closeTip();
    explained = node;
    tip.replaceChildren(element("b", {}, title), ...lines.filter(Boolean).map((line) => element("span", {}, line)));
    tip.hidden = false;
    node.setAttribute("aria-describedby", "tip");
    placeTip();
  };
  const hide = () => { if (explained === node) closeTip(); };
  node.addEventListener("mouseenter", show);
  node.addEventListener("focus", show);
  node.addEventListener("mouseleave", hide);
  node.addEventListener("blur", hide);
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeTip(); });
document.addEventListener("scroll", placeTip, { passive: true, capture: true });

// Arrow keys move within `rows`, a list of lists of nodes; the whole takes one stop of the Tab key.
function walkable(rows) {
  const all = rows.flat();
  all.forEach((node, place) => node.setAttribute("tabindex", place ? "-1" : "0"));
  rows.forEach((row, i) => row.forEach((node, j) => {
    node.addEventListener("focus", () => all.forEach((other) => other.setAttribute("tabindex", other === node ? "0" : "-1")));
    node.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Home: [0, -j], End: [0, row.length - 1 - j] };
      const step = steps[event.key];
      if (!step) return;
      event.preventDefault();
      const line = rows[i + step[0]];
      (line?.[Math.min(j + step[1], line.length - 1)])?.focus();
    });
  }));
}

// Draws when the node comes near the window, so that opening the page draws nothing out of sight.
function whenNear(node, draw) {
  const observer = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); draw(); }
  }, { rootMargin: "200px" });
  observer.observe(node);
}

// Plotly's code takes longer to run than all else here: it waits for the first plot that comes near.
function plotly() {
  if (!window.Plotly) document.head.append(element("script", {}, document.getElementById("plotly").textContent));
  return window.Plotly;
}

// The only buttons: Plotly has others, one of which would send the plot away.
const BUTTONS = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];

function plot(node, traces, layout, buttons = BUTTONS.slice(0, 1)) {
  return plotly().react(node, traces,
    { font: FONT, margin: { l: 8, r: 8, t: 8, b: 40 }, showlegend: false, hovermode: "closest", dragmode: coarse ? false : "zoom",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", ...layout },
    { displaylogo: false, responsive: true, displayModeBar: coarse ? false : "hover", modeBarButtons: [buttons] });
}

const AXIS = { zeroline: false, linecolor: INK, linewidth: 1, ticks: "outside", ticklen: 4, tickcolor: INK, gridcolor: "#eeeeee", fixedrange: true };
