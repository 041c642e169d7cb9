import { StreamReport } from "../../src/collect/report.ts";
import type { StreamHealth } from "../../src/model/event.ts";

/** A stream that is ok and has done nothing but what is given. */
export function streamHealth(given: Partial<StreamHealth> = {}): StreamHealth {
  return { ...new StreamReport("alerts", () => undefined).health(0), state: "ok", ...given };
}
