// An app whose endpoints are durable: runs begin in requests of others. Beside them, functions that publish messages, and
// that have the engine make requests.
import http from "node:http";
import { NEWER, client as other, define, note, quiet, sdk } from "./client.mjs";

const { endpointAdapter, serve } = await import(`${process.env.SDK}/edge`);
const { step } = sdk;
const port = Number(process.env.PORT);
const client = new sdk.Inngest({ id: other.id, logger: quiet, endpointAdapter });
const answers = new Map(); // path → what it answers, as Request → Response
let declined = 1;

// The newer line takes values as well; of an answer of the Web it keeps but the body once the run is its own caller's no more.
const answering = (value) => (NEWER ? value : Response.json(value));

function endpoint(path, code) {
  answers.set(path, client.endpoint(code));
}

endpoint("/quick", async (request) => {
  const one = await step.run("one", () => 1);
  const two = await step.run("two", () => one + 1);
  return Response.json({ two, q: new URL(request.url).searchParams.get("q") }, { status: 201, headers: { "x-mine": "yes" } });
});

endpoint("/plain", async () => answering({ plain: true }));

endpoint("/slow", async (request) => {
  const text = await step.run("read", () => {
    note("slow", "endpoints", "read");
    return "read"; // not the body: the SDK has read that already, for the event of the run
  });
  await step.sleep("nap", "1s");
  const after = await step.run("after", () => `${text} after`);
  return answering({ after, method: request.method });
});

endpoint("/flaky", async () => {
  const charged = await step.run("charge", () => {
    if (declined-- > 0) throw new Error("declined");
    return "charged";
  });
  return answering({ charged });
});

endpoint("/both", async () => {
  const [a, b] = await Promise.all([step.run("a", () => 1), step.run("b", () => 2)]);
  return answering({ sum: a + b });
});

endpoint("/broken", async () => {
  await step.run("fine", () => 1);
  throw new sdk.NonRetriableError("broken for good");
});

if (NEWER) {
  const { stream } = await import(`${process.env.SDK}/experimental/durable-endpoints`);
  const { fetchWithStream } = await import(`${process.env.SDK}/experimental/durable-endpoints/client`);
  endpoint("/streamed", async () => {
    await step.run("first", () => stream.push("one"));
    await step.sleep("nap", "1s");
    await step.run("second", () => stream.push("two"));
    return { done: true };
  });
  // Listens as a browser does, from the endpoint's answer on to the engine's.
  answers.set("/listen", async () => {
    const heard = [];
    const last = await fetchWithStream(`http://127.0.0.1:${port}/streamed`, { onData: ({ data }) => heard.push(data) });
    return Response.json({ heard, last: await last.json() });
  });
}

const fetching = define(client, { id: "fetching" }, async ({ event }) => {
  const one = await sdk.fetch(`${event.data.url}/echo?x=1`, { method: "PUT", body: "text", headers: { "X-A": "1" } });
  const two = await sdk.fetch(`${event.data.url}/nothing`);
  return { one: [one.status, one.headers.get("x-b"), await one.json()], two: two.status };
});

const inferring = define(client, { id: "inferring" }, async ({ event, step }) => {
  const model = { url: `${event.data.url}/model`, headers: {}, authKey: "key-of-the-tests", format: "openai-chat", options: {} };
  return step.ai.infer("think", { model, body: { messages: [] } });
});

const functions = [fetching, inferring];
if (NEWER) {
  const { channel, staticSchema } = await import(`${process.env.SDK}/realtime`);
  const told = channel({ name: "user:7", topics: { chat: { schema: staticSchema() } } });
  functions.push(
    define(client, { id: "telling" }, async ({ step }) => {
      await step.realtime.publish("tell", told.chat, { by: "step" });
      await client.realtime.publish(told.chat, "by the client");
    }),
  );
}
answers.set("/api/inngest", serve({ client, functions }));

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

const server = http.createServer(async (request, answer) => {
  const url = new URL(request.url, `http://127.0.0.1:${port}`);
  const body = await read(request);
  if (url.pathname === "/echo") {
    const { method, headers } = request;
    answer.writeHead(418, { "content-type": "application/json", "x-b": "2" });
    answer.end(JSON.stringify({ method, query: url.search, a: headers["x-a"], body: body.toString() }));
  } else if (url.pathname === "/nothing") {
    answer.writeHead(204).end();
  } else if (url.pathname === "/model") {
    note("model", "endpoints", "asked");
    answer.writeHead(200, { "content-type": "application/json" });
    answer.end(JSON.stringify({ key: request.headers.authorization, body: JSON.parse(body) }));
  } else if (answers.has(url.pathname)) {
    const asked = new Request(url, { method: request.method, headers: request.headers, body: body.length ? body : undefined });
    const given = await answers.get(url.pathname)(asked);
    answer.writeHead(given.status, Object.fromEntries(given.headers));
    if (given.body) for await (const part of given.body) answer.write(part);
    answer.end();
  } else {
    answer.writeHead(404).end();
  }
});
server.listen(port, "127.0.0.1");
