// Steps side by side.
import { APP, NEWER, note, pause, sdk, serve } from "./client.mjs";

serve("parallel", {}, async ({ runId, step }) => {
  note(runId, "parallel", "called");
  const one = (name) =>
    step.run(name, () => {
      note(runId, "parallel", name);
      return name.toUpperCase();
    });
  const letters = await Promise.all([one("a"), one("b"), one("c")]);
  const joined = await step.run("join", () => {
    note(runId, "parallel", "join");
    return letters.join("");
  });
  return { joined };
});

// 3.x has no groups: its own way of making requests (version 1) is a race by itself, "optimized" is what 4.x does.
async function twoGroups({ runId, step }, of) {
  note(runId, of, "called");
  const group = async (letter, ms) => {
    for (const number of [1, 2]) {
      await step.run(`${letter}${number}`, async () => {
        await pause(ms);
        note(runId, of, `${letter}${number}`);
      });
    }
  };
  await Promise.all([group("a", 10), group("b", 3000)]);
  return "both";
}

const waiting = { optimizeParallelism: true };
serve("groups_wait", NEWER ? {} : waiting, async (given) => twoGroups(given, "groups_wait"));

serve("groups_race", {}, async (given) =>
  NEWER ? given.group.parallel(() => twoGroups(given, "groups_race")) : twoGroups(given, "groups_race"),
);

serve("race", {}, async ({ runId, group, step }) => {
  const both = () =>
    Promise.race([
      step.run("quick", () => "quick"),
      step.run("slow", async () => {
        await pause(2000);
        return "slow";
      }),
    ]);
  const winner = await (NEWER ? group.parallel(both) : both());
  await step.run("after", () => note(runId, "race", "after", { winner }));
  return winner;
});

serve("parallel_kinds", {}, async ({ step }) => {
  const double = sdk.referenceFunction({ appId: APP, functionId: "double" });
  return Promise.all([
    step.run("work", () => "ran"),
    step.sleep("nap", "1s").then(() => null),
    step.waitForEvent("never", { event: `${APP}/never`, timeout: "1s" }),
    step.invoke("double", { function: double, data: { n: 4 } }),
  ]);
});

serve("parallel_failure", { retries: 1 }, async ({ runId, step }) => {
  const right = () => {
    note(runId, "parallel_failure", "right");
    return "right";
  };
  const wrong = () => {
    note(runId, "parallel_failure", "wrong");
    throw Object.assign(new Error("wrong"), { name: "ValueError" });
  };
  try {
    await Promise.all([step.run("right", right), step.run("wrong", wrong)]);
  } catch (error) {
    return { name: error.name, message: error.message };
  }
  return {};
});
