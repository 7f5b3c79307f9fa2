// The chat's page: one module, no library, no build; it talks to its own origin alone.
//
// Sections: elements, code, TeX, Markdown (inline, blocks, streams), server, kept here, dialogs and menus, list,
// thread, replies, composer, settings, files, keyboard, start. Whatever comes from a model, a file or a person becomes
// text nodes; no markup is ever parsed by the browser.

// ------------------------------------------------------------------------------------------------------- Elements

const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg", MATHML = "http://www.w3.org/1998/Math/MathML";
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "open", "indeterminate"]);

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) made[name] = value;
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) made.append(child);
  return made;
}

/** An HTML element: attributes, listeners ("onclick"), children that are nodes or texts. */
const el = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
const math = (tag, attributes = {}, ...children) => filled(document.createElementNS(MATHML, tag), attributes, children);

const ICONS = {
  menu: "M4 7h16M4 12h16M4 17h16", close: "M6 6l12 12M18 6L6 18", down: "M6 9l6 6 6-6", left: "M15 6l-6 6 6 6",
  right: "M9 6l6 6-6 6", send: "M12 19V5M6 11l6-6 6 6", stop: "M7 7h10v10H7z", check: "M5 13l4 4L19 7",
  new: "M12 20h8M16.5 4.5a2.1 2.1 0 0 1 3 3L8 19l-4 1 1-4z", search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4",
  import: "M12 4v11M7 10l5 5 5-5M5 20h14", export: "M12 15V4M7 9l5-5 5 5M5 20h14", monitor: "M3 12h4l3-8 4 16 3-8h4",
  theme: "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z", keyboard: "M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4", more: "M5 12h.01M12 12h.01M19 12h.01",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1", again: "M20 12a8 8 0 1 1-2.5-5.8M20 4v4h-4", fork: "M6 4v6a4 4 0 0 0 4 4h8M6 4v16M15 11l3 3-3 3",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13", pin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v7", tag: "M4 4h8l8 8-8 8-8-8zM8 8h.01",
  good: "M7 11v9H4v-9zM7 11l4-7a2 2 0 0 1 2 2v4h6l-1.5 9a1 1 0 0 1-1 1H7", sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 3v1M12 20v1M3 12h1M20 12h1M5.6 5.6l.7.7M17.7 17.7l.7.7M5.6 18.4l.7-.7M17.7 6.3l.7-.7",
  bad: "M7 13V4H4v9zM7 13l4 7a2 2 0 0 0 2-2v-4h6l-1.5-9a1 1 0 0 0-1-1H7", half: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
};

function icon(name) {
  const path = filled(document.createElementNS(SVG, "path"), { d: ICONS[name] }, []);
  return filled(document.createElementNS(SVG, "svg"), { viewBox: "0 0 24 24", class: "drawn", "aria-hidden": "true" }, [path]);
}

