// Reads /status.json every five seconds and shows it. The token stays in this tab.
const EVERY_MS = 5_000;
const RECENT_MINUTES = 5;
const settings = JSON.parse(document.getElementById("settings").textContent);
const byId = (id) => document.getElementById(id);
let token = settings.token ?? sessionStorage.getItem("vaultgraph:status-token");

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const number = (value) => (value === null ? "unknown" : Math.round(value).toLocaleString("en"));
const percent = (value) => `${(100 * value).toFixed(value && value < 0.1 ? 1 : 0)} %`;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A chart of one hour: an SVG of 60 columns, one per minute. `label` says the same to those who cannot see it.
function chart(label, parts) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 60 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  for (const [name, attributes] of parts) {
    const shape = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    svg.append(shape);
  }
  return svg;
}

function columns(values, most, kind) {
  return values.flatMap((value, minute) => {
    const height = Math.max(2, (38 * value) / most); // one failed call among many is seen, too
    return value ? [["rect", { class: kind, x: minute + 0.1, y: 40 - height, width: 0.8, height }]] : [];
  });
}

function caption(left, right) {
  return element("div", { class: "caption" }, element("span", {}, left), element("span", {}, right));
}

function card(title, state, isBad, ...children) {
  const shown = element("span", { class: `state${isBad ? " bad" : ""}` }, state);
  return element("article", { class: "card" }, element("h3", {}, title, shown), ...children);
}

// What a vault is like now, by its circuit and by the calls of the last minutes, and whether that is bad.
function stateOf({ circuit, calls, errors }) {
  const words = { HALF_OPEN: "being tried", OPEN: "not called" };
  if (circuit !== "CLOSED") return [words[circuit] ?? "unknown", true];
  const failed = sum(errors.slice(-RECENT_MINUTES));
  return failed ? [2 * failed > sum(calls.slice(-RECENT_MINUTES)) ? "failing" : "some calls fail", true] : ["available", false];
}

function vaultCard(vault) {
  const calls = sum(vault.calls);
  const errors = sum(vault.errors);
  const known = vault.p95Ms.filter((value) => value !== null);
  const slowest = Math.max(0, ...known);
  const rate = calls ? `${number(calls)}, ${percent(errors / calls)} failed` : "none";
  const latency = known.length ? `95 % within ${known.at(-1)} ms` : "no calls";
  const [state, isBad] = stateOf(vault);
  return card(
    vault.displayName, state, isBad,
    caption("Calls", rate),
    chart(`Calls in the last hour: ${rate}`, [
      ...columns(vault.calls, Math.max(...vault.calls), "calls"),
      ...columns(vault.errors, Math.max(...vault.calls), "errors"),
    ]),
    caption("Latency", latency),
    chart(`Latency: ${latency}, at most ${slowest} ms in the last hour`, columns(vault.p95Ms, slowest, "latency")),
    rows([["Circuit", vault.circuit.toLowerCase().replace("_", " "), vault.circuit !== "CLOSED"]]),
  );
}

function rows(values) {
  return element("dl", {}, ...values.flatMap(([name, value, isBad]) =>
    [element("dt", {}, name), element("dd", isBad ? { class: "bad" } : {}, value)]));
}

function gatewayCards({ requests, cacheHitRate, journal, webhooks, store, redis, workers, version }) {
  const all = requests.ok.map((_, minute) => sum(Object.values(requests).map((one) => one[minute])));
  const failed = requests.failed.map((value, minute) => value + requests.shed[minute]);
  const up = (value) => (value === null ? "unknown" : value ? "available" : "not available");
  return [
    card(
      "Requests", "", false,
      caption("Last hour", `${number(sum(all))}, ${number(sum(failed))} failed`),
      chart(`${number(sum(all))} requests in the last hour, ${number(sum(failed))} failed`, [
        ...columns(all, Math.max(...all), "calls"), ...columns(failed, Math.max(...all), "errors"),
      ]),
      rows([["Reads from the cache", cacheHitRate === null ? "no reads" : percent(cacheHitRate)]]),
    ),
    card("Writes", "", false, rows([
      ["Pending", number(journal.pending)],
      ["Outcome unknown", number(journal.unknown), journal.unknown > 0],
      ["For an operator to decide", number(journal.undecided), journal.undecided > 0],
    ])),
    card("Webhooks received", "", false, rows([
      ["Waiting", number(webhooks.waiting)],
      ["Tried again", number(webhooks.failed), webhooks.failed > 0],
      ["Given up", number(webhooks.dead), webhooks.dead > 0],
    ])),
    card("Process", "", false, rows([
      ["Store", up(store), store === false],
      ...(redis === null ? [] : [["Redis", up(redis), !redis]]),
      ["Workers", number(workers)],
      ["Version", version ?? "unknown"],
    ])),
  ];
}

function summary({ vaults, store, journal }) {
  const bad = vaults.map((vault) => [vault.displayName, ...stateOf(vault)]).filter(([, , isBad]) => isBad);
  if (store === false) return ["The store is not available.", true];
  if (bad.length) return [`${bad.map(([name, state]) => `${name}: ${state}`).join(", ")}.`, true];
  if (journal.unknown > 0) return ["The outcome of some writes is not known.", true];
  return ["All vaults are available.", false];
}

function show(report) {
  const [text, isBad] = summary(report);
  byId("summary").textContent = text;
  byId("summary").className = isBad ? "bad" : "";
  byId("vaults").replaceChildren(...report.vaults.map(vaultCard));
  byId("gateway").replaceChildren(...gatewayCards(report));
  byId("status").hidden = false;
  byId("login").hidden = true;
}

async function update() {
  try {
    const reply = token && (await fetch("/status.json", { headers: { authorization: `Bearer ${token}` } }));
    if (reply?.ok) {
      show(await reply.json());
    } else if (!reply || reply.status === 401 || reply.status === 403) {
      byId("summary").textContent = reply ? "This token does not show the status." : "";
      byId("login").hidden = false;
      byId("status").hidden = true;
      token = null;
      return;
    } else {
      byId("summary").textContent = `The gateway answered with status ${reply.status}.`;
    }
  } catch {
    byId("summary").textContent = "The gateway cannot be reached.";
    byId("summary").className = "bad";
  }
  setTimeout(update, EVERY_MS);
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  byId("token").value = "";
  sessionStorage.setItem("vaultgraph:status-token", token);
  update();
});
byId("links").append(...Object.entries(settings.links).map(([name, href]) => element("a", { href }, name)));
update();
