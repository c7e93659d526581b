// The market table: rows are made once, changed in place, and glide when their order changes.

import { $, animate, element, setText } from "./dom.js";
import { change, count, dollars, hue, price } from "./format.js";
import { drawMovement, newSpark } from "./spark.js";

const FLASH_MS = 1100;
const GLIDE_MS = 450;
const ACTIONS = {
  buy: "bought",
  sell: "sold",
  create: "created",
  add_liquidity: "pool grown",
  remove_liquidity: "pool shrunk",
};

export class Table {
  constructor(model) {
    this.model = model;
    this.rows = new Map();
    this.body = $("rows");
    this.list = "trending";
    this.filter = "";
    for (const button of document.querySelectorAll("[data-list]")) {
      button.addEventListener("click", () => this.choose(button.dataset.list));
    }
    $("filter").addEventListener("input", ({ target }) => {
      this.filter = target.value.trim().toLowerCase();
      this.arrange();
    });
  }

  choose(list) {
    this.list = list;
    for (const button of document.querySelectorAll("[data-list]")) {
      button.setAttribute("aria-pressed", String(button.dataset.list === list));
    }
    this.arrange();
  }

  update(touched) {
    setText($("token-count"), this.model.tokens.size);
    for (const token of touched) {
      const row = this.rows.get(token.id);
      if (row) row.show(token, true);
    }
  }

  // Which rows, and in which order. Only now and then: a list that jumps about cannot be read.
  arrange() {
    const tokens = this.chosen();
    const before = this.positions();
    const wanted = new Set(tokens.map((token) => token.id));
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      row.node.remove();
      this.rows.delete(id);
    }
    tokens.forEach((token, place) => {
      if (!this.rows.has(token.id)) this.rows.set(token.id, new Row(token));
      const { node } = this.rows.get(token.id);
      if (this.body.children[place] !== node) this.body.insertBefore(node, this.body.children[place]);
    });
    this.glide(before);
    setText($("rows-empty"), this.filter ? "No token of that name." : "Waiting for the first tokens…");
    $("rows-empty").hidden = tokens.length > 0;
  }

  chosen() {
    const { model, filter } = this;
    if (filter) {
      const matches = ({ name, ticker, id }) => `${name} ${ticker} ${id}`.toLowerCase().includes(filter);
      return model.byMarketcap().filter(matches);
    }
    if (this.list === "all") return model.byMarketcap();
    return model.trending.map((id) => model.tokens.get(id)).filter(Boolean);
  }

  positions() {
    return new Map([...this.rows].map(([id, { node }]) => [id, node.offsetTop]));
  }

  glide(before) {
    for (const [id, { node }] of this.rows) {
      const was = before.get(id);
      const moved = was === undefined ? 0 : was - node.offsetTop;
      if (was === undefined) animate(node, [{ opacity: 0 }, { opacity: 1 }], GLIDE_MS);
      else if (moved) animate(node, [{ transform: `translateY(${moved}px)` }, { transform: "none" }], GLIDE_MS, "ease-in-out");
    }
  }
}

class Row {
  constructor(token) {
    this.name = element("b");
    this.ticker = element("small");
    this.badge = element("i", "badge");
    this.badge.style.setProperty("--hue", hue(token.id));
    this.spark = newSpark();
    this.spark.setAttribute("class", "spark");
    this.price = element("span", "price");
    this.day = element("td", "number day");
    this.marketcap = element("td", "number wide");
    this.holders = element("td", "number wide");
    this.action = element("td", "wide action");
    this.seq = element("td", "number wide seq");
    this.node = element(
      "tr",
      "",
      element("td", "", element("div", "token", this.badge, element("span", "", this.name, this.ticker))),
      element("td", "wide chart", this.spark),
      element("td", "number", this.price),
      this.day,
      this.marketcap,
      this.holders,
      this.action,
      this.seq,
    );
    this.show(token, false);
  }

  show(token, flash) {
    const day = change(token.price, token.dayAgo);
    setText(this.badge, token.ticker.slice(0, 2));
    setText(this.name, token.name);
    setText(this.ticker, token.ticker);
    setText(this.price, price(token.price));
    setText(this.day, day.text);
    this.day.dataset.side = day.share < 0 ? "down" : "up";
    setText(this.marketcap, dollars(token.marketcap));
    setText(this.holders, count(token.holders));
    setText(this.action, ACTIONS[token.action] ?? token.action);
    setText(this.seq, token.seq);
    this.spark.dataset.side = token.prices.at(-1) < token.prices[0] ? "down" : "up";
    drawMovement(this.spark, token.prices);
    if (flash && token.direction) this.flash(token.direction < 0 ? "down" : "up");
  }

  flash(side) {
    const lit = { background: `var(--${side}-soft)`, color: `var(--${side})` };
    animate(this.price, [lit, { ...lit, offset: 0.25 }, {}], FLASH_MS);
  }
}
