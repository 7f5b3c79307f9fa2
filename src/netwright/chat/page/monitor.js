// The monitor: reads /api/monitor and draws it. Nothing is asked of anybody else.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const EVERY_MS = 15000;
const $ = (id) => document.getElementById(id);
const KEY = "netwright.key";

function make(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((one) => one !== null));
  return element;
}
const SVG_TAGS = new Set(["svg", "path", "line", "circle", "text", "g", "title"]);

// numbers as people read them

const short = (value, digits = 3) => Number(value.toPrecision(digits)).toLocaleString("en", { maximumFractionDigits: 3 });
const bytes = (value) => (value >= 1e9 ? `${short(value / 1e9)} GB` : `${short(value / 1e6)} MB`);
const seconds = (value) => (value >= 1 ? `${short(value)} s` : `${short(value * 1000)} ms`);
const share = (value) => `${short(100 * value)} %`;
const clock = (time, hours) => {
  const date = new Date(1000 * time);
  const day = { month: "short", day: "numeric" };
  return hours > 24 ? date.toLocaleDateString("en", day) : date.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hour12: false });
};

const SERIES = [
  { name: "Tokens", of: "tokens", told: (x) => `${short(x)} /s` },
  { name: "Requests", of: "requests", told: (x) => `${short(x)} /min` },
  { name: "Faults of the server", of: "errors", told: (x) => `${short(x)} /min`, bad: true },
  { name: "First token after", of: "first_token", told: seconds },
  { name: "Speed of a reply", of: "per_second", told: (x) => `${short(x)} tokens/s` },
  { name: "Replies waiting or under way", of: "waiting", told: (x) => short(x) },
  { name: "Memory of the server", of: "memory", told: bytes },
  { name: "Processor (1 = one core)", of: "cpu", told: (x) => short(x) },
];

// charts

const WIDE = 320, HIGH = 128, LEFT = 4, BOTTOM = 18, TOP = 20;

function scaled(points, begin, end, most, least = 0) {
  const x = (time) => LEFT + ((time - begin) / Math.max(1, end - begin)) * (WIDE - 2 * LEFT);
  const y = (value) => TOP + (1 - (value - least) / (most - least)) * (HIGH - TOP - BOTTOM);
  return points.map((one) => [x(one.time), y(one.value), one]);
}

function frame(title, value, label) {
  const svg = make("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": label, preserveAspectRatio: "none" });
  const box = make("figure", { class: "chart" }, make("span", { class: "value" }, value), make("h3", {}, title), svg);
  return [box, svg];
}

function chart(series, data) {
  const points = data.points.map((one) => ({ time: one.time, value: one[series.of] })).filter((one) => one.value !== null);
  const end = data.now, begin = end - 3600 * data.hours;
  const last = points.length ? series.told(points[points.length - 1].value) : "–";
  const most = Math.max(...points.map((one) => one.value), 0) || 1;
  const label = points.length ? `${series.name}: now ${last}, at most ${series.told(most)}` : `${series.name}: nothing yet`;
  const [box, svg] = frame(series.name, last, label);
  svg.append(make("line", { class: "grid", x1: 0, x2: WIDE, y1: TOP, y2: TOP }));
  svg.append(make("line", { class: "grid", x1: 0, x2: WIDE, y1: HIGH - BOTTOM, y2: HIGH - BOTTOM }));
  const gap = Math.max(180, (3600 * data.hours) / 60);
  let run = [];
  const draw = () => {
    if (!run.length) return;
    const path = run.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    const foot = HIGH - BOTTOM;
    if (run.length > 1) svg.append(make("path", { class: "area", d: `${path}L${run.at(-1)[0].toFixed(1)} ${foot}L${run[0][0].toFixed(1)} ${foot}Z` }));
    svg.append(run.length > 1 ? make("path", { class: series.bad ? "line bad" : "line", d: path }) : make("circle", { class: "dot", cx: run[0][0], cy: run[0][1], r: 2 }));
    run = [];
  };
  for (const point of scaled(points, begin, end, most)) {
    if (run.length && point[2].time - run.at(-1)[2].time > gap) draw();
    run.push(point);
  }
  draw();
  box.append(axis(begin, end, data.hours, points.length ? series.told(most) : ""));
  return box;
}

