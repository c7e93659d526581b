// One small square for each token: coloured by the day's change, lit by every update.

import { $, animate, element } from "./dom.js";
import { change } from "./format.js";

const FULL_COLOUR_AT = 0.3;
const LIT_MS = 900;

export class Pulse {
  constructor() {
    this.squares = new Map();
    this.hint = $("pulse-hint");
    this.resting = this.hint.textContent;
    $("pulse").addEventListener("pointerover", ({ target }) => this.explain(target.token));
    $("pulse").addEventListener("pointerleave", () => (this.hint.textContent = this.resting));
  }

  draw(touched, forgotten) {
    const free = [...forgotten].map((id) => this.release(id)).filter(Boolean);
    for (const token of touched) this.light(token, free);
    for (const square of free) square.remove();
  }

  light(token, free) {
    const isNew = !this.squares.has(token.id);
    if (isNew) this.squares.set(token.id, free.pop() ?? $("pulse").appendChild(element("i")));
    const square = this.squares.get(token.id);
    square.token = token;
    const { share } = change(token.price, token.dayAgo);
    const strength = Math.min(1, Math.abs(share) / FULL_COLOUR_AT);
    this.paint(square, share < 0 ? "var(--down)" : "var(--up)", `${Math.round(14 + strength * 50)}%`);
    if (isNew) return;
    const glow = token.direction < 0 ? "var(--down)" : token.direction > 0 ? "var(--up)" : "var(--dim)";
    animate(square, [{ background: glow, transform: "scale(1.18)" }, {}], LIT_MS);
  }

  paint(square, side, strength) {
    if (square.side === side && square.strength === strength) return;
    Object.assign(square, { side, strength });
    square.style.setProperty("--side", side);
    square.style.setProperty("--strength", strength);
  }

  // A square stays where it is and goes to the next newcomer, so that the others do not move.
  release(id) {
    const square = this.squares.get(id);
    this.squares.delete(id);
    return square;
  }

  explain(token) {
    if (!token) return;
    const day = change(token.price, token.dayAgo).text;
    this.hint.textContent = `${token.name} (${token.ticker}), ${day} today, ${token.updates} updates here: token.${token.id}.update`;
  }
}
