import { type DiskPorts, readIfThere, replaceFile } from "../stores/disk/disk.ts";
import type { Spool, SpoolPlace } from "./spool.ts";

interface Run {
  readonly run: string;
  /** The first segment of the spool that this run wrote. */
  readonly from: number;
}

/** A place in the spool, and the run that wrote it. */
interface Watermark {
  readonly run: string;
  readonly segment: number;
  readonly end: number;
}

/**
 * What a watermark of Kafka means for the spool of this state folder.
 *
 * The spool's segments are numbered anew when it was empty, and a state folder may be restored from a backup.
 * So each run of the program has a random name, and a watermark counts only for records that were there
 * before its run, or that its run wrote. One that names an unknown run says nothing: then nothing is left
 * out, because a lost alert is worse than a doubled one.
 */
export class KafkaLane {
  readonly id: string;
  readonly #path: string;
  readonly #ports: DiskPorts;
  readonly #runs: readonly Run[];
  #partition: number | undefined;
  #committed: Watermark | undefined;

  private constructor(
    path: string,
    ports: DiskPorts,
    { id, runs, partition }: { id: string; runs: readonly Run[]; partition: number | undefined },
  ) {
    this.#path = path;
    this.#ports = ports;
    this.id = id;
    this.#runs = runs;
    this.#partition = partition;
  }

  /** Reads what earlier runs left and adds this run. Throws Failure `state-unreadable`. */
  static open(path: string, ports: DiskPorts, newId: () => string, spool: Spool): KafkaLane {
    const before = readLane(readIfThere(ports.disk, path)?.toString("utf8"));
    const { first, next } = spool.segmentIds;
    // Of runs whose records are all gone nothing has to be known.
    const runs = before.runs.filter(({ from }, i) => {
      const end = before.runs[i + 1]?.from ?? next;
      return first !== undefined && from < end && first < end;
    });
    return new KafkaLane(path, ports, {
      id: before.id ?? newId(),
      runs: [...runs, { run: newId(), from: next }],
      partition: before.partition,
    });
  }

  get watermarkPartition(): number | undefined {
    return this.#partition;
  }

  /** Throws Failure `state-unwritable`. */
  async save(): Promise<void> {
    const content = { id: this.id, partition: this.#partition, runs: this.#runs };
    await replaceFile(this.#ports, this.#path, Buffer.from(`${JSON.stringify(content)}\n`));
  }

  /** A topic with more partitions later must not move the watermark. */
  async keepPartition(partition: number): Promise<void> {
    if (this.#partition === partition) return;
    this.#partition = partition;
    await this.save();
  }

  committedUpTo(watermark: Buffer | undefined): void {
    this.#committed = watermark === undefined ? undefined : readWatermark(watermark.toString("utf8"));
  }

  isCommitted({ segment, endsAt }: SpoolPlace): boolean {
    const committed = this.#committed;
    if (committed === undefined) return false;
    const of = this.#runs.findIndex(({ run }) => run === committed.run);
    const its = this.#runs.findLastIndex(({ from }) => from <= segment);
    if (of === -1 || its > of) return false;
    if (its < of) return true;
    return segment < committed.segment || (segment === committed.segment && endsAt <= committed.end);
  }

  watermarkAt({ segment, endsAt }: SpoolPlace): Buffer {
    const { run } = this.#runs.findLast(({ from }) => from <= segment) ?? {};
    if (run === undefined) throw new Error("a record of the spool belongs to no run");
    return Buffer.from(JSON.stringify({ run, segment, end: endsAt } satisfies Watermark));
  }
}

function readLane(text: string | undefined): {
  readonly id: string | undefined;
  readonly runs: readonly Run[];
  readonly partition: number | undefined;
} {
  const { id, runs, partition } = objectIn(text);
  return {
    id: typeof id === "string" && /^[0-9a-f-]{36}$/.test(id) ? id : undefined,
    partition: wholeNumber(partition),
    runs: Array.isArray(runs)
      ? runs.flatMap((one: unknown) => {
          const { run, from } = (one ?? {}) as { readonly run?: unknown; readonly from?: unknown };
          const at = wholeNumber(from);
          return typeof run === "string" && at !== undefined ? [{ run, from: at }] : [];
        })
      : [],
  };
}

function readWatermark(text: string): Watermark | undefined {
  const { run, segment, end } = objectIn(text);
  const [of, to] = [wholeNumber(segment), wholeNumber(end)];
  return typeof run === "string" && of !== undefined && to !== undefined ? { run, segment: of, end: to } : undefined;
}

function objectIn(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const value = JSON.parse(text ?? "") as unknown;
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function wholeNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
