import { scanAnswer } from "../../src/json/answer-scanner.ts";
import type { Delivery } from "../../src/model/event.ts";
import { deliveriesOf, SAMPLES } from "./samples.ts";

const [GRAPH_ALERTS] = SAMPLES;

/** An alert of Graph with the members given, as the stream would deliver it. */
export function graphAlert(record: Readonly<Record<string, unknown>>): Delivery {
  return graphAlertOf(JSON.stringify({ id: "a1", lastUpdateDateTime: "2026-11-24T16:05:58.0066667Z", ...record }));
}

/** The same from the text of the alert: numbers keep the digits that they are written with. */
export function graphAlertOf(json: string): Delivery {
  const [first] = scanAnswer(`{"value":[${json}]}`, GRAPH_ALERTS!.options).records;
  if (first?.readable !== true) throw new Error("the alert cannot be read");
  return { ...deliveriesOf(GRAPH_ALERTS!)[0]!, record: first };
}
