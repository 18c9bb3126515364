// What pages can do better with scripts; all of them work without. Served by the console itself, no other script runs.
"use strict";
(() => {
  const LIVE_MS = 2000;
  document.documentElement.classList.add("scripted");

  // Times: the server writes them in UTC; here they become the reader's own.
  const pad = (number, width = 2) => String(number).padStart(width, "0");
  const localize = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const today = new Date().toDateString() === at.toDateString();
      const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} `;
      const clock = document.createElement("b");
      clock.textContent = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
      time.replaceChildren(today ? "" : day, clock, `.${pad(at.getMilliseconds(), 3)}`);
      time.title = time.dateTime;
    }
  };

  // Live pages renew their content. Nothing is torn from under somebody who selects, opens or types.
  let etag = "";
  const renew = async () => {
    const live = document.getElementById("live");
    if (!live || !("live" in live.dataset) || document.hidden) return;
    let answer;
    try {
      answer = await fetch(location.href, { headers: { accept: "text/html", ...(etag && { "if-none-match": etag }) }, cache: "no-store" });
    } catch {
      document.getElementById("lag").innerHTML = '<span class="lag lag-bad"><i></i>The server does not answer</span>';
      return;
    }
    if (answer.status !== 200) return;
    etag = answer.headers.get("etag") || "";
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (!fresh) return;
    const lag = page.getElementById("lag");
    if (lag) document.getElementById("lag").replaceChildren(...lag.childNodes);
    if (!("live" in fresh.dataset)) delete live.dataset.live;
    const selection = getSelection();
    const selects = selection && !selection.isCollapsed && live.contains(selection.anchorNode);
    if (selects || live.contains(document.activeElement)) return;
    const toggled = new Map([...live.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    const scrolled = new Map([...live.querySelectorAll("pre")].map((one, index) => [index, one.scrollTop]));
    for (const one of fresh.querySelectorAll("details[id]")) if (toggled.has(one.id)) one.open = toggled.get(one.id);
    localize(fresh);
    live.replaceChildren(...fresh.childNodes);
    live.querySelectorAll("pre").forEach((one, index) => { one.scrollTop = scrolled.get(index) || 0; });
  };
  setInterval(renew, LIVE_MS);
  document.addEventListener("visibilitychange", renew);

  // Filters apply themselves.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-auto]");
    if (form) form.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.ask && !confirm(form.dataset.ask)) { event.preventDefault(); return; }
    if (form.method === "get") for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  });

  // Ids are copied by a click.
  document.addEventListener("click", async (event) => {
    const copied = event.target.closest("[data-copy]");
    if (!copied || !navigator.clipboard) return;
    await navigator.clipboard.writeText(copied.dataset.copy);
    const words = copied.textContent;
    copied.textContent = "Copied";
    setTimeout(() => { copied.textContent = words; }, 900);
  });

  // What a bar of the waterfall stands for.
  let tip;
  document.addEventListener("pointermove", (event) => {
    const bar = event.target.closest ? event.target.closest("[data-words]") : null;
    if (!bar) { if (tip) { tip.remove(); tip = null; } return; }
    if (!tip) { tip = document.createElement("div"); tip.className = "tip"; document.body.append(tip); }
    tip.textContent = bar.dataset.words;
    const left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8);
    tip.setAttribute("style", "");
    tip.style.left = `${left}px`;
    tip.style.top = `${event.clientY + 16}px`;
  });

  // The link to a step opens it.
  const open = () => {
    const step = location.hash.startsWith("#step-") && document.getElementById(location.hash.slice(1));
    if (step) { step.open = true; step.scrollIntoView({ block: "nearest" }); }
  };
  addEventListener("hashchange", open);

  // The form for an event says at once whether its data are JSON.
  document.addEventListener("input", (event) => {
    if (!("json" in event.target.dataset)) return;
    try { JSON.parse(event.target.value || "{}"); event.target.setCustomValidity(""); event.target.classList.remove("wrong"); }
    catch (problem) { event.target.setCustomValidity(problem.message); event.target.classList.add("wrong"); }
  });

  localize(document);
  open();
})();
