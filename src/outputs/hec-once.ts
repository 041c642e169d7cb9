import { randomUUID } from "node:crypto";
import { Failure } from "../model/failure.ts";
import type { Clock } from "../model/ports.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import { inWords } from "./hec-answer.ts";
import { type HecClient, hecStopped, hecWithoutAck } from "./hec-client.ts";

const ASK_EVERY_MS = 1_000;

export interface SendOnceParts {
  readonly name: string;
  readonly url: string;
  readonly ack: "auto" | "on" | "off";
  readonly client: HecClient;
  readonly clock: Clock;
  readonly lines: Uint8Array;
  readonly stop: AbortSignal;
}

/**
 * Sends these events once and waits until Splunk has confirmed them, for a person who waits too: `indexed`
 * with acknowledgement, `taken` where there is none. Throws Failure `output-…` for everything else.
 */
export async function sendOnce(parts: SendOnceParts): Promise<"indexed" | "taken"> {
  const { name, url, ack, client, clock, lines, stop } = parts;
  let to = { url, channel: ack === "off" ? undefined : (randomUUID() as string | undefined), cookie: undefined };
  let { verdict, cookie } = await client.send(to, lines, stop);
  if (verdict.is === "ack-off" && ack === "auto") {
    to = { ...to, channel: undefined };
    ({ verdict, cookie } = await client.send(to, lines, stop));
  }
  if (verdict.is === "ack-off") throw hecWithoutAck(name, url);
  if (verdict.is === "stopped") throw hecStopped(name, url, verdict.reason, verdict.nextStep);
  if (verdict.is !== "taken")
    throw new Failure("output-broken", {
      actor: "operator",
      retry: { when: "later" },
      say: `${name}: HEC at ${url} did not take the event (${inWords(verdict.reason)}).`,
      nextStep: "Check HEC's settings in Splunk, then try again.",
    });
  const { ackId } = verdict;
  if (to.channel === undefined) return "taken";
  if (ackId === undefined) {
    if (ack === "on") throw hecWithoutAck(name, url);
    return "taken";
  }
  const until = clock.monotonicMs() + TIME_LIMITS.acknowledgement.ms;
  while (!stop.aborted && clock.monotonicMs() < until) {
    await clock.pause(ASK_EVERY_MS, stop);
    const answer = await client.askAcks({ ...to, cookie }, [ackId], stop);
    if (answer.is === "answered" && answer.indexed.has(ackId)) return "indexed";
  }
  throw new Failure("output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: HEC at ${url} took the event, and did not acknowledge it within ${TIME_LIMITS.acknowledgement.ms / 1000} s.`,
    nextStep: "Check the health of Splunk's indexers, and whether a balancer keeps a client at one indexer.",
  });
}
