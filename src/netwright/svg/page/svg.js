// Image to SVG: one module, no library, no build; it talks to its own origin alone.
//
// Sections: elements, numbers and words, server, traces, figures, plot, picture, images in, wish, out, keyboard, start.
// What comes from the server or a file becomes text nodes; a traced SVG is shown as an <img>, where no script can run.

// ------------------------------------------------------------------------------------------------------- Elements

const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) made.append(child);
  return made;
}

const el = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

const ICONS = {
  open: "M4 7h6l2 2h8v10H4zM12 16v-4M10 13.5l2-2 2 2", picture: "M4 5h16v14H4zM8.5 9.5h.01M4 16l5-4 4 3 3-2 4 3",
  theme: "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z", sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 3v1M12 20v1M3 12h1M20 12h1M5.6 5.6l.7.7M17.7 17.7l.7.7M5.6 18.4l.7-.7M17.7 6.3l.7-.7",
  half: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16", plus: "M12 5v14M5 12h14", minus: "M5 12h14",
  squares: "M4 4h16v16H4zM4 12h16M12 4v16", download: "M12 4v11M7 10l5 5 5-5M5 20h14", copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  sides: "M9 8l-4 4 4 4M15 8l4 4-4 4",
};
const icon = name => draw("svg", { viewBox: "0 0 24 24", class: "drawn", "aria-hidden": "true" }, draw("path", { d: ICONS[name] }));

function say(text) { $("said").textContent = text; }

let toastTimer = 0;
function toast(text) {
  $("toast").textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").textContent = ""; }, 3500);
}

// ---------------------------------------------------------------------------------------------- Numbers and words

const count = value => Math.round(value).toLocaleString("en");
const alike = value => value.toFixed(3);

function size(bytes) {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, "kB"] : [bytes / 1e6, "MB"];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

const OUTLINES = { spline: "Outlines are smooth curves", polygon: "Outlines are straight lines", none: "Outlines follow the pixels" };
const HINTS = {
  auto: "Curves or polygons, whatever is smaller for the same likeness.",
  curves: "Smooth outlines: best to enlarge and to edit.",
  polygon: "Straight lines: smallest, with facets when enlarged.",
};

/** A setting of the tracer as a person would say it. */
function inWords(setting) {
  const spline = setting.mode === "spline", speckle = setting.filter_speckle;
  return [
    OUTLINES[setting.mode] + (spline ? `; turns sharper than ${setting.corner_threshold}° stay corners` : ""),
    `${2 ** setting.color_precision} shades of each colour channel are told apart`,
    setting.layer_difference <= 1 ? "Every shade has its own layer"
      : `Colours closer than ${setting.layer_difference} of 255 share a layer`,
    speckle < 2 ? "Even single pixels are kept" : `Specks below ${speckle} × ${speckle} pixels are left out`,
    ...(spline ? [setting.path_precision ? `Coordinates have ${setting.path_precision} decimal${setting.path_precision > 1 ? "s" : ""}`
      : "Coordinates are whole numbers"] : []),
  ];
}

// --------------------------------------------------------------------------------------------------------- Server

/** What the server refused, or that it was not there. */
class Refusal extends Error {
  constructor(error, status = 0) { super(error.message); this.next = error.next ?? ""; this.code = error.code ?? ""; this.status = status; }
}

const KEY = "netwright.svg.key";
let asking = null;

/** The key, asked for once for all who wait; null where the person would not say. */
function askKey(wrong) {
  asking ??= new Promise(resolve => {
    $("key-wrong").textContent = wrong ? "This key is not known." : "";
    $("key-text").value = "";
    $("key").returnValue = "";
    $("key").showModal();
    $("key").addEventListener("close", () => { asking = null; resolve($("key").returnValue === "given" ? $("key-text").value.trim() : null); }, { once: true });
  });
  return asking;
}

async function ask(path, options = {}) {
  for (let wrong = false; ; wrong = true) {
    const key = sessionStorage.getItem(KEY);
    let reply;
    try {
      reply = await fetch(path, { ...options, headers: { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) } });
    } catch (fault) {
      if (fault.name === "AbortError") throw fault;
      throw new Refusal({ message: "The server does not answer.", next: "See whether netwright svg serve still runs." });
    }
    if (reply.ok) return reply;
    if (reply.status === 401) {
      const given = await askKey(wrong && key !== null);
      if (given) { sessionStorage.setItem(KEY, given); continue; }
    }
    let told = { message: `The server answered with ${reply.status}.` };
    try { told = (await reply.json()).error ?? told; } catch { /* no JSON */ }
    throw new Refusal(told, reply.status);
  }
}