function axis(begin, end, hours, top) {
  const foot = make("div", { class: "axis" });
  for (const time of [begin, (begin + end) / 2, end]) foot.append(make("span", {}, clock(time, hours)));
  if (top) foot.append(make("span", { class: "top" }, `peak ${top}`));
  return foot;
}

function judged(rows, data) {
  const [first] = rows, last = rows[rows.length - 1];
  const told = (one) => `${short(one.value)} [${short(one.low)}, ${short(one.high)}]`;
  const label = `${first.quantity} of ${first.model}: ${told(last)}, measured ${rows.length} times`;
  const [box, svg] = frame(`${first.quantity} · ${first.model}`, told(last), label);
  const highest = Math.max(...rows.map((one) => one.high)), lowest = Math.min(...rows.map((one) => one.low));
  const room = (highest - lowest || Math.abs(highest) || 1) / 2;
  const begin = data.now - 3600 * data.hours;
  const placed = (time, value) => scaled([{ time, value }], begin, data.now, highest + room, lowest - room)[0];
  for (const one of rows) {
    const [x, y] = placed(one.time, one.value), [, low] = placed(one.time, one.low), [, high] = placed(one.time, one.high);
    svg.append(make("line", { class: "bar", x1: x, x2: x, y1: low, y2: high }), make("circle", { class: "dot", cx: x, cy: y, r: 3 }));
  }
  box.append(axis(begin, data.now, data.hours, ""));
  return box;
}

// the page

function card(name, value, bad = false) {
  return make("div", { class: bad ? "card bad" : "card" }, make("strong", {}, value), make("span", {}, name));
}

function show(data) {
  const last = data.points.at(-1);
  const all = data.totals, mean = (sum, count) => (count ? sum / count : null);
  const up = data.now - data.since;
  const running = up > 86400 ? `${short(up / 86400, 2)} days` : up > 3600 ? `${short(up / 3600, 2)} h` : `${Math.max(1, Math.round(up / 60))} min`;
  const rate = mean(all.counted, all.token_seconds), first = mean(all.first_token, all.replies);
  $("now").replaceChildren(
    card("running", running),
    card("memory", last ? bytes(last.memory) : "–"),
    card("tokens a second in a reply", rate === null ? "–" : short(rate)),
    card("to the first token", first === null ? "–" : seconds(first)),
    card("requests", short(all.requests, 6)),
    card("faults of the server", all.errors ? short(all.errors, 6) : "none", all.errors > 0),
  );
  $("charts").replaceChildren(...SERIES.map((one) => chart(one, data)));
  const groups = new Map();
  for (const one of data.evaluations) {
    const key = `${one.model}\n${one.quantity}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const none = "No evaluation yet. With serve.evaluate_hours and a file of texts or questions the models are evaluated again and again.";
  $("evaluations").replaceChildren(...(groups.size ? [...groups.values()].map((rows) => judged(rows, data)) : [make("p", { class: "empty" }, none)]));
  const { good, bad, notes } = data.feedback;
  const split = make("div", { class: "split", role: "img", "aria-label": `${good} good, ${bad} bad` });
  for (const count of [good, bad]) {
    const part = make("i");
    part.style.setProperty("flex", String(count));
    split.append(part);
  }
  $("feedback").replaceChildren(
    ...(good + bad ? [make("p", {}, `${good} good, ${bad} bad`), split] : [make("p", { class: "empty" }, "No thumbs yet.")]),
    make("ul", { class: "notes" }, ...notes.map((one) => make("li", {}, `${one.thumb > 0 ? "Good" : "Bad"}: ${one.note} `, make("small", {}, `${one.model}, ${clock(one.time ?? data.now, 48)}`)))),
  );
}

async function read() {
  const key = sessionStorage.getItem(KEY);
  try {
    const answer = await fetch(`api/monitor?hours=${$("hours").value}`, { headers: key ? { Authorization: `Bearer ${key}` } : {} });
    const told = await answer.json();
    if (!answer.ok) throw new Error(answer.status === 401 ? "A key is needed: open the chat first, and give it there." : told.error.message);
    show(told);
    say("");
  } catch (fault) {
    say(fault instanceof TypeError ? "The server does not answer. Trying again." : fault.message, true);
  }
}

function say(text, bad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", bad);
}

const theme = localStorage.getItem("netwright.theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
$("hours").addEventListener("change", read);
read();
setInterval(() => { if (!document.hidden) read(); }, EVERY_MS);
