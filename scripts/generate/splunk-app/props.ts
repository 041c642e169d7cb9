import type { ConfStanza } from "./conf.ts";
import { confFile } from "./conf.ts";
import { cutsOf, evalsOf } from "./knowledge.ts";
import { SOURCE_KINDS, SOURCES, sourceStanza } from "./sources.ts";

/** `default/props.conf` of both apps. */
export function propsConf(): string {
  return confFile(
    SOURCE_KINDS.map((kind): ConfStanza => {
      const cuts = cutsOf(kind);
      return {
        name: sourceStanza(kind),
        settings: [
          ["TRUNCATE", "0"],
          ["SHOULD_LINEMERGE", "false"],
          ["LINE_BREAKER", "([\\r\\n]+)"],
          // For events that came another way (a file, HEC raw); the modular input sends the time itself.
          ["TIME_PREFIX", `"${SOURCES[kind].timeMember}"\\s*:\\s*"`],
          ["MAX_TIMESTAMP_LOOKAHEAD", "40"],
          ["TZ", "UTC"],
          ["KV_MODE", "json"],
          ...(cuts.length > 0 ? [["REPORT-defender_mssp", cuts.join(", ")] as const] : []),
          ...evalsOf(kind).map(([field, expression]) => [`EVAL-${field}`, expression] as const),
        ],
      };
    }),
  );
}