/** The lines of a reply, as they come. */
async function* lines(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
  if (rest) yield JSON.parse(rest);
}

const query = values => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "")).toString();

// --------------------------------------------------------------------------------------------------------- Traces

const state = { file: null, image: null, points: [], selected: null, touched: false, planned: 0, running: null, wish: {}, limits: null, runs: new Map() };

const TIE = 0.0005;

/** Points to which no other is both smaller and as much alike, give or take a TIE; the smallest first. */
function efficient(points) {
  let best = -Infinity;
  return [...points].sort((a, b) => a.measured.bytes - b.measured.bytes || b.measured.ssim - a.measured.ssim)
    .filter(point => point.measured.ssim > best + TIE && ((best = point.measured.ssim), true));
}

const same = (a, b) => a.measured.bytes === b.measured.bytes && a.measured.ssim === b.measured.ssim && a.measured.paths === b.measured.paths;

/** The stop to begin at: the smallest that is as much alike as the tracer's default. */
function recommended(front) {
  const usual = state.points.find(point => point.preset === "default") ?? null;
  return front.find(point => usual === null || point.measured.ssim >= usual.measured.ssim - TIE) ?? front.at(-1);
}

const mode = () => document.querySelector("input[name=mode]:checked").value;

/** Trace the image from the smallest to the most alike; what was traced before is shown again. */
async function traceFront() {
  stop();
  const name = `${mode()} ${$("side").value}`;
  state.touched = false;
  refused(null);
  const before = state.runs.get(name);
  if (before) {
    Object.assign(state, { points: [...before.points], image: before.image, selected: null });
    shown();
    return;
  }
  Object.assign(state, { points: [], selected: null, planned: 0 });
  const running = state.running = new AbortController();
  shown();
  try {
    const options = { method: "POST", body: state.file, signal: running.signal, headers: { "Content-Type": "application/octet-stream" } };
    const reply = await ask(`v1/front?${query({ mode: mode(), side: $("side").value })}`, options);
    for await (const line of lines(reply)) {
      if (state.running !== running) return;
      if (line.event === "image") { state.image = line; state.planned = line.planned; pictured(); }
      else if (line.event === "error") throw new Refusal(line.error);
      else if (line.event === "point") {
        state.planned = Math.max(state.planned, ++running.done || (running.done = 1));
        if (line.measured && !state.points.some(point => same(point, line))) state.points.push(line);
      } else if (line.event === "done") state.runs.set(name, { points: [...state.points], image: state.image });
      shown();
    }
    ended(running);
    say(`Traced. ${state.points.length} different traces; the slider has ${efficient(state.points).length} stops.`);
  } catch (fault) {
    ended(running);
    if (fault.name !== "AbortError") refused(fault, traceFront);
  }
}

function ended(running) {
  if (state.running === running) state.running = null;
  shown();
}

function stop() {
  const running = state.running;
  state.running = null;
  running?.abort();
}

/** Show a trace, and its figures. */
function select(point, touched = true) {
  state.touched ||= touched;
  if (state.selected === point) return;
  state.selected = point;
  shown();
}

/** The whole panel as things stand. */
function shown() {
  const front = efficient(state.points);
  if (front.length && (state.selected === null || !state.touched)) state.selected = recommended(front);
  figures(front);
  plot(front);
  const running = state.running;
  $("progress").hidden = !running || !state.file;
  if (running) {
    const done = running.done ?? 0;
    $("done").max = Math.max(1, state.planned);
    if (state.planned) $("done").value = done; else $("done").removeAttribute("value");
    $("said-progress").textContent = state.planned ? `Traced ${done} of ${state.planned}` : done ? `Traced ${done}` : "Sending the image";
  }
  $("download").disabled = $("copy").disabled = !state.selected;
  traced();
}

// -------------------------------------------------------------------------------------------------------- Figures

const between = (point, what, told) => point.predicted ? `predicted ${told(point.predicted[what])}` : "";

