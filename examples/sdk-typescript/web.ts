// What Next.js does with route.ts, in a few lines of plain Node: each request is handed over as a Request.
import { createServer } from "node:http";
import { GET, POST, PUT } from "./route.ts";

const routes = { GET, POST, PUT };
const port = Number(process.env.PORT ?? 3000);

createServer(async (incoming, outgoing) => {
  const route = routes[incoming.method as keyof typeof routes];
  const url = new URL(incoming.url ?? "/", `http://${incoming.headers.host}`);
  if (!route || url.pathname !== "/api/inngest") {
    outgoing.writeHead(404).end();
    return;
  }
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const body = incoming.method === "GET" ? undefined : Buffer.concat(chunks);
  const headers = Object.entries(incoming.headers).map(([name, value]) => [name, String(value)] as [string, string]);
  const request = new Request(url, { method: incoming.method, headers, body });
  const response: Response = await route(request as never, undefined);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}).listen(port, "127.0.0.1", () => console.log(`shop: http://localhost:${port}/api/inngest`));
