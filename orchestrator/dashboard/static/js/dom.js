// Elements from values, and numbers as people read them.

export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

const SUFFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

export function count(value) {
  if (value === null || value === undefined) return "";
  for (const [scale, suffix] of SUFFIXES) {
    if (Math.abs(value) >= 0.9995 * scale) return Number((value / scale).toPrecision(3)) + suffix;
  }
  return String(Number(value.toPrecision(3)));
}

export function whole(value) {
  return value === null || value === undefined ? "" : Math.round(value).toLocaleString("en");
}

export function number(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return size >= 1000 ? whole(value) : String(Number(value.toPrecision(4)));
}

export function bytes(value) {
  let size = value;
  for (const suffix of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024) return suffix === "B" ? `${size} B` : `${size.toFixed(1)} ${suffix}`;
    size /= 1024;
  }
  return `${size.toFixed(1)} TiB`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function ago(moment) {
  return moment ? duration(Math.max(0, Date.now() / 1000 - moment)) : "";
}

export function clock(moment) {
  return new Date(moment * 1000).toLocaleString("sv-SE");
}

export function state(name) {
  return h("span", { class: "state", data: { state: name } }, name);
}

export function tags(list) {
  return list.map((tag) => h("span", { class: "tag" }, tag));
}

// A value of a setting, in one line.
export function plain(value) {
  if (value === null || value === undefined) return "—";
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function table(heads, rows, props = {}) {
  return h("div", { class: "scroll" }, h("table", { class: "rows", ...props },
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));
}

export function nothing(title, ...more) {
  return h("div", { class: "nothing" }, h("p", { class: "big" }, title), ...more.map((one) => h("p", {}, one)));
}

export function waiting(lines = 6) {
  const bars = Array.from({ length: lines }, () => h("div", { class: "bone" }));
  return h("div", { class: "bones", "aria-busy": "true", "aria-label": "loading" }, bars);
}

export function copied(command) {
  const button = h("button", { type: "button", class: "command", title: "Copy" },
    h("code", {}, command), h("span", { class: "hint" }, "copy"));
  button.addEventListener("click", async () => {
    const hint = button.querySelector(".hint");
    try {
      await navigator.clipboard.writeText(command);
      hint.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.querySelector("code"));
      hint.textContent = "selected";
    }
    setTimeout(() => { hint.textContent = "copy"; }, 1500);
  });
  return button;
}
