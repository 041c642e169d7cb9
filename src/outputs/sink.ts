import { REDUCED_MOST_BYTES } from "../format/reduced-record.ts";
import { ByteWriter } from "../json/byte-writer.ts";
import { BatchMemory } from "../model/batch-memory.ts";
import type { Delivery, HealthEvent, HugeDelivery } from "../model/event.ts";
import { isFailure } from "../model/failure.ts";
import type { PacedReceiver, PacketReceiver, UnacknowledgedReceiver } from "../model/fleet.ts";
import type { Log, Sink } from "../model/ports.ts";
import type { Stanza } from "../model/stanza.ts";
import type { LineFormat, Notice } from "./line-format.ts";
import type { Batch, Output, OutputCondition, OutputNotice, OutputSecrets, ShardPackets } from "./output.ts";
import { joined } from "./recent-keys.ts";
import { writeReduced } from "./reduced.ts";

/** One output with what it gets. */
export interface Branch {
  readonly output: Output;
  readonly format: LineFormat;
  /** Stanza names; undefined: everybody. */
  readonly tenants?: ReadonlySet<string>;
}

/**
 * Above this share of its size a spool is reported as filling; below the lower one it may be reported again.
 */
const FILLING_FROM = 0.5;
const FILLING_AGAIN_BELOW = 0.25;

/**
 * Several outputs as one: each event goes to every output that has its customer and does not have the event
 * already. Waiting for all of them is the back-pressure. When one refuses, the batch counts as refused, and
 * the others skip it when it comes again.
 */
export class OutputsSink implements Sink {
  /** Durable only when every output is: one that may lose needs the engine's provisional window. */
  readonly kind: "provisional" | "durable";
  readonly hugeMostBytes = REDUCED_MOST_BYTES;
  readonly #branches: readonly Branch[];
  readonly #nowMs: () => number;
  readonly #log: Log;
  readonly #admitted: (customer: Stanza) => void;
  readonly #takeNotice: ((notice: Notice) => void) | undefined;
  readonly #reportedFilling = new Set<string>();
  readonly #refusing = new Set<string>();
  #accepting: (stanzas: ReadonlySet<string> | undefined) => void = () => undefined;
  readonly #memory = new BatchMemory();

  /**
   * @param admitted see `admit`; undefined: the formats need no settings of customers.
   * @param options `reports`: false when another sink with the same outputs reports on them. `takeNotice`
   *   gets notices instead of the outputs.
   */
  constructor(
    branches: readonly Branch[],
    nowMs: () => number,
    log: Log,
    admitted: (customer: Stanza) => void = () => undefined,
    {
      reports = true,
      takeNotice,
    }: { readonly reports?: boolean; readonly takeNotice?: ((notice: Notice) => void) | undefined } = {},
  ) {
    this.#admitted = admitted;
    this.#takeNotice = takeNotice;
    this.#branches = branches;
    this.#nowMs = nowMs;
    this.#log = log;
    this.kind = branches.every(({ output }) => output.kind === "durable") ? "durable" : "provisional";
    for (const branch of reports ? branches : [])
      branch.output.listen({
        changed: (condition) => this.#noteCondition(branch, condition),
        noticed: (notice) => this.#notice(notice),
      });
  }

