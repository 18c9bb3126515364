"""Other names: what people type for an option who come from elsewhere, and what to write here."""

from __future__ import annotations

_FINISH = 'timeouts=Timeouts(finish="5m")'
_START = 'timeouts=Timeouts(start="5m")'
_CRON = 'trigger=Cron("0 9 * * *")'
_ZONE = 'trigger=Cron("0 9 * * *", timezone="Europe/Berlin")'
_BACKOFF = 'retries=Retries(3, backoff=Backoff("exponential", base="1s"))'
_IF = 'trigger=OnEvent("order/created", if_="event.data.total > 100")'
_KEYED = 'concurrency=Concurrency(1, key="event.data.userId")'
_CATCH_UP = 'trigger=Cron("0 9 * * *", catch_up="last")'
_STEP_TIMEOUT = 'ctx.step.options(timeout="30s").run(…)'

# By the name in snake case. What is no option here follows "did you mean", and is written as it stands in code.
ALIASES: dict[str, str] = {
    **dict.fromkeys(("event", "on", "on_event", "event_name", "topic", "event_type"), "trigger"),
    **dict.fromkeys(("events", "on_events", "event_names"), "triggers"),
    **dict.fromkeys(("if", "if_", "filter", "when", "condition", "expression", "match", "where"), _IF),
    **dict.fromkeys(("cron", "schedule", "cron_schedule", "crontab", "every", "interval", "repeat"), _CRON),
    **dict.fromkeys(("crons", "on_crons", "schedules"), 'trigger=Cron(["0 9 * * *"])'),
    **dict.fromkeys(("timezone", "time_zone", "tz"), _ZONE),
    **dict.fromkeys(("catch_up", "catchup", "misfire_grace_time"), _CATCH_UP),
    **dict.fromkeys(("overlap", "overlap_policy"), 'trigger=Cron("0 9 * * *", overlap="skip")'),
    "jitter": 'trigger=Cron("0 9 * * *", jitter="30s")',
    **dict.fromkeys(("max_runtime", "timeout", "max_duration", "duration", "execution_timeout", "finish"), _FINISH),
    **dict.fromkeys(("run_timeout", "workflow_timeout", "time_limit", "soft_time_limit", "deadline"), _FINISH),
    **dict.fromkeys(("finish_timeout", "schedule_to_close_timeout", "workflow_run_timeout"), _FINISH),
    **dict.fromkeys(("workflow_execution_timeout", "max_execution_time", "max_run_time"), _FINISH),
    **dict.fromkeys(("start_timeout", "schedule_timeout", "schedule_to_start_timeout", "queue_timeout"), _START),
    **dict.fromkeys(("ttl", "expires", "expire", "time_to_live", "expiration"), _START),
    **dict.fromkeys(("start_to_close_timeout", "step_timeout", "task_timeout", "heartbeat_timeout"), _STEP_TIMEOUT),
    **dict.fromkeys(("max_attempts", "maximum_attempts", "max_retries", "max_tries", "attempts", "tries"), "retries"),
    **dict.fromkeys(("retry", "retry_policy", "retry_kwargs", "autoretry_for", "on_retry", "num_retries"), "retries"),
    **dict.fromkeys(("backoff", "retry_backoff", "retry_backoff_max", "retry_jitter", "retry_delay"), _BACKOFF),
    **dict.fromkeys(("default_retry_delay", "retry_interval", "retry_options", "initial_interval"), _BACKOFF),
    **dict.fromkeys(("batch_events", "batch_size", "max_batch_size", "buffer", "bulk", "batching"), "batch"),
    **dict.fromkeys(("ratelimit", "rate_limits"), "rate_limit"),
    **dict.fromkeys(("limiter", "rate", "throttling"), "throttle"),
    **dict.fromkeys(("cancel", "cancellation", "cancel_when", "cancels_on"), "cancel_on"),
    **dict.fromkeys(("on_error", "failure", "on_crash", "error_handler", "failure_handler"), "on_failure"),
    **dict.fromkeys(("dead_letter", "dead_letter_queue", "dlq", "on_dead", "park"), 'on_exhausted="park"'),
    **dict.fromkeys(("limit", "max_concurrency", "max_concurrent", "parallelism", "parallel"), "concurrency"),
    **dict.fromkeys(("max_parallel", "concurrency_limit", "worker_concurrency", "semaphore", "slots"), "concurrency"),
    **dict.fromkeys(("concurrency_key", "key", "partition_key", "group_by", "fairness_key"), _KEYED),
    **dict.fromkeys(("idempotency_key", "dedupe", "dedup", "deduplication", "deduplication_id"), "idempotency"),
    **dict.fromkeys(("unique_id", "id_reuse_policy", "job_id", "workflow_id"), "idempotency"),
    **dict.fromkeys(("unique", "unique_key", "lock", "mutex", "exclusive", "sole"), "singleton"),
    **dict.fromkeys(("default_priority", "weight"), "priority"),
    **dict.fromkeys(("backfill", "from_offset", "offset", "start_offset", "since", "start_at"), "start_from"),
    **dict.fromkeys(("hooks", "middlewares", "before_run", "after_run"), "middleware"),
    **dict.fromkeys(("fn_name", "title", "display_name"), "name"),
}

# Names of what is no option of a function here, and what does the same.
INSTEAD: dict[str, str] = {
    **dict.fromkeys(("fn_id", "function_id", "id"), 'the id comes first: @app.function("process-order", trigger=…)'),
    **dict.fromkeys(("input_type", "schema", "event_schema", "input_validator"), "app.event(name, Model) does that"),
    **dict.fromkeys(("output_type", "result_type"), "the function's return annotation says that"),
    **dict.fromkeys(("delay", "countdown", "eta", "start_delay"), "an event with a later ts starts runs then"),
    **dict.fromkeys(
        ("queue", "task_queue", "workers", "replicas", "machine", "sticky"),
        "none is needed: each node runs all functions of its apps",
    ),
    "logger": "write App(…, logger=…)",
    "bind": "remove it: ctx is the first argument always",
}
