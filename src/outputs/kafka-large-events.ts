import { reduceLine } from "../format/reduced-record.ts";
import { isFailure } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import type { KafkaEvent, KafkaTooLarge } from "./kafka-error.ts";
import type { KafkaLine } from "./kafka-lines.ts";
import { outputUnwritable } from "./output-failures.ts";
import type { OutputReports } from "./output-reports.ts";
import type { RejectedEvents } from "./rejected.ts";
import { withoutStanza } from "./version-key.ts";

/** A broker takes batches of 1 MiB, if nobody changed that. */
const SLICE_MOST_BYTES = 900_000;
/** An event that is refused although it is no longer than this is kept aside. */
const EVENT_LEAST_BYTES = 4_096;
const LEFT_OUT_SHOWN = 10;

export interface KafkaLargeEventsParts {
  /** Of the output. */
  readonly name: string;
  readonly where: string;
  readonly recordFormat: "cef" | "json";
  readonly rejected: RejectedEvents;
  /** Names the folder of rejected events. */
  readonly stateName: string;
  readonly reports: OutputReports;
  readonly log: Log;
}

/** What becomes of events that are larger than the topic takes. */
export class KafkaLargeEvents {
  readonly #p: KafkaLargeEventsParts;
  #sliceMostBytes = SLICE_MOST_BYTES;
  #rejected = 0;

  constructor(parts: KafkaLargeEventsParts) {
    this.#p = parts;
  }

  /** How much of one partition goes in one request. */
  get sliceMostBytes(): number {
    return this.#sliceMostBytes;
  }

  /** Events that were kept aside since the start. */
  get rejected(): number {
    return this.#rejected;
  }

  /**
   * Several events go in smaller requests; one alone loses its large members, or is kept aside. Throws
   * Failure `output-…` when the disk takes no rejected event.
   *
   * @param lines of the transaction that was refused: they are changed.
   */
  async makeSmaller(lines: KafkaLine[], { alone }: KafkaTooLarge): Promise<void> {
    if (alone.length === 0) this.#sliceMostBytes = Math.floor(this.#sliceMostBytes / 2);
    try {
      for (const event of alone) await this.#makeEventSmaller(lines, event);
    } catch (error) {
      throw isFailure(error) ? error : outputUnwritable(this.#p.name, "the folder of rejected events", error);
    }
  }

  async #makeEventSmaller(lines: KafkaLine[], event: KafkaEvent): Promise<void> {
    const { name, recordFormat, log } = this.#p;
    const at = lines.indexOf(event as KafkaLine);
    const line = lines[at];
    if (line === undefined) throw new Error("Kafka refused an event that is not in the transaction");
    const most = Math.min(SLICE_MOST_BYTES, Math.floor(line.value.length / 2));
    const smaller =
      recordFormat === "json" && line.value.length > EVENT_LEAST_BYTES ? reduceLine(line.value, most) : undefined;
    if (smaller === undefined) return await this.#park(lines, at, line);
    const { leftOut } = smaller.reduced;
    const names = leftOut.map((one) => one.name);
    const before = line.leftOut === undefined ? [] : [line.leftOut];
    lines[at] = { ...line, value: Buffer.from(smaller.text), leftOut: [...before, ...names].join(",") };
    log.warn("an event above Kafka's limit is sent without its large members", {
      output: name,
      key: withoutStanza(line.fullKey),
      bytes: line.value.length,
      left_out: names.slice(0, LEFT_OUT_SHOWN).join(", "),
    });
  }

  async #park(lines: KafkaLine[], at: number, line: KafkaLine): Promise<void> {
    const { name, where, rejected, stateName, reports, log } = this.#p;
    const key = withoutStanza(line.fullKey);
    const reason = `above the topic's max.message.bytes: ${line.value.length} bytes`;
    const path = await rejected.park(stateName, {
      output: name,
      where,
      key,
      reason,
      event: line.value.toString("utf8"),
    });
    lines.splice(at, 1);
    this.#rejected += 1;
    const say = `${name}: Kafka refuses one event for good (${reason}): ${key || "health"}. It is kept in ${path}.`;
    log.error(say, { output: name, key, next_step: RESEND });
    reports.notice("event-rejected", `${say} ${RESEND}`);
  }
}

const RESEND =
  "Run `defender-mssp rejected list`, raise max.message.bytes of the topic, then run `defender-mssp rejected resend`.";
