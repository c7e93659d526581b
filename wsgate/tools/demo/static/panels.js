// Everything beside the market: figures, listings, comments, the log, notices, examples.

import { $, animate, element, setText } from "./dom.js";
import { bytes, clock, count, dollars, hue, price } from "./format.js";
import { drawAmounts, prepareSpark } from "./spark.js";

const EVENTS_MAX = 7;
const BRIEF_MS = 8000;

export class Figures {
  constructor(model, messages, volume) {
    Object.assign(this, { model, messages, volume });
    this.sparks = [prepareSpark($("messages-spark")), prepareSpark($("bytes-spark"))];
  }

  draw() {
    const { model } = this;
    setText($("messages"), count(Math.round(this.messages.rate())));
    const [number, unit] = bytes(this.volume.rate());
    setText($("bytes"), number);
    setText($("bytes-unit"), unit);
    drawAmounts(this.sparks[0], this.messages.history, this.messages.seconds);
    drawAmounts(this.sparks[1], this.volume.history, this.volume.seconds);
    setText($("delay"), model.medianDelay() ?? "–");
    const merged = model.merged ? `${count(model.merged)} merged` : "none merged";
    const missed = model.holes ? `${count(model.holes)} holes` : "none missed";
    setText($("continuity"), `${merged}, ${missed}`);
    setText($("last-seq"), model.last?.seq ?? "–");
    setText($("last-channel"), model.last?.channel ?? "waiting for the first");
  }
}

// A list that grows at its top. `key` tells which entries are on the page already.
export class Feed {
  constructor(id, make) {
    this.list = $(id);
    this.make = make;
    this.shown = new Map();
  }

  draw(entries) {
    const wanted = new Set(entries);
    for (const [entry, node] of this.shown) {
      if (wanted.has(entry)) continue;
      node.remove();
      this.shown.delete(entry);
    }
    for (const entry of [...entries].reverse()) {
      if (this.shown.has(entry)) continue;
      const node = this.make(entry);
      this.shown.set(entry, node);
      this.list.prepend(node);
      animate(node, [{ opacity: 0, transform: "translateY(-6px)" }, { opacity: 1, transform: "none" }], 350);
    }
  }
}

export function commentNode(comment) {
  if (comment.gap) return element("li", "gap", "some comments are missing here");
  const user = element("b", "", String(comment.user ?? "somebody"));
  user.style.setProperty("--hue", hue(user.textContent));
  const about = element("small", "", `on ${comment.ticker}`);
  return element("li", "comment", user, about, element("p", "", String(comment.text ?? "")));
}

export function listingNode(token) {
  const badge = element("i", "badge", String(token.ticker ?? "?").slice(0, 2));
  badge.style.setProperty("--hue", hue(String(token.id)));
  const facts = `${price(Number(token.price))} · cap ${dollars(Number(token.marketcap))}`;
  const words = element("span", "", element("b", "", String(token.name ?? token.id ?? "nameless")), element("small", "", facts));
  return element("li", "listing", badge, words, element("time", "", clock(new Date(token.created_time ?? Date.now()))));
}

export class EventLog {
  add(kind, words) {
    const list = $("events");
    list.prepend(element("li", kind, element("time", "", clock()), element("span", "", words)));
    while (list.children.length > EVENTS_MAX) list.lastChild.remove();
  }
}

// One line over the page while something is wrong, and for a moment when something was.
export class Notice {
  constructor() {
    this.node = $("notice");
  }

  show(kind, words) {
    clearTimeout(this.timer);
    this.timer = 0;
    this.node.dataset.kind = kind;
    this.node.hidden = false;
    setText(this.node, words);
  }

  showBriefly(kind, words) {
    this.show(kind, words);
    this.timer = setTimeout(() => (this.node.hidden = true), BRIEF_MS);
  }

  // All is well again; what is shown briefly goes by itself.
  settle() {
    if (!this.timer) this.node.hidden = true;
  }
}

export function showExamples({ examples = [], hint = "" }) {
  if (hint) setText($("examples-hint"), hint);
  const entries = examples.flatMap(({ title, command }) => {
    const copy = element("button", "copy", "Copy");
    copy.type = "button";
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(command);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    });
    return [element("dt", "", title), element("dd", "", element("code", "", command), copy)];
  });
  $("examples").replaceChildren(...entries);
}
