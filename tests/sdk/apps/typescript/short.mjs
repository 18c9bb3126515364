// An app that is restarted: only the functions that are interrupted.
import { client, createServer, functions } from "./client.mjs";

await import("./durable.mjs");
const server = createServer({ client, functions, servePath: "/api/inngest" });
server.listen(Number(process.env.PORT), "127.0.0.1");
