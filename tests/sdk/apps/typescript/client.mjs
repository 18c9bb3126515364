// The client of the app, and how its functions are made: one for each case, started by the event `<app>/<case>`.
// Which line of the SDK it is, is named by the environment; triggers are the second argument in 3.x, an option in 4.x.
import fs from "node:fs";

export const sdk = await import(process.env.SDK);
export const { createServer } = await import(`${process.env.SDK}/node`);
export const NEWER = process.env.SDK === "inngest4";
export const APP = process.env.APP_ID;
export const functions = [];

export const quiet = { info() {}, debug() {}, warn: console.warn, error: console.error };

// Middleware for events that are sent: of one function in 4.x, of the client in 3.x.
export const through = (event) => ({ ...event, data: { ...event.data, "sent through": "middleware" } });
const sending = () =>
  new sdk.InngestMiddleware({
    name: "through",
    init: () => ({
      onSendEvent: () => ({ transformInput: ({ payloads }) => ({ payloads: payloads.map(through) }) }),
    }),
  });
export const client = new sdk.Inngest({ id: APP, logger: quiet, middleware: NEWER ? [] : [sending()] });

export function define(using, { id, triggers, retries = 2, ...options }, code) {
  const wanted = triggers ?? [{ event: `${using.id}/${id}` }];
  return NEWER
    ? using.createFunction({ id, retries, triggers: wanted, ...options }, code)
    : using.createFunction({ id, retries, ...options }, wanted, code);
}

export function serve(id, options, code) {
  const made = define(client, { id, ...options }, code);
  functions.push(made);
  return made;
}

// What tests read beside results: which callables ran, for which run, how often and when. A line is there at once.
const ledger = fs.openSync(process.env.LEDGER, "a", 0o600);
export function note(run, of, what, more = {}) {
  fs.writeSync(ledger, `${JSON.stringify({ case: of, what, run, at: Date.now() / 1000, ...more })}\n`);
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
