// Questions to the server. What it answered before is not sent again; a token is sent only to act.

const answers = new Map();
const MOST = 40;

export class Refused extends Error {
  constructor(status, said) {
    super(said.error ?? `The server answered ${status}.`);
    this.status = status;
    this.hint = said.hint ?? "";
  }
}

// The token comes behind the # of the address that was printed, and leaves it at once.
export function takeToken() {
  const found = /[#&]token=([\w-]+)/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem("token", found[1]);
  history.replaceState(null, "", "#/runs");
}

export const hasToken = () => Boolean(sessionStorage.getItem("token"));

export async function get(path) {
  const known = answers.get(path);
  const response = await ask(path, { headers: known ? { "If-None-Match": known.tag } : {}, cache: "no-store" });
  if (response.status === 304) return known.body;
  const body = await decoded(response);
  if (body.storage) document.getElementById("where").textContent = body.storage;
  answers.delete(path);
  answers.set(path, { tag: response.headers.get("ETag"), body });
  if (answers.size > MOST) answers.delete(answers.keys().next().value);
  return body;
}

// As get, but not kept: answers that are asked for once.
export async function once(path) {
  return decoded(await ask(path, { cache: "no-store" }));
}

export async function act(path) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem("token") ?? ""}` };
  return decoded(await ask(path, { method: "POST", headers }));
}

async function ask(path, how) {
  try {
    const response = await fetch(`/api/${path}`, how);
    linked(true);
    return response;
  } catch {
    linked(false);
    throw new Refused(0, { error: "The dashboard's server does not answer.", hint: "orchestrator dashboard" });
  }
}

async function decoded(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

function linked(isLinked) {
  const link = document.getElementById("link");
  link.dataset.state = isLinked ? "live" : "lost";
  link.textContent = isLinked ? "live" : "no answer; trying again";
}

export const query = (values) => new URLSearchParams(
  Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined),
).toString();
