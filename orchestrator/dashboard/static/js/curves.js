// A page's charts with what they share: axis, smoothing, logarithmic scale, overlaid runs.

import { keep } from "./app.js";
import { Chart } from "./chart.js";
import { h } from "./dom.js";

const AXES = ["step", "tokens", "time"];

export function viewOf(values) {
  return {
    axis: AXES.includes(values.get("axis")) ? values.get("axis") : "step",
    smooth: Math.min(0.99, Math.max(0, Number(values.get("smooth")) || 0)),
    isLog: values.get("log") === "1",
  };
}

export class Curves {
  // wishes: [{title, series}]; marks: a function that gives those of the run
  constructor(values, marks, extra = []) {
    this.view = viewOf(values);
    this.marks = marks;
    this.charts = [];
    this.grid = h("div", { class: "charts" });
    this.bar = this.toolbar(extra);
    this.node = h("div", {}, this.bar, this.grid);
    this.key = "";
  }

  toolbar(extra) {
    const axes = h("div", { class: "segments", role: "group", "aria-label": "Axis" }, AXES.map((name) =>
      h("button", { type: "button", data: { name }, onclick: () => this.set({ axis: name }) }, name)));
    this.axes = axes;
    this.slider = h("input", { type: "range", min: "0", max: "0.99", step: "0.01", id: "smooth",
      oninput: () => this.set({ smooth: Number(this.slider.value) }) });
    this.slider.value = String(this.view.smooth);
    this.log = h("input", { type: "checkbox", onchange: () => this.set({ isLog: this.log.checked }) });
    const bar = h("div", { class: "bar" }, axes,
      h("label", { class: "inline" }, "smooth ", this.slider), h("label", { class: "inline" }, this.log, " log"), ...extra);
    this.told(axes);
    return bar;
  }

  set(change) {
    Object.assign(this.view, change);
    this.told(this.axes);
    keep({ axis: this.view.axis === "step" ? "" : this.view.axis, smooth: this.view.smooth || "", log: this.view.isLog ? "1" : "" });
    if ("axis" in change) for (const chart of this.charts) chart.window = null;
    if ("isLog" in change) for (const chart of this.charts) chart.build();
    else this.refresh().catch(() => {});
  }

  told(axes) {
    for (const one of axes.children) one.setAttribute("aria-pressed", String(one.dataset.name === this.view.axis));
    this.log.checked = this.view.isLog;
  }

  show(wishes) {
    const key = JSON.stringify(wishes.map((wish) => [wish.title, wish.series.map((one) => [one.run, one.metric])]));
    if (key === this.key) {
      wishes.forEach((wish, i) => wish.series.forEach((one, j) => { this.charts[i].series[j].isOver = one.isOver; }));
      return;
    }
    this.key = key;
    this.close();
    this.charts = wishes.map((wish) => new Chart(wish.title, wish.series, this.view, this.marks));
    this.grid.replaceChildren(...this.charts.map((chart) => chart.node));
  }

  refresh() {
    return Promise.all(this.charts.map((chart) => chart.refresh()));
  }

  press(event) {
    if (event.key === "l") this.set({ isLog: !this.view.isLog });
    else if (event.key === "a") this.set({ axis: AXES[(AXES.indexOf(this.view.axis) + 1) % AXES.length] });
    else return false;
    return true;
  }

  close() {
    for (const chart of this.charts) chart.close();
  }
}
