// The post office, a second app: the same SDK on Express, whose function is invoked by the shop.
import express from "express";
import { Inngest } from "inngest";
import { serve } from "inngest/express";

const post = new Inngest({ id: "post" });
const port = Number(process.env.PORT ?? 3001);

const sendLetter = post.createFunction(
  { id: "send-letter", triggers: [{ event: "post/letter.written" }], throttle: { limit: 10, period: "1s" } },
  async ({ event, step }) => step.run("send", () => `to the customer of ${event.data.order}: ${event.data.text}`),
);

const app = express();
app.use(express.json({ limit: "8mb" }));
app.use("/api/inngest", serve({ client: post, functions: [sendLetter] }));

// Stand-ins for other people's servers, so that the example needs no key and no network.
app.post("/model/chat/completions", (request, response) => {
  const asked = request.body.messages.at(-1).content;
  response.json({ choices: [{ message: { role: "assistant", content: `${asked} Thank you!` } }] });
});
app.get("/rates", (_request, response) => {
  response.json({ euro: 2 });
});

app.listen(port, "127.0.0.1", () => console.log(`post: http://localhost:${port}/api/inngest`));
