import { STREAMS } from "../defender/streams/registry.ts";
import type { Stanza } from "../model/stanza.ts";

/**
 * Microsoft's announcements about the APIs of the chosen streams, one sentence each, logged once at start.
 */
export function announcements(stanzas: readonly Stanza[]): readonly string[] {
  const said = new Map<string, Set<string>>();
  for (const stanza of stanzas) {
    for (const stream of stanza.streams) {
      const announced = stream === "hunting" ? undefined : STREAMS[stream].announced;
      if (announced === undefined) continue;
      const streams = said.get(announced) ?? new Set();
      said.set(announced, streams.add(stream));
    }
  }
  return [...said].map(
    ([announced, streams]) =>
      `${[...streams].join(", ")}: ${announced} The streams alerts and incidents read Graph, which stays.`,
  );
}
