(() => {
  const body = document.body, blind = "blind" in body.dataset;
  const names = [...document.querySelectorAll("[data-name]")].map(one => one.dataset.name);
  const prompts = [...document.querySelectorAll("[data-prompt]")];
  const place = "netwright.votes." + body.dataset.key;
  const find = id => document.getElementById(id);
  let state = { votes: {}, revealed: !blind };
  try {
    const kept = JSON.parse(localStorage.getItem(place));
    if (kept && typeof kept.votes === "object") state = { votes: kept.votes, revealed: !blind || kept.revealed === true };
  } catch { /* a browser may keep nothing for a file */ }

  const tally = () => {
    const counts = names.map(() => 0); let ties = 0;
    for (const who of Object.values(state.votes)) who === "tie" ? ties += 1 : counts[who] += 1;
    return { counts, ties };
  };
  const told = () => {
    const { counts, ties } = tally();
    return JSON.stringify({
      page: body.dataset.key, blind, seed: blind ? Number(body.dataset.blind) : null, prompts: prompts.length,
      tally: Object.fromEntries(names.map((name, at) => [name, counts[at]])), ties,
      votes: prompts.flatMap((_, at) => at in state.votes
        ? [{ prompt: at + 1, best: state.votes[at] === "tie" ? null : names[state.votes[at]] }] : []),
    }, null, 1);
  };
  const show = () => {
    try { localStorage.setItem(place, JSON.stringify(state)); } catch { /* then votes last as long as the page */ }
    body.classList.toggle("revealed", state.revealed);
    prompts.forEach((section, at) => section.querySelectorAll("button[data-vote]").forEach(button => {
      const own = String(state.votes[at]) === button.dataset.vote;
      button.setAttribute("aria-pressed", own);
      button.disabled = blind && state.revealed;
      button.closest(".card")?.classList.toggle("best", own);
    }));
    const done = Object.keys(state.votes).length, { counts, ties } = tally();
    find("judged").textContent = `${done} of ${prompts.length} judged`;
    find("progress").value = done;
    find("reveal").hidden = !blind || state.revealed;
    find("reveal").disabled = done === 0;
    find("copy").hidden = !state.revealed;
    find("copy").disabled = find("again").disabled = done === 0;
    find("tally").hidden = !state.revealed || done === 0;
    const most = Math.max(1, ...counts, ties);
    find("bars").replaceChildren(...[...names, "no difference"].map((name, at) => {
      const count = at < names.length ? counts[at] : ties, row = document.createElement("li");
      const label = document.createElement("span"), bar = document.createElement("progress"), number = document.createElement("b");
      label.textContent = name; number.textContent = count;
      bar.max = most; bar.value = count; bar.setAttribute("aria-label", `${name}: ${count}`);
      row.append(label, bar, number);
      return row;
    }));
    find("json").value = told();
  };
  document.addEventListener("click", event => {
    const vote = event.target.closest("button[data-vote]");
    if (!vote) return;
    const at = prompts.indexOf(vote.closest("[data-prompt]")), who = vote.dataset.vote;
    if (String(state.votes[at]) === who) delete state.votes[at];
    else state.votes[at] = who === "tie" ? "tie" : Number(who);
    show();
  });
  find("reveal").addEventListener("click", () => { state.revealed = true; show(); find("tally").scrollIntoView({ block: "center" }); });
  find("again").addEventListener("click", () => { state = { votes: {}, revealed: !blind }; show(); });
  find("copy").addEventListener("click", async () => {
    const box = find("json");
    find("votes").open = true;
    box.select();
    let copied = false;
    try { await navigator.clipboard.writeText(box.value); copied = true; } catch { copied = document.execCommand("copy"); }
    find("copied").textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { find("copied").textContent = ""; }, 2500);
  });
  show();
})();
