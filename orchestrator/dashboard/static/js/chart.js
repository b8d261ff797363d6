// One chart: curves of several runs over steps, tokens or time, asked for at the width that is seen.

import { bytes, count, duration, h, number } from "./dom.js";
import { once, query } from "./wire.js";

const HUES = ["--c0", "--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];
const HEIGHT = 220;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = matchMedia("(prefers-color-scheme: dark)");

export const hue = (index) => style(HUES[index % HUES.length]);

export class Chart {
  // series: [{run, metric, label, hue, isOver}]; view: {axis, smooth, isLog}, shared by the charts of a page
  constructor(title, series, view, marks = () => []) {
    this.series = series.map((one) => ({ ...one, mark: "", x: [], y: [], s: [] }));
    this.view = view;
    this.marks = marks;
    this.window = null;
    this.asked = "";
    this.box = h("div", { class: "plot" });
    this.note = h("p", { class: "none" }, "loading");
    this.told = h("span");
    this.node = h("figure", { class: "chart", data: { metric: title } },
      h("figcaption", {}, title, this.told), this.box, this.note);
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.box);
    this.themed = () => this.build();
    dark.addEventListener("change", this.themed);
  }

  close() {
    this.resized.disconnect();
    dark.removeEventListener("change", this.themed);
    this.plot?.destroy();
  }

  // Curves of runs that are over are asked for once for each view.
  async refresh() {
    const { axis, smooth } = this.view;
    const width = Math.max(300, this.box.clientWidth);
    const wish = { axis, smooth, points: width > 700 ? 2000 : 1000, low: this.window?.[0], high: this.window?.[1] };
    const key = JSON.stringify(wish);
    const isNew = key !== this.asked;
    this.asked = key;
    const news = await Promise.all(this.series.map((one) => this.read(one, wish, isNew)));
    if (key !== this.asked) return;
    const isChanged = news.map((news, index) => this.take(this.series[index], news)).some(Boolean);
    if (isNew || isChanged || !this.plot) this.build(!isNew);
  }

  async read(one, wish, isNew) {
    if (!isNew && one.isOver && one.mark) return null;
    const seen = isNew ? "" : one.mark;
    return once(`runs/${one.run}/curve?${query({ ...wish, metric: one.metric, seen })}`);
  }

  take(one, news) {
    if (!news || (news.mark === one.mark && !news.x.length)) return false;
    const isSame = news.mark === one.mark && one.x.length === news.from + news.x.length;
    for (const name of ["x", "y", "s"]) one[name] = one[name].slice(0, news.from).concat(news[name] ?? []);
    one.mark = news.mark;
    one.rows = news.rows;
    one.isSome = Boolean(news.some);
    return !isSame;
  }

  data() {
    const tables = this.series.map((one) => (this.view.smooth ? [one.x, one.y, one.s] : [one.x, one.y]));
    return tables.length === 1 ? tables[0] : uPlot.join(tables);
  }

  build(isUpdate = false) {
    const points = this.series.reduce((sum, one) => sum + one.x.length, 0);
    this.note.hidden = points > 0;
    this.note.textContent = "no values yet";
    this.node.dataset.points = String(points);
    this.node.dataset.rows = String(this.series.reduce((sum, one) => sum + (one.rows ?? 0), 0));
    this.node.dataset.series = String(this.series.filter((one) => one.x.length).length);
    if (!points) return;
    if (isUpdate && this.plot) {
      this.plot.setData(this.data());
    } else {
      this.plot?.destroy();
      this.plot = new uPlot(this.options(), this.data(), this.box);
    }
    this.node.dataset.ready = "yes";
    this.told.textContent = this.series.some((one) => one.isSome) ? " some of the points; all are being read" : "";
  }

  options() {
    const line = style("--line"), ink = style("--soft");
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 }, font: "11px system-ui" };
    return {
      width: Math.max(120, this.box.clientWidth), height: HEIGHT,
      padding: [8, 16, 0, 0],
      cursor: { sync: { key: "page", scales: ["x", null] }, focus: { prox: 24 }, drag: { x: true, y: false, setScale: false } },
      focus: { alpha: 0.3 },
      scales: { x: { time: false }, y: { distr: this.view.isLog ? 3 : 1, range: this.view.isLog ? undefined : spread } },
      axes: [
        { ...axis, size: 30, values: (_, ticks) => ticks.map((tick) => shown(this.view.axis, tick)) },
        { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : this.amount(tick))) },
      ],
      series: [{ label: this.view.axis, value: (_, x) => (x === null ? "" : shown(this.view.axis, x)) }, ...this.lines()],
      legend: { live: true },
      hooks: { setSelect: [(plot) => this.zoom(plot)], draw: [(plot) => this.drawMarks(plot)],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => this.whole())] },
    };
  }

  lines() {
    const value = (_, y) => (y === null ? "" : this.amount(y));
    return this.series.flatMap((one, index) => {
      const stroke = hue(one.hue ?? index);
      const raw = { label: one.label, stroke, width: 1.25, value, points: { show: one.x.length < 60 } };
      if (!this.view.smooth) return [raw];
      return [{ ...raw, class: "each", alpha: 0.25, width: 1, points: { show: false } },
        { label: one.label, stroke, width: 1.75, value, points: { show: false } }];
    });
  }

  amount(value) {
    return this.node.dataset.metric.endsWith("_bytes") ? bytes(value) : number(value);
  }

  // A part that is dragged over is asked for again: closer, there are more points.
  zoom(plot) {
    if (plot.select.width < 4) return;
    this.window = [plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.refresh().catch(() => {});
  }

  whole() {
    if (!this.window) return;
    this.window = null;
    this.refresh().catch(() => {});
  }

  drawMarks(plot) {
    const { ctx, bbox } = plot;
    const drawn = this.marks().filter((mark) => mark[this.view.axis] !== undefined);
    this.node.dataset.marks = String(drawn.length);
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    for (const mark of drawn) {
      const x = Math.round(plot.valToPos(mark[this.view.axis], "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = style(mark.is_fault ? "--bad" : "--soft");
      ctx.setLineDash(mark.is_fault ? [] : [3 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  resize() {
    const width = this.box.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }
}

function spread(_, low, high) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - room, high + room];
}

const shown = (axis, value) => (axis === "time" ? duration(Math.max(0, value)) : count(value));