/** A button that is only a picture; its name is said and shown as a tip. */
function iconButton(name, label, onclick, attributes = {}) {
  return el("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick, ...attributes }, icon(name));
}

// ----------------------------------------------------------------------------------------------------------- Code

const words = text => new Set(text.split(" "));
const KEYWORDS = words(`abstract and as assert async await begin bool boolean break case catch char class const continue
  crate def default defer del delete do done double elif else end enum esac except export extends false False fi final
  finally float fn for foreach from func function global go goto if impl implements import in include instanceof int
  interface is lambda let local long loop match mod module mut namespace new nil None nonlocal not null or package pass
  private protected pub public raise ref return select self short signed sizeof static struct super switch template then
  this throw throws trait true True try type typedef typeof union unsafe unsigned use using var virtual void volatile
  where while with yield SELECT FROM WHERE JOIN LEFT INNER ON GROUP BY ORDER LIMIT INSERT INTO VALUES UPDATE SET CREATE
  TABLE INDEX AND OR NOT NULL AS`.replace(/\s+/g, " "));
const HASH = words("python py bash sh shell zsh console yaml yml toml ruby rb r perl make makefile dockerfile ini conf julia jl");
const DASHES = words("sql lua haskell hs ada");
const PLAIN = words("text txt plain plaintext output log markdown md diff csv");
const REST = String.raw`("""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|` + "`[^`]*`?" +
  String.raw`)|(\b\d[\w.]*)|([A-Za-z_]\w*)`;
const LONGEST_COLOURED = 40_000;

/** Code with its strings, comments, numbers and keywords marked. Each pattern takes what it began: time is linear. */
function coloured(code, language) {
  const made = el("code");
  if (!language || PLAIN.has(language) || code.length > LONGEST_COLOURED) return made.append(code), made;
  const comment = HASH.has(language) ? String.raw`#[^\n]*` : DASHES.has(language) ? String.raw`--[^\n]*`
    : String.raw`\/\/[^\n]*|\/\*[^]*?(?:\*\/|$)|<!--[^]*?(?:-->|$)`;
  let from = 0;
  for (const found of code.matchAll(new RegExp(`(${comment})|${REST}`, "g"))) {
    const kind = found[1] ? "comment" : found[2] ? "string" : found[3] ? "number" : KEYWORDS.has(found[4]) ? "keyword" : null;
    if (!kind) continue;
    made.append(code.slice(from, found.index), el("span", { class: kind }, found[0]));
    from = found.index + found[0].length;
  }
  made.append(code.slice(from));
  return made;
}

/** A block of code: its language, a button to copy it, the code, which can be scrolled by keyboard. */
function codeBlock(text, info) {
  const language = info.trim().split(/[\s{,]/, 1)[0].toLowerCase().slice(0, 30);
  const copied = el("button", { type: "button", class: "small", "aria-label": "Copy code", onclick: () => copy(text, copied) }, "Copy");
  return el("figure", { class: "code" },
    el("figcaption", {}, el("span", {}, language || "code"), copied),
    el("pre", { tabindex: "0", "aria-label": language ? `Code, ${language}` : "Code" }, coloured(text, language)));
}

// ------------------------------------------------------------------------------------------------------------ TeX

const pairs = text => new Map(text.trim().split(/\s+/).reduce((all, one, at, list) => at % 2 ? all : [...all, [one, list[at + 1]]], []));
const LETTERS = pairs(`alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ
  lambda λ mu μ nu ν xi ξ omicron ο pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ
  omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω infty ∞ partial ∂ nabla ∇ ell ℓ
  hbar ℏ imath ı jmath ȷ Re ℜ Im ℑ aleph ℵ emptyset ∅ varnothing ∅ top ⊤ bot ⊥ angle ∠ ldots … dots … dotsc … cdots ⋯
  dotsb ⋯ vdots ⋮ ddots ⋱ prime ′ degree ° triangle △ square □ checkmark ✓ dagger † ddagger ‡ S § P ¶ pounds £ copyright ©`);
const SIGNS = pairs(`pm ± mp ∓ times × div ÷ cdot · ast ∗ star ⋆ circ ∘ bullet ∙ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ odot ⊙
  cap ∩ cup ∪ sqcap ⊓ sqcup ⊔ vee ∨ lor ∨ wedge ∧ land ∧ setminus ∖ wr ≀ le ≤ leq ≤ leqslant ⩽ ge ≥ geq ≥ geqslant ⩾ ne ≠
  neq ≠ ll ≪ gg ≫ equiv ≡ sim ∼ simeq ≃ approx ≈ cong ≅ propto ∝ asymp ≍ doteq ≐ prec ≺ succ ≻ preceq ⪯ succeq ⪰ subset ⊂
  supset ⊃ subseteq ⊆ supseteq ⊇ subsetneq ⊊ in ∈ ni ∋ notin ∉ mid ∣ nmid ∤ parallel ∥ perp ⟂ vdash ⊢ dashv ⊣ models ⊨
  forall ∀ exists ∃ nexists ∄ neg ¬ lnot ¬ therefore ∴ because ∵ to → rightarrow → leftarrow ← gets ← uparrow ↑ downarrow ↓
  leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ implies ⟹ impliedby ⟸ iff ⟺ mapsto ↦ longrightarrow ⟶
  longleftarrow ⟵ longmapsto ⟼ hookrightarrow ↪ rightharpoonup ⇀ rightleftharpoons ⇌ nearrow ↗ searrow ↘ colon : lbrace {
  rbrace } langle ⟨ rangle ⟩ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ vert | lvert | rvert | Vert ‖ lVert ‖ rVert ‖ backslash \\
  coloneqq ≔ triangleq ≜ bmod mod`);
const BIG = pairs(`sum ∑ prod ∏ coprod ∐ bigcup ⋃ bigcap ⋂ bigoplus ⨁ bigotimes ⨂ bigvee ⋁ bigwedge ⋀ bigsqcup ⨆`);
const INTEGRALS = pairs(`int ∫ iint ∬ iiint ∭ oint ∮`);
const ACCENTS = pairs(`hat ^ widehat ^ bar ¯ overline ¯ vec → overrightarrow → overleftarrow ← tilde ~ widetilde ~ dot ˙
  ddot ¨ dddot ⃛ check ˇ breve ˘ acute ´ grave \` mathring ˚ overbrace ⏞`);
const BELOW = pairs(`underline _ underbrace ⏟ underrightarrow →`);
const WIDE = words("widehat overline overrightarrow overleftarrow widetilde overbrace underline underbrace underrightarrow");
const FUNCTIONS = words("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth log ln lg exp arg deg dim hom ker");
const LIMITS = words("lim limsup liminf max min sup inf argmax argmin det gcd Pr");
const SPACES = new Map([[",", "0.17em"], [":", "0.22em"], [">", "0.22em"], [";", "0.28em"], ["!", "-0.17em"], [" ", "0.25em"],
  ["quad", "1em"], ["qquad", "2em"], ["enspace", "0.5em"], ["thinspace", "0.17em"], ["\\", "1em"], ["newline", "1em"]]);
const SILENT = words("displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits nonumber notag hline hfill centering");
const FENCES = { matrix: ["", ""], pmatrix: ["(", ")"], bmatrix: ["[", "]"], Bmatrix: ["{", "}"], vmatrix: ["|", "|"],
  Vmatrix: ["‖", "‖"], cases: ["{", ""], smallmatrix: ["", ""] };
const SCRIPT = { mathbb: [0x1d538, 0x1d552, { C: "ℂ", H: "ℍ", N: "ℕ", P: "ℙ", Q: "ℚ", R: "ℝ", Z: "ℤ" }],
  mathcal: [0x1d49c, 0x1d4b6, { B: "ℬ", E: "ℰ", F: "ℱ", H: "ℋ", I: "ℐ", L: "ℒ", M: "ℳ", R: "ℛ", e: "ℯ", g: "ℊ", o: "ℴ" }],
  mathfrak: [0x1d504, 0x1d51e, { C: "ℭ", H: "ℌ", I: "ℑ", R: "ℜ", Z: "ℨ" }], mathbf: [0x1d400, 0x1d41a, {}] };
SCRIPT.mathscr = SCRIPT.mathcal;
const LONGEST_TEX = 5_000, DEEPEST_TEX = 40;
const CLOSERS = new Set(["}", "&", "\\\\", "\\right", "\\end"]);

function inScript(text, [upper, lower, others]) {
  return Array.from(text, letter => others[letter] ?? (/[A-Z]/.test(letter) ? String.fromCodePoint(upper + letter.charCodeAt() - 65)
    : /[a-z]/.test(letter) ? String.fromCodePoint(lower + letter.charCodeAt() - 97) : letter)).join("");
}

/** TeX as MathML. What it does not know is shown as text; nothing throws, and depth and length are bounded. */
export function mathml(source, display = false) {
  if (source.length > LONGEST_TEX) return el("code", {}, source);
  const tokens = source.match(/\\(?:[a-zA-Z]+|[^])|\s+|[^]/gu) ?? [];
  let at = 0, depth = 0;

  const skip = () => { while (at < tokens.length && !tokens[at].trim()) at++; };
  const rowed = nodes => nodes.length === 1 ? nodes[0] : math("mrow", {}, nodes);
  const row = (ends = () => false) => {
    const nodes = [];
    while (at < tokens.length && !CLOSERS.has(tokens[at]) && !ends(tokens[at])) {
      const made = scripted();
      if (made) nodes.push(made);
    }
    return rowed(nodes);
  };
  const raw = () => { // the text of a group, as it is
    skip();
    if (tokens[at] !== "{") return tokens[at++] ?? "";
    let open = 0, text = "";
    do {
      const token = tokens[at++];
      open += token === "{" ? 1 : token === "}" ? -1 : 0;
      text += token;
    } while (open > 0 && at < tokens.length);
    return text.slice(1, open === 0 ? -1 : undefined);
  };
  const argument = () => {
    skip();
    if (CLOSERS.has(tokens[at]) || at >= tokens.length) return math("mrow");
    if (/^[0-9]$/.test(tokens[at])) return math("mn", {}, tokens[at++]);
    return atom() ?? math("mrow");
  };
  const delimiter = stretchy => {
    skip();
    const token = tokens[at++] ?? "";
    const sign = token === "." ? "" : token === "\\|" ? "‖" : token.length > 1 ? SIGNS.get(token.slice(1)) ?? token.slice(1) : token;
    return sign ? math("mo", { stretchy, fence: "true" }, sign) : math("mrow");
  };
  const table = name => {
    const plain = name.replace("*", ""), fences = FENCES[plain];
    const columns = plain === "array" || plain === "alignedat" ? raw().replace(/[^lcr]/g, "") : "";
    const rows = [];
    let cells = [];
    for (;;) {
      cells.push(row());
      const token = tokens[at++];
      if (token === "&") continue;
      rows.push(cells);
      cells = [];
      if (token === "\\\\") { if (tokens[at] === "[") while (at < tokens.length && tokens[at++] !== "]"); }
      else if (token === "\\end") { raw(); break; }
      else if (token === undefined) break;
      else rows.push([math("mtext", {}, token)]);
    }
    const last = rows.at(-1);
    if (rows.length > 1 && last.length === 1 && last[0].localName === "mrow" && !last[0].firstChild) rows.pop();
    const side = at => fences ? (plain === "cases" ? "l" : "c") : columns ? columns[at] ?? "c" : plain.startsWith("gather") ? "c" : "rl"[at % 2];
    const made = math("mtable", { displaystyle: fences || columns ? null : "true" }, rows.map(cells =>
      math("mtr", {}, cells.map((cell, at) => math("mtd", { class: `cell-${side(at)}` }, cell)))));
    if (!fences || !(fences[0] || fences[1])) return made;
    const fence = sign => sign ? math("mo", { stretchy: "true", fence: "true" }, sign) : null;
    return math("mrow", {}, fence(fences[0]), made, fence(fences[1]));
  };
  const command = name => {
    if (LETTERS.has(name)) return math("mi", { mathvariant: /^[A-Z]/.test(name) ? "normal" : null }, LETTERS.get(name));
    if (SIGNS.has(name)) return math("mo", { stretchy: "false" }, SIGNS.get(name));
    if (BIG.has(name)) return math("mo", { largeop: "true", movablelimits: display ? "false" : "true" }, BIG.get(name));
    if (INTEGRALS.has(name)) return math("mo", { largeop: "true" }, INTEGRALS.get(name));
    if (FUNCTIONS.has(name)) return math("mo", { lspace: /^[\w}).!]?$/.test(tokens.slice(0, at - 1).findLast(one => one.trim()) ?? "(") ? "0.17em" : "0", rspace: /^(?:[(^_}]|\\left)?$/.test(tokens[at] ?? "") ? "0" : "0.17em" }, name);
    if (LIMITS.has(name)) return math("mo", { movablelimits: display ? "false" : "true", class: "named" }, name);
    if (SPACES.has(name)) return math("mspace", { width: SPACES.get(name) });
    if (SILENT.has(name)) return null;
    if (ACCENTS.has(name)) return math("mover", { accent: "true" }, argument(), math("mo", { stretchy: String(WIDE.has(name)) }, ACCENTS.get(name)));
    if (BELOW.has(name)) return math("munder", {}, argument(), math("mo", { stretchy: "true" }, BELOW.get(name)));
    if (SCRIPT[name]) {
      const text = raw();
      return /^[A-Za-z0-9 ]*$/.test(text) ? math("mi", { mathvariant: "normal" }, inScript(text, SCRIPT[name])) : again(text, "bold");
    }
    switch (name) {
      case "frac": case "dfrac": case "tfrac": case "cfrac": return math("mfrac", {}, argument(), argument());
      case "binom": case "dbinom": case "tbinom": return math("mrow", {}, math("mo", {}, "("),
        math("mfrac", { linethickness: "0" }, argument(), argument()), math("mo", {}, ")"));
      case "sqrt": {
        skip();
        if (tokens[at] !== "[") return math("msqrt", {}, argument());
        at++;
        const index = row(token => token === "]");
        at++;
        return math("mroot", {}, argument(), index);
      }
      case "text": case "textrm": case "textbf": case "textit": case "texttt": case "mbox": case "textnormal":
        return math("mtext", { class: name }, raw().replace(/^\s|\s$/g, "\u00a0"));
      case "mathrm": case "operatorname": case "mathit": case "mathsf": case "mathtt": {
        if (tokens[at] === "*") at++;
        const text = raw();
        return /^[\w\s.,-]*$/.test(text) ? math("mi", { mathvariant: name === "mathit" ? null : "normal", class: name }, text) : again(text);
      }
      case "boldsymbol": case "bm": return math("mrow", { class: "bold" }, argument());
      case "boxed": return math("mrow", { class: "boxed" }, argument());
      case "phantom": return math("mphantom", {}, argument());
      case "color": raw(); return null;
      case "textcolor": raw(); return argument();
      case "tag": return math("mtext", {}, `\u2003(${raw()})`);
      case "overset": case "stackrel": { const over = argument(); return math("mover", {}, argument(), over); }
      case "underset": { const under = argument(); return math("munder", {}, argument(), under); }
      case "not": { const made = argument(); made.append("\u0338"); return made; }
      case "mod": case "pmod": {
        const by = [math("mo", { class: "named" }, "mod"), math("mspace", { width: "0.3em" }), argument()];
        return name === "mod" ? math("mrow", {}, by) : math("mrow", {}, math("mspace", { width: "0.6em" }), math("mo", {}, "("), by, math("mo", {}, ")"));
      }
      case "left": {
        const open = delimiter("true"), inner = row();
        if (tokens[at] !== "\\right") return math("mrow", {}, open, inner);
        at++;
        return math("mrow", {}, open, inner, delimiter("true"));
      }
      case "middle": return delimiter("true");
      case "begin": return table(raw());
    }
    if (/^[bB]ig{1,2}[lrm]?$/.test(name)) return delimiter("false");
    if (/^[^a-zA-Z]$/.test(name)) return math("mo", { stretchy: "false" }, name === "|" ? "‖" : name);
    return math("mtext", {}, `\\${name}`);
  };
  const again = (text, kind = null) => { // what was read as text holds more than text
    tokens.splice(at, 0, "{", ...(text.match(/\\(?:[a-zA-Z]+|[^])|\s+|[^]/gu) ?? []), "}");
    return math("mrow", { class: kind }, argument());
  };
  const read = () => {
    const token = tokens[at++];
    if (!token.trim()) return null;
    if (token === "{" && depth < DEEPEST_TEX) {
      const made = row();
      if (tokens[at] === "}") at++;
      return made.localName === "mrow" ? made : math("mrow", {}, made);
    }
    if (token[0] === "\\" && token.length > 1) return depth < DEEPEST_TEX ? command(token.slice(1)) : math("mtext", {}, token);
    if (/[0-9]/.test(token)) {
      let number = token;
      while (/^[0-9]$/.test(tokens[at] ?? "") || (/^[.,]$/.test(tokens[at] ?? "") && /^[0-9]$/.test(tokens[at + 1] ?? ""))) number += tokens[at++];
      return math("mn", {}, number);
    }
    if (token === "'") { let primes = "′"; while (tokens[at] === "'") primes += (at++, "′"); return math("mo", { class: "primes" }, primes); }
    if (token === "~") return math("mspace", { width: "0.25em" });
    if (/\p{L}/u.test(token)) return math("mi", {}, token);
    return math("mo", { stretchy: "false" }, token === "-" ? "−" : token === "*" ? "∗" : token);
  };
  const atom = () => {
    depth++;
    const made = read();
    depth--;
    return made;
  };
  const scripted = () => {
    const base = "^_".includes(tokens[at]) ? math("mrow") : atom();
    if (!base) return null;
    const above = [], below = [];
    for (;;) {
      const from = at;
      skip();
      if (tokens[at] === "^") { at++; above.push(argument()); }
      else if (tokens[at] === "_") { at++; below.push(argument()); }
      else if (tokens[at] === "'") above.push(atom());
      else if (tokens[at] === "\\limits" || tokens[at] === "\\nolimits") at++;
      else { at = from; break; }
    }
    const over = base.localName !== "mi" && (base.getAttribute("movablelimits") || /^(?:[⏞⏟])$/.test(base.lastChild?.textContent ?? ""));
    if (above.length && below.length) return math(over ? "munderover" : "msubsup", {}, base, rowed(below), rowed(above));
    if (above.length) return math(over ? "mover" : "msup", {}, base, rowed(above));
    if (below.length) return math(over ? "munder" : "msub", {}, base, rowed(below));
    return base;
  };
  const nodes = [];
  while (at < tokens.length) {
    if (CLOSERS.has(tokens[at])) {
      const stray = tokens[at++];
      nodes.push(stray === "\\\\" ? math("mspace", { width: "1em" }) : math("mtext", {}, stray));
    } else nodes.push(row());
  }
  return math("math", { display: display ? "block" : null, class: display ? "display" : null },
    math("semantics", {}, math("mrow", {}, nodes), math("annotation", { encoding: "application/x-tex" }, source.trim())));
}

