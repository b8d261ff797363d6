// The value of every trial over its epochs, with the rungs at which trials are judged.

import { h, number } from "./dom.js";
import { colours } from "./scale.js";

const HEIGHT = 270, MOST = 200;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = matchMedia("(prefers-color-scheme: dark)");

export class SweepCurves {
  constructor(look) {
    this.look = look;
    this.trials = [];
    this.box = h("div", { class: "plot" });
    this.note = h("p", { class: "none" }, "Nothing was measured yet.");
    this.title = h("figcaption", {}, "Learning curves");
    this.node = h("figure", { class: "chart sweep-curves" }, this.title, this.box, this.note);
    this.resized = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT }));
    this.resized.observe(this.box);
    this.themed = () => this.answer && this.draw(this.answer);
    dark.addEventListener("change", this.themed);
    this.box.addEventListener("click", () => { if (look.hot !== null) look.open(look.hot); });
    this.box.addEventListener("pointerleave", () => look.point(null));
  }

  close() {
    this.resized.disconnect();
    dark.removeEventListener("change", this.themed);
    this.plot?.destroy();
  }

  width() { return Math.max(240, this.box.clientWidth); }

  draw(answer) {
    this.answer = answer;
    const told = answer.trials.filter((trial) => trial.curve.length);
    this.trials = told.slice(0, MOST).reverse(); // the best comes last, over the others
    this.note.hidden = this.trials.length > 0;
    this.title.replaceChildren(`${answer.metric} over epochs`, h("span", { class: "hint" },
      `${answer.rungs.length ? `  judged at ${answer.rungs.map(number).join(", ")}` : ""}${told.length > MOST ? `, ${MOST} of ${told.length} trials` : ""}`));
    this.node.dataset.series = String(this.trials.length);
    this.plot?.destroy();
    this.plot = null;
    if (!this.trials.length) return;
    const colour = colours(answer.trials, answer.is_loss);
    const tones = Object.fromEntries(["--v0", "--v1", "--v2", "--soft"].map((name) => [`var(${name})`, style(name)]));
    const solid = (text) => text.replace(/var\(--\w+\)/g, (name) => tones[name]);
    this.hues = new Map(this.trials.map((trial) => [trial.trial, solid(colour(trial))]));
    this.plot = new uPlot(this.options(answer), this.data(), this.box);
    this.node.dataset.ready = "yes";
  }

  data() {
    const tables = this.trials.map(({ curve }) => [curve.map((point) => point[0]), curve.map((point) => point[1])]);
    return tables.length === 1 ? tables[0] : uPlot.join(tables);
  }

  options({ longest }) {
    const line = style("--line"), ink = style("--soft");
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 }, font: "11px system-ui" };
    return {
      width: this.width(), height: HEIGHT, padding: [8, 16, 0, 0], legend: { show: false }, focus: { alpha: 1 },
      cursor: { focus: { prox: 18 }, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false, range: [0, longest * 1.02] } },
      axes: [{ ...axis, size: 30 }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => number(tick)) }],
      series: [{}, ...this.trials.map((trial) => ({
        stroke: () => this.stroke(trial), width: 1.5, spanGaps: true, dash: trial.fate === "open" ? [6, 4] : undefined,
        points: { show: trial.curve.length < 2, size: 5, stroke: () => this.stroke(trial), fill: () => this.stroke(trial) } }))],
      hooks: { drawAxes: [(plot) => this.rungs(plot)], draw: [(plot) => this.over(plot)],
        setSeries: [(_, index, said) => { if (said?.focus !== undefined && this.box.matches(":hover")) this.look.point(index ? this.trials[index - 1].trial : null); }] },
    };
  }

  // What was given up is faint, and so is what a brush leaves out.
  stroke(trial) {
    const isOut = this.look.kept && !this.look.kept.has(trial.trial);
    const share = isOut ? 6 : trial.fate === "stopped" || trial.fate === "failed" ? 35 : 100;
    return `color-mix(in srgb, ${this.hues.get(trial.trial)} ${share}%, transparent)`;
  }

  rungs(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = style("--odd");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const rung of this.answer.rungs) {
      const x = Math.round(plot.valToPos(rung, "x", true)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  over(plot) {
    const trial = this.trials.find((one) => one.trial === this.look.hot);
    if (!trial) return;
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = this.hues.get(trial.trial);
    ctx.fillStyle = ctx.strokeStyle;
    ctx.lineWidth = 3 * devicePixelRatio;
    ctx.beginPath();
    for (const [epochs, value] of trial.curve) ctx.lineTo(plot.valToPos(epochs, "x", true), plot.valToPos(value, "y", true));
    ctx.stroke();
    for (const [epochs, value] of trial.curve) {
      ctx.beginPath();
      ctx.arc(plot.valToPos(epochs, "x", true), plot.valToPos(value, "y", true), 3.5 * devicePixelRatio, 0, 7);
      ctx.fill();
    }
    ctx.restore();
  }

  mark() { this.plot?.redraw(false); }
}
