/** What stands in a stanza where a stored secret was typed. */
export const MASK = "********";

/**
 * Keys that splunkd itself puts into a stanza (inputs.conf.spec, Splunk Enterprise 10.2): read by nobody
 * here. Keys that begin with `_` are splunkd's as well.
 */
export const SPLUNK_KEYS: ReadonlySet<string> = new Set([
  "index",
  "host",
  "source",
  "sourcetype",
  "interval",
  "disabled",
  "start_by_shell",
  "name",
  "python.version",
  "python.required",
  "passAuth",
  "run_only_one",
  "run_introspection",
  "queue",
  "queueSize",
  "persistentQueueSize",
  "send_index_as_argument_for_path",
  "connection_host",
]);
