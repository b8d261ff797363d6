// A run's curves with other runs over them, and the figures of its ranks.

import { keep, tell } from "./app.js";
import { Curves } from "./curves.js";
import { clock, h, nothing } from "./dom.js";
import { get } from "./wire.js";

const FIRST = ["train/loss", "eval/loss", "train/tokens_per_s", "train/lr"];
const ofMachine = (name) => name.startsWith("system/") || name.startsWith("rank/");

export function curvesPart(id, values, now) {
  let others = (values.get("with") ?? "").split(",").filter(Boolean);
  let picked = (values.get("metrics") ?? "").split(",").filter(Boolean);
  let all = [];
  const list = h("datalist", { id: "others" });
  const field = h("input", { type: "text", list: "others", placeholder: "overlay a run", "aria-label": "Overlay a run", onchange: add });
  const chips = h("span", { class: "chips" });
  const metrics = h("div", { class: "chips", role: "group", "aria-label": "Metrics" });
  const happened = h("ol", { class: "marks" });
  const curves = new Curves(values, () => now().marks, [field, list, chips]);
  const node = h("div", {}, curves.bar, metrics, curves.grid, happened);
  let drawn = null;

  function add() {
    const words = field.value.trim();
    if (!words) return;
    const found = all.filter((run) => run.id !== id && run.id.includes(words));
    if (found.length !== 1) { tell(`${found.length} other runs have ${words} in their id.`, true); return; }
    field.value = "";
    if (!others.includes(found[0].id)) others.push(found[0].id);
    change();
  }

  function change() {
    keep({ with: others.join(","), metrics: picked.join(",") });
    drawn = null;
    refresh().catch(() => {});
  }

  function draw() {
    const names = now().metrics.filter((name) => !ofMachine(name));
    const measured = names.filter((name) => name.startsWith("eval/") && !FIRST.includes(name));
    const first = [...FIRST.filter((name) => names.includes(name)), ...measured].slice(0, 4);
    const shown = picked.filter((name) => names.includes(name));
    const metricsShown = shown.length ? shown : first.length ? first : names.slice(0, 4);
    const runs = [id, ...others];
    const isOver = (run) => all.find((one) => one.id === run)?.is_over ?? false;
    curves.show(metricsShown.map((metric) => ({ title: metric, series: runs.map((run, index) =>
      ({ run, metric, label: runs.length === 1 ? metric : run, hue: index, isOver: isOver(run) })) })));
    chips.replaceChildren(...others.map((other) => h("button", { type: "button", class: "chip", title: "Take it off",
      onclick: () => { others = others.filter((one) => one !== other); change(); } }, `${other} ×`)));
    metrics.replaceChildren(...names.map((name) => h("button", { type: "button", class: "chip",
      "aria-pressed": String(metricsShown.includes(name)), onclick: () => {
        picked = metricsShown.includes(name) ? metricsShown.filter((one) => one !== name) : [...metricsShown, name];
        change();
      } }, name)));
    happened.replaceChildren(...now().marks.map((mark) => h("li", { data: { fault: String(mark.is_fault) } },
      h("time", {}, clock(mark.at)), h("b", {}, mark.kind.replaceAll("_", " ")), ` attempt ${mark.attempt}`,
      mark.step === undefined ? "" : `, step ${mark.step}`, mark.text ? `: ${mark.text}` : "")));
    if (!names.length) curves.grid.replaceChildren(nothing("No metrics yet.", "Curves appear with the first step."));
  }

  async function refresh() {
    all = (await get("runs")).runs;
    if (list.childElementCount !== all.length) list.replaceChildren(...all.map((run) => h("option", { value: run.id })));
    if (drawn !== now()) { drawn = now(); draw(); }
    await curves.refresh();
  }

  return { node, refresh, close: () => curves.close(), key: (event) => curves.press(event) };
}

// `system/rank/3/cpu` of all ranks is one chart with a curve for each.
export function systemPart(id, values, now) {
  const curves = new Curves(values, () => now().marks);
  return {
    node: h("div", {}, curves.bar, curves.grid),
    close: () => curves.close(),
    key: (event) => curves.press(event),
    async refresh() {
      const charts = new Map();
      for (const metric of now().metrics) {
        const found = /^(?:system\/)?rank\/(\d+)\/(.+)$/.exec(metric);
        const title = found ? found[2] : metric;
        if (!found && !metric.startsWith("system/") && !["train/tokens_per_s", "train/memory_bytes", "train/data_wait", "train/mfu"].includes(metric)) continue;
        if (!charts.has(title)) charts.set(title, []);
        charts.get(title).push({ run: id, metric, label: found ? `rank ${found[1]}` : metric, isOver: now().run.is_over });
      }
      curves.show([...charts].map(([title, series]) => ({ title, series })));
      if (!charts.size) curves.grid.replaceChildren(nothing("No figures of the machines.", "Ranks write them while a run trains."));
      await curves.refresh();
    },
  };
}

