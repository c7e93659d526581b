// The live page of `wsgate demo`. Messages change the model at once; the page is drawn at most
// once per frame, whatever arrives.

import { Connection } from "./connection.js";
import { $, setText } from "./dom.js";
import { Meter, Model } from "./model.js";
import { EventLog, Feed, Figures, Notice, commentNode, listingNode, showExamples } from "./panels.js";
import { Pulse } from "./pulse.js";
import { Table } from "./table.js";

const CHANNELS = ["global.trending", "global.new_listing", "token.*.update", "token.*.comment"];
const LOCATE_TIMEOUT_MS = 3000;
const FIGURES_MS = 500;

const model = new Model();
const messages = new Meter();
const volume = new Meter();
const table = new Table(model);
const pulse = new Pulse();
const figures = new Figures(model, messages, volume);
const comments = new Feed("comments", commentNode);
const listings = new Feed("listings", listingNode);
const log = new EventLog();
const notice = new Notice();

// Asked anew for each try: a demo that was started again may have another port.
let config;
async function locate() {
  try {
    const answer = await fetch("config.json", { signal: AbortSignal.timeout(LOCATE_TIMEOUT_MS) });
    config = await answer.json();
    showExamples(config);
  } catch (error) {
    if (!config) console.warn("config.json:", error);
  }
  return config?.url ?? `ws://${location.hostname}:3002/`;
}

const encoder = new TextEncoder();
function receive(message, text) {
  const now = performance.now();
  messages.add(1, now);
  volume.add(encoder.encode(text).length, now);
  if (message.channel) {
    model.publication(message);
    if (message.channel === "global.trending") rearrange = true;
  } else if (message.type === "subscribed") {
    model.newConnection();
    for (const [channel, { code }] of Object.entries(message.errors ?? {})) log.add("bad", `${channel}: ${code}`);
  } else if (message.type === "gap") {
    const channels = message.channels.join(", ");
    model.gap(message.channels);
    log.add("warn", `gap: ${channels}`);
    notice.showBriefly("warn", `A gap: some messages of ${channels} were missed and will not be repeated.`);
  } else if (message.type === "error") {
    log.add("bad", `${message.code}: ${message.message}`);
  }
  schedule();
}

function stateChanged(state, { code, reason, delay }) {
  document.body.dataset.state = state;
  setText($("state"), { live: "live", stale: "stale", connecting: "connecting", waiting: "reconnecting", refused: "refused" }[state]);
  $("cut").disabled = state !== "live" && state !== "stale";
  if (state === "live") {
    log.add("good", "live: connected, subscribed, fed");
    notice.settle();
  } else if (state === "stale") {
    log.add("warn", "stale: the gateway has lost its feed");
    notice.show("warn", "The gateway has lost its feed: prices stand still until it is back. This connection is fine and stays open.");
  } else if (state === "waiting") {
    const why = reason || (code === 1006 ? "no connection" : `closed with ${code}`);
    log.add("bad", `${why}; trying again in ${(delay / 1000).toFixed(1)} s`);
    countDown();
  } else if (state === "refused") {
    log.add("bad", `refused: ${code} ${reason}`);
    notice.show("bad", `The gateway refused this page (${code} ${reason}). Reload to try again.`);
  }
}

function countDown() {
  if (connection.state !== "waiting") return;
  const seconds = Math.max(0, (connection.retryAt - performance.now()) / 1000).toFixed(1);
  setText($("state"), `reconnecting in ${seconds} s`);
  notice.show("bad", `Connection lost. Next try in ${seconds} s (number ${connection.attempt}).`);
  setTimeout(countDown, 100);
}

let scheduled = false;
let rearrange = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(draw);
}

function draw() {
  scheduled = false;
  const touched = [...model.takeTouched()].map((id) => model.tokens.get(id));
  pulse.draw(touched, model.takeForgotten());
  table.update(touched);
  if (rearrange || touched.some((token) => token.updates === 1)) table.arrange();
  rearrange = false;
  comments.draw(model.comments);
  listings.draw(model.listings);
}

setInterval(() => {
  messages.advance(performance.now());
  volume.advance(performance.now());
  figures.draw();
}, FIGURES_MS);

const connection = new Connection({ locate, channels: CHANNELS, onState: stateChanged, onMessage: receive });
$("cut").addEventListener("click", () => connection.cut());
connection.open();
