// Waiting: for events, for other functions, for signals, for an end from outside.
import { APP, note, pause, sdk, serve } from "./client.mjs";

serve("wait_match", {}, async ({ step }) => {
  const answer = await step.waitForEvent("answer", { event: `${APP}/answer`, match: "data.id", timeout: "10m" });
  return answer ? { name: answer.name, data: answer.data, id: answer.id, ts: answer.ts } : {};
});

serve("wait_if", {}, async ({ step }) => {
  const wanted = "async.data.item == event.data.item && async.data.price >= event.data.floor";
  const bid = await step.waitForEvent("bid", { event: `${APP}/bid`, if: wanted, timeout: "10m" });
  return bid.data.price;
});

serve("wait_timeout", {}, async ({ step }) => {
  const answer = await step.waitForEvent("answer", { event: `${APP}/never`, timeout: "1s" });
  return answer === null ? "timed out" : "answered";
});

serve("wait_signal", {}, async ({ event, step }) => {
  const got = await step.waitForSignal("go", { signal: event.data.signal, timeout: "10m", onConflict: "fail" });
  const none = await step.waitForSignal("never", { signal: `${event.data.signal}-never`, timeout: "1s" });
  return { got, none };
});

serve("send_signal", {}, async ({ event, step }) => {
  await step.sendSignal("tell", { signal: event.data.signal, data: { from: "send_signal" } });
  return "sent";
});

const double = serve("double", {}, async ({ event, runId }) => {
  note(runId, "double", "called", { event: event.name });
  return { doubled: event.data.n * 2 };
});

const doomed = serve("doomed", { retries: 0 }, async () => {
  throw Object.assign(new Error("doomed from the start"), { name: "ValueError" });
});

const endless = serve("endless", {}, async ({ step }) => {
  await step.sleep("for ever", "1h");
});

serve("invoke", {}, async ({ step }) => {
  const first = await step.invoke("by object", { function: double, data: { n: 21 } });
  const named = sdk.referenceFunction({ appId: APP, functionId: "double" });
  return { first, second: await step.invoke("by id", { function: named, data: { n: first.doubled } }) };
});

async function told(call) {
  try {
    return { result: await call };
  } catch (error) {
    return { name: error.name, message: error.message, stack: error.stack ?? null };
  }
}

serve("invoke_failure", {}, async ({ step }) => told(step.invoke("doomed", { function: doomed })));

serve("invoke_timeout", {}, async ({ step }) => told(step.invoke("endless", { function: endless, timeout: "1s" })));

serve("invoke_missing", {}, async ({ step }) => {
  const nobody = sdk.referenceFunction({ appId: APP, functionId: "nobody" });
  return told(step.invoke("nobody", { function: nobody }));
});

const stop = { event: `${APP}/cancel_on.stop`, match: "data.id" };
serve("cancel_on", { cancelOn: [stop] }, async ({ runId, step }) => {
  note(runId, "cancel_on", "called");
  await step.sleep("for ever", "1h");
});

serve("cancel_called", { cancelOn: [{ event: `${APP}/cancel_called.stop` }] }, async ({ runId }) => {
  note(runId, "cancel_called", "called");
  await pause(4000);
  note(runId, "cancel_called", "returned");
  return "too late";
});

const soon = { event: `${APP}/cancel_timeout.stop`, timeout: "1s" };
serve("cancel_timeout", { cancelOn: [soon] }, async ({ step }) => {
  await step.sleep("past the time-out", "2s");
  await step.waitForEvent("go", { event: `${APP}/cancel_timeout.go`, timeout: "10m" });
  return "not cancelled";
});

serve("finish_late", { timeouts: { finish: "1s" } }, async ({ step }) => {
  await step.sleep("too long", "1h");
});

serve("twice_sent", {}, async ({ event }) => event.id);
