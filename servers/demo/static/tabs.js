// Six connections: what a browser gives an origin over HTTP/1.1, all its tabs together. Held polls and event streams fill
// them, and then everything else waits. This module notices, and explains, since it is part of their price.
//
// Rules:
// 1. Tabs ask each other over a BroadcastChannel how many requests they wait for. Answers, unlike timers, are not
//    throttled in hidden tabs, so a tab counts who answers rather than who speaks up by himself.
// 2. A stall is measured, not guessed: requestStart - fetchStart of the browser's own resource timing, and a request
//    that has been out for long while the connections are full.
// 3. WebSockets are counted apart by browsers, and are left out here.

import { inFlight } from "/browser/subscriber.js";

const CONNECTIONS = 6;
const ASK_EVERY_MS = 3000;
const ANSWERS_WITHIN_MS = 500;
const STALL_MS = 300;
/** How long a measured stall is worth a notice. */
const REMEMBER_MS = 10_000;

const notice = document.getElementById("connections-notice");
const me = Math.random().toString(36).slice(2);
let stall = { ms: 0, atMs: -Infinity };
let answers = new Map();

if (notice && "BroadcastChannel" in window) {
  const channel = new BroadcastChannel("wirelab-tabs");
  channel.onmessage = ({ data }) => {
    if (data.ask) channel.postMessage({ to: data.ask, from: me, requests: inFlight.requests });
    else if (data.to === me) answers.set(data.from, data.requests);
  };
  new PerformanceObserver((list) => {
    for (const { requestStart, fetchStart, connectStart, connectEnd } of list.getEntries()) {
      const waitedMs = requestStart - fetchStart - (connectEnd - connectStart);
      if (requestStart && waitedMs >= STALL_MS) stall = { ms: waitedMs, atMs: performance.now() };
    }
    // The list that the browser keeps by itself would fill up; nobody reads it.
    performance.clearResourceTimings();
  }).observe({ type: "resource" });

  setInterval(() => {
    if (document.hidden) return;
    answers = new Map();
    channel.postMessage({ ask: me });
    setTimeout(show, ANSWERS_WITHIN_MS);
  }, ASK_EVERY_MS);
}

function show() {
  const tabs = answers.size + 1;
  const requests = [...answers.values()].reduce((sum, each) => sum + each, inFlight.requests);
  const stalled = performance.now() - stall.atMs < REMEMBER_MS;
  const full = requests >= CONNECTIONS && tabs > 1;
  const text = full || (stalled && requests >= CONNECTIONS - 1 && tabs > 1) ? sentence(tabs, requests, stalled) : "";
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = text === "";
}

function sentence(tabs, requests, stalled) {
  const waited = stalled ? ` A request of this page just waited ${Math.round(stall.ms)} ms before it was even sent.` : "";
  return `${tabs} tabs of this browser wait for ${requests} requests to this server, and browsers allow ${CONNECTIONS} `
    + `HTTP/1.1 connections to one origin. Held polls and event streams fill them, so everything else stands in line.${waited} `
    + "That is part of their price; WebSockets are counted apart. Close some tabs and it goes away.";
}
