// A shop: one function with every kind of step, as the SDK's own documentation writes them. Nothing here knows Headrace.
import { Inngest, NonRetriableError, RetryAfterError, referenceFunction } from "inngest";

export const shop = new Inngest({ id: "shop" });

const PARCEL_WITHIN = "1h";
const EXPRESS_WITHIN = process.env.EXPRESS_WITHIN ?? "1m";
const COOLING_OFF = process.env.COOLING_OFF ?? "30s";
const MODEL_URL = process.env.MODEL_URL ?? "http://localhost:3001/model/";
const RATES_URL = process.env.RATES_URL ?? "http://localhost:3001/rates";

// Another app's function, known by its name alone: it is served by Express, in post.ts.
const sendLetter = referenceFunction({ appId: "post", functionId: "send-letter" });

export const fulfilOrder = shop.createFunction(
  {
    id: "fulfil-order",
    triggers: [{ event: "shop/order.placed" }],
    retries: 2,
    onFailure: async ({ event, error }) => `order ${event.data.event.data.order}: ${error.message}`,
    cancelOn: [{ event: "shop/order.withdrawn", match: "data.order" }],
    concurrency: { limit: 2, key: "event.data.customer" },
    idempotency: "event.data.order",
  },
  async ({ event, step, group, attempt }) => {
    const { order, card, express, pieces = 1 } = event.data;
    const price = await step.run("load", () => 20 * pieces);

    const charge = () => {
      if (card === "stolen") throw new NonRetriableError("the card is stolen");
      if (card === "slow" && attempt === 0) throw new Error("try again in a moment");
      return price;
    };
    const [shelf, paid] = await Promise.all([
      step.run("reserve", () => `shelf ${order.length}`),
      step.run("charge", charge),
    ]);

    const bank = await step.fetch(RATES_URL);
    const { euro } = await bank.json();

    const quickest = await group.parallel(() =>
      Promise.race([
        step.run("courier", () => "courier"),
        step.sleep("nobody has time", "1s").then(() => "by foot"),
      ]),
    );

    await step.sendEvent("confirm", { name: "shop/order.confirmed", data: { order } });
    const parcel = await step.waitForEvent("parcel", {
      event: "shop/parcel.scanned",
      match: "data.order",
      timeout: express ? EXPRESS_WITHIN : PARCEL_WITHIN,
    });
    if (!parcel) {
      const refunded = await step.invoke("refund", { function: giveBack, data: { amount: paid } });
      return { order, refunded };
    }

    await step.sleepUntil("no parcel before 2020", new Date("2020-01-01"));
    await step.sleep("cooling off", COOLING_OFF);
    const model = step.ai.models.openai({ model: "any", apiKey: "none", baseUrl: MODEL_URL });
    const answer = await step.ai.infer("thanks", {
      model,
      body: { messages: [{ role: "user", content: `Thank somebody for order ${order}.` }] },
    });
    const text = answer.choices[0]?.message.content;
    const letter = await step.invoke("letter", { function: sendLetter, data: { order, text } });
    return { order, shelf, paid: paid * euro, by: quickest, letter };
  },
);

export const giveBack = shop.createFunction(
  { id: "give-back", triggers: [{ event: "shop/refund.wanted" }], retries: 5 },
  async ({ event, attempt }) => {
    if (attempt === 0) throw new RetryAfterError("the bank is busy", "1s");
    return event.data.amount;
  },
);

export const countConfirmed = shop.createFunction(
  {
    id: "count-confirmed",
    triggers: [{ event: "shop/order.confirmed" }],
    batchEvents: { maxSize: 4, timeout: "1m" },
  },
  async ({ events }) => events.map((event) => event.data.order).sort(),
);

export const closeTheDay = shop.createFunction(
  { id: "close-the-day", triggers: [{ cron: "TZ=Europe/Paris 0 22 * * *" }] },
  async () => "closed",
);
