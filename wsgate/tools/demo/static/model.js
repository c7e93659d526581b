// What the page knows, without a word about how it looks.

const TOKENS_MAX = 100; // as many as the market has: a delisted one falls silent, and is forgotten
const PRICES_MAX = 48;
const COMMENTS_MAX = 8;
const LISTINGS_MAX = 5;
const DELAYS_MAX = 101;
const DELAY_BELIEVABLE_MS = 60_000; // past that the clocks of both sides disagree

export class Model {
  constructor() {
    this.tokens = new Map(); // id → token, the least recently updated first
    this.trending = [];
    this.comments = [];
    this.listings = [];
    this.last = null;
    this.merged = 0;
    this.holes = 0;
    this.delays = [];
    this.touched = new Set();
    this.forgotten = new Set();
    this.newConnection();
  }

  // Positions mean something within one connection's epoch only.
  newConnection() {
    this.seqs = new Map();
  }

  publication({ type, channel, seq, prev, data }) {
    const before = this.seqs.get(channel);
    this.seqs.set(channel, seq);
    this.last = { channel, seq, prev };
    const object = data && typeof data === "object" ? data : {};
    const tokenId = channel.split(".")[1];
    if (type === "token_update") {
      // Only the latest counts here: updates that we never saw were merged into this one.
      if (before !== undefined) this.merged += Math.max(0, seq - before - 1);
      if (before !== undefined) this.measureDelay(object.last_action_time);
      this.update(tokenId, object, seq);
      return;
    }
    if (channel === "global.trending") {
      this.setTrending(object);
      return;
    }
    // Every message counts here: the one before this should be the last that we saw.
    if (before !== undefined && prev > before) this.holes += 1;
    if (type === "token_comment") {
      this.comments.unshift({ ...object, ticker: object.ticker ?? tokenId, seq });
      this.comments.length = Math.min(this.comments.length, COMMENTS_MAX);
    } else if (channel === "global.new_listing") {
      this.listings.unshift({ ...object, seq });
      this.listings.length = Math.min(this.listings.length, LISTINGS_MAX);
    }
  }

  // A gap has its place in the list: what is missing was said between these two comments.
  gap(channels) {
    if (channels.some((name) => name.endsWith(".comment") || name.endsWith(">"))) {
      if (!this.comments[0]?.gap) this.comments.unshift({ gap: true });
    }
  }

  update(id, data, seq) {
    const known = this.tokens.get(id);
    const token = known ?? { id, prices: finite([data.price_5m]), updates: 0 };
    const price = Number(data.price);
    token.direction = known && price !== token.price ? Math.sign(price - token.price) : 0;
    if (Number.isFinite(price) && price !== token.price) token.prices.push(price);
    if (token.prices.length > PRICES_MAX) token.prices.shift();
    token.name = text(data.name, id);
    token.ticker = text(data.ticker, id);
    token.price = price;
    token.dayAgo = Number(data.price_1d);
    token.marketcap = Number(data.marketcap);
    token.holders = Number(data.holder_count);
    token.action = text(data.last_action, "");
    token.seq = seq;
    token.updates += 1;
    this.tokens.delete(id); // and in again at the end: a Map remembers the order of insertion
    this.tokens.set(id, token);
    this.touched.add(id);
    if (this.tokens.size > TOKENS_MAX) this.forget(this.tokens.keys().next().value);
  }

  forget(id) {
    this.tokens.delete(id);
    this.touched.delete(id);
    this.forgotten.add(id);
  }

  setTrending({ trending }) {
    if (!Array.isArray(trending)) return;
    this.trending = trending.map((token) => text(token?.id, "")).filter(Boolean);
  }

  measureDelay(time) {
    const delay = Date.now() - Date.parse(time);
    if (!(Math.abs(delay) < DELAY_BELIEVABLE_MS)) return;
    this.delays.push(Math.max(0, delay));
    if (this.delays.length > DELAYS_MAX) this.delays.shift();
  }

  medianDelay() {
    const sorted = [...this.delays].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  // The tokens that changed since the last call.
  takeTouched() {
    const touched = this.touched;
    this.touched = new Set();
    return touched;
  }

  takeForgotten() {
    const forgotten = this.forgotten;
    this.forgotten = new Set();
    return forgotten;
  }

  byMarketcap() {
    return [...this.tokens.values()].sort((a, b) => (b.marketcap || 0) - (a.marketcap || 0));
  }
}

// How much arrives, second by second, for the last minute.
export class Meter {
  constructor(seconds = 60) {
    this.seconds = seconds;
    this.history = [];
    this.current = 0;
    this.second = 0;
  }

  add(amount, nowMs) {
    this.advance(nowMs);
    this.current += amount;
  }

  advance(nowMs) {
    const second = Math.floor(nowMs / 1000);
    if (!this.second) this.second = second;
    const passed = Math.min(second - this.second, this.seconds);
    for (let i = 0; i < passed; i++) {
      this.history.push(this.current);
      if (this.history.length > this.seconds) this.history.shift();
      this.current = 0;
    }
    this.second = second;
  }

  // Calm: the mean of the last three whole seconds.
  rate() {
    const recent = this.history.slice(-3);
    return recent.reduce((sum, n) => sum + n, 0) / (recent.length || 1);
  }
}

const finite = (values) => values.map(Number).filter(Number.isFinite);
const text = (value, otherwise) => (typeof value === "string" && value ? value : otherwise);