// -------------------------------------------------------------------------------------------------- Markdown: inline

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: "\"", apos: "'", nbsp: "\u00a0", copy: "©", ndash: "–", mdash: "—", hellip: "…" };
const MARKED = /[\\`$[\]!<h*_~&\n]/g;
const DEEPEST_EMPHASIS = 16;

/** An address that may be followed: http, https or mailto; else null. */
export function safeAddress(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch { return null; }
}

const link = (address, ...children) => el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, ...children);

/** One paragraph's Markdown as nodes: emphasis, code, links, math, breaks. Linear in time, bounded in depth. */
export function inline(text) {
  const root = document.createDocumentFragment(), runs = [], brackets = [], ends = new Map();
  let plain = "", at = 0, serial = 0, ticks = null;

  const flush = () => { if (plain) root.append(plain); plain = ""; };
  const put = node => { flush(); root.append(node); return node; };
  const find = (what, from) => { // where `what` is next; each stretch of text is looked through once
    const known = ends.get(what);
    if (known === undefined || (known >= 0 && known < from)) ends.set(what, text.indexOf(what, from));
    return ends.get(what);
  };
  const closing = size => { // the next run of so many backticks
    if (!ticks) {
      ticks = new Map();
      for (const run of text.matchAll(/`+/g)) {
        if (!ticks.has(run[0].length)) ticks.set(run[0].length, { places: [], from: 0 });
        ticks.get(run[0].length).places.push(run.index);
      }
    }
    const found = ticks.get(size);
    while (found && found.places[found.from] < at) found.from++;
    return found?.places[found.from] ?? -1;
  };

  const emphasise = from => { // CommonMark's delimiter runs: a stack of openers, each closer looks down it once
    const open = [], bottoms = new Map(), all = runs.splice(from);
    for (const one of all) {
      while (one.closes && one.count) {
        const key = one.char + one.opens + one.size % 3, bottom = bottoms.get(key) ?? -1;
        const fits = other => other.char === one.char && (one.char !== "~" || other.count === one.count) &&
          !((other.closes || one.opens) && (other.size + one.size) % 3 === 0 && (other.size % 3 || one.size % 3));
        let k = open.length - 1;
        while (k >= 0 && open[k].serial > bottom && !fits(open[k])) k--;
        if (k < 0 || open[k].serial <= bottom) { bottoms.set(key, open.at(-1)?.serial ?? -1); break; }
        const opener = open[k], strong = opener.count > 1 && one.count > 1;
        let deepest = 0;
        for (let node = opener.node.nextSibling; node !== one.node; node = node.nextSibling) deepest = Math.max(deepest, node.deep ?? 0);
        if (deepest >= DEEPEST_EMPHASIS) { open.length = 0; break; } // what lies further out would be deeper still
        const made = document.createElement(one.char === "~" ? "del" : strong ? "strong" : "em");
        made.deep = deepest + 1;
        while (opener.node.nextSibling !== one.node) made.append(opener.node.nextSibling);
        opener.node.after(made);
        for (const each of [opener, one]) each.count -= one.char === "~" ? each.count : strong ? 2 : 1;
        open.length = opener.count ? k + 1 : k;
      }
      if (one.opens && one.count) open.push(one);
    }
    for (const one of all) {
      if (one.count === 0) one.node.remove();
      else if (one.count !== one.size) one.node.data = one.char.repeat(one.count);
    }
  };
  const target = from => { // "(address "title")" behind a bracket: [address, end] or null
    let i = from + 1, open = 0, address = "";
    while (text[i] === " " || text[i] === "\n") i++;
    if (text[i] === "<") {
      const end = find(">", i);
      if (end < 0 || end - i > 2000) return null;
      address = text.slice(i + 1, end);
      i = end + 1;
    } else for (; i < text.length && i - from < 2000; i++) {
      if (text[i] === "(") { if (++open > 16) return null; }
      else if (text[i] === ")") { if (open-- === 0) break; }
      else if (/\s/.test(text[i])) break;
      else if (text[i] === "\\" && /[()]/.test(text[i + 1] ?? "")) i++;
      address += text[i];
    }
    while (text[i] === " " || text[i] === "\n") i++;
    if (/["']/.test(text[i] ?? "")) {
      const end = text.slice(i + 1, i + 500).indexOf(text[i]);
      if (end < 0) return null;
      i += end + 2;
      while (text[i] === " ") i++;
    }
    return text[i] === ")" ? [address, i + 1] : null;
  };
  const tex = (open, close, display) => {
    const end = find(close, at + open.length);
    if (end < 0 || end - at > LONGEST_TEX || end === at + open.length) return false;
    put(mathml(text.slice(at + open.length, end), display));
    at = end + close.length;
    return true;
  };
  const dollars = () => { // as pandoc has it: no space inside the signs, no digit after: "$5 and $10" are prices
    if (text[at + 1] === "$") return tex("$$", "$$", true);
    if (/\s/.test(text[at + 1] ?? " ")) return false;
    let end = find("$", at + 1);
    while (end > 0 && text[end - 1] === "\\") end = text.indexOf("$", end + 1);
    if (end < 0 || end - at > 1000 || /\s/.test(text[end - 1]) || /[0-9]/.test(text[end + 1] ?? "") || text.slice(at, end).includes("\n\n")) return false;
    put(mathml(text.slice(at + 1, end)));
    at = end + 1;
    return true;
  };

  while (at < text.length) {
    MARKED.lastIndex = at;
    const next = MARKED.exec(text)?.index ?? text.length;
    plain += text.slice(at, next);
    at = next;
    if (at >= text.length) break;
    const char = text[at], after = text[at + 1] ?? "";
    if (char === "\n") {
      plain = plain.replace(/ {1,99}$/, "");
      put(el("br"));
      at++;
    } else if (char === "\\") {
      if ((after === "(" && tex("\\(", "\\)", false)) || (after === "[" && tex("\\[", "\\]", true))) continue;
      if (after !== "\n") plain += /[!-/:-@[-`{-~]/.test(after) ? after : char + after;
      at += after === "\n" ? 1 : 2;
    } else if (char === "`") {
      let size = 1;
      while (text[at + size] === "`") size++;
      at += size;
      const end = closing(size);
      if (end < 0) plain += "`".repeat(size);
      else {
        const inner = text.slice(at, end).replaceAll("\n", " ");
        put(el("code", {}, inner.length > 2 && inner.startsWith(" ") && inner.endsWith(" ") ? inner.slice(1, -1) : inner));
        at = end + size;
      }
    } else if (char === "$") {
      if (!dollars()) { plain += char; at++; }
    } else if (char === "[" || (char === "!" && after === "[")) {
      const size = char === "!" ? 2 : 1;
      flush();
      brackets.push({ node: put(document.createTextNode(text.slice(at, at + size))), runs: runs.length, end: at + size });
      at += size;
    } else if (char === "]") {
      const bracket = brackets.pop(), found = bracket && after === "(" ? target(at + 1) : null;
      if (!found) { plain += char; at++; continue; }
      flush();
      emphasise(bracket.runs);
      const address = safeAddress(found[0]), made = address ? link(address) : el("span");
      while (bracket.node.nextSibling) made.append(bracket.node.nextSibling);
      if (!made.firstChild) made.append(found[0]);
      made.deep = DEEPEST_EMPHASIS / 2;
      bracket.node.replaceWith(made);
      brackets.length = 0;
      at = found[1];
    } else if (char === "<") {
      const end = find(">", at), address = end > 0 && end - at < 2000 ? safeAddress(text.slice(at + 1, end)) : null;
      if (address) { put(link(address, text.slice(at + 1, end))); at = end + 1; }
      else { plain += char; at++; }
    } else if (char === "h") {
      const found = /^https?:\/\/[^\s<>"'`|]+/.exec(text.startsWith("http", at) ? text.slice(at, at + 2000) : "");
      let seen = found && !/\w/.test(text[at - 1] ?? "") ? found[0].replace(/[.,:;!?*_~]{1,9}$/, "") : "";
      while (seen.endsWith(")") && seen.split(")").length > seen.split("(").length) seen = seen.slice(0, -1);
      const address = seen && safeAddress(seen);
      if (address) { put(link(address, seen)); at += seen.length; }
      else { plain += char; at++; }
    } else if (char === "&") {
      const found = /^&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-z]{2,8}));/.exec(text.slice(at, at + 12));
      const code = found && (found[1] ? Number(found[1]) : found[2] ? parseInt(found[2], 16) : 0);
      const meant = found && (found[3] ? ENTITIES[found[3]] : code > 31 && code < 0x110000 ? String.fromCodePoint(code) : null);
      plain += meant ?? char;
      at += meant ? found[0].length : 1;
    } else if ("*_~".includes(char)) {
      let size = 1;
      while (text[at + size] === char) size++;
      const before = text[at - 1] ?? " ", behind = text[at + size] ?? " ", mark = /[\p{P}\p{S}]/u;
      const left = !/\s/.test(behind) && (!mark.test(behind) || /\s/.test(before) || mark.test(before));
      const right = !/\s/.test(before) && (!mark.test(before) || /\s/.test(behind) || mark.test(behind));
      const opens = char === "_" ? left && (!right || mark.test(before)) : left;
      const closes = char === "_" ? right && (!left || mark.test(behind)) : right;
      const run = text.slice(at, at + size);
      if ((opens || closes) && (char !== "~" || size === 2))
        runs.push({ node: put(document.createTextNode(run)), char, size, count: size, opens, closes, serial: serial++ });
      else plain += run;
      at += size;
    } else { plain += char; at++; }
  }
  flush();
  emphasise(0);
  return root;
}

// -------------------------------------------------------------------------------------------------- Markdown: blocks

