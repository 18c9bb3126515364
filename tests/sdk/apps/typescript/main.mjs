// The TypeScript app of the tests: everything the SDK can do, one function for each case. Served by plain Node.
import { APP, NEWER, client, createServer, define, functions, quiet, sdk } from "./client.mjs";

for (const part of ["steps", "waits", "failures", "parallel", "limits"]) {
  await import(`./${part}.mjs`);
}

// A second app in the same process, which answers by streams (status 201).
const streamed = new sdk.Inngest({ id: `${APP}-streamed`, logger: quiet });
const slow = define(streamed, { id: "slow" }, async ({ event, step }) => {
  const one = await step.run("one", () => event.data.n + 1);
  return { sum: one + (await step.run("two", () => 2)) };
});

const apps = createServer({ client, functions, servePath: "/api/inngest" });
const streams = createServer({ client: streamed, functions: [slow], servePath: "/api/streamed", streaming: NEWER || "force" });
const [app, stream] = [apps, streams].map((server) => server.listeners("request")[0]);
apps.removeAllListeners("request");
apps.on("request", (request, answer) => (request.url.startsWith("/api/streamed") ? stream : app)(request, answer));
apps.listen(Number(process.env.PORT), "127.0.0.1");
