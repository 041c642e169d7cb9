import { isLoopback } from "../../../../src/model/loopback.ts";

/** On plain http, which is Splunk Web's default, everybody on the way can read what is typed. */
export function mustTick({ protocol, hostname }: Pick<Location, "protocol" | "hostname"> = location): boolean {
  return protocol === "http:" && !isLoopback(hostname);
}
