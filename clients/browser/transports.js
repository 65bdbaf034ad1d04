// The transports of this server, as its registry lists them: a page that shows all of them loops over this, and
// so shows one that is added later. A transport's module is its name's file (short-poll: short_poll.js), and its
// class is the module's default export.

import { getJson } from "./fetching.js";

/** Fetch the registry: [{name, label, colour, in_race, Subscriber, missing}]. Where this browser has no client for a transport,
 *  Subscriber is null and `missing` is a sentence that says so. */
export async function loadTransports() {
  const listed = await getJson("/demo/transports.json");
  return Promise.all(listed.map(async ({ module, ...transport }) => {
    transport.label ??= transport.name;
    try {
      const { default: Subscriber } = await import(module);
      return { ...transport, Subscriber, missing: "" };
    } catch (error) {
      return { ...transport, Subscriber: null, missing: `No browser client: ${module} could not be loaded (${error.message}).` };
    }
  }));
}
