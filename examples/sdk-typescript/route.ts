// app/api/inngest/route.ts of a Next.js app, line by line: three handlers that take a Request and give a Response.
import { serve } from "inngest/next";
import { closeTheDay, countConfirmed, fulfilOrder, giveBack, shop } from "./shop.ts";

export const { GET, POST, PUT } = serve({
  client: shop,
  functions: [fulfilOrder, giveBack, countConfirmed, closeTheDay],
});
