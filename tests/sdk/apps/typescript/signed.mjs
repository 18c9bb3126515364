// An app in production: what calls it must be signed, and it signs in with the engine by the same key.
import { createServer, define, quiet, sdk } from "./client.mjs";

const client = new sdk.Inngest({ id: process.env.APP_ID, isDev: false, logger: quiet });
const secret = define(client, { id: "secret", retries: 0 }, async ({ event, step }) => ({
  half: await step.run("half", () => event.data.n / 2),
  text: event.data.text,
}));
const server = createServer({ client, functions: [secret], servePath: "/api/inngest" });
server.listen(Number(process.env.PORT), "127.0.0.1");
