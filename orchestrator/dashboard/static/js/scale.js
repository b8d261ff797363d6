// Where a value lies along an axis: 0 is its begin, 1 its end; logarithmic where a dimension is, and
// in equal distances where it is a choice. Colours go from the worse values to the better ones.

import { number } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

export function s(tag, props = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "data") Object.assign(made.dataset, value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// {key, at(value) → 0..1 or null where it does not apply, ticks: [{at, text}]}
export function scaleOf({ key, shape, values }) {
  if (shape === "choice") return choices(key, values);
  const [low, high] = values;
  return shape === "log_uniform" ? logarithmic(key, low, high) : linear(key, low, high);
}

export function scaleOfValues(key, values, isLoss = false) {
  const told = values.filter((value) => value !== null && value !== undefined);
  if (!told.length) return linear(key, 0, 1);
  const [low, high] = [Math.min(...told), Math.max(...told)];
  const room = (high - low || Math.abs(high) || 1) * 0.04;
  const made = linear(key, low - room, high + room);
  if (!isLoss) return made;
  // The better end is the same for all axes of values: up, and right.
  return { ...made, at: (value) => flipped(made.at(value)), ticks: made.ticks.map((tick) => ({ ...tick, at: 1 - tick.at })) };
}

const flipped = (share) => (share === null ? null : 1 - share);
const isNone = (value) => value === null || value === undefined;

function choices(key, values) {
  const names = values.map((value) => JSON.stringify(value));
  const place = (index) => (names.length === 1 ? 0.5 : index / (names.length - 1));
  return {
    key,
    at: (value) => (isNone(value) && !names.includes("null") ? null : found(names.indexOf(JSON.stringify(value ?? null)), place)),
    ticks: values.map((value, index) => ({ at: place(index), text: typeof value === "number" ? number(value) : String(value) })),
  };
}

const found = (index, place) => (index < 0 ? null : place(index));

function linear(key, low, high) {
  const reach = high - low || 1;
  const at = (value) => (isNone(value) ? null : (value - low) / reach);
  return { key, at, ticks: steps(low, high).map((value) => ({ at: at(value), text: number(value) })) };
}

function logarithmic(key, low, high) {
  const [from, to] = [Math.log10(low), Math.log10(high)];
  const at = (value) => (isNone(value) ? null : (Math.log10(value) - from) / (to - from || 1));
  const ticks = [];
  const heads = to - from > 2.5 ? [1] : to - from > 1.2 ? [1, 3] : [1, 2, 5];
  for (let power = Math.floor(from); power <= Math.ceil(to); power += 1) {
    for (const head of heads) {
      const value = head * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push({ at: at(value), text: brief(value) });
    }
  }
  return { key, at, ticks };
}

const brief = (value) => (value >= 1e-3 && value < 1e4 ? number(value) : value.toExponential(0).replace("e+", "e"));

// Round numbers, about five of them.
function steps(low, high) {
  const raw = (high - low || 1) / 4;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((head) => head * size).find((one) => one >= raw);
  const ticks = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) ticks.push(Number(value.toPrecision(10)));
  return ticks;
}

// A function from a trial to its colour; trials without a value are grey.
export function colours(trials, isLoss) {
  const told = trials.map((one) => one.value).filter((value) => !isNone(value)).sort((a, b) => (isLoss ? b - a : a - b));
  if (!told.length) return () => "var(--soft)";
  // What went wrong entirely would make all others look alike: the worst tenth is one colour.
  const [low, high] = [told[Math.floor((told.length - 1) * 0.1)], told[told.length - 1]];
  return ({ value }) => {
    if (isNone(value)) return "var(--soft)";
    const share = high === low ? 1 : Math.min(1, Math.max(0, (value - low) / (high - low)));
    return share < 0.5 ? `color-mix(in oklab, var(--v1) ${share * 200}%, var(--v0))` : `color-mix(in oklab, var(--v2) ${share * 200 - 100}%, var(--v1))`;
  };
}
