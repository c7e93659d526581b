// A WebSocket that heals: it says which state it is in, and comes back by itself, spread in time.
//
// States: connecting, live, stale (connected, but the gateway has lost its feed), waiting (for the
// next try), refused (the gateway said: do not come back).

const BACKOFF_BASE_MS = 1000;
const BACKOFF_CAP_MS = 30_000;
const HEALTHY_AFTER_MS = 10_000;
const PING_INTERVAL_MS = 10_000;
const SILENCE_MAX_MS = 25_000;

// Full jitter: anywhere between now and the ceiling, so that clients cut off together do not
// come back together.
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt);
}

// 4500 to 4999: trying again would end the same way.
const isFinal = (code) => code >= 4500 && code <= 4999;

export class Connection {
  constructor({ locate, channels, onState, onMessage }) {
    this.locate = locate; // async: the gateway's URL, asked anew for each try
    this.channels = channels;
    this.onState = onState;
    this.onMessage = onMessage;
    this.attempt = 0;
    this.state = "";
    this.subscribedSince = 0;
    addEventListener("online", () => this.state === "waiting" && this.open());
  }

  async open() {
    clearTimeout(this.retry);
    this.change("connecting");
    const url = await this.locate();
    this.feed = "live"; // until told otherwise
    const socket = (this.socket = new WebSocket(url, "wsgate.v1"));
    socket.onopen = () => this.send({ type: "subscribe", channels: this.channels });
    socket.onmessage = ({ data }) => this.receive(data);
    socket.onclose = ({ code, reason }) => this.closed(code, reason);
    this.heard = performance.now();
    this.watchdog = setInterval(() => this.watch(), PING_INTERVAL_MS);
  }

  // Cuts the line from this side, as a lost network would.
  cut() {
    if (this.socket?.readyState === WebSocket.OPEN) this.abandon("you cut the connection");
  }

  send(command) {
    this.socket.send(JSON.stringify(command));
  }

  receive(text) {
    this.heard = performance.now();
    const message = JSON.parse(text);
    if (message.type === "subscribed") this.subscribedSince = this.heard;
    if (message.type === "feed") this.feed = message.state; // may come before `subscribed`
    if (this.subscribedSince) this.change(this.feed);
    this.onMessage(message, text);
  }

  // A dead network closes nothing: only an unanswered ping tells.
  watch() {
    if (performance.now() - this.heard > SILENCE_MAX_MS) this.abandon("no sign of life");
    else if (this.socket.readyState === WebSocket.OPEN) this.send({ type: "ping" });
  }

  // Closing politely would wait for an answer that may never come.
  abandon(reason) {
    const socket = this.socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.closed(1006, reason);
  }

  closed(code, reason) {
    clearInterval(this.watchdog);
    const wasHealthy = this.subscribedSince && performance.now() - this.subscribedSince > HEALTHY_AFTER_MS;
    this.subscribedSince = 0;
    if (isFinal(code)) {
      this.change("refused", { code, reason });
      return;
    }
    this.attempt = wasHealthy ? 1 : this.attempt + 1;
    const delay = backoff(this.attempt);
    this.retryAt = performance.now() + delay;
    this.retry = setTimeout(() => this.open(), delay);
    this.change("waiting", { code, reason, delay });
  }

  change(state, detail = {}) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state, detail);
  }
}
