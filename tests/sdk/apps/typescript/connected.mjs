// A worker that needs no port: it connects to the engine and is given its calls over that connection.
import { client, functions } from "./client.mjs";

const { connect } = await import(`${process.env.SDK}/connect`);
await import("./durable.mjs");
await connect({ apps: [{ client, functions }], instanceId: process.env.WORKER });