function figures(front) {
  const point = state.selected, slider = $("quality");
  slider.max = Math.max(0, front.length - 1);
  slider.disabled = front.length < 2;
  $("which").textContent = front.length > 1 ? `${front.length} stops` : front.length ? "one trace is both" : "";
  if (!point) {
    for (const name of ["ssim", "bytes", "paths"]) { $(name).textContent = "–"; $(`${name}-more`).textContent = ""; }
    $("words").replaceChildren();
    $("parameters").replaceChildren();
    $("preset").hidden = true;
    slider.value = 0;
    slider.setAttribute("aria-valuetext", "nothing traced yet");
    return;
  }
  const { ssim, bytes, paths } = point.measured;
  let at = front.indexOf(point);
  if (at < 0) at = Math.max(0, front.findLastIndex(one => one.measured.bytes <= bytes));
  slider.value = at;
  slider.setAttribute("aria-valuetext", `similarity ${alike(ssim)}, ${size(bytes)}, ${count(paths)} paths`);
  $("ssim").textContent = alike(ssim);
  $("bytes").textContent = size(bytes);
  $("paths").textContent = count(paths);
  const share = state.file?.size ? `${(100 * bytes / state.file.size).toFixed(bytes < state.file.size / 10 ? 1 : 0)} % of the image` : "";
  for (const [name, told, plain] of [["ssim", alike, ""], ["bytes", size, share], ["paths", count, `${count(point.measured.nodes)} nodes`]]) {
    const guess = point.predicted;
    $(`${name}-more`).textContent = between(point, name, told) || plain;
    $(`${name}-more`).title = guess ? `predicted ${told(guess[`${name}_low`])} to ${told(guess[`${name}_high`])}, nine times in ten` : "";
  }
  $("preset").hidden = !point.preset && !point.wished;
  $("preset").textContent = point.wished ? "found for your wish" : `preset ${point.preset}`;
  $("words").replaceChildren(...inWords(point.setting).map(text => el("li", {}, text)));
  $("parameters").replaceChildren(...Object.entries(point.setting).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
}

// ----------------------------------------------------------------------------------------------------------- Plot

/** All traces by size and likeness, the front among them, and what was predicted of the one that is shown. */
function plot(front) {
  const points = state.points;
  if (points.length < 2) { $("plot").replaceChildren(); return; }
  const W = 344, H = 150, left = 38, right = 8, top = 8, bottom = 24;
  const sizes = points.map(point => Math.log(point.measured.bytes)), likes = points.map(point => point.measured.ssim);
  let [x0, x1, y0, y1] = [Math.min(...sizes), Math.max(...sizes), Math.min(...likes), Math.max(...likes)];
  const guess = state.selected?.predicted;
  if (guess) [x0, x1, y0, y1] = [Math.min(x0, Math.log(guess.bytes)), Math.max(x1, Math.log(guess.bytes)), Math.min(y0, guess.ssim), Math.max(y1, guess.ssim)];
  if (x1 - x0 < 0.2) [x0, x1] = [x0 - 0.1, x1 + 0.1];
  if (y1 - y0 < 0.004) [y0, y1] = [y0 - 0.002, y1 + 0.002];
  const pad = (y1 - y0) * 0.06;
  [y0, y1] = [y0 - pad, y1 + pad];
  const x = bytes => left + 8 + (Math.log(bytes) - x0) / (x1 - x0) * (W - left - right - 16);
  const y = ssim => H - bottom - (ssim - y0) / (y1 - y0) * (H - top - bottom);
  const made = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${points.length} traces by size and similarity, ${front.length} of them on the front` });
  made.append(draw("path", { class: "axis", d: `M${left} ${top}V${H - bottom}H${W - right}`, fill: "none" }));
  for (const share of [0, 0.5, 1]) {
    const bytes = Math.exp(x0 + (x1 - x0) * share), ssim = y0 + pad + (y1 - y0 - 2 * pad) * share;
    made.append(draw("text", { x: x(bytes), y: H - 8, "text-anchor": ["start", "middle", "end"][share * 2] }, size(bytes)));
    made.append(draw("text", { x: left - 5, y: y(ssim) + 4, "text-anchor": "end" }, ssim.toFixed(y1 - y0 < 0.05 ? 3 : 2)));
  }
  const { min_ssim: floor, max_bytes: most } = state.wish;
  if (floor && floor > y0 && floor < y1) made.append(draw("path", { class: "wished", d: `M${left} ${y(floor)}H${W - right}` }));
  if (most && Math.log(most) > x0 && Math.log(most) < x1) made.append(draw("path", { class: "wished", d: `M${x(most)} ${top}V${H - bottom}` }));
  made.append(draw("path", { class: "front", d: front.map((one, at) => at ? `H${x(one.measured.bytes)}V${y(one.measured.ssim)}` : `M${x(one.measured.bytes)} ${y(one.measured.ssim)}`).join("") }));
  const order = [...points].sort((a, b) => (a === state.selected) - (b === state.selected));
  for (const point of order) {
    const on = front.includes(point), chosen = point === state.selected, { bytes, ssim } = point.measured;
    made.append(draw("circle", { class: `dot${on ? " on" : ""}${chosen ? " selected" : ""}`, cx: x(bytes), cy: y(ssim), r: chosen ? 6 : on ? 4 : 3 }));
    const name = `${point.preset || "between"}: ${alike(ssim)}, ${size(bytes)}`;
    made.append(draw("circle", { class: "hit", cx: x(bytes), cy: y(ssim), r: 9, onclick: () => select(point) }, draw("title", {}, name)));
  }
  if (guess) {
    const [gx, gy] = [x(guess.bytes), y(guess.ssim)];
    made.append(draw("path", { class: "guess", d: `M${gx} ${gy - 5}l5 5l-5 5l-5-5z` }, draw("title", {}, `predicted: ${alike(guess.ssim)}, ${size(guess.bytes)}`)));
  }
  $("plot").replaceChildren(made);
}

// -------------------------------------------------------------------------------------------------------- Picture

const look = { scale: 1, x: 0, y: 0, fit: true, divider: 0.5 };
const LEAST = 0.02, MOST = 32;

function extent() {
  const image = state.image;
  return image ? [image.width, image.height] : [$("original").naturalWidth || 1, $("original").naturalHeight || 1];
}

/** The picture at its place; `look` says where its middle is, in pixels from the middle of the view. */
function placed() {
  const view = $("view"), [width, height] = extent(), { clientWidth: vw, clientHeight: vh } = view;
  if (!vw || !vh) return;
  if (look.fit) Object.assign(look, { scale: Math.min((vw - 32) / width, (vh - 32) / height, 16), x: 0, y: 0 });
  const w = width * look.scale, h = height * look.scale;
  const roomX = Math.max(0, w / 2 + vw / 2 - 60), roomY = Math.max(0, h / 2 + vh / 2 - 60);
  look.x = Math.min(roomX, Math.max(-roomX, look.x));
  look.y = Math.min(roomY, Math.max(-roomY, look.y));
  const left = vw / 2 + look.x - w / 2, top = vh / 2 + look.y - h / 2;
  for (const one of [$("page"), $("original"), ...$("after").children]) {
    Object.assign(one.style, { left: `${left}px`, top: `${top}px`, width: `${w}px`, height: `${h}px` });
  }
  const at = look.divider * vw;
  $("before").style.clipPath = `inset(0 ${vw - at}px 0 0)`;
  $("after").style.clipPath = `inset(0 0 0 ${at}px)`;
  $("divider").style.left = `${at}px`;
  $("divider").setAttribute("aria-valuenow", Math.round(look.divider * 100));
  $("divider").setAttribute("aria-valuetext", `${Math.round(look.divider * 100)} % original`);
  view.dataset.fit = look.fit;
  $("stage").classList.toggle("pixels", look.scale >= 2);
  const shown = look.scale * 100;
  $("scale").textContent = `${shown < 10 ? shown.toFixed(1) : Math.round(shown)} %`;
  const near = value => !look.fit && Math.abs(look.scale - value) < 1e-6;
  for (const [name, on] of [["fit", look.fit], ["one", near(1)], ["four", near(4)]]) $(name).setAttribute("aria-pressed", on);
  $("in").disabled = look.scale >= MOST;
  $("out").disabled = look.scale <= LEAST;
}

/** Enlarge about a point of the view, given from its middle. */
function zoom(scale, aboutX = 0, aboutY = 0) {
  scale = Math.min(MOST, Math.max(LEAST, scale));
  const share = scale / look.scale;
  Object.assign(look, { x: aboutX + (look.x - aboutX) * share, y: aboutY + (look.y - aboutY) * share, scale, fit: false });
  placed();
}

let pictureUrl = null;
let showing = null;

/** The chosen trace in place of the one before, once the browser has drawn it. */
async function traced() {
  const point = state.selected;
  if (point === showing) return;
  showing = point;
  if (!point) { $("after").replaceChildren(); return; }
  const url = URL.createObjectURL(new Blob([point.svg], { type: "image/svg+xml" }));
  const next = new Image();
  next.alt = "The traced SVG";
  next.draggable = false;
  next.src = url;
  try { await next.decode(); } catch { /* shown as far as it goes */ }
  if (showing === point) {
    $("after").replaceChildren(next);
    placed();
  }
  URL.revokeObjectURL(url);
}

/** What the server said of the image. */
function pictured() {
  const { width, height, transparent, notes } = state.image;
  $("main").dataset.transparent = transparent;
  $("notes").replaceChildren(...notes.map(note => el("li", {}, note)));
  $("file-name").textContent = `${state.file.name ?? "image"} · ${width} × ${height} · ${size(state.file.size)}`;
  placed();
}

const fingers = new Map();
let grip = null;

function middle() {
  const all = [...fingers.values()];
  return [all.reduce((sum, one) => sum + one[0], 0) / all.length, all.reduce((sum, one) => sum + one[1], 0) / all.length];
}

const apart = () => { const [a, b] = [...fingers.values()]; return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 0; };

function fromMiddle(event) {
  const box = $("view").getBoundingClientRect();
  return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
}

function hold() {
  const [x, y] = middle();
  grip = { x, y, lookX: look.x, lookY: look.y, scale: look.scale, apart: apart() };
}

function dragged(event) {
  fingers.set(event.pointerId, fromMiddle(event));
  const [x, y] = middle();
  if (grip.apart && apart()) {
    const share = Math.min(MOST, Math.max(LEAST, grip.scale * apart() / grip.apart)) / grip.scale;
    Object.assign(look, { scale: grip.scale * share, x: x + (grip.lookX - grip.x) * share, y: y + (grip.lookY - grip.y) * share, fit: false });
  } else {
    Object.assign(look, { x: grip.lookX + x - grip.x, y: grip.lookY + y - grip.y, fit: false });
  }
  placed();
}

function slide(event) {
  const box = $("view").getBoundingClientRect();
  look.divider = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  placed();
}

function listenToPicture() {
  const view = $("view"), divider = $("divider");
  view.addEventListener("pointerdown", event => {
    if (event.button || divider.contains(event.target)) return;
    if (event.pointerType === "touch" && look.fit && !fingers.size) { fingers.set(event.pointerId, fromMiddle(event)); hold(); return; }
    view.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, fromMiddle(event));
    hold();
    view.classList.add("moving");
  });
  view.addEventListener("pointermove", event => {
    if (!fingers.has(event.pointerId) || (event.pointerType === "touch" && look.fit && fingers.size < 2)) return;
    dragged(event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    view.addEventListener(end, event => {
      fingers.delete(event.pointerId);
      if (fingers.size) hold();
      view.classList.toggle("moving", fingers.size > 0);
    });
  }
  view.addEventListener("wheel", event => {
    event.preventDefault();
    zoom(look.scale * Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 240), ...fromMiddle(event));
  }, { passive: false });
  view.addEventListener("dblclick", event => {
    if (divider.contains(event.target)) return;
    if (look.fit) zoom(Math.max(4, look.scale * 2), ...fromMiddle(event)); else fit();
  });
  view.addEventListener("keydown", event => {
    if (event.target !== view || event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    if (moves[event.key]) Object.assign(look, { x: look.x + moves[event.key][0], y: look.y + moves[event.key][1], fit: false });
    else if ("+=".includes(event.key)) zoom(look.scale * 1.5);
    else if (event.key === "-") zoom(look.scale / 1.5);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
    placed();
  });
  divider.addEventListener("pointerdown", event => {
    divider.setPointerCapture(event.pointerId);
    divider.focus({ preventScroll: true });
    event.preventDefault();
    slide(event);
  });
  divider.addEventListener("pointermove", event => { if (divider.hasPointerCapture(event.pointerId)) slide(event); });
  divider.addEventListener("keydown", event => {
    const steps = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    look.divider = Math.min(1, Math.max(0, look.divider + steps[event.key]));
    placed();
  });
  new ResizeObserver(placed).observe(view);
  $("original").addEventListener("load", () => { $("cannot").hidden = true; $("original").hidden = false; placed(); });
  $("original").addEventListener("error", () => {
    if (!$("original").getAttribute("src")) return;
    $("cannot").hidden = false;
    $("original").hidden = true;
  });
}

function fit() { look.fit = true; placed(); }

// ------------------------------------------------------------------------------------------------------ Images in

const SIDES = [2048, 1024, 512, 256];
const USUAL_SIDE = 1024;

/** Begin with an image. */
async function take(file) {
  stop();
  if (state.limits && file.size > state.limits.body) {
    return begin(null), refused(new Refusal({ message: `The image has ${size(file.size)}: at most ${size(state.limits.body)} are taken.`, next: "Make it smaller." }));
  }
  if (!file.size) return begin(null), refused(new Refusal({ message: `The image${file.name ? ` ${file.name}` : ""} is empty.`, next: "Choose another image." }));
  begin(file);
  const [width, height] = await known();
  const longest = Math.max(width, height);
  const options = SIDES.filter(side => side < longest).map(side => el("option", { value: side }, `${side} px`));
  $("side").replaceChildren(el("option", { value: "" }, longest > 1 ? `full size, ${width} × ${height} px` : "full size"), ...options);
  $("side").value = longest > USUAL_SIDE ? String(USUAL_SIDE) : "";
  await traceFront();
}

/** Width and height as the browser sees them; 1 x 1 for a format that it cannot show. */
async function known() {
  try { await $("original").decode(); } catch { return [1, 1]; }
  return [$("original").naturalWidth, $("original").naturalHeight];
}

function begin(file) {
  Object.assign(state, { file, image: null, points: [], selected: null, touched: false, planned: 0, runs: new Map(), wish: {} });
  Object.assign(look, { fit: true, divider: 0.5 });
  if (pictureUrl) URL.revokeObjectURL(pictureUrl);
  pictureUrl = file ? URL.createObjectURL(file) : null;
  $("wish").reset();
  wishSaid("");
  $("notes").replaceChildren();
  $("file-name").textContent = file ? `${file.name ?? "image"} · ${size(file.size)}` : "";
  $("start").hidden = Boolean(file);
  $("stage").hidden = $("panel").hidden = $("another").hidden = $("file-name").hidden = !file;
  $("main").dataset.state = file ? "open" : "empty";
  $("cannot").hidden = true;
  if (file) $("original").src = pictureUrl; else $("original").removeAttribute("src");
  refused(null);
  shown();
  placed();
}

/** Show what is wrong, with a way on. */
function refused(fault, again = null) {
  if (!fault) {
    $("fault").replaceChildren();
    if ($("main").dataset.state === "refused") $("main").dataset.state = "empty";
    return;
  }
  const name = state.file?.name ?? "";
  const unread = !state.points.length && [0, 400, 413].includes(fault.status) && (fault.status || !state.file);
  if (unread) {
    const message = fault;
    if (state.file) { begin(null); fault = message; }
    $("main").dataset.state = "refused";
    $("panel").hidden = false;
    again = null;
  }
  const named = fault.message.replace(/^the image (?=is|has)/, `${name} `);
  const text = name && named !== fault.message ? named : fault.message.charAt(0).toUpperCase() + fault.message.slice(1);
  const next = fault.next && !/^(GET|curl) /.test(fault.next) ? fault.next.charAt(0).toUpperCase() + fault.next.slice(1) : "";
  $("fault").replaceChildren(
    el("strong", {}, /[.!?]$/.test(text) ? text : `${text}.`),
    next ? el("span", { class: "next" }, /[.!?]$/.test(next) ? next : `${next}.`) : "",
    again ? el("div", { class: "fault-foot" }, el("button", { type: "button", class: "button", onclick: () => again() }, "Try again")) : "");
  if (!unread) $("fault").scrollIntoView({ block: "nearest" });
}

/** A logo to try, drawn here: what the page does without an image of one's own. */
function sample() {
  const canvas = Object.assign(document.createElement("canvas"), { width: 384, height: 384 });
  const pen = canvas.getContext("2d");
  pen.beginPath(); pen.arc(192, 192, 172, 0, 7); pen.clip();
  for (const [at, colour] of [[0, "#163a70"], [92, "#3d5a8c"], [142, "#8a6f97"], [186, "#d98b6f"], [226, "#f0a05c"]]) {
    pen.fillStyle = colour; pen.fillRect(0, at, 384, 384 - at);
  }
  pen.beginPath(); pen.arc(192, 222, 62, 0, 7); pen.fillStyle = "#ffe9a8"; pen.fill();
  for (const [colour, points] of [["#5b4a78", [0, 250, 80, 168, 150, 236, 214, 150, 300, 242, 384, 188]], ["#3a2f5c", [0, 290, 96, 226, 176, 292, 262, 214, 384, 300]], ["#1d1a3a", [0, 326, 130, 282, 240, 330, 384, 288]]]) {
    pen.beginPath(); pen.moveTo(0, 384);
    for (let at = 0; at < points.length; at += 2) pen.lineTo(points[at], points[at + 1]);
    pen.lineTo(384, 384); pen.closePath(); pen.fillStyle = colour; pen.fill();
  }
  pen.strokeStyle = "#fff"; pen.lineWidth = 4; pen.lineCap = "round";
  for (const [x, y, wide] of [[92, 112, 15], [134, 92, 11], [254, 106, 13]]) {
    pen.beginPath(); pen.moveTo(x - wide, y - 6); pen.quadraticCurveTo(x - wide / 3, y - 9, x, y); pen.quadraticCurveTo(x + wide / 3, y - 9, x + wide, y - 6); pen.stroke();
  }
  canvas.toBlob(blob => take(new File([blob], "sample.png", { type: "image/png" })), "image/png");
}

function taken(files) {
  const file = [...files][0];
  if (!file) { toast("There was no image in it."); return; }
  if (files.length > 1) toast("One image at a time: the first was taken.");
  take(file);
}

function listenToImages() {
  $("choose").addEventListener("click", () => $("file").click());
  $("another").addEventListener("click", () => $("file").click());
  $("sample").addEventListener("click", sample);
  $("file").addEventListener("change", () => { if ($("file").files.length) taken($("file").files); $("file").value = ""; });
  document.addEventListener("paste", event => {
    if (event.target.closest?.("input")) return;
    const files = event.clipboardData?.files ?? [];
    if (files.length) { event.preventDefault(); taken(files); } else toast("The clipboard holds no image.");
  });
  let depth = 0;
  const carriesFile = event => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", event => { if (carriesFile(event)) { event.preventDefault(); depth++; $("drop").hidden = false; } });
  addEventListener("dragover", event => { if (carriesFile(event)) event.preventDefault(); });
  addEventListener("dragleave", event => { if (carriesFile(event) && --depth <= 0) { depth = 0; $("drop").hidden = true; } });
  addEventListener("drop", event => {
    depth = 0;
    $("drop").hidden = true;
    if (!event.dataTransfer) return;
    event.preventDefault();
    taken(event.dataTransfer.files);
  });
}

// ----------------------------------------------------------------------------------------------------------- Wish

function wishSaid(text, kind = "") { $("wish-said").textContent = text; $("wish-said").className = `hint ${kind}`; }

/** The wish in the fields; null where one of them is no number. */
function wished() {
  const found = {};
  let right = true;
  for (const [id, name, share, lowest, highest] of [["min-ssim", "min_ssim", 1, 0.01, 1], ["max-bytes", "max_bytes", 1000, 0.001, 1e9], ["max-paths", "max_paths", 1, 1, 1e9]]) {
    const text = $(id).value.trim().replace(",", ".");
    const value = Number(text), fine = !text || (value >= lowest && value <= highest);
    $(id).setAttribute("aria-invalid", !fine);
    right &&= fine;
    if (text && fine) found[name] = name === "min_ssim" ? value : Math.round(value * share);
  }
  return right ? found : null;
}

const has = (point, wish) => point.measured.ssim >= (wish.min_ssim ?? 0) && point.measured.bytes <= (wish.max_bytes ?? Infinity)
  && point.measured.paths <= (wish.max_paths ?? Infinity);

async function find(event) {
  event.preventDefault();
  if (!state.file) return;
  const wish = wished();
  if (!wish) return wishSaid("A similarity is a number up to 1; sizes and paths are numbers above 0.", "bad");
  state.wish = wish;
  if (!Object.keys(wish).length) { wishSaid("Say at least one."); shown(); return; }
  stop();
  const running = state.running = new AbortController();
  state.planned = 0;
  refused(null);
  wishSaid("Tracing …");
  shown();
  try {
    const options = { method: "POST", body: state.file, signal: running.signal, headers: { "Content-Type": "application/octet-stream" } };
    const reply = await ask(`v1/trace?${query({ ...wish, mode: mode(), side: $("side").value, stream: true })}`, options);
    for await (const line of lines(reply)) {
      if (state.running !== running) return;
      if (line.event === "image") { state.planned = line.planned ?? 0; state.image = line; pictured(); }
      else if (line.event === "error") throw new Refusal(line.error);
      else if (line.event === "progress" || line.event === "point") { running.done = (running.done ?? 0) + 1; shown(); }
      else if (line.event === "done") {
        const known = state.points.find(point => same(point, line));
        const point = known ?? line;
        if (!known) state.points.push(point);
        point.wished = line.granted;
        ended(running);
        select(point);
        wishSaid(line.granted ? `Found: ${size(point.measured.bytes)} at ${alike(point.measured.ssim)}.`
          : "No trace has all of it; this one comes nearest.", line.granted ? "good" : "bad");
        shown();
      }
    }
    ended(running);
  } catch (fault) {
    ended(running);
    wishSaid("");
    if (fault.name !== "AbortError") refused(fault, () => $("wish").requestSubmit());
  }
}

// ------------------------------------------------------------------------------------------------------------ Out

const svgName = () => `${(state.file?.name ?? "image").replace(/\.[^.]{1,5}$/, "") || "image"}.svg`;

function download() {
  const url = URL.createObjectURL(new Blob([state.selected.svg], { type: "image/svg+xml" }));
  const link = el("a", { href: url, download: svgName() });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 30_000);
  toast(`Saved as ${svgName()}`);
}

async function copy() {
  const text = state.selected.svg;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = el("textarea", { class: "hidden", "aria-hidden": "true", tabindex: "-1" });
    box.value = text;
    document.body.append(box);
    box.select();
    const went = document.execCommand("copy");
    box.remove();
    $("copy").focus();
    if (!went) { toast("The browser allows no copying here."); return; }
  }
  toast(`Copied, ${size(state.selected.measured.bytes)}`);
}

// ---------------------------------------------------------------------------------------------------------- Start

const THEMES = { auto: ["half", "Theme: as the system"], light: ["sun", "Theme: light"], dark: ["theme", "Theme: dark"] };

function theme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  $("theme").replaceChildren(icon(THEMES[name][0]));
  $("theme").title = THEMES[name][1];
  $("theme").setAttribute("aria-label", THEMES[name][1]);
  $("theme").dataset.now = name;
  try { localStorage.setItem("netwright.theme", name); } catch { /* not kept */ }
}

function hintMode() { $("mode-hint").textContent = HINTS[mode()]; }

async function start() {
  for (const one of document.querySelectorAll("[data-icon]")) one.prepend(icon(one.dataset.icon));
  $("divider").firstElementChild.append(icon("sides"));
  let kept = "auto";
  try { kept = localStorage.getItem("netwright.theme") ?? "auto"; } catch { /* none kept */ }
  theme(kept in THEMES ? kept : "auto");
  $("theme").addEventListener("click", () => { const names = Object.keys(THEMES); theme(names[(names.indexOf($("theme").dataset.now) + 1) % 3]); });
  $("stage").classList.add("squares");
  $("squares").addEventListener("click", () => $("squares").setAttribute("aria-pressed", $("stage").classList.toggle("squares")));
  $("fit").addEventListener("click", fit);
  $("one").addEventListener("click", () => zoom(1));
  $("four").addEventListener("click", () => zoom(4));
  $("in").addEventListener("click", () => zoom(look.scale * 1.5));
  $("out").addEventListener("click", () => zoom(look.scale / 1.5));
  $("quality").addEventListener("input", () => select(efficient(state.points)[Number($("quality").value)]));
  $("stop").addEventListener("click", () => { stop(); shown(); say("Stopped"); wishSaid(""); });
  for (const one of document.querySelectorAll("input[name=mode]")) one.addEventListener("change", () => { hintMode(); if (state.file) traceFront(); });
  $("side").addEventListener("change", () => { if (state.file) traceFront(); });
  $("wish").addEventListener("submit", find);
  $("download").addEventListener("click", download);
  $("copy").addEventListener("click", copy);
  $("key").firstElementChild.addEventListener("submit", () => { $("key").returnValue = "given"; });
  $("key").addEventListener("close", () => { if ($("key").returnValue !== "given") $("key").returnValue = ""; });
  $("key-cancel").addEventListener("click", () => $("key").close(""));
  hintMode();
  listenToPicture();
  listenToImages();
  shown();
  try {
    const about = await (await ask("v1/about")).json();
    state.limits = about.limits;
    $("takes").textContent = `PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, up to ${size(about.limits.body)}. Images go to this server and nowhere else.`;
  } catch (fault) {
    refused(fault, () => location.reload());
  }
}

start();
