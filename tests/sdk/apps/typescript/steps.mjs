// Steps: what they give, what is remembered of them, how they are named.
import { APP, NEWER, client, note, sdk, serve, through } from "./client.mjs";

const MEBIBYTE = 1 << 20;

serve("plain", {}, async ({ event, runId, attempt }) => {
  note(runId, "plain", "called");
  return { hello: event.data.name, run: runId, attempt };
});

serve("nothing", {}, async ({ runId }) => {
  note(runId, "nothing", "called");
});

serve("plain_def", {}, async ({ step }) => {
  const one = await step.run("one", () => 1);
  await step.sleep("nap", 1000);
  return { sum: one + (await step.run("two", () => 2)) };
});

serve("steps", {}, async ({ runId, step }) => {
  note(runId, "steps", "called");
  const order = await step.run("load", () => {
    note(runId, "steps", "load");
    return { price: 20 };
  });
  const charge = (paid, times) => {
    note(runId, "steps", "charge");
    return paid.price * times;
  };
  const total = await step.run("charge", charge, order, 3);
  const forgotten = await step.run("forget", () => {
    note(runId, "steps", "forget");
  });
  return { total, forgotten: forgotten ?? null };
});

serve("loop", {}, async ({ runId, step }) => {
  const squares = [];
  for (let number = 0; number < 5; number += 1) {
    const square = await step.run("square", () => {
      note(runId, "loop", `square ${number}`);
      return number * number;
    });
    squares.push(square);
  }
  return squares;
});

serve("odd_ids", {}, async ({ event, step }) => {
  const said = [];
  for (const name of event.data.ids) said.push(await step.run(name, () => name));
  return said;
});

serve("sleep", {}, async ({ runId, step }) => {
  await step.run("before", () => note(runId, "sleep", "before"));
  await step.sleep("nap", "1s");
  await step.run("after", () => note(runId, "sleep", "after"));
  return "slept";
});

serve("sleep_until", {}, async ({ event, runId, step }) => {
  await step.sleepUntil("nap", new Date(event.data.until));
  note(runId, "sleep_until", "woken");
  return "slept";
});

serve("send_event", {}, async ({ runId, step }) => {
  const events = [0, 1].map((n) => ({ name: `${APP}/received`, data: { n, by: runId } }));
  return step.sendEvent("tell", events);
});

serve("received", {}, async ({ event }) => {
  note(event.data.by, "received", "called", { n: event.data.n });
  return event.data.n;
});

serve("large", {}, async ({ runId, step }) => {
  let sum = 0;
  for (let number = 0; number < 6; number += 1) {
    const page = await step.run(`page ${number}`, () => {
      note(runId, "large", `page ${number}`);
      return String(number).repeat(MEBIBYTE);
    });
    if (page[0] !== String(number)) throw new sdk.NonRetriableError(`page ${number} is another one`);
    sum += page.length;
  }
  return sum;
});

serve("shared", { triggers: [{ event: "shared/greeting" }] }, async ({ event }) => `${APP} greets ${event.data.name}`);

const conditional = [{ event: `${APP}/several_triggers`, if: "event.data.n > 1" }, { event: `${APP}/wild.*` }];
serve("several_triggers", { triggers: conditional }, async ({ event }) => event.name);

// Middleware is a class in 4.x and an object with hooks in 3.x; both see every call and change what goes in and out.
// Hooks of 3.x for events that are sent belong to the client: see there.
const classes = () =>
  class extends sdk.Middleware.BaseMiddleware {
    id = "stamp";
    transformFunctionInput(given) {
      const { event } = given.ctx;
      return { ...given, ctx: { ...given.ctx, event: { ...event, data: { ...event.data, stamped: true } } } };
    }
    async wrapFunctionHandler({ next }) {
      return `<${await next()}>`;
    }
    async wrapStepHandler({ next }) {
      const output = await next();
      return typeof output === "string" ? `<${output}>` : output;
    }
    transformSendEvent(given) {
      return { ...given, events: given.events.map(through) };
    }
  };
const hooks = () =>
  new sdk.InngestMiddleware({
    name: "stamp",
    init: () => ({
      onFunctionRun: () => ({
        transformInput: ({ ctx }) => ({ ctx: { event: { ...ctx.event, data: { ...ctx.event.data, stamped: true } } } }),
        transformOutput: ({ result }) =>
          typeof result.data === "string" ? { result: { ...result, data: `<${result.data}>` } } : undefined,
      }),
    }),
  });

serve("middleware", { middleware: [NEWER ? classes() : hooks()] }, async ({ event, runId, step }) => {
  const text = await step.run("inside", () => (event.data.stamped ? "inside" : "unstamped"));
  await step.sendEvent("tell", { name: `${APP}/stamped`, data: { by: runId } });
  return text;
});

serve("stamped", {}, async ({ event }) => {
  note(event.data.by, "stamped", "called", { through: event.data["sent through"] ?? "" });
});

serve("sent_by_client", {}, async ({ step }) =>
  step.run("send", async () => (await client.send([{ name: `${APP}/nobody` }, { name: `${APP}/nobody` }])).ids),
);
