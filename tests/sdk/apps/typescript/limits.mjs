// Flow control, as the SDK registers it.
import { APP, note, pause, serve } from "./client.mjs";

const numbers = (events) => events.map((event) => event.data.n);

serve("batch", { batchEvents: { maxSize: 3, timeout: "10m" } }, async ({ runId, events }) => {
  note(runId, "batch", "called");
  return numbers(events);
});

const shops = { maxSize: 50, timeout: "3s", key: "event.data.shop" };
serve("batch_timeout", { batchEvents: shops }, async ({ events }) => numbers(events).sort());

serve("debounce", { debounce: { period: "2s", key: "event.data.user" } }, async ({ event, runId }) => {
  note(runId, "debounce", "called", { n: event.data.n, user: event.data.user });
  return event.data.n;
});

const hourly = { limit: 1, period: "1h", key: "event.data.user" };
serve("rate_limit", { rateLimit: hourly }, async ({ event }) => event.data.user);

serve("throttle", { throttle: { limit: 1, period: "2s" } }, async () => note("", "throttle", "called"));

async function busy({ event, runId, step }, of) {
  await step.run("work", async () => {
    note(runId, of, "in", { key: event.data.user });
    await pause(400);
    note(runId, of, "out", { key: event.data.user });
  });
}

const keyed = [{ limit: 1, key: "event.data.user" }];
serve("concurrency", { concurrency: keyed }, async (given) => busy(given, "concurrency"));

serve("concurrency_plain", { concurrency: 2 }, async (given) => busy(given, "concurrency_plain"));

const vips = { concurrency: 1, priority: { run: "event.data.vip == true ? 600 : 0" } };
serve("priority", vips, async ({ event }) => {
  note("", "priority", "called", { n: event.data.n });
  await pause(700);
});

const skip = { mode: "skip", key: "event.data.user" };
serve("singleton_skip", { singleton: skip }, async ({ step }) => {
  await step.waitForEvent("go", { event: `${APP}/singleton_skip.go`, timeout: "10m" });
  return "ran";
});

serve("singleton_cancel", { singleton: { mode: "cancel" } }, async ({ step }) => {
  await step.waitForEvent("go", { event: `${APP}/singleton_cancel.go`, timeout: "10m" });
  return "ran";
});

serve("idempotency", { idempotency: "event.data.order" }, async ({ event }) => event.data.order);

serve("every_minute", { triggers: [{ cron: "* * * * *" }] }, async ({ event, runId }) => {
  note(runId, "every_minute", "called", { event: event.name, data: event.data });
  return { cron: event.data.cron };
});
