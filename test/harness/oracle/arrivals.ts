import { existsSync, readFileSync } from "node:fs";

/**
 * A log of arrivals lies beside a delivered file under its name with `.arrivals`: lines `{"offset","at"}`,
 * meaning that the first `offset` bytes had arrived at the time `at` (ISO 8601). The fake splunkd writes
 * it with `--out`. Returns a function that must be called with growing offsets; undefined when there is no
 * log.
 */
export function readArrivals(deliveredFile: string): ((endOffset: number) => number | undefined) | undefined {
  const file = `${deliveredFile}.arrivals`;
  if (!existsSync(file)) return undefined;
  const arrivals = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line) as { offset: number; at: string })
    .map((arrival) => ({ offset: arrival.offset, atMs: Date.parse(arrival.at) }));
  let next = 0;
  return (endOffset) => {
    while (next < arrivals.length && (arrivals[next] as { offset: number }).offset < endOffset) next++;
    return arrivals[next]?.atMs;
  };
}
