// Parallel coordinates: an axis for each dimension and one for the value, a line for each trial.
// Dragging along an axis keeps the trials that cross it there.

import { h } from "./dom.js";
import { colours, s, scaleOf, scaleOfValues } from "./scale.js";

const HEIGHT = 270, TOP = 34, BOTTOM = 26, SIDE = 44, LEAST = 104;

export class Parallel {
  // look: what the pictures of a page share: {hot, kept, point(trial), keep(set), open(trial)}
  constructor(look) {
    this.look = look;
    this.brushes = new Map();
    this.svg = s("svg", { class: "parallel", role: "img", "aria-label": "Settings of each trial" });
    this.clear = h("button", { type: "button", class: "chip", hidden: true, onclick: () => { this.brushes.clear(); this.filter(); } }, "all trials");
    this.box = h("div", { class: "wide" }, this.svg);
    this.node = h("figure", { class: "chart parallel-chart" },
      h("figcaption", {}, "Settings and value", h("span", { class: "hint" }, "  drag along an axis to keep what crosses it "), this.clear), this.box);
    this.resized = new ResizeObserver(() => this.answer && this.draw(this.answer));
    this.resized.observe(this.node);
    this.svg.addEventListener("pointermove", (event) => this.moved(event));
    this.svg.addEventListener("pointerleave", () => look.point(null));
    this.svg.addEventListener("click", (event) => { if (look.hot !== null && !event.target.closest(".handle")) look.open(look.hot); });
  }

  close() { this.resized.disconnect(); }

  draw(answer) {
    this.answer = answer;
    const { dimensions, trials, metric, is_loss: isLoss } = answer;
    const values = scaleOfValues(metric, trials.map((one) => one.value), isLoss);
    this.scales = [...dimensions.map((one) => ({ ...scaleOf(one), of: (trial) => trial.point[one.key] })), { ...values, of: (trial) => trial.value }];
    const width = Math.max(this.box.clientWidth, SIDE * 2 + LEAST * (this.scales.length - 1));
    this.x = (index) => SIDE + index * (width - 2 * SIDE) / Math.max(1, this.scales.length - 1);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", HEIGHT);
    const colour = colours(trials, isLoss);
    this.lines = new Map();
    const worstFirst = [...trials].reverse(); // the best is drawn over the others
    for (const trial of worstFirst) {
      const points = this.scales.map((scale, index) => [this.x(index), place(scale.at(scale.of(trial)))]);
      const last = trial.value === null ? points.slice(0, -1) : points;
      const line = s("path", { class: "line", d: `M${last.map((point) => point.map((one) => one.toFixed(1)).join(" ")).join("L")}`,
        data: { trial: trial.trial, fate: trial.fate } });
      line.style.stroke = colour(trial);
      this.lines.set(trial.trial, { line, points: last });
    }
    this.ink = s("g", {}, ...[...this.lines.values()].map((one) => one.line));
    this.svg.replaceChildren(this.ink, ...this.scales.map((scale, index) => this.axis(scale, index)));
    this.mark();
  }

  axis(scale, index) {
    const x = this.x(index), brush = this.brushes.get(scale.key);
    const band = s("rect", { class: "brush", x: x - 9, width: 18, y: 0, height: 0 });
    if (brush) show(band, brush);
    const handle = s("rect", { class: "handle", x: x - 16, width: 32, y: TOP - 8, height: HEIGHT - TOP - BOTTOM + 28 });
    handle.addEventListener("pointerdown", (event) => this.drag(event, scale, band, handle));
    const ticks = scale.ticks.flatMap((tick) => [
      s("line", { class: "tick", x1: x - 4, x2: x, y1: place(tick.at), y2: place(tick.at) }),
      s("text", { class: "amount", x: x - 7, y: place(tick.at) + 3.5, "text-anchor": "end" }, tick.text)]);
    const isAbsent = this.answer.trials.some((trial) => scale.at(scale.of(trial)) === null && scale.of(trial) === undefined);
    const none = isAbsent ? [s("text", { class: "amount", x: x - 7, y: place(null) + 3.5, "text-anchor": "end" }, "none")] : [];
    const title = s("text", { class: "title", x, y: index % 2 ? 24 : 13, "text-anchor": index === 0 ? "start" : index === this.scales.length - 1 ? "end" : "middle" }, scale.key);
    if (index === 0) title.setAttribute("x", 4);
    if (index === this.scales.length - 1) title.setAttribute("x", x + SIDE - 4);
    return s("g", { class: "axis" }, s("line", { class: "spine", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }), ...ticks, ...none, title, band, handle);
  }

  // The trial whose line is next to the pointer.
  moved(event) {
    if (this.from || !this.lines) return;
    const at = this.local(event);
    let best = null, least = 14;
    for (const [trial, { points }] of this.lines) {
      if (this.look.kept && !this.look.kept.has(trial)) continue;
      const next = points.findIndex((point) => point[0] >= at.x);
      if (next <= 0) continue;
      const [a, b] = [points[next - 1], points[next]];
      const distance = Math.abs(a[1] + (b[1] - a[1]) * (at.x - a[0]) / (b[0] - a[0]) - at.y);
      if (distance < least) { least = distance; best = trial; }
    }
    this.look.point(best);
  }

  drag(event, scale, band, handle) {
    this.from = this.local(event).y;
    this.isDragged = false;
    handle.setPointerCapture(event.pointerId);
    const move = (next) => {
      const y = this.local(next).y;
      if (Math.abs(y - this.from) < 3 && !this.isDragged) return;
      this.isDragged = true;
      const ends = [share(this.from), share(y)].sort((a, b) => a - b);
      this.brushes.set(scale.key, ends);
      show(band, ends);
      this.filter();
    };
    const up = () => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", up);
      if (!this.isDragged) this.brushes.delete(scale.key);
      this.from = null;
      if (!this.isDragged) show(band, null);
      this.filter();
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", up);
  }

  filter() {
    this.clear.hidden = !this.brushes.size;
    if (!this.brushes.size) { this.look.keep(null); if (!this.from) this.draw(this.answer); return; }
    const isIn = (trial) => this.scales.every((scale) => {
      const brush = this.brushes.get(scale.key), at = scale.at(scale.of(trial)) ?? ABSENT;
      return !brush || (at >= brush[0] && at <= brush[1]);
    });
    this.look.keep(new Set(this.answer.trials.filter(isIn).map((trial) => trial.trial)));
  }

  mark() {
    for (const [trial, { line }] of this.lines ?? []) {
      const isHot = trial === this.look.hot;
      line.classList.toggle("hot", isHot);
      line.classList.toggle("out", Boolean(this.look.kept && !this.look.kept.has(trial)));
      if (isHot) this.ink.append(line);
    }
  }

  local(event) {
    const box = this.svg.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }
}

const ABSENT = -0.09; // below the axis: the dimension does not apply
const LENGTH = HEIGHT - TOP - BOTTOM;
const place = (at) => HEIGHT - BOTTOM - (at ?? ABSENT) * LENGTH;
const share = (y) => (HEIGHT - BOTTOM - y) / LENGTH;

function show(band, ends) {
  band.setAttribute("y", ends ? place(ends[1]) : 0);
  band.setAttribute("height", ends ? place(ends[0]) - place(ends[1]) : 0);
}