  /**
   * A connection broke on which events may have been lost. The caller then replays everything provisional
   * (`Scheduler.replayProvisional`), and each output accepts only what is pending for it.
   */
  onBroken(listener: () => void): void {
    for (const { output } of this.#branches) output.listen({ broken: listener });
  }

  /** An output that refused events accepts them again, from these stanzas; undefined: from all. */
  onAccepting(listener: (stanzas: ReadonlySet<string> | undefined) => void): void {
    this.#accepting = listener;
  }

  /** Of the only output, where its receiver keeps which packets of a fleet it has. */
  get packets(): PacketReceiver | undefined {
    return this.#branches.length === 1 ? this.#branches[0]?.output.packets : undefined;
  }

  /** Of the only output, where its receiver acknowledges nothing and the writer keeps what it took. */
  get unacknowledged(): UnacknowledgedReceiver | undefined {
    return this.#branches.length === 1 ? this.#branches[0]?.output.unacknowledged : undefined;
  }

  /** Of the only output, where its receiver gets at most so many events in a second. */
  get pace(): PacedReceiver | undefined {
    return this.#branches.length === 1 ? this.#branches[0]?.output.pace : undefined;
  }

  async write(batch: readonly Delivery[], from?: ShardPackets): Promise<number> {
    const keys = joined(batch.map((delivery) => `${delivery.stanza}|${delivery.key}`));
    const formatted = new Map<string, Batch>();
    const ready: { readonly output: Output; readonly made: Batch }[] = [];
    const lent: Buffer[] = [];
    let byteLength = 0;
    for (const { output, format, tenants } of this.#branches) {
      const chosen = keys.flatMap((key, i) =>
        (tenants?.has((batch[i] as Delivery).stanza) ?? true) && output.wants(key) ? [i] : [],
      );
      if (chosen.length === 0) continue;
      const shared = chosen.length === batch.length ? formatted.get(format.id) : undefined;
      const made = shared ?? this.#formatted(batch, keys, chosen, format, lent);
      if (chosen.length === batch.length) formatted.set(format.id, made);
      byteLength += made.bytes.length;
      ready.push({ output, made });
    }
    const results = await Promise.allSettled(
      ready.map(({ output, made }) => output.write(from === undefined ? made : { ...made, from })),
    );
    for (const memory of lent) this.#memory.release(memory);
    throwFirst(results);
    return byteLength;
  }

  writeHuge(delivery: HugeDelivery, pieces: AsyncIterable<Uint8Array>): Promise<number> {
    return writeReduced(this, delivery, pieces, this.#log);
  }

  admit(customer: Stanza): void {
    this.#admitted(customer);
  }

  async health(event: HealthEvent): Promise<void> {
    // What names several customers goes to no output that is for some of them.
    const branches = this.#branches.filter(({ tenants }) => tenants?.has(event.input) ?? true);
    throwFirst(
      await Promise.allSettled(
        branches.map(({ output, format }) => writeLines(output, (out) => format.health(out, event))),
      ),
    );
  }

  /** The output of this name, `outputs[0]`, signs in with other secrets from now on. */
  renew(name: string, secrets: OutputSecrets): void {
    for (const { output } of this.#branches) if (output.name === name) output.renew?.(secrets);
  }

  /** Each output's condition, for `check` and the log. */
  conditions(): readonly { readonly output: Output; readonly condition: OutputCondition }[] {
    return this.#branches.map(({ output }) => ({ output, condition: output.condition() }));
  }

  /** Makes everything that was taken safe; a receiver is waited for at most `withinMs`. */
  async close(withinMs: number): Promise<void> {
    throwFirst(await Promise.allSettled(this.#branches.map(({ output }) => output.close(withinMs))));
  }

  /** @param lent gets the memory that must be given back once every output is done with it. */
  #formatted(
    batch: readonly Delivery[],
    keys: readonly string[],
    chosen: readonly number[],
    format: LineFormat,
    lent: Buffer[],
  ): Batch {
    scratch.reset();
    const ends: number[] = [];
    for (const i of chosen) {
      format.delivery(scratch, batch[i] as Delivery);
      ends.push(scratch.length);
    }
    const memory = this.#memory.lend(scratch.length);
    memory.set(scratch.view());
    lent.push(memory);
    return { bytes: memory.subarray(0, scratch.length), keys: chosen.map((i) => keys[i] as string), ends };
  }

  /** A spool that fills is reported on the other outputs, and on its own when its receiver is back. */
  #noteCondition({ output, tenants }: Branch, { state, spooledBytes, spoolLimitBytes }: OutputCondition): void {
    if (state === "refusing") this.#refusing.add(output.name);
    else if (this.#refusing.delete(output.name)) this.#accepting(tenants);
    const share = spoolLimitBytes === 0 ? 0 : spooledBytes / spoolLimitBytes;
    if (share < FILLING_AGAIN_BELOW) this.#reportedFilling.delete(output.name);
    if (share < FILLING_FROM || this.#reportedFilling.has(output.name)) return;
    this.#reportedFilling.add(output.name);
    this.#notice({
      about: "spool-filling",
      say: `${output.name}: ${Math.round(share * 100)} % of the spool for ${output.where} is used; when it is full, collection waits.`,
    });
  }

  /** On every output: an output belongs to no single customer. */
  #notice({ about, say }: OutputNotice): void {
    const notice: Notice = {
      time: new Date(this.#nowMs()).toISOString(),
      tenant: "defender-mssp",
      tenant_id: "00000000-0000-0000-0000-000000000000",
      about,
      say,
    };
    if (this.#takeNotice !== undefined) return this.#takeNotice(notice);
    for (const one of this.#branches)
      void writeLines(one.output, (out) => one.format.notice(out, notice)).catch(() => undefined);
  }
}

/** Writes lines that belong to no version (health, a test event). */
export async function writeLines(output: Output, write: (out: ByteWriter) => void): Promise<void> {
  const out = new ByteWriter(4096);
  write(out);
  if (out.length > 0) await output.write({ bytes: out.take(), keys: [], ends: [] });
}

/**
 * Lines are made here and copied out: formatting is never interrupted, so one is enough, and no batch pays
 * for the largest.
 */
const scratch = new ByteWriter(1 << 16);

function throwFirst(results: readonly PromiseSettledResult<unknown>[]): void {
  const failed = results.filter((result) => result.status === "rejected").map(({ reason }) => reason as unknown);
  // A defect must not be hidden by a full disk of another output.
  if (failed.length > 0) throw failed.find((reason) => !isFailure(reason)) ?? failed[0];
}