const FENCE = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})(.*)$/, HEADING = /^ {0,3}(#{1,6})(?=[ \t]|$)/, QUOTE = /^ {0,3}> ?/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/, ITEM = /^[ \t]*([-*+]|\d{1,9}[.)])(?:[ \t]+|$)/;
const SETEXT = /^ {0,3}(?:={3,}|-{3,})[ \t]*$/, MATH = /^[ \t]*(\$\$|\\\[|\\begin\{(\w+\*?)\})/, DIVIDER = /^[ \t]*:?-+:?[ \t]*$/;
const DEEPEST_BLOCK = 16, LONGEST_MATH = 200;

function indent(line) {
  let columns = 0;
  for (const char of line) {
    if (char === " ") columns++;
    else if (char === "\t") columns += 4;
    else break;
  }
  return columns;
}

function outdented(line, columns) {
  let from = 0;
  for (let seen = 0; seen < columns && /[ \t]/.test(line[from] ?? ""); from++) seen += line[from] === "\t" ? 4 : 1;
  return line.slice(from);
}

function cells(line) {
  const found = [];
  let cell = "";
  for (let i = 0; i < line.length; i++) {
    if (line[i] === "\\" && line[i + 1] === "|") { cell += "|"; i++; }
    else if (line[i] === "|") { found.push(cell); cell = ""; }
    else cell += line[i];
  }
  found.push(cell);
  if (!found[0].trim()) found.shift();
  if (found.length && !found.at(-1).trim()) found.pop();
  return found.map(one => one.trim());
}

const divides = line => line !== undefined && line.includes("-") && cells(line).length > 0 && cells(line).every(one => DIVIDER.test(one));

/** The blocks of Markdown's lines: [{kind, first, ...}], `first` the line it begins at; `open` where math may yet begin. */
export function blocks(lines, depth = 0) {
  const found = Object.assign([], { open: Infinity }), nested = depth < DEEPEST_BLOCK;
  let i = 0;

  const mathAt = from => { // [source, line behind it] of a block of math, or null
    const open = MATH.exec(lines[from]);
    if (!open) return null;
    const close = open[2] ? `\\end{${open[2]}}` : open[1] === "$$" ? "$$" : "\\]", body = [];
    for (let k = from; k < Math.min(lines.length, from + LONGEST_MATH); k++) {
      const line = k === from ? lines[k].slice(open[0].length) : lines[k], end = line.indexOf(close);
      if (k > from && !line.trim()) return null;
      if (end >= 0) {
        if (!/^[ \t.,;:]*$/.test(line.slice(end + close.length))) return null;
        const inner = [...body, line.slice(0, end)].join("\n");
        return [open[2] ? `${open[1]}${inner}${close}` : inner, k + 1];
      }
      body.push(line);
    }
    if (lines.length <= from + LONGEST_MATH) found.open = Math.min(found.open, from);
    return null;
  };
  const begins = at => {
    const line = lines[at];
    if (!/^[ \t]{0,3}(?:[-`~#>*_+\d$\\])/.test(line) && !line.includes("|")) return false;
    return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || (nested && QUOTE.test(line)) ||
      (nested && indent(line) < 4 && /^[ \t]*(?:[-*+]|1[.)])[ \t]+\S/.test(line)) || tableAt(at) || mathAt(at) !== null;
  };
  const tableAt = at => lines[at].includes("|") && divides(lines[at + 1]) && cells(lines[at]).length === cells(lines[at + 1]).length;

  while (i < lines.length) {
    const line = lines[i], first = i;
    let match;
    if (!line.trim()) i++;
    else if (indent(line) >= 4) {
      const body = [];
      for (; i < lines.length && (indent(lines[i]) >= 4 || !lines[i].trim()); i++) body.push(outdented(lines[i], 4));
      while (!body.at(-1).trim()) body.pop();
      found.push({ kind: "code", first, info: "", text: body.join("\n") });
    } else if ((match = FENCE.exec(line))) {
      const [, space, fence, info] = match, body = [];
      const closes = one => one.trim().length >= fence.length && indent(one) < 4 && one.trim() === fence[0].repeat(one.trim().length);
      for (i++; i < lines.length && !closes(lines[i]); i++) body.push(outdented(lines[i], space.length));
      i++;
      found.push({ kind: "code", first, info, text: body.join("\n") });
    } else if ((match = HEADING.exec(line))) {
      let text = line.slice(match[0].length).trim();
      const bare = text.replace(/#{1,99}$/, "");
      if (bare === "" || /\s$/.test(bare)) text = bare.trim();
      found.push({ kind: "heading", first, level: match[1].length, text });
      i++;
    } else if (RULE.test(line)) {
      found.push({ kind: "rule", first });
      i++;
    } else if ((match = mathAt(i))) {
      found.push({ kind: "math", first, text: match[0] });
      i = match[1];
    } else if (nested && QUOTE.test(line)) {
      const body = [];
      for (; i < lines.length && lines[i].trim() && (QUOTE.test(lines[i]) || !begins(i)); i++) body.push(lines[i].replace(QUOTE, ""));
      found.push({ kind: "quote", first, inner: blocks(body, depth + 1) });
    } else if (nested && ITEM.test(line)) found.push(list());
    else if (tableAt(i)) {
      const head = cells(line), sides = cells(lines[i + 1]).map(one => (one.startsWith(":") ? (one.endsWith(":") ? "c" : "l") : one.endsWith(":") ? "r" : "l"));
      const rows = [];
      for (i += 2; i < lines.length && lines[i].trim() && lines[i].includes("|"); i++) rows.push(cells(lines[i]).slice(0, head.length));
      found.push({ kind: "table", first, head, sides, rows });
    } else {
      const body = [line.trimStart()];
      let level = 0;
      for (i++; i < lines.length && lines[i].trim(); i++) {
        if (SETEXT.test(lines[i])) { level = lines[i].includes("=") ? 1 : 2; i++; break; }
        if (begins(i)) break;
        body.push(lines[i].trimStart());
      }
      const text = body.join("\n").trimEnd();
      found.push(level ? { kind: "heading", first, level, text } : { kind: "paragraph", first, text });
    }
  }
  return found;

  function list() {
    const first = i, sort = ITEM.exec(lines[i])[1].at(-1), items = [];
    const start = parseInt(lines[i], 10);
    let loose = false;
    for (;;) {
      const match = ITEM.exec(lines[i]), base = indent(lines[i]), gap = indent(lines[i].trimStart().slice(match[1].length));
      const inside = base + match[1].length + (gap > 0 && gap < 5 ? gap : 1);
      const body = [outdented(lines[i].trimStart().slice(match[1].length), inside - base - match[1].length)];
      let blank = false;
      for (i++; i < lines.length; i++) {
        const line = lines[i], deep = indent(line);
        if (!line.trim()) { body.push(""); blank = true; continue; }
        if (deep >= inside || (deep >= base + 2 && (ITEM.test(line) || FENCE.test(line)))) body.push(outdented(line, inside));
        else if (blank || ITEM.test(line) || begins(i)) break;
        else body.push(line.trimStart());
        blank = false;
      }
      const task = /^\[([ xX])\](?=[ \t])/.exec(body[0]);
      if (task) body[0] = body[0].slice(4);
      const inner = blocks(body, depth + 1);
      loose ||= inner.some((one, at) => at > 0 && body[one.first - 1] === "" && one.kind !== "list");
      items.push({ inner, task: task ? task[1] !== " " : null });
      const follows = i < lines.length ? ITEM.exec(lines[i]) : null;
      if (!follows || follows[1].at(-1) !== sort || indent(lines[i]) >= inside || RULE.test(lines[i])) break;
      loose ||= blank;
    }
    return { kind: "list", first, ordered: /[.)]/.test(sort), start, items, loose };
  }
}

/** A block as an element. */
function drawn(block, tight = false) {
  switch (block.kind) {
    case "code": return codeBlock(block.text, block.info);
    case "heading": return el(`h${Math.min(6, block.level + 2)}`, {}, inline(block.text));
    case "rule": return el("hr");
    case "math": return el("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Formula" }, mathml(block.text, true));
    case "quote": return el("blockquote", {}, block.inner.map(one => drawn(one)));
    case "list": return el(block.ordered ? "ol" : "ul", { start: block.ordered && block.start !== 1 ? block.start : null }, block.items.map(item =>
      el("li", { class: item.task === null ? null : "task" },
        item.task === null ? null : el("input", { type: "checkbox", checked: item.task, disabled: true, "aria-label": item.task ? "done" : "to do" }),
        item.inner.map(one => drawn(one, !block.loose)))));
    case "table": {
      const row = (tag, texts) => el("tr", {}, texts.map((text, at) => el(tag, { class: `cell-${block.sides[at]}`, scope: tag === "th" ? "col" : null }, inline(text))));
      return el("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Table" },
        el("table", {}, el("thead", {}, row("th", block.head)), el("tbody", {}, block.rows.map(texts => row("td", texts)))));
    }
    default: return tight ? inline(block.text) : el("p", {}, inline(block.text));
  }
}

/** Markdown as an element. */
export function markdown(text) {
  const made = el("div", { class: "markdown" });
  for (const block of blocks(text.replaceAll("\r\n", "\n").split("\n"))) made.append(drawn(block));
  return made;
}

// ------------------------------------------------------------------------------------------------- Markdown: streams

export const LONGEST_DRAWN = 100_000;
const PAUSE = 40, PAUSE_FOR_WORK = 8; // milliseconds between drawings; one that took 10 ms is not repeated for 80 ms

/** Markdown that grows: only what can still change is drawn again, some twenty times a second at most. */
export class Stream {
  constructor() {
    this.element = el("div", { class: "markdown" });
    this.text = "";
    this.spent = 0; // milliseconds of drawing, for measuring
    this._from = 0; // where what can still change begins, in the text and in the element
    this._kept = 0;
    this._tail = null;
    this._next = null;
  }
  add(text) {
    this.text += text.replaceAll("\r", "");
    this._next ??= setTimeout(() => requestAnimationFrame(() => this.draw()), this._wait ?? 0);
  }
  draw() {
    clearTimeout(this._next);
    this._next = null;
    const began = performance.now();
    if (this._tail) this._tail.data = this.text.slice(this._from);
    else if (this.text.length > LONGEST_DRAWN) this.element.append(el("pre", { class: "plain" }, this._tail = document.createTextNode(""))), this._grown();
    else this._redraw();
    const took = performance.now() - began;
    this.spent += took;
    this._wait = Math.max(PAUSE, PAUSE_FOR_WORK * took);
    this.drawn?.();
  }
  _grown() {
    while (this.element.children.length > this._kept + 1) this.element.children[this._kept].remove();
    this._tail.data = this.text.slice(this._from);
  }
  _redraw() {
    const lines = this.text.slice(this._from).split("\n"), found = blocks(lines);
    while (this.element.children.length > this._kept) this.element.lastElementChild.remove();
    for (const block of found) this.element.append(drawn(block));
    // what lies before the last block of whole lines will not change, unless a formula that is open takes it in
    const whole = blocks(lines.slice(0, -1)), last = whole.findLastIndex(block => block.first <= whole.open);
    const settled = last > 0 ? found.findIndex(block => block.first === whole[last].first) : 0;
    if (settled > 0) {
      this._kept += settled;
      for (let k = 0; k < found[settled].first; k++) this._from += lines[k].length + 1;
    }
  }
}

// --------------------------------------------------------------------------------------------------------- Server

class Fault extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

let asking = null; // one question for the key, however many calls wait for it

/** A call of the API: what it answers, parsed; the response itself where `whole`. Asks for the key where one is wanted. */
async function call(path, { method = "GET", body, signal, whole = false } = {}) {
  for (;;) {
    const key = stored(sessionStorage, "key"), headers = {};
    if (key) headers.Authorization = `Bearer ${key}`;
    if (body !== undefined && !(body instanceof Blob)) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(new URL(`api/${path}`, document.baseURI), { method, headers, signal, body: body === undefined || body instanceof Blob ? body : JSON.stringify(body) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Fault("The server does not answer. Is it still running?");
    }
    if (response.status === 401) {
      asking ??= askKey(Boolean(key)).finally(() => { asking = null; });
      if (await asking) continue;
      throw new Fault("This server wants a key.", 401);
    }
    if (!response.ok) {
      const told = await response.json().catch(() => null);
      throw new Fault(typeof told?.error?.message === "string" ? told.error.message : `The server answered ${response.status}.`, response.status);
    }
    if (whole) return response;
    if (response.status === 204) return null;
    try { return await response.json(); }
    catch (error) { throw error.name === "AbortError" ? error : new Fault("The server's answer cannot be read."); }
  }
}

async function askKey(wrong) {
  const given = await ask({ title: "Key", action: "Go on", text: wrong ? "The server does not take this key." : "This server wants a key. It is kept until this tab is closed.",
    fields: [{ name: "key", label: "Key", type: "password" }] });
  if (given?.key) store(sessionStorage, "key", given.key.trim());
  return Boolean(given?.key);
}

/** Events of a reply as they come: objects from "data: {json}" lines. */
async function* events(response) {
  const reader = response.body.getReader(), decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) { try { yield JSON.parse(line.slice(5)); } catch { /* not ours */ } }
    if (done) return;
  }
}

// ------------------------------------------------------------------------------------------------------ Kept here

function stored(where, name) { try { return where.getItem(`netwright.${name}`); } catch { return null; } }
function store(where, name, value) {
  try {
    if (value === null || value === "") where.removeItem(`netwright.${name}`);
    else where.setItem(`netwright.${name}`, value);
  } catch { /* storage is full or forbidden: the page works without */ }
}
const kept = name => stored(localStorage, name), keep = (name, value) => store(localStorage, name, value);
function keptObject(name) {
  try { const value = JSON.parse(kept(name)); return value && typeof value === "object" ? value : {}; } catch { return {}; }
}

const page = { server: null, conversation: null, model: null, sampling: keptObject("sampling"), system: kept("system") ?? "",
  list: [], next: null, tag: "", opening: 0, live: new Map(), views: new Map(), stuck: true };

// ----------------------------------------------------------------------------------------------- Dialogs and menus

const bytes = n => n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : n >= 1e6 ? `${Math.round(n / 1e6)} MB` : `${Math.max(1, Math.round(n / 1e3))} kB`;
const count = n => n >= 1e9 ? `${(n / 1e9).toFixed(1)}B` : n >= 1e6 ? `${Math.round(n / 1e6)}M` : n >= 1e4 ? `${Math.round(n / 1e3)}k` : String(n);
const figure = n => n === null || n === undefined || !Number.isFinite(n) ? "–" : n >= 100 ? String(Math.round(n)) : String(Number(n.toPrecision(3)));
const seconds = n => n < 1 ? `${Math.round(n * 1000)} ms` : `${figure(n)} s`;
const ranged = ({ value, low, high }, scale = 1) => [value, low, high].map(one => figure(one * scale)).reduce((all, one, at) => at === 1 ? `${all} [${one}` : `${all}, ${one}]`);
const rangedSeconds = one => one.value < 1 ? `${ranged(one, 1000)} ms` : `${ranged(one)} s`;
const many = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;

let toasting = 0;
function toast(text) {
  clearTimeout(toasting);
  $("toast").textContent = text;
  toasting = setTimeout(() => { $("toast").textContent = ""; }, 5000);
}
const complain = error => { if (error.name !== "AbortError") toast(error.message); };

async function copy(text, button) {
  try { await navigator.clipboard.writeText(text); }
  catch { // not a secure origin: the old way
    const area = el("textarea", { class: "hidden", value: text, "aria-hidden": "true" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = [...button.childNodes];
  if (before[0]?.textContent === "Copied" || button.dataset.done) return;
  button.dataset.done = "1";
  button.replaceChildren(button.classList.contains("icon") ? icon("check") : "Copied");
  $("said").textContent = "Copied";
  setTimeout(() => { button.replaceChildren(...before); delete button.dataset.done; }, 1500);
}

function closeDialog(value = null) {
  const box = $("dialog");
  if (!box.open) return;
  box.settle?.(value);
  box.settle = null;
  box.close();
}

/** A question: its fields' values, or null where it was closed. `body` shows nodes in place of fields. */
function ask({ title, text, fields = [], action, danger = false, body = null }) {
  const box = $("dialog"), inputs = fields.map(field => {
    const input = field.options
      ? el("select", { name: field.name, id: `ask-${field.name}` }, field.options.map(([value, label]) => el("option", { value }, label)))
      : el(field.type === "area" ? "textarea" : "input", { name: field.name, id: `ask-${field.name}`, type: field.type === "area" ? null : field.type ?? "text",
        autocomplete: "off", rows: field.type === "area" ? 4 : null, maxlength: field.most });
    input.value = field.value ?? (field.options ? field.options[0][0] : "");
    return input;
  });
  const form = el("form", { onsubmit: event => {
    event.preventDefault();
    closeDialog(Object.fromEntries(inputs.map(input => [input.name, input.value])));
  } },
  el("h2", { id: "dialog-title" }, title), text ? el("p", {}, text) : null,
  inputs.map((input, at) => el("div", { class: "field" }, el("label", { for: input.id }, fields[at].label), input)), body,
  el("div", { class: "choices" },
    el("button", { type: "button", class: "button", onclick: () => closeDialog() }, action ? "Cancel" : "Close"),
    action ? el("button", { type: "submit", class: danger ? "button danger" : "button main-button" }, action) : null));
  closeDialog();
  box.replaceChildren(form);
  return new Promise(settle => {
    box.settle = settle;
    box.showModal();
    (inputs[0] ?? form.querySelector(".choices button:last-child")).focus();
    inputs[0]?.select?.();
  });
}

let closeMenu = () => {};

/** A menu at a button: items {label, icon, run, danger, checked, detail}; arrows, Home, End, Escape. */
function menu(button, items, label) {
  closeMenu();
  const box = el("div", { class: "menu", role: "menu", "aria-label": label }, items.map(item =>
    el("button", { type: "button", role: item.checked === undefined ? "menuitem" : "menuitemradio", tabindex: "-1", class: item.danger ? "danger" : null,
      "aria-checked": item.checked === undefined ? null : String(item.checked), onclick: () => { closeMenu(); item.run(); } },
    item.icon ? icon(item.icon) : null, el("span", { class: "grow" }, el("span", { class: "menu-label" }, item.label), item.detail ?? null), item.checked ? icon("check") : null)));
  const buttons = [...box.children], go = by => {
    const at = buttons.indexOf(document.activeElement);
    buttons[(at + by + buttons.length) % buttons.length].focus();
  };
  const outside = event => { if (!box.contains(event.target) && !button.contains(event.target)) closeMenu(); };
  box.addEventListener("keydown", event => {
    const moves = { ArrowDown: () => go(1), ArrowUp: () => go(-1), Home: () => buttons[0].focus(), End: () => buttons.at(-1).focus(), Escape: () => closeMenu(), Tab: () => closeMenu() };
    if (!moves[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    moves[event.key]();
  });
  closeMenu = () => {
    closeMenu = () => {};
    const had = box.contains(document.activeElement);
    box.remove();
    document.removeEventListener("pointerdown", outside);
    button.setAttribute("aria-expanded", "false");
    if (had) button.focus();
  };
  document.body.append(box);
  const place = button.getBoundingClientRect(), size = box.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(place.left, innerWidth - size.width - 8))}px`;
  const below = place.bottom + 4 + size.height < innerHeight - 8;
  box.style.top = `${below ? place.bottom + 4 : Math.max(8, place.top - size.height - 4)}px`;
  button.setAttribute("aria-expanded", "true");
  document.addEventListener("pointerdown", outside);
  (buttons.find(one => one.getAttribute("aria-checked") === "true") ?? buttons[0])?.focus();
}

// ----------------------------------------------------------------------------------------------------------- List

function when(updated) {
  const day = 864e5, today = new Date().setHours(0, 0, 0, 0), at = Date.parse(updated);
  return at >= today ? "Today" : at >= today - day ? "Yesterday" : at >= today - 7 * day ? "Last seven days" : "Earlier";
}

async function loadList(more = false) {
  if (page.query) return;
  try {
    const asked = new URLSearchParams({ limit: "50" }), tag = page.tag;
    if (tag) asked.set("tag", tag);
    if (more && page.next) asked.set("after", page.next);
    const found = await call(`conversations?${asked}`);
    if (page.query || page.tag !== tag) return;
    page.list = more ? [...page.list, ...found.conversations.filter(one => !page.list.some(other => other.id === one.id))] : found.conversations;
    page.next = found.next;
    drawList();
  } catch (error) {
    sideNote(error.message, () => loadList(more));
  }
}

function sideNote(text, retry) {
  $("side-note").replaceChildren(text, retry ? el("button", { type: "button", class: "small", onclick: retry }, "Retry") : "");
}

function drawList() {
  const focused = document.activeElement?.closest?.("#list a")?.dataset.id, rows = [];
  let group = "";
  for (const one of page.list) {
    const named = one.pinned ? "Pinned" : when(one.updated);
    if (named !== group) rows.push(el("li", { class: "group" }, group = named));
    const actions = iconButton("more", `Actions on ${one.title || "this chat"}`, () => conversationMenu(actions, one), { "aria-haspopup": "menu", "aria-expanded": "false" });
    rows.push(el("li", { class: one.id === page.conversation?.id ? "row current" : "row" },
      el("a", { href: `#/${encodeURIComponent(one.id)}`, "data-id": one.id, "aria-current": one.id === page.conversation?.id ? "page" : null },
        el("span", { class: "row-title" }, one.title || "Untitled"),
        one.tags.length ? el("span", { class: "row-tags" }, one.tags.join(" · ")) : null,
        page.live.has(one.id) ? el("span", { class: "busy", role: "img", "aria-label": "replying" }) : null), actions));
  }
  if (page.next) rows.push(el("li", {}, el("button", { type: "button", class: "small more-rows", onclick: () => loadList(true) }, "Show more")));
  $("list").replaceChildren(...rows);
  sideNote(page.list.length ? "" : page.tag ? "No chat has this tag." : "No chats yet. They will be listed here.");
  if (focused) $("list").querySelector(`a[data-id="${CSS.escape(focused)}"]`)?.focus();
}

function drawTags() {
  const tags = page.server?.tags ?? [];
  $("tags").hidden = !tags.length;
  $("tags").replaceChildren(...tags.map(tag => el("button", { type: "button", class: "chip", "aria-pressed": String(tag === page.tag), onclick: () => {
    page.tag = page.tag === tag ? "" : tag;
    drawTags();
    loadList();
  } }, tag)));
}

function conversationMenu(button, one) {
  menu(button, [
    { icon: "new", label: "Rename", run: () => rename(one) },
    { icon: "pin", label: one.pinned ? "Unpin" : "Pin", run: () => change(one.id, { pinned: !one.pinned }) },
    { icon: "tag", label: "Tags", run: () => retag(one) },
    { icon: "export", label: "Export", run: () => exportChats(one.id) },
    { icon: "bin", label: "Delete", danger: true, run: () => remove(one) },
  ], "Actions on this chat");
}

async function change(id, fields) {
  try {
    const changed = await call(`conversations/${encodeURIComponent(id)}`, { method: "PATCH", body: fields });
    if (page.conversation?.id === id) show(changed);
    if ("tags" in fields) await refreshTags();
    await loadList();
    return changed;
  } catch (error) { complain(error); return null; }
}

async function refreshTags() {
  page.server.tags = (await call("state")).tags;
  if (page.tag && !page.server.tags.includes(page.tag)) page.tag = "";
  drawTags();
}

async function rename(one) {
  const given = await ask({ title: "Rename", action: "Rename", fields: [{ name: "title", label: "Title", value: one.title, most: 200 }] });
  if (given?.title.trim()) await change(one.id, { title: given.title.trim() });
}

async function retag(one) {
  const given = await ask({ title: "Tags", action: "Keep", fields: [{ name: "tags", label: "Tags, separated by commas", value: one.tags.join(", "), most: 500 }] });
  if (given) await change(one.id, { tags: [...new Set(given.tags.split(",").map(tag => tag.trim()).filter(Boolean))] });
}

async function remove(one) {
  if (!await ask({ title: "Delete this chat?", text: `“${one.title || "Untitled"}” and all its branches will be gone.`, action: "Delete", danger: true })) return;
  try {
    page.live.get(one.id)?.controller.abort();
    await call(`conversations/${encodeURIComponent(one.id)}`, { method: "DELETE" });
    keep(`draft.${one.id}`, null);
    if (page.conversation?.id === one.id) go("");
    await refreshTags();
    await loadList();
    (document.activeElement === document.body ? $("new") : document.activeElement).focus();
  } catch (error) { complain(error); }
}

let searching = 0;
async function search() {
  const query = $("search").value.trim(), asked = ++searching;
  page.query = query;
  if (!query) return loadList();
  try {
    const { results } = await call(`search?${new URLSearchParams({ q: query, limit: "20" })}`);
    if (asked !== searching) return;
    $("list").replaceChildren(...results.map(one => el("li", { class: "row" },
      el("a", { href: `#/${encodeURIComponent(one.conversation)}/${encodeURIComponent(one.message)}`, "data-id": one.message },
        el("span", { class: "row-title" }, one.title || "Untitled"),
        el("span", { class: "snippet" }, one.role === "user" ? "You: " : "", one.snippet.map(part => part.hit ? el("mark", {}, part.text) : part.text))))));
    sideNote(results.length ? many(results.length, "result") : "Nothing was found.");
  } catch (error) { if (asked === searching) sideNote(error.message, search); }
}

// --------------------------------------------------------------------------------------------------------- Thread

const draftName = (id = page.conversation?.id) => `draft.${id ?? "new"}`;

/** Goes to a conversation's address; "" is a new one. */
function go(id) {
  if (location.hash.slice(2) === id) return openAddress();
  location.hash = `/${id}`;
}

async function openAddress() {
  const [id, message] = location.hash.startsWith("#/") ? location.hash.slice(2).split("/").map(part => { try { return decodeURIComponent(part); } catch { return ""; } }) : [""];
  closeMenu();
  if (innerWidth < 900) drawer(false);
  if (!id) return show(null);
  if (page.conversation?.id === id && !message) return;
  const opening = ++page.opening;
  $("app").setAttribute("aria-busy", "true");
  try {
    let found = await call(`conversations/${encodeURIComponent(id)}`);
    if (message && !found.messages.some(one => one.id === message))
      found = await call(`conversations/${encodeURIComponent(id)}`, { method: "PATCH", body: { tip: message } });
    if (opening !== page.opening) return;
    show(found);
    if (message) reveal(message);
  } catch (error) {
    if (opening !== page.opening) return;
    show(null, { keepAddress: true });
    fault(error.status === 404 ? "This chat is not here. It may have been deleted." : error.message, error.status === 404 ? null : openAddress);
  } finally { $("app").removeAttribute("aria-busy"); }
}

/** Shows a conversation as the server tells it; null is a new one. */
function show(conversation, { keepAddress = false } = {}) {
  const other = conversation?.id !== page.conversation?.id || !conversation;
  if (other) {
    page.opening++;
    page.views.clear();
    page.stuck = true;
    $("messages").replaceChildren();
  }
  page.conversation = conversation;
  if (!keepAddress && !conversation && location.hash.length > 2) history.replaceState(null, "", location.pathname + location.search);
  if (conversation && !location.hash.startsWith(`#/${encodeURIComponent(conversation.id)}`)) history.replaceState(null, "", `#/${encodeURIComponent(conversation.id)}`);
  fault(null);
  const title = conversation ? conversation.title || "Untitled" : "New chat";
  $("title").textContent = title;
  document.title = conversation ? `${title} · netwright` : "netwright";
  $("more").hidden = !conversation;
  if (other) {
    $("typed").value = kept(draftName()) ?? "";
    grow();
    for (const row of $("list").querySelectorAll("a")) {
      const current = row.dataset.id === conversation?.id;
      row.parentElement.classList.toggle("current", current);
      if (current) row.setAttribute("aria-current", "page");
      else row.removeAttribute("aria-current");
    }
    if (matchMedia("(hover: hover)").matches && !$("list").contains(document.activeElement) && document.activeElement !== $("search") && !$("dialog").open) $("typed").focus();
  }
  const live = conversation && page.live.get(conversation.id);
  if (live?.message) place(live);
  draw();
  drawSystem();
  if (other) toEnd();
  watch();
}

/** A reply left "streaming", by another tab or a server that goes on: looked at until it ends. */
function watch() {
  clearTimeout(watch.next);
  const one = page.conversation;
  if (!one || page.live.has(one.id) || one.messages.at(-1)?.reply?.finish !== "streaming") return;
  watch.next = setTimeout(async () => {
    try {
      const found = await call(`conversations/${encodeURIComponent(one.id)}`);
      if (page.conversation === one && !page.live.has(one.id)) show(found);
    } catch { if (page.conversation === one) watch(); }
  }, 1000);
}

/** Puts a reply that is being written behind its parent in the path shown. */
function place(live) {
  const { messages } = page.conversation, at = messages.findIndex(one => one.id === live.message.parent);
  page.conversation.messages = [...messages.slice(0, at + 1), live.message];
}

const FILLED_AT_ONCE = 12, SLICE = 8; // messages; milliseconds of work between two looks at the person

/** Draws the path: what is the same stays; old messages' Markdown is made when there is time. */
function draw() {
  const box = $("messages"), messages = page.conversation?.messages ?? [], wanted = [];
  const live = page.live.get(page.conversation?.id);
  messages.forEach((message, at) => {
    let view = page.views.get(message.id);
    if (!view || view.message !== message || view.busy !== Boolean(live)) {
      const body = view && view.message.content === message.content && view.live === (live?.message === message) ? view : null;
      view = messageView(message, live, body, at >= messages.length - FILLED_AT_ONCE);
      page.views.set(message.id, view);
    }
    wanted.push(view.element);
  });
  wanted.forEach((element, at) => { if (box.children[at] !== element) box.insertBefore(element, box.children[at] ?? null); });
  while (box.children.length > wanted.length) box.lastElementChild.remove();
  drawEmpty();
  drawSend();
  fillLater();
  if (page.stuck) toEnd();
}

function fillLater() {
  clearTimeout(fillLater.next);
  const waiting = (page.conversation?.messages ?? []).map(one => page.views.get(one.id)).filter(view => view?.fill);
  if (!waiting.length) return;
  fillLater.next = setTimeout(() => {
    const until = performance.now() + SLICE;
    while (waiting.length && performance.now() < until) waiting.pop().fill();
    if (page.stuck) toEnd();
    fillLater();
  }, 4);
}

function reveal(id) {
  const view = page.views.get(id);
  if (!view) return;
  view.fill?.();
  page.stuck = false;
  view.element.scrollIntoView({ block: "center" });
  view.element.classList.add("found");
  setTimeout(() => view.element.classList.remove("found"), 2500);
}

function toEnd() {
  const thread = $("thread");
  thread.scrollTop = thread.scrollHeight;
}

const FINISHES = { length: "It reached the longest reply that settings allow.", cancelled: "Stopped.", blocked: "A safety filter held this reply back.",
  interrupted: "Interrupted. What came is kept." };

function plainBody(text) {
  if (text.length <= LONGEST_DRAWN) return el("div", { class: "plain" }, text);
  const whole = el("div", { class: "plain" }, text.slice(0, 10_000), "…");
  return el("div", {}, whole, el("button", { type: "button", class: "button", onclick: event => {
    whole.textContent = text;
    event.target.remove();
  } }, `Show the whole message (${bytes(text.length)})`));
}

function messageView(message, live, before, atOnce) {
  const mine = message.role === "user", writing = live?.message === message, busy = Boolean(live), { reply } = message;
  const view = { message, busy, live: writing, body: before?.body ?? null, fill: before?.fill ?? null };
  if (!view.body) {
    if (writing) view.body = live.stream.element;
    else if (mine || message.content.length > LONGEST_DRAWN) view.body = plainBody(message.content);
    else if (atOnce) view.body = markdown(message.content);
    else {
      view.body = el("div", { class: "markdown plain" }, message.content);
      view.fill = () => {
        view.fill = null;
        const made = markdown(message.content);
        view.holder.replaceChildren(made);
        view.body = made;
      };
    }
  }
  if (before?.fill && !writing) view.fill = () => { before.holder = view.holder; before.fill(); view.fill = null; view.body = view.holder.firstChild; };
  view.holder = el("div", { class: "body" }, view.body);
  const title = page.server?.models.find(one => one.id === reply?.model)?.title ?? reply?.model ?? "Model";
  view.element = el("li", { class: `message ${mine ? "mine" : "theirs"}${writing ? " writing" : ""}`, "data-id": message.id },
    el("h2", { class: mine ? "hidden" : "who" }, mine ? "You" : title),
    view.holder,
    writing ? el("div", { class: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")) : null,
    writing ? null : message.role === "assistant" ? replyFoot(message) : null,
    writing ? null : tools(message, mine, busy));
  return view;
}

function tools(message, mine, busy) {
  const { siblings = [message.id] } = message, at = siblings.indexOf(message.id), off = { disabled: busy };
  const to = by => () => change(page.conversation.id, { tip: siblings[at + by] }).then(() => focusIn(siblings[at + by], by < 0 ? "Branch before" : "Branch after"));
  const copying = iconButton("copy", "Copy", () => copy(message.content, copying));
  const row = [
    siblings.length > 1 ? el("span", { class: "branches", role: "group", "aria-label": "Branches" },
      iconButton("left", "Branch before", to(-1), { disabled: busy || at <= 0 }), el("span", {}, `${at + 1}/${siblings.length}`),
      iconButton("right", "Branch after", to(1), { disabled: busy || at >= siblings.length - 1 })) : null,
    copying,
    mine ? iconButton("new", "Edit", () => edit(message), off) : iconButton("again", "Answer again", () => answer({ parent: message.parent, content: null }), off),
    message.reply && !mine ? [thumb(message, 1), thumb(message, -1)] : null,
    iconButton("fork", "Fork: a new chat that begins like this", () => fork(message), off),
    iconButton("bin", "Delete this branch", () => removeBranch(message), off),
  ];
  return el("div", { class: "tools" }, row.flat());
}

function focusIn(id, label) {
  const buttons = [...(page.views.get(id)?.element.querySelectorAll(".tools button:not(:disabled)") ?? [])];
  (buttons.find(one => one.ariaLabel === label) ?? buttons[0])?.focus();
}

async function fork(message) {
  try {
    const made = await call(`conversations/${encodeURIComponent(page.conversation.id)}/fork`, { method: "POST", body: { message: message.id } });
    show(made);
    loadList();
    toast("A new chat that begins like the one before.");
  } catch (error) { complain(error); }
}

async function removeBranch(message) {
  if (!await ask({ title: "Delete this branch?", text: "This message and everything after it will be gone. Other branches stay.", action: "Delete", danger: true })) return;
  try {
    show(await call(`conversations/${encodeURIComponent(page.conversation.id)}/messages/${encodeURIComponent(message.id)}`, { method: "DELETE" }));
    $("typed").focus();
    loadList();
  } catch (error) { complain(error); }
}

function edit(message) {
  const view = page.views.get(message.id), name = `edit.${message.id}`;
  const area = el("textarea", { "aria-label": "Edit the message", rows: "1", value: kept(name) ?? message.content, oninput: () => { keep(name, area.value); fit(area); } });
  const close = () => { view.holder.replaceChildren(view.body); view.element.classList.remove("editing"); };
  const cancel = () => { keep(name, null); close(); focusIn(message.id, "Edit"); };
  const send = () => {
    if (!area.value.trim() || page.live.has(page.conversation.id)) return;
    close();
    answer({ parent: message.parent, content: area.value, draft: name });
  };
  area.addEventListener("keydown", event => {
    if (event.key === "Escape") { event.stopPropagation(); cancel(); }
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
  });
  view.element.classList.add("editing");
  view.holder.replaceChildren(area, el("div", { class: "choices" }, el("button", { type: "button", class: "button", onclick: cancel }, "Cancel"),
    el("button", { type: "button", class: "button main-button", onclick: send }, "Send")));
  fit(area);
  area.focus();
}

function drawEmpty() {
  const empty = !page.conversation?.messages.length, model = page.server?.models.find(one => one.id === page.model);
  $("notice").hidden = !empty || !model;
  if (!empty || !model) return;
  const facts = [model.precision, model.parameters ? `${count(model.parameters)} parameters` : null, model.speed ? `${ranged(model.speed)} tokens/s here` : null];
  $("notice").replaceChildren(
    el("h2", {}, `Ask ${model.title}`), el("p", {}, facts.filter(Boolean).join(" · ")),
    el("div", { class: "examples" }, EXAMPLES.map(([title, text]) => el("button", { type: "button", class: "example", onclick: () => {
      $("typed").value = text;
      typed();
      $("typed").focus();
    } }, el("strong", {}, title), el("span", {}, text)))));
}

const EXAMPLES = [
  ["Explain", "Explain why the sky is blue, as to a curious child."],
  ["Write code", "Write a Python function that finds the primes below n, and say how fast it is."],
  ["Compare", "Compare bubble sort, merge sort and quicksort in a table."],
  ["Draft", "Draft a short, friendly note that moves a meeting to Thursday."],
];

function fault(text, retry) {
  $("fault").replaceChildren(...(text ? [el("p", {}, text), retry ? el("button", { type: "button", class: "button", onclick: () => { fault(null); retry(); } }, "Retry") : ""] : []));
  if (text && page.stuck) toEnd();
}

// -------------------------------------------------------------------------------------------------------- Replies

/** Asks for a reply and shows it as it comes. What was typed is let go only when the server has kept it. */
async function answer({ parent, content, draft = null }) {
  const id = page.conversation.id;
  if (page.live.has(id)) return;
  const live = { controller: new AbortController(), stream: new Stream(), message: null, said: 0, saidAt: 0, filters: [] };
  const here = () => page.conversation?.id === id;
  let taken = null, ended = false, failed = null;
  live.stream.drawn = () => { if (here() && page.stuck) toEnd(); };
  page.live.set(id, live);
  page.stuck = true;
  fault(null);
  draw();
  drawList();
  try {
    const response = await call(`conversations/${encodeURIComponent(id)}/replies`, { method: "POST", whole: true, signal: live.controller.signal,
      body: { parent, content, model: page.model, sampling: page.sampling } });
    for await (const event of events(response)) {
      if (event.type === "user") {
        taken = event.message;
        if (draft) keep(draft, null);
        if (draft === draftName(id) && here()) {
          if ($("typed").value === content) $("typed").value = "";
          typed(); // what was typed since then stays, here and in the draft
        }
        if (here()) {
          const { messages } = page.conversation, at = messages.findIndex(one => one.id === taken.parent);
          page.conversation.messages = [...messages.slice(0, at + 1), taken];
          draw();
        }
      } else if (event.type === "begin") {
        live.message = event.message;
        if (here()) { place(live); draw(); }
        loadList();
      } else if (event.type === "text") {
        live.stream.add(event.text);
        announce(live, here());
      } else if (event.type === "filter") live.filters.push(event);
      else if (event.type === "end") {
        ended = true;
        live.ended = event.message;
        live.stream.draw();
        announce(live, here(), true);
      } else if (event.type === "error") throw new Fault(event.error?.message ?? "The reply failed.");
    }
    if (!ended) throw new Fault("The connection ended before the reply did. What came is kept.");
  } catch (error) { failed = error; }
  live.stream.draw();
  page.live.delete(id);
  await settle(id, live, failed);
  if (failed && failed.name !== "AbortError" && here()) {
    const asked = taken ?? null;
    fault(failed.message, asked || content === null ? () => answer({ parent: asked?.id ?? parent, content: null }) : () => answer({ parent, content, draft }));
  }
  if (failed?.name === "AbortError") $("said").textContent = "Stopped";
  await loadList();
}

/** After a reply: what it is now, by what was told at its end, or else by asking the server again. */
async function settle(id, live, failed) {
  const here = () => page.conversation?.id === id;
  if (here() && live.message) {
    const last = live.ended ?? { ...live.message, content: live.stream.text, reply: live.message.reply ? { ...live.message.reply, finish: "cancelled" } : null };
    if (live.filters.length) last.filters = live.filters;
    const { messages } = page.conversation, at = messages.findIndex(one => one.id === live.message.id || one.id === last.id);
    if (at >= 0) {
      const view = page.views.get(live.message.id);
      page.conversation.messages = [...messages.slice(0, at), last, ...messages.slice(at + 1)];
      if (view && last.content === live.stream.text) page.views.set(last.id, { message: last, body: view.body, live: false, stale: true });
    }
  }
  if (!here()) return;
  const { messages } = page.conversation;
  page.views.forEach(view => { if (view.stale) view.busy = null; });
  draw();
  if (!failed) {
    if (page.conversation.messages.length <= 2) { // a new conversation was named by its first message
      const found = await call(`conversations/${encodeURIComponent(id)}`).catch(() => null);
      if (found && here()) { page.conversation.title = found.title; $("title").textContent = found.title || "Untitled"; document.title = `${found.title} · netwright`; }
    }
    return;
  }
  for (const pause of [100, 400, 1500]) { // the server needs a moment to see that nobody listens
    await new Promise(done => setTimeout(done, pause));
    const found = await call(`conversations/${encodeURIComponent(id)}`).catch(() => null);
    if (!found) return;
    if (!here() || page.live.has(id) || page.conversation.messages !== messages) return;
    if (found.messages.at(-1)?.reply?.finish === "streaming") continue;
    return show(found);
  }
  watch();
}

/** Reads out a reply by whole sentences, every three seconds at most. */
function announce(live, here, last = false) {
  if (!here || (!last && performance.now() - live.saidAt < 3000)) return;
  const { text } = live.stream, end = last ? text.length : Math.max(...[". ", "! ", "? ", "\n"].map(mark => text.lastIndexOf(mark))) + 1;
  if (end <= live.said) return;
  $("said").textContent = text.slice(live.said, Math.min(end, live.said + 2000)).replace(/[*_`#|]+/g, "") + (last ? " End of the reply." : "");
  live.said = end;
  live.saidAt = performance.now();
}

function stop() {
  page.live.get(page.conversation?.id)?.controller.abort();
}

/** Under a reply: how it ended, its figures, what they would be elsewhere, what the reader thought of it. */
function replyFoot(message) {
  const { reply } = message;
  if (!reply) return null;
  const figures = reply.statistics, told = FINISHES[reply.finish], below = el("div", { class: "below" });
  const toggle = (name, make) => {
    const button = el("button", { type: "button", class: "small", "aria-expanded": "false", onclick: () => {
      const open = button.getAttribute("aria-expanded") === "true";
      for (const other of row.querySelectorAll("[aria-expanded]")) other.setAttribute("aria-expanded", "false");
      button.setAttribute("aria-expanded", String(!open));
      below.replaceChildren(...(open ? [] : [make(below)]));
    } }, name);
    return button;
  };
  const row = el("div", { class: "figures" },
    figures ? [el("span", { title: "Tokens of the reply" }, many(figures.tokens, "token")), el("span", { title: "Tokens a second" }, `${figure(figures.per_second)} tok/s`),
      el("span", { title: "Time until the first token" }, `first ${seconds(figures.first_token)}`),
      figures.reused ? el("span", { title: "Tokens of the prompt that were still in memory" }, `${figures.reused.toLocaleString("en")} reused`) : null,
      figures.left_out ? el("span", { class: "warn", title: "Messages that no longer fit in what the model reads" }, `${many(figures.left_out, "old message")} left out`) : null] : null,
    toggle("Details", () => details(message)), figures ? toggle("Elsewhere", () => elsewhere(reply)) : null);
  return el("div", { class: "reply-foot" },
    told ? el("p", { class: reply.finish === "cancelled" ? "told calm" : "told" }, told) : null,
    (message.filters ?? []).map(one => el("p", { class: "told" }, `A safety filter acted (${one.action}): ${one.reason}`)),
    reply.note ? el("p", { class: "told note" }, `Your note: ${reply.note}`) : null, row, below);
}

function details({ reply }) {
  const figures = reply.statistics, facts = [["Model", reply.model], ["Precision", reply.precision], ["Engine", reply.engine], ["Seed", reply.seed],
    ...Object.entries(reply.sampling ?? {}).map(([name, value]) => [SETTINGS[name]?.[0] ?? name, Array.isArray(value) ? value.join(", ") : value]),
    ...(figures ? [["Prompt", many(figures.prompt, "token")], ["Time", seconds(figures.seconds)]] : [])];
  return el("dl", { class: "facts" }, facts.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))));
}

/** The reply's speed on other hardware, as predicted. */
function elsewhere(reply) {
  const box = el("div", { class: "elsewhere", role: "status" }, el("p", {}, "Predicting …"));
  const load = async () => {
    try {
      const asked = new URLSearchParams({ model: reply.model, prompt: String(reply.statistics.prompt), reply: String(reply.statistics.tokens) });
      const { devices } = await call(`predictions?${asked}`);
      box.replaceChildren(devices.length ? el("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Predicted elsewhere" },
        el("table", {}, el("thead", {}, el("tr", {}, ["Device", "Tokens/s", "First token"].map(name => el("th", { scope: "col" }, name)))),
          el("tbody", {}, devices.map(one => el("tr", {}, el("th", { scope: "row" }, one.device), el("td", {}, ranged(one.per_second)), el("td", {}, rangedSeconds(one.first_token))))))) : "",
      el("p", {}, devices.length ? "Predicted for this model and these lengths; intervals in brackets." : "There are no predictions for this model."));
    } catch (error) {
      box.replaceChildren(el("p", {}, error.message), el("button", { type: "button", class: "small", onclick: () => { box.replaceChildren(el("p", {}, "Predicting …")); load(); } }, "Retry"));
    }
  };
  load();
  return box;
}

function thumb(message, way) {
  const { reply } = message, on = reply.thumb === way;
  const button = iconButton(way > 0 ? "good" : "bad", way > 0 ? "Good reply" : "Bad reply", async () => {
    const given = on ? { thumb: 0, note: "" } : await ask({ title: way > 0 ? "A good reply" : "A bad reply", action: "Keep",
      fields: [{ name: "note", label: way > 0 ? "What was good? (optional)" : "What was wrong? (optional)", type: "area", value: reply.note, most: 2000 }] });
    if (!given) return;
    const feedback = { thumb: on ? 0 : way, note: given.note };
    const place = `conversations/${encodeURIComponent(page.conversation?.id ?? "")}/messages/${encodeURIComponent(message.id)}`;
    try { await call(`${place}/feedback`, { method: "PUT", body: feedback }); }
    catch (error) { return complain(error); }
    const changed = { ...message, reply: { ...reply, ...feedback } };
    if (page.conversation) page.conversation.messages = page.conversation.messages.map(one => one === message ? changed : one);
    draw();
    focusIn(message.id, way > 0 ? "Good reply" : "Bad reply");
  }, { "aria-pressed": String(on) });
  return button;
}

// ------------------------------------------------------------------------------------------------------- Composer

const MOST_ROWS = 0.4; // of the window's height

function fit(area) {
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight + 2, innerHeight * MOST_ROWS)}px`;
}
const grow = () => { fit($("typed")); drawSend(); };

function typed() {
  keep(draftName(), $("typed").value);
  grow();
}

function drawSend() {
  const busy = page.live.has(page.conversation?.id), button = $("send");
  button.disabled = !busy && (!$("typed").value.trim() || !page.model || page.creating);
  if (button.dataset.busy !== String(busy)) {
    button.dataset.busy = String(busy);
    button.setAttribute("aria-label", busy ? "Stop" : "Send");
    button.title = busy ? "Stop (Escape)" : "Send (Enter)";
    button.replaceChildren(icon(busy ? "stop" : "send"));
  }
}

async function send() {
  if (page.live.has(page.conversation?.id)) return stop();
  const content = $("typed").value;
  if (!content.trim() || !page.model || page.creating) return;
  if (!page.conversation) {
    page.creating = true;
    drawSend();
    try {
      const made = await call("conversations", { method: "POST", body: { system: page.system.trim() || null, title: null } });
      keep(draftName(made.id), content);
      keep("draft.new", null);
      show(made);
    } catch (error) { return fault(error.message, send); }
    finally { page.creating = false; drawSend(); }
  }
  answer({ parent: page.conversation.messages.at(-1)?.id ?? null, content, draft: draftName() });
}

// ------------------------------------------------------------------------------------------------------- Settings

const SETTINGS = { // label, sentence, least, most, step
  temperature: ["Temperature", "How much chance there is in the choice: 0 takes the likeliest token every time.", 0, 2, 0.05],
  top_p: ["Top p", "Only the likeliest tokens that together have this probability may be chosen; 1 allows all.", 0, 1, 0.01],
  top_k: ["Top k", "Only so many of the likeliest tokens may be chosen; 0 allows all.", 0, 200, 1],
  min_p: ["Min p", "Only tokens at least this share as likely as the likeliest may be chosen; 0 allows all.", 0, 1, 0.01],
  repetition_penalty: ["Repetition penalty", "Makes tokens that were there already less likely; 1 does nothing.", 0.5, 2, 0.01],
  frequency_penalty: ["Frequency penalty", "Makes a token less likely each time it is used; 0 does nothing.", -2, 2, 0.05],
  presence_penalty: ["Presence penalty", "Makes a token less likely once it was used; 0 does nothing.", -2, 2, 0.05],
  max_tokens: ["Longest reply", "A reply ends after so many tokens, finished or not.", 1, null, 1],
  seed: ["Seed", "The same seed with the same settings gives the same reply; empty leaves it to the server.", 0, null, 1],
  stop: ["Stop texts", "A reply ends before any of these texts, one a line.", null, null, null],
};

function setting(name, value) {
  if (value === null) delete page.sampling[name];
  else page.sampling[name] = value;
  keep("sampling", Object.keys(page.sampling).length ? JSON.stringify(page.sampling) : null);
  $("settings-reset").disabled = !Object.keys(page.sampling).length;
}

function samplingField(name, usual) {
  const [label, sentence, least, most, step] = SETTINGS[name], id = `set-${name}`, now = page.sampling[name] ?? usual;
  const about = el("p", { id: `${id}-about` }, sentence);
  if (name === "stop") {
    const area = el("textarea", { id, rows: "2", "aria-describedby": `${id}-about`, spellcheck: "false", value: [now ?? []].flat().join("\n"), oninput: () => {
      const texts = area.value.split("\n").filter(Boolean);
      setting(name, texts.length ? texts : null);
    } });
    return el("div", { class: "field" }, el("label", { for: id }, label), area, about);
  }
  const set = (text, other) => {
    const value = Number(text), fine = text !== "" && Number.isFinite(value) && value >= least && (most === null || name === "top_k" || value <= most) && (step !== 1 || Number.isInteger(value));
    input.setAttribute("aria-invalid", String(text !== "" && !fine));
    if (text !== "" && !fine) return;
    setting(name, text === "" ? null : value);
    if (other) other.value = text === "" ? String(usual ?? least) : text;
  };
  const input = el("input", { type: "number", id, min: least, max: name === "top_k" ? null : most, step: step === 1 ? "1" : "any", "aria-describedby": `${id}-about`, inputmode: "decimal",
    placeholder: name === "seed" ? "any" : String(usual ?? ""), value: now === null || now === undefined ? "" : String(now), oninput: () => set(input.value, range) });
  const range = most === null ? null : el("input", { type: "range", min: least, max: most, step, "aria-label": `${label}, by sliding`, value: String(now ?? least), oninput: () => set(input.value = range.value) });
  if (range) range.value = String(now ?? least);
  return el("div", { class: "field" }, el("div", { class: "field-line" }, el("label", { for: id }, label), input), range, about);
}

function drawSettings() {
  const { presets, sampling, filters } = page.server, box = $("settings");
  const preset = el("select", { id: "preset", onchange: async () => {
    const chosen = presets[preset.selectedIndex - 1];
    if (!chosen) return;
    page.sampling = { ...chosen.sampling };
    setting("", null);
    await setSystem(chosen.system ?? "");
    drawSettings();
    $("preset").value = chosen.name;
    $("preset").focus();
  } }, el("option", { value: "" }, "Choose …"), presets.map(one => el("option", { value: one.name }, one.name)));
  const system = el("textarea", { id: "system", rows: "4", "aria-describedby": "system-about", placeholder: "You are a helpful assistant.", onchange: () => setSystem(system.value),
    oninput: () => { if (!page.conversation) keep("system", page.system = system.value); } });
  box.replaceChildren(el("div", {},
    el("div", { class: "settings-head" }, el("h2", { tabindex: "-1", id: "settings-title" }, "Settings"), iconButton("close", "Close settings", () => settings(false))),
    presets.length ? el("div", { class: "field" }, el("label", { for: "preset" }, "Preset"), preset) : null,
    el("div", { class: "field" }, el("label", { for: "system" }, "System prompt"), system,
      el("p", { id: "system-about" }, "What the model is told before the chat: who it is, how to answer.")),
    el("h3", {}, "How replies are chosen"),
    Object.keys(SETTINGS).filter(name => name in sampling).map(name => samplingField(name, sampling[name])),
    el("button", { type: "button", class: "button", id: "settings-reset", disabled: !Object.keys(page.sampling).length, onclick: () => {
      page.sampling = {};
      setting("", null);
      drawSettings();
      $("settings-title").focus();
    } }, "Back to the defaults"),
    el("p", { class: "side-note" }, `${filters?.on ? "Safety filters are on." : "Safety filters are off."} netwright ${page.server.version}`)));
  drawSystem();
}

function drawSystem() {
  const area = $("system");
  if (area && area !== document.activeElement) area.value = (page.conversation ? page.conversation.system : page.system) ?? "";
}

async function setSystem(text) {
  if (page.conversation) await change(page.conversation.id, { system: text.trim() || null });
  else keep("system", page.system = text);
  drawSystem();
}

function settings(open) {
  $("settings").hidden = !open;
  $("settings-open").setAttribute("aria-expanded", String(open));
  drawVeil();
  if (open) $("settings-title")?.focus();
  else $("settings-open").focus();
}

function drawModel() {
  const model = page.server.models.find(one => one.id === page.model);
  $("model-name").textContent = model ? model.title : "No model";
  $("model").setAttribute("aria-label", model ? `Model: ${model.title}` : "No model");
}

function chooseModel() {
  menu($("model"), page.server.models.map(one => ({ label: one.title, checked: one.id === page.model,
    detail: el("span", { class: "model-facts" },
      el("span", {}, [one.precision, one.engine, one.parameters ? `${count(one.parameters)} parameters` : null, one.size ? bytes(one.size) : null].filter(Boolean).join(" · ")),
      el("span", {}, one.speed ? `${ranged(one.speed)} tokens/s` : "speed not measured", " · ", one.loss === null || one.loss === undefined ? "quality not measured" : `perplexity ${one.loss < 0 ? "−" : "+"}${figure(Math.abs(one.loss * 100))} %`),
      el("span", {}, one.longest ? `reads ${one.longest.toLocaleString("en")} tokens` : "", one.loaded ? "" : " · loaded when first asked")),
    run: () => { keep("model", page.model = one.id); drawModel(); drawEmpty(); drawSend(); } })), "Models");
}

const THEMES = { "": ["half", "Colours: as the system has them"], light: ["sun", "Colours: light"], dark: ["theme", "Colours: dark"] };
function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  keep("theme", name);
  $("theme").replaceChildren(icon(THEMES[name][0]));
  $("theme").setAttribute("aria-label", THEMES[name][1]);
  $("theme").title = THEMES[name][1];
}

// ---------------------------------------------------------------------------------------------------------- Files

const FORMATS = [["markdown", "Markdown, to read"], ["html", "HTML, to read"], ["json", "JSON, whole tree"], ["jsonl", "JSON lines, whole tree"], ["sharegpt", "ShareGPT"],
  ["chatgpt", "ChatGPT's conversations.json"], ["messages", "Messages, JSON lines"], ["good", "Good replies, training data"],
  ["preferences", "Good beside bad replies, training data"]];
const ENDINGS = { markdown: "md", html: "html", jsonl: "jsonl", messages: "jsonl", good: "jsonl", preferences: "jsonl" };

async function exportChats(id = null) {
  const given = await ask({ title: "Export", action: "Export", fields: [
    { name: "format", label: "Format", options: FORMATS },
    { name: "which", label: "Chats", value: id ? "one" : "all", options: id ? [["one", "This chat"], ["all", "All chats"]] : [["all", "All chats"]] }] });
  if (!given) return;
  try {
    const asked = new URLSearchParams({ format: given.format });
    if (given.which === "one") asked.set("conversation", id);
    const response = await call(`export?${asked}`, { whole: true }), address = URL.createObjectURL(await response.blob());
    const named = /filename="?([\w.-]+)"?/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
    el("a", { href: address, download: named ?? `chats.${ENDINGS[given.format] ?? "json"}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  } catch (error) { complain(error); }
}

async function importFile(file) {
  if (!file) return;
  toast(`Importing ${file.name} …`);
  try {
    const found = await call("import", { method: "POST", body: file });
    toast(`${many(found.conversations, "chat")}, ${many(found.messages, "message")} imported${found.known ? `; ${found.known.toLocaleString("en")} were here already` : ""}.`);
    await refreshTags();
    await loadList();
  } catch (error) { complain(error); }
}

function drops() {
  const files = event => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", event => { if (files(event)) { event.preventDefault(); $("drop").hidden = false; } });
  addEventListener("dragleave", event => { if (!event.relatedTarget) $("drop").hidden = true; });
  addEventListener("drop", event => {
    if (!files(event)) return;
    event.preventDefault();
    $("drop").hidden = true;
    importFile(event.dataTransfer.files[0]);
  });
}

// ------------------------------------------------------------------------------------------------------- Keyboard

const SHORTCUTS = [["Send", "Enter"], ["New line", "Shift Enter"], ["Stop the reply", "Escape"], ["Search chats", "Ctrl K"], ["New chat", "Ctrl Shift O"],
  ["Through lists and menus", "↑ ↓"], ["Edit the last message", "↑ in an empty field"], ["These shortcuts", "?"]];

function showShortcuts() {
  ask({ title: "Keyboard shortcuts", body: el("dl", { class: "keys" }, SHORTCUTS.map(([what, keys]) =>
    el("div", {}, el("dt", {}, what), el("dd", {}, keys.includes(" in ") ? keys : keys.split(" ").map(key => el("kbd", {}, key)))))) });
}

const narrow = () => innerWidth < 900;

function drawVeil() {
  const over = (narrow() && $("side").classList.contains("open")) || (innerWidth < 1200 && !$("settings").hidden);
  $("veil").hidden = !over;
  $("main").inert = over;
  $("side").inert = narrow() ? !$("side").classList.contains("open") : over;
}

/** On narrow windows the list is a drawer. */
function drawer(open) {
  const was = $("side").classList.contains("open");
  $("side").classList.toggle("open", open);
  $("side-open").setAttribute("aria-expanded", String(open));
  drawVeil();
  if (open) $("new").focus();
  else if (was && narrow()) $("side-open").focus();
}

function fresh() {
  if (narrow()) drawer(false);
  go("");
  $("typed").focus();
}

function keyed(event) {
  const command = event.ctrlKey || event.metaKey, writing = /^(?:INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
  if ($("dialog").open) return;
  if (command && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    if (narrow()) drawer(true);
    $("search").focus();
    $("search").select();
  } else if (command && event.shiftKey && event.key.toLowerCase() === "o") {
    event.preventDefault();
    fresh();
  } else if (event.key === "?" && !writing && !command) {
    event.preventDefault();
    showShortcuts();
  } else if (event.key === "Escape") {
    if (!$("veil").hidden) return narrow() && $("side").classList.contains("open") ? drawer(false) : settings(false);
    stop();
  }
}

function arrows(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const links = [...$("list").querySelectorAll("a")], at = links.indexOf(document.activeElement);
  const inField = event.target === $("search");
  if (!links.length || (inField && event.key === "ArrowUp") || (!inField && at < 0)) return;
  event.preventDefault();
  if (at === 0 && event.key === "ArrowUp") return $("search").focus();
  links[inField ? 0 : Math.max(0, Math.min(links.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)))].focus();
}

// ---------------------------------------------------------------------------------------------------------- Start

function listen() {
  for (const place of document.querySelectorAll("[data-icon]")) place.append(icon(place.dataset.icon));
  for (const place of document.querySelectorAll("button.icon[aria-label]")) place.title = place.ariaLabel;
  const on = (id, name, run) => $(id).addEventListener(name, run);
  on("skip", "click", event => { event.preventDefault(); $("typed").focus(); });
  on("new", "click", fresh);
  on("side-open", "click", () => drawer(!$("side").classList.contains("open")));
  on("side-close", "click", () => drawer(false));
  on("veil", "click", () => { if (narrow()) drawer(false); if (!$("settings").hidden) settings(false); });
  on("search", "input", () => { clearTimeout(search.next); search.next = setTimeout(search, 150); });
  on("search", "keydown", event => {
    if (event.key === "Escape" && $("search").value) { event.stopPropagation(); event.preventDefault(); $("search").value = ""; search(); }
    if (event.key === "Enter") $("list").querySelector("a")?.click();
  });
  on("side", "keydown", arrows);
  on("import", "click", () => $("file").click());
  on("file", "change", () => { importFile($("file").files[0]); $("file").value = ""; });
  on("export", "click", () => exportChats(page.conversation?.id));
  on("theme", "click", () => { const names = Object.keys(THEMES); theme(names[(names.indexOf(kept("theme") ?? "") + 1) % names.length]); });
  on("shortcuts", "click", showShortcuts);
  on("more", "click", () => conversationMenu($("more"), page.conversation));
  on("model", "click", chooseModel);
  on("settings-open", "click", () => settings($("settings").hidden));
  on("composer", "submit", event => { event.preventDefault(); send(); });
  on("typed", "input", typed);
  on("typed", "keydown", event => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!page.live.has(page.conversation?.id)) send();
    } else if (event.key === "ArrowUp" && !$("typed").value && !page.live.has(page.conversation?.id)) {
      const last = page.conversation?.messages.findLast(one => one.role === "user");
      if (last) { event.preventDefault(); edit(last); }
    }
  });
  let top = 0;
  on("thread", "scroll", () => {
    const thread = $("thread"), far = thread.scrollHeight - thread.scrollTop - thread.clientHeight;
    if (far < 60) page.stuck = true;
    else if (thread.scrollTop < top - 2) page.stuck = false; // moved up by the person: growth alone moves nothing
    top = thread.scrollTop;
    $("jump").hidden = far < 400;
  });
  const grown = new ResizeObserver(() => { if (page.stuck) toEnd(); });
  for (const id of ["messages", "thread", "fault"]) grown.observe($(id));
  on("jump", "click", () => { page.stuck = true; toEnd(); $("typed").focus(); });
  on("dialog", "close", () => { $("dialog").settle?.(null); $("dialog").settle = null; });
  document.addEventListener("keydown", keyed);
  addEventListener("hashchange", openAddress);
  addEventListener("resize", drawVeil);
  drops();
}

async function start() {
  theme(kept("theme") in THEMES ? kept("theme") : "");
  try {
    page.server = await call("state");
  } catch (error) { return fault(error.message, start); }
  const named = [kept("model"), page.server.default, page.server.models[0]?.id];
  page.model = named.find(id => page.server.models.some(one => one.id === id)) ?? null;
  drawModel();
  drawSettings();
  drawTags();
  drawVeil();
  $("typed").value = kept(draftName()) ?? "";
  grow();
  await Promise.all([openAddress(), loadList()]);
  if (!page.model) fault("The server has no model. Start it with one: netwright serve MODEL", start);
}

listen();
start();
