// Failures: what is tried again, when, and what is left of an error.
import { note, sdk, serve } from "./client.mjs";

class CardError extends Error {
  constructor(message) {
    super(message);
    this.name = "CardError";
  }
}

serve("retries", { retries: 3 }, async ({ runId, attempt }) => {
  note(runId, "retries", "called", { attempt });
  if (attempt < 2) throw new CardError("not yet");
  return attempt;
});

serve("step_retries", { retries: 3 }, async ({ runId, attempt, step }) => {
  await step.run("sure", () => note(runId, "step_retries", "sure"));
  const held = await step.run("shaky", () => {
    note(runId, "step_retries", "shaky", { attempt });
    if (attempt < 2) throw new CardError("not yet");
    return "held";
  });
  await step.run("late", () => note(runId, "step_retries", "late", { attempt }));
  return held;
});

serve("retry_after", { retries: 3 }, async ({ runId, attempt }) => {
  note(runId, "retry_after", "called", { attempt });
  if (attempt === 0) throw new sdk.RetryAfterError("busy", "3s");
  return attempt;
});

serve("retry_after_step", { retries: 3 }, async ({ runId, attempt, step }) =>
  step.run("busy", () => {
    note(runId, "retry_after_step", "busy", { attempt });
    if (attempt === 0) throw new sdk.RetryAfterError("busy", "3s");
    return attempt;
  }),
);

serve("non_retriable", { retries: 3 }, async ({ runId }) => {
  note(runId, "non_retriable", "called");
  throw new sdk.NonRetriableError("never again");
});

serve("non_retriable_step", { retries: 3 }, async ({ runId, step }) =>
  step.run("never", () => {
    note(runId, "non_retriable_step", "never");
    throw new sdk.NonRetriableError("never again");
  }),
);

const onFailure = async ({ event, error }) => {
  const { data } = event;
  note(data.run_id, "exhausted", "on failure", { event: event.name, data, error: error.message });
  return "told";
};
serve("exhausted", { retries: 1, onFailure }, async ({ runId, attempt }) => {
  note(runId, "exhausted", "called", { attempt });
  throw new CardError("declined");
});

serve("step_failed", { retries: 1 }, async ({ runId, step }) =>
  step.run("declined", () => {
    note(runId, "step_failed", "declined");
    throw new CardError("declined");
  }),
);

serve("step_caught", { retries: 1 }, async ({ runId, step }) => {
  try {
    await step.run("declined", () => {
      note(runId, "step_caught", "declined");
      throw new CardError("declined");
    });
  } catch (error) {
    const way = await step.run("instead", () => {
      note(runId, "step_caught", "instead");
      return "by hand";
    });
    return { name: error.name, message: error.message, way };
  }
  return {};
});
