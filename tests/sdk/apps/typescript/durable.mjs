// Functions that are interrupted: the app is edited, restarted or killed, or the server is.
import { note, pause, serve } from "./client.mjs";

const EDITION = process.env.EDITION ?? "1";

serve("edited", {}, async ({ runId, step }) => {
  const said = (name) =>
    step.run(name, () => {
      note(runId, "edited", `${name}${EDITION}`);
      return `${name}${EDITION}`;
    });
  const steps = [await said("a")];
  await step.sleep("nap", "2s");
  if (EDITION === "2") steps.push(await said("between"));
  steps.push(await said("b"));
  return { steps };
});

serve("counting", { retries: 20 }, async ({ runId, step }) => {
  let sum = 0;
  for (let number = 0; number < 6; number += 1) {
    sum += await step.run(`count ${number}`, async () => {
      note(runId, "counting", `in ${number}`, { worker: process.pid });
      await pause(300);
      note(runId, "counting", `out ${number}`, { worker: process.pid });
      return number;
    });
  }
  return sum;
});
