// Keeps the part of the page marked with data-refresh as fresh as the ledger, without moving it.
"use strict";

const EVERY_MS = 2000;
const part = document.querySelector("[data-refresh]");
const connection = document.getElementById("connection");
let shown = null;
let freshAt = new Date();

function userIsBusy() {
  const selection = window.getSelection();
  return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
}

function replace(text) {
  const open = new Set([...part.querySelectorAll("details[open]")].map((d) => d.id));
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const id = focused && focused.id;
  const href = focused && focused.getAttribute("href");
  const scrolled = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  const next = document.createElement("template");
  next.innerHTML = text;
  // Pictures that stay are moved over instead of loaded again, so that nothing flickers.
  const pictures = new Map([...part.querySelectorAll("img")].map((i) => [i.getAttribute("src"), i]));
  for (const image of next.content.querySelectorAll("img")) {
    const same = pictures.get(image.getAttribute("src"));
    if (same) image.replaceWith(same);
  }
  for (const details of next.content.querySelectorAll("details")) {
    details.open = open.has(details.id);
  }
  part.replaceChildren(next.content);
  part.querySelectorAll(".scroll").forEach((box, n) => { box.scrollLeft = scrolled[n] || 0; });
  const again = (id && document.getElementById(id)) ||
    (href && part.querySelector(`a[href="${CSS.escape(href)}"]`));
  if (again) again.focus({ preventScroll: true });
}

async function refresh() {
  if (document.hidden || userIsBusy()) return;
  try {
    const response = await fetch(part.dataset.refresh, { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const text = await response.text();
    if (text !== shown) replace(text);
    shown = text;
    freshAt = new Date();
    connection.textContent = "";
    document.body.classList.remove("stale");
  } catch {
    const at = freshAt.toLocaleTimeString();
    connection.textContent = `The node does not answer: what is shown is of ${at}.`;
    document.body.classList.add("stale");
  }
}

async function keepFresh() {
  await refresh();
  setTimeout(keepFresh, EVERY_MS);
}

if (part) {
  setTimeout(keepFresh, EVERY_MS);
  document.addEventListener("visibilitychange", refresh);
}
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
