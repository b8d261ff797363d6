// Two things of every trial against each other, coloured by the value.

import { keep } from "./app.js";
import { h, number } from "./dom.js";
import { colours, s, scaleOf, scaleOfValues } from "./scale.js";

const HEIGHT = 270, LEFT = 56, RIGHT = 14, TOP = 10, BOTTOM = 30, AWAY = 18;

export class Scatter {
  constructor(look, values) {
    this.look = look;
    this.chosen = { x: values.get("x"), y: values.get("y") };
    this.svg = s("svg", { class: "scatter", role: "img" });
    this.fields = Object.fromEntries(["x", "y"].map((axis) => [axis, h("select", { "aria-label": `Axis ${axis}`, data: { axis },
      onchange: () => { this.chosen[axis] = this.fields[axis].value; keep({ [axis]: this.chosen[axis] }); this.draw(this.answer); } })]));
    this.legend = h("span", { class: "ramp-legend" });
    this.box = h("div", { class: "wide" }, this.svg);
    this.node = h("figure", { class: "chart scatter-chart" }, h("figcaption", {}, this.fields.y, h("span", { class: "hint" }, " over "), this.fields.x, this.legend), this.box);
    this.resized = new ResizeObserver(() => this.answer && this.draw(this.answer));
    this.resized.observe(this.node);
    this.svg.addEventListener("pointermove", (event) => this.moved(event));
    this.svg.addEventListener("pointerleave", () => look.point(null));
    this.svg.addEventListener("click", () => { if (look.hot !== null) look.open(look.hot); });
  }

  close() { this.resized.disconnect(); }

  // What can be an axis: the dimensions, the value, the epochs and the time that a trial took.
  axes({ dimensions, trials, metric, is_loss: isLoss, beside }) {
    const of = (key, read, flip = false) => ({ ...scaleOfValues(key, trials.map(read), flip), of: read });
    return [...dimensions.map((one) => ({ ...scaleOf(one), of: (trial) => trial.point[one.key] })),
      of(metric, (trial) => trial.value, isLoss), of("epochs", (trial) => trial.epochs), of("seconds", (trial) => trial.took_s),
      ...(beside ? [of(beside, (trial) => trial.cost)] : [])];
  }

  choose(axes, { dimensions, metric, beside }) {
    const names = axes.map((one) => one.key);
    const usual = { x: beside ?? dimensions[0]?.key ?? "epochs", y: metric };
    for (const axis of ["x", "y"]) {
      if (!names.includes(this.chosen[axis])) this.chosen[axis] = usual[axis];
      const field = this.fields[axis];
      if (field.dataset.names !== names.join()) {
        field.dataset.names = names.join();
        field.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
      }
      field.value = this.chosen[axis];
    }
  }

  draw(answer) {
    this.answer = answer;
    const axes = this.axes(answer);
    this.choose(axes, answer);
    const [x, y] = ["x", "y"].map((axis) => axes.find((one) => one.key === this.chosen[axis]));
    const width = Math.max(260, this.box.clientWidth);
    const across = (at) => LEFT + 10 + at * (width - LEFT - RIGHT - 20);
    const up = (at) => HEIGHT - BOTTOM - 8 - at * (HEIGHT - TOP - BOTTOM - 16);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", HEIGHT);
    this.svg.setAttribute("aria-label", `${y.key} over ${x.key}`);
    this.svg.dataset.axes = `${x.key} ${y.key}`;
    const colour = colours(answer.trials, answer.is_loss);
    this.dots = new Map();
    for (const trial of [...answer.trials].reverse()) {
      const at = [x.at(x.of(trial)), y.at(y.of(trial))];
      if (at.some((one) => one === null || !Number.isFinite(one))) continue;
      const point = [across(at[0]), up(at[1])];
      const dot = s("circle", { class: "dot", cx: point[0].toFixed(1), cy: point[1].toFixed(1), r: 4.5, data: { trial: trial.trial, fate: trial.fate, worth: trial.is_worth_it ? "yes" : "no" } });
      dot.style.setProperty("--k", colour(trial));
      this.dots.set(trial.trial, { dot, point });
    }
    const grid = [
      ...spaced(x.ticks, width - LEFT - RIGHT, 44).map((tick) => [s("line", { class: "tick", x1: across(tick.at), x2: across(tick.at), y1: TOP, y2: HEIGHT - BOTTOM }),
        s("text", { class: "amount", x: across(tick.at), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, tick.text)]),
      ...spaced(y.ticks, HEIGHT - TOP - BOTTOM, 18).map((tick) => [s("line", { class: "tick", x1: LEFT, x2: width - RIGHT, y1: up(tick.at), y2: up(tick.at) }),
        s("text", { class: "amount", x: LEFT - 6, y: up(tick.at) + 3.5, "text-anchor": "end" }, tick.text)])].flat();
    this.ink = s("g", {}, ...[...this.dots.values()].map((one) => one.dot));
    const empty = this.dots.size ? [] : [s("text", { class: "amount", x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no trial has both")];
    this.svg.replaceChildren(s("g", { class: "grid" }, ...grid), this.ink, ...empty);
    this.tell(answer);
    this.mark();
  }

  tell({ trials, metric, is_loss: isLoss }) {
    const told = trials.map((one) => one.value).filter((value) => value !== null);
    const ends = [Math.min(...told), Math.max(...told)];
    if (isLoss) ends.reverse();
    this.legend.hidden = !told.length;
    this.legend.replaceChildren(h("span", { class: "hint" }, `${metric} ${number(ends[0])}`), h("i", { class: "ramp" }), h("span", { class: "hint" }, number(ends[1])));
  }

  moved(event) {
    const box = this.svg.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top];
    let best = null, least = AWAY;
    for (const [trial, { point }] of this.dots ?? []) {
      if (this.look.kept && !this.look.kept.has(trial)) continue;
      const distance = Math.hypot(point[0] - at[0], point[1] - at[1]);
      if (distance < least) { least = distance; best = trial; }
    }
    this.look.point(best);
  }

  mark() {
    for (const [trial, { dot }] of this.dots ?? []) {
      const isHot = trial === this.look.hot;
      dot.classList.toggle("hot", isHot);
      dot.classList.toggle("out", Boolean(this.look.kept && !this.look.kept.has(trial)));
      if (isHot) this.ink.append(dot);
    }
  }
}

// Ticks that do not write over each other.
function spaced(ticks, length, room) {
  const kept = [];
  for (const tick of [...ticks].sort((a, b) => a.at - b.at)) {
    if (!kept.length || (tick.at - kept[kept.length - 1].at) * length >= room) kept.push(tick);
  }
  return kept;
}
