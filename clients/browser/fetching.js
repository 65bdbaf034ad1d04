// How every page fetches: no page calls `fetch` itself.
//
// Rules:
// 1. A fetch ends after a set time, its body included. By itself it never does, and whoever waits for it would hang.
// 2. Nothing is asked of the browser's HTTP cache, where identical GETs stand in line, those of other tabs too.
// 3. Older browsers have neither AbortSignal.timeout nor AbortSignal.any: what they do is done here.

export const ANSWER_TIMEOUT_MS = 10_000;

/** fetch() without the cache; rejects when `signal` aborts, or after `withinMs` with a TimeoutError. */
export function fetchWithin(target, { withinMs = ANSWER_TIMEOUT_MS, signal = null, ...options } = {}) {
  const late = timeout(withinMs);
  return fetch(target, { ...options, cache: "no-store", signal: signal ? either(signal, late) : late });
}

/** GET JSON. Rejects with a sentence that a page can show: the server's own, if it gave one. The error has the answer's
 *  `status`, or none if there was no answer. */
export async function getJson(target, options) {
  let response, text;
  try {
    response = await fetchWithin(target, options);
    text = await response.text();
  } catch ({ name }) {
    throw new Error(name === "TimeoutError" ? "The server did not answer in time." : "The server cannot be reached.");
  }
  const { status, statusText } = response;
  let value = null;
  try {
    value = JSON.parse(text);
    if (response.ok) return value;
  } catch {
    // Something in between has answered.
  }
  throw Object.assign(new Error(value?.detail ?? `The server answered ${status}${statusText ? ` ${statusText}` : ""}.`), { status });
}

/** POST a value as JSON, and get JSON; rejects as `getJson` does. */
export function postJson(target, value, options = {}) {
  return getJson(target, { ...options, method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
}

function timeout(ms) {
  if (AbortSignal.timeout) return AbortSignal.timeout(ms);
  const controller = new AbortController();
  setTimeout(() => controller.abort(new DOMException("no answer in time", "TimeoutError")), ms);
  return controller.signal;
}

function either(...signals) {
  if (AbortSignal.any) return AbortSignal.any(signals);
  const controller = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason);
    signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true, signal: controller.signal });
  }
  return controller.signal;
}
