// The image browser: filters, a grid to walk through, and the viewer behind every picture.
{
  const PAGE = 60;
  const form = part("images", "controls"), grid = part("images", "grid"), more = part("images", "more");
  const fitting = { protocol: data.cells[0]?.protocol, fitted: "own" };
  const hasMasks = records.some((record) => record.passes !== undefined);
  const variantNames = data.variants.map((name) => [name, labels.variants[name]]);
  const lost = data.variants.find((name) => data.keeps[name] === "foreground") ?? data.variants[1];
  let count = PAGE, found = [];

  const masks = { any: () => true, passing: (record) => record.passes === 1, failing: (record) => record.passes !== 1, fallback: (record) => record.fallback !== "" };
  const field = (name) => form.elements[name]?.value;

  const recognised = (record, variant) => predicted(record, field("model"), variant, fitting);
  const fits = (record) => {
    if (field("dataset") && record.dataset !== field("dataset")) return false;
    if (field("class") && record.class !== field("class")) return false;
    if (hasMasks) {
      if (!masks[field("mask")](record)) return false;
      const [low, high] = [field("lowest"), field("highest")];
      if (low !== "" && !(record.predicted_iou >= Number(low))) return false;
      if (high !== "" && !(record.predicted_iou <= Number(high))) return false;
    }
    if (!field("model")) return true;
    const [inOne, inOther] = [recognised(record, field("right")), recognised(record, field("wrong"))];
    return inOne === record.label && inOther >= 0 && inOther !== record.label;
  };

  const update = () => {
    found = records.filter(fits);
    if (field("order") === "worst") found.sort((one, other) => one.predicted_iou - other.predicted_iou);
    if (field("order") === "best") found.sort((one, other) => other.predicted_iou - one.predicted_iou);
    count = PAGE;
    draw();
  };

  const draw = () => {
    part("images", "count").textContent = `${found.length} of ${records.length} images`;
    grid.replaceChildren(...found.slice(0, count).map((record, place) => element("li", {},
      element("button", { type: "button", "data-image": `${record.dataset}/${record.id}`, title: record.id, onclick: () => openImage(found, place) },
        picture(record, field("shown")), element("span", { class: "name" }, readable(record.class)),
        record.fallback ? element("small", {}, "fallback") : record.passes === 0 ? element("small", {}, "does not pass") : null))));
    more.hidden = found.length <= count;
    const buttons = [...grid.querySelectorAll("button")];
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const lines = Array.from({ length: Math.ceil(buttons.length / columns) }, (_, line) => buttons.slice(line * columns, (line + 1) * columns));
    walkable(lines);
  };

  more.addEventListener("click", () => {
    const before = count;
    count += PAGE;
    draw();
    grid.querySelectorAll("button")[before]?.focus();
  });

  const classes = chooser("Class", "class", [], update);
  const fillClasses = () => {
    const names = [...new Set(records.filter((record) => !field("dataset") || record.dataset === field("dataset")).map((record) => record.class))].sort();
    classes.select.replaceChildren(element("option", { value: "" }, "all"), ...names.map((name) => element("option", { value: name }, readable(name))));
  };
  const bound = (label, name) => element("label", {}, label, element("input", { type: "number", name, step: "0.01", oninput: update }));

  form.append(
    chooser("Data set", "dataset", [["", "all"], ...data.datasets.map((name) => [name, labels.datasets[name]])], () => { fillClasses(); update(); }),
    classes);
  if (hasMasks) form.append(
    chooser("Mask", "mask", [["any", "any"], ["passing", "passing"], ["failing", "not passing"], ["fallback", "fallback"]], update),
    bound("Predicted IoU from", "lowest"), bound("to", "highest"));
  form.append(chooser("Show", "shown", variantNames, draw));
  if (hasMasks) form.append(chooser("Order", "order", [["study", "of the study"], ["worst", "predicted IoU, lowest first"], ["best", "predicted IoU, highest first"]], update));
  if (data.cells.length) form.append(element("fieldset", { class: "group" }, element("legend", {}, "Recognised in one variant but not in another"),
    chooser("By", "model", [["", "– every image –"], ...data.models.map((name) => [name, labels.models[name]])], update),
    chooser("Recognised in", "right", variantNames, update, data.reference),
    chooser("but not in", "wrong", variantNames, update, lost),
    probeChoosers(fitting, update)));
  form.addEventListener("submit", (event) => event.preventDefault());
  fillClasses();
  whenNear(grid, update);
}
