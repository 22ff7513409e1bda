"use strict";
// One answer at a time; what was decided is kept in this browser, under the digest of the page's texts.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const items = data.items;
  let state = { at: 0, reviewer: "", said: {} };
  let fixing = false;

  const keyOf = (item) => `${item.id}|${item.turn}`;
  const saidOf = (item) => state.said[keyOf(item)] || {};

  function load() {
    try {
      state = { ...state, ...JSON.parse(localStorage.getItem(data.key) || "{}") };
      localStorage.setItem(data.key, JSON.stringify(state));
    } catch (error) {
      find("unsaved").hidden = false;
    }
    if (!(state.at in items)) state.at = 0;
  }

  function save() {
    try {
      localStorage.setItem(data.key, JSON.stringify(state));
    } catch (error) {
      find("unsaved").hidden = false;
    }
  }

  function film(item) {
    const clip = data.clips[item.clip];
    const place = find("film");
    if (place.dataset.clip === item.clip) return;
    place.dataset.clip = item.clip;
    let shown;
    if (clip.kind === "film") {
      shown = document.createElement("video");
      Object.assign(shown, { src: clip.uri, controls: true, muted: true, loop: true, autoplay: true, playsInline: true });
      shown.setAttribute("aria-label", "The clip");
    } else if (clip.kind === "stills") {
      shown = document.createElement("img");
      Object.assign(shown, { src: clip.uri, alt: "Stills of the clip, from its beginning to its end" });
    } else {
      shown = document.createElement("p");
      shown.textContent = clip.words;
    }
    place.replaceChildren(shown);
  }

  function show() {
    const item = items[state.at];
    const said = saidOf(item);
    film(item);
    find("place").textContent = `${state.at + 1} of ${items.length} · ${item.kind}` + (item.phase ? ` · ${item.phase}` : "") + ` · ${item.case}`;
    find("question").textContent = said.verdict === "fix" ? said.question : item.question;
    find("answer").textContent = said.verdict === "fix" ? said.answer : item.answer;
    find("note").value = said.note || "";
    find("fix").hidden = !fixing;
    find("verdicts").hidden = fixing;
    find("answer").classList.toggle("old", fixing);
    for (const button of find("verdicts").children) button.setAttribute("aria-pressed", String(button.dataset.verdict === said.verdict));
    const counts = { accept: 0, fix: 0, reject: 0 };
    items.forEach((one, number) => {
      const verdict = saidOf(one).verdict;
      if (verdict) counts[verdict] += 1;
      const button = find("all").children[number].firstChild;
      button.className = verdict || "";
      button.setAttribute("aria-current", String(number === state.at));
      button.setAttribute("aria-label", `Answer ${number + 1}: ${verdict || "open"}`);
    });
    const done = counts.accept + counts.fix + counts.reject;
    find("done").value = done;
    find("said").textContent = `${done} of ${items.length} judged`;
    find("tally").textContent = `${counts.accept} accepted, ${counts.fix} fixed, ${counts.reject} rejected`;
    save();
  }

  function go(number) {
    fixing = false;
    state.at = Math.min(Math.max(number, 0), items.length - 1);
    show();
  }

  function next() {
    for (let step = 1; step <= items.length; step += 1) {
      const number = (state.at + step) % items.length;
      if (!saidOf(items[number]).verdict) return go(number);
    }
    return go(state.at);
  }

  function decide(verdict, question, answer) {
    const item = items[state.at];
    state.said[keyOf(item)] = { ...saidOf(item), verdict, question, answer };
    next();
  }

  function judge(verdict) {
    const item = items[state.at];
    if (verdict !== "fix") return decide(verdict, item.question, item.answer);
    const said = saidOf(item);
    fixing = true;
    show();
    find("fix-question").value = said.verdict === "fix" ? said.question : item.question;
    find("fix-answer").value = said.verdict === "fix" ? said.answer : item.answer;
    find("fix-answer").focus();
    return undefined;
  }

  function saveFix() {
    const answer = find("fix-answer").value.trim();
    if (!answer) return find("fix-answer").focus();
    decide("fix", find("fix-question").value.trim() || items[state.at].question, answer);
    return find("main").focus();
  }

  function leaveFix() {
    fixing = false;
    show();
    find("main").focus();
  }

  // RFC 4180, and a byte-order mark, without which spreadsheet programs take UTF-8 for something else.
  function table() {
    const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const rows = items.filter((item) => saidOf(item).verdict).map((item) => {
      const row = { ...item, ...saidOf(item), reviewer: state.reviewer };
      return data.columns.map((column) => cell(String(row[column] ?? ""))).join(",");
    });
    return `\ufeff${[data.columns.join(","), ...rows].join("\r\n")}\r\n`;
  }

  function exportTable() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    link.download = "corrections.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  items.forEach((_, number) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: String(number + 1) });
    button.addEventListener("click", () => go(number));
    const entry = document.createElement("li");
    entry.append(button);
    find("all").append(entry);
  });
  for (const button of find("verdicts").children) button.addEventListener("click", () => judge(button.dataset.verdict));
  find("fix").addEventListener("submit", (event) => { event.preventDefault(); saveFix(); });
  find("cancel").addEventListener("click", leaveFix);
  find("back").addEventListener("click", () => go(state.at - 1));
  find("on").addEventListener("click", () => go(state.at + 1));
  find("open").addEventListener("click", next);
  find("export").addEventListener("click", exportTable);
  find("forget").addEventListener("click", () => {
    if (confirm("Forget all verdicts of this page?")) { state = { at: 0, reviewer: state.reviewer, said: {} }; go(0); }
  });
  find("note").addEventListener("input", (event) => {
    const item = items[state.at];
    state.said[keyOf(item)] = { ...saidOf(item), note: event.target.value };
    save();
  });
  find("reviewer").addEventListener("input", (event) => { state.reviewer = event.target.value; save(); });

  const keys = {
    a: () => judge("accept"), f: () => judge("fix"), r: () => judge("reject"), u: next, e: exportTable,
    arrowleft: () => go(state.at - 1), arrowright: () => go(state.at + 1),
  };
  document.addEventListener("keydown", (event) => {
    if (fixing && event.key === "Escape") return leaveFix();
    if (fixing && event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); return saveFix(); }
    const writing = event.target.matches("input, textarea");
    if (writing && event.key === "Escape") return event.target.blur();
    if (writing || fixing || event.ctrlKey || event.metaKey || event.altKey) return undefined;
    // The arrows of a film that has the focus are its own.
    if (event.target.matches("video") && event.key.startsWith("Arrow")) return undefined;
    const key = keys[event.key.toLowerCase()];
    if (key) { event.preventDefault(); key(); }
    return undefined;
  });

  load();
  find("reviewer").value = state.reviewer;
  show();
})();
