import { ByteWriter } from "../json/byte-writer.ts";
import { backoffMs } from "../model/backoff.ts";
import { asFailure, Failure, isFailure } from "../model/failure.ts";
import type { UnacknowledgedReceiver } from "../model/fleet.ts";
import type { Clock, Log, Random } from "../model/ports.ts";
import { PROVISIONAL_FOR_MS } from "../model/provisional.ts";
import { SerialQueue } from "../model/serial-queue.ts";
import type { Disk } from "../stores/disk/disk.ts";
import type { Connection, Dialer, Target } from "./connection.ts";
import { type EventRate, piecesOfLines } from "./event-rate.ts";
import { HealthBacklog } from "./health-backlog.ts";
import type { Batch, Output, OutputCondition, OutputListener } from "./output.ts";
import { outputUnwritable, spoolFull, spoolReports } from "./output-failures.ts";
import { OutputReports } from "./output-reports.ts";
import { RecentKeys } from "./recent-keys.ts";
import { Spool } from "./spool.ts";
import type { FrameStyle } from "./syslog-frame.ts";
import { writeSyslogFrames } from "./syslog-frame.ts";

const RECONNECT = { firstMs: 1_000, longestMs: 60_000 };
/** After a connection that lasted this long the backoff begins again. */
const GOOD_AFTER_MS = 60_000;
/** A receiver that accepts nothing for this long counts as gone. */
const STALLED_AFTER_MS = 60_000;
/**
 * An operating system accepts nothing more until a third of its buffer is sent. So each time a receiver seems
 * to be gone it gets twice as long, else a slow one would get the same beginning for ever.
 */
const LONGEST_STALL_MS = 960_000;
const WATCH_EVERY_MS = 5_000;
/** Each piece has STALLED_AFTER_MS: a receiver is slow, and not gone, down to 4 KiB/s. */
const SENT_AT_ONCE_BYTES = 256 << 10;
const UNCONFIRMED_KEYS = 50_000;

export interface SyslogParts {
  readonly name: string;
  readonly target: Target;
  readonly style: FrameStyle;
  readonly spoolBytes: number;
  /**
   * The writer keeps what it writes until it can hardly be lost any more, as the database of a fleet does:
   * nothing goes to a spool, and `write` rejects while the receiver cannot be reached.
   */
  readonly withoutSpool?: boolean;
  readonly stateFolder: string;
  readonly dialer: Dialer;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Undefined: no cap. It holds for the spool too. */
  readonly rate?: EventRate;
}

/**
 * Syslog over TLS or TCP. While the receiver can be reached, events go directly to it. Otherwise they wait in
 * a spool on disk and are sent in order when it is back.
 *
 * Syslog has no acknowledgement, so what was sent in the last hour is unconfirmed. When a connection breaks,
 * events that were sent directly are pending: the engine reads them from Microsoft again (`broken`). What
 * came out of the spool is sent from the spool again. Events that were being sent when it broke go to the
 * spool.
 *
 * In a fleet there is no spool: the database keeps the events, and whoever reads them there decides what
 * counts as delivered (`unacknowledged`).
 */
export class SyslogOutput implements Output {
  readonly kind = "provisional";
  readonly name: string;
  readonly where: string;
  readonly #p: SyslogParts;
  readonly #reports: OutputReports;
  readonly #recent = new RecentKeys();
  /** Undefined: the writer keeps what it writes. */
  readonly #spool: Spool | undefined;
  /** What waits for the receiver where there is no spool. */
  readonly #health: HealthBacklog;
  readonly unacknowledged?: UnacknowledgedReceiver;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #firstAttempt: Promise<void>;
  #unconfirmed: { readonly keys: readonly string[]; readonly atMs: number }[] = [];
  #unconfirmedKeys = 0;
  #connection: Connection | undefined;
  #draining = false;
  #sendingSinceMs: number | undefined;
  #stalledAfterMs = STALLED_AFTER_MS;
  /** Messages are made here, one batch at a time: a batch is sent only after the one before was accepted. */
  #frames = new ByteWriter();
  readonly #writes = new SerialQueue();
  #failure: Failure | undefined;
  /** A connection that was closed to learn what the receiver has read, until the next attempt. */
  #settling: { readonly connection: Connection; readonly isRead: Promise<boolean> } | undefined;
  /** Why the spool could not be read; said once until something of it was sent. */
  #unreadable: Failure | undefined;

  /** Connects at once. Throws Failure `state-unwritable`, `state-unreadable`. */
  constructor(parts: SyslogParts) {
    this.#p = parts;
    this.name = parts.name;
    this.#reports = new OutputReports(this, parts.log);
    const host = parts.target.host.includes(":") ? `[${parts.target.host}]` : parts.target.host;
    this.where = `${parts.target.protocol}://${host}:${parts.target.port}`;
    this.#health = new HealthBacklog(this);
    if (parts.withoutSpool === true)
      this.unacknowledged = {
        isUp: () => this.#connection !== undefined,
        onBroken: (listener) => this.listen({ broken: listener }),
        settle: (withinMs) => this.#writes.run(() => this.#settle(withinMs)),
      };
    else this.#spool = this.#openSpool();
    let tried: () => void = () => undefined;
    this.#firstAttempt = new Promise((resolve) => {
      tried = resolve;
    });
    this.#running = this.#keepConnected(tried);
  }

  /** Where the writer keeps what it writes, it alone knows what has to be sent again. */
  wants(key: string): boolean {
    return this.#spool === undefined || this.#recent.wants(key);
  }

  /** One at a time, so that the order on the wire is the order of the calls. */
  write(batch: Batch): Promise<void> {
    const spool = this.#spool;
    if (spool !== undefined) return this.#writes.run(() => this.#write(spool, batch));
    if (batch.keys.length > 0) return this.#writes.run(() => this.#writeThrough(batch));
    this.#health.add(batch.bytes);
    this.#sendHealth();
    return Promise.resolve();
  }

  condition(): OutputCondition {
    const waitingSinceMs = this.#spool?.waitingSinceMs;
    const isDown = this.#connection === undefined && this.#settling === undefined;
    return {
      state: this.#reports.isRefusing ? "refusing" : isDown ? "down" : "up",
      ...(this.#failure ? { failure: this.#failure } : {}),
      spooledBytes: this.#spooledBytes,
      ...(waitingSinceMs === undefined ? {} : { waitingSinceMs }),
      spoolLimitBytes: this.#p.spoolBytes,
    };
  }

  listen(listener: OutputListener): void {
    this.#reports.listen(listener);
  }

  async close(withinMs: number): Promise<void> {
    const giveUp = this.#p.clock.monotonicMs() + withinMs;
    const over = new AbortController();
    await Promise.race([this.#writes.idle(), this.#p.clock.pause(withinMs, over.signal)]);
    over.abort();
    while (this.#connection !== undefined && this.#spool?.isDrained === false && this.#p.clock.monotonicMs() < giveUp)
      await this.#p.clock.pause(50);
    this.#stop.abort();
    const closedNormally = (await this.#connection?.close(Math.max(0, giveUp - this.#p.clock.monotonicMs()))) ?? true;
    await this.#running;
    // What could not be sent any more has gone to the spool by now.
    await this.#writes.idle();
    // Accepted does not mean read: a receiver that hangs or crashes now may not have read what it was sent.
    if (!closedNormally)
      this.#resendUnconfirmed(
        "the receiver did not close the connection normally: the events of the last hour are sent again at the next start",
      );
    this.#spool?.close();
  }

  get #spooledBytes(): number {
    if (this.#spool === undefined) return this.#health.bytes;
    return this.#spool.isDrained ? 0 : this.#spool.bytes;
  }

  #openSpool(): Spool {
    const { stateFolder, spoolBytes, disk, clock, log } = this.#p;
    const folder = `${stateFolder}/spool`;
    const reports = spoolReports({ name: this.name, where: this.where, log }, folder);
    const { spool, keys } = Spool.open({ folder, limitBytes: spoolBytes, disk, clock, ...reports });
    this.#recent.took(keys);
    return spool;
  }

  async #writeThrough({ bytes }: Batch): Promise<void> {
    await this.#firstAttempt;
    const connection = this.#connection;
    if (connection === undefined || !(await this.#sendOn(connection, bytes)))
      throw broken(this.name, this.where, "cannot be reached; the events wait");
  }

  /** True when the connection took it, and is still there. */
  async #sendOn(connection: Connection, lines: Uint8Array): Promise<boolean> {
    if ((await this.#send(connection, lines)) && this.#connection === connection) return true;
    // Nothing more is sent over it, also before its end is noticed.
    if (this.#connection === connection) this.#connection = undefined;
    return false;
  }

  #sendHealth(): void {
    void this.#writes.run(async () => {
      try {
        await this.#firstAttempt;
        for (let next = this.#health.next; next !== undefined && this.#connection; next = this.#health.next) {
          if (!(await this.#sendOn(this.#connection, next))) return;
          this.#health.removeNext();
        }
      } catch (error) {
        this.#p.log.error("health events cannot be sent", { output: this.name, say: asFailure(error).say });
      }
    });
  }

  async #settle(withinMs: number): Promise<boolean> {
    const connection = this.#connection;
    if (connection === undefined) return false;
    this.#connection = undefined;
    const isRead = connection.close(withinMs);
    this.#settling = { connection, isRead };
    return isRead;
  }

  async #write(spool: Spool, batch: Batch): Promise<void> {
    await this.#firstAttempt;
    const connection = this.#connection;
    if (
      connection !== undefined &&
      !this.#draining &&
      (await this.#send(connection, batch.bytes)) &&
      this.#connection === connection
    ) {
      this.#recent.took(batch.keys);
      this.#noteUnconfirmed(batch.keys);
      return;
    }
    await this.#keep(spool, batch);
    this.#recent.took(batch.keys);
  }

  async #keep(spool: Spool, batch: Batch): Promise<void> {
    let kept: boolean;
    try {
      kept = await spool.append(batch);
    } catch (error) {
      this.#reports.refuse(true);
      throw outputUnwritable(this.name, this.#p.stateFolder, error);
    }
    this.#reports.refuse(!kept);
    if (!kept) throw spoolFull(this.name, this.where, this.#p.spoolBytes);
    // A connection may have come while the disk was busy.
    if (this.#connection !== undefined && !this.#draining) void this.#drain(spool, this.#connection);
    this.#reports.changed();
  }

  async #send(connection: Connection, lines: Uint8Array): Promise<boolean> {
    try {
      const { rate } = this.#p;
      if (rate === undefined) await this.#sendLines(connection, lines);
      else
        for (const { bytes, count } of piecesOfLines(lines, rate.perSecond)) {
          this.#sendingSinceMs = undefined;
          await rate.acquire(count, this.#stop.signal);
          await this.#sendLines(connection, bytes);
        }
      return true;
    } catch (error) {
      // The broken connection may still use the bytes that it was given.
      this.#frames = new ByteWriter();
      if (!isFailure(error)) throw error;
      return false;
    } finally {
      this.#sendingSinceMs = undefined;
    }
  }

  #sendLines(connection: Connection, lines: Uint8Array): Promise<void> {
    this.#frames.reset();
    writeSyslogFrames(this.#frames, lines, this.#p.style, this.#p.clock.nowMs());
    return this.#sendInPieces(connection, this.#frames.view());
  }

  async #sendInPieces(connection: Connection, frames: Uint8Array): Promise<void> {
    for (let from = 0; from < frames.length; from += SENT_AT_ONCE_BYTES) {
      this.#sendingSinceMs = this.#p.clock.monotonicMs();
      await connection.send(frames.subarray(from, from + SENT_AT_ONCE_BYTES));
    }
  }

  #noteUnconfirmed(keys: readonly string[]): void {
    if (keys.length === 0) return;
    const nowMs = this.#p.clock.monotonicMs();
    this.#unconfirmed.push({ keys, atMs: nowMs });
    this.#unconfirmedKeys += keys.length;
    while (
      this.#unconfirmed.length > 1 &&
      ((this.#unconfirmed[0]?.atMs ?? nowMs) < nowMs - PROVISIONAL_FOR_MS || this.#unconfirmedKeys > UNCONFIRMED_KEYS)
    ) {
      this.#unconfirmedKeys -= this.#unconfirmed.shift()?.keys.length ?? 0;
    }
  }

  async #keepConnected(tried: () => void): Promise<void> {
    const { clock, random, dialer, target } = this.#p;
    for (let failed = 0; !this.#stop.signal.aborted; failed += 1) {
      try {
        const connection = await dialer.connect(target, this.#stop.signal);
        const sinceMs = clock.monotonicMs();
        this.#comeUp(connection);
        tried();
        const why = await this.#watch(connection);
        if (await this.#wasRead(connection)) {
          failed = -1;
          continue;
        }
        this.#goDown(why);
        if (clock.monotonicMs() - sinceMs >= GOOD_AFTER_MS) failed = 0;
      } catch (error) {
        if (!isFailure(error)) throw error;
        tried();
        this.#settling = undefined;
        if (!this.#stop.signal.aborted) this.#unreachable(error);
      }
      await clock.pause(backoffMs(RECONNECT, failed + 1, random), this.#stop.signal);
    }
  }

  /** Of a connection that was closed for that: the receiver has read everything. */
  async #wasRead(connection: Connection): Promise<boolean> {
    const isRead = this.#settling?.connection === connection && (await this.#settling.isRead);
    if (!isRead) this.#settling = undefined;
    return isRead;
  }

  #comeUp(connection: Connection): void {
    this.#connection = connection;
    if (this.#failure !== undefined) this.#reports.logRecovery(this.where, this.#spooledBytes);
    else if (this.#settling === undefined) this.#p.log.info("connected", { output: this.name, to: this.where });
    this.#settling = undefined;
    this.#failure = undefined;
    this.#reports.changed();
    if (this.#health.bytes > 0) this.#sendHealth();
    if (this.#spool?.isDrained === false) void this.#drain(this.#spool, connection);
  }

  async #drain(spool: Spool, connection: Connection): Promise<void> {
    this.#draining = true;
    try {
      for (let next = spool.next(); next !== undefined && this.#connection === connection; next = spool.next()) {
        if (!(await this.#send(connection, next.lines)) || this.#connection !== connection) return;
        spool.advance(next);
        this.#unreadable = undefined;
        this.#reports.refuse(false);
      }
      if (spool.isDrained) this.#stalledAfterMs = STALLED_AFTER_MS;
    } catch (error) {
      const failure = asFailure(error);
      this.#reports.logFailure(failure, this.#unreadable);
      this.#unreadable = failure;
      connection.cut(failure);
    } finally {
      if (this.#connection === connection) this.#draining = false;
    }
  }

  /** Resolves when the connection is gone; cuts one whose receiver accepts nothing. */
  async #watch(connection: Connection): Promise<Failure> {
    const over = new AbortController();
    const gone = connection.gone.then((why) => {
      over.abort();
      return why;
    });
    while (!over.signal.aborted) {
      await this.#p.clock.pause(WATCH_EVERY_MS, over.signal);
      const since = this.#sendingSinceMs;
      const isStalled = since !== undefined && this.#p.clock.monotonicMs() - since >= this.#stalledAfterMs;
      if (isStalled && !over.signal.aborted) {
        connection.cut(broken(this.name, this.where, `took nothing for ${this.#stalledAfterMs / 1000} s`));
        this.#stalledAfterMs = Math.min(this.#stalledAfterMs * 2, LONGEST_STALL_MS);
        break;
      }
    }
    return gone;
  }

  #goDown(why: Failure): void {
    this.#connection = undefined;
    this.#draining = false;
    if (this.#stop.signal.aborted) return;
    this.#failure = why;
    this.#resendUnconfirmed("the connection broke: the events of the last hour are sent again", why);
  }

  #resendUnconfirmed(message: string, why?: Failure): void {
    if (this.#spool === undefined) {
      this.#p.log.warn("the connection to the receiver ended", { output: this.name, to: this.where, say: why?.say });
      this.#reports.changed();
      this.#reports.broken();
      return;
    }
    const fresh = this.#p.clock.monotonicMs() - PROVISIONAL_FOR_MS;
    const pendingResend = this.#unconfirmed.filter(({ atMs }) => atMs >= fresh).flatMap(({ keys }) => keys);
    this.#unconfirmed = [];
    this.#unconfirmedKeys = 0;
    this.#recent.setPending(pendingResend);
    this.#spool.rewind();
    this.#p.log.warn(message, { output: this.name, to: this.where, say: why?.say, events: pendingResend.length });
    this.#reports.changed();
    if (pendingResend.length > 0) this.#reports.broken();
  }

  #unreachable(failure: Failure): void {
    this.#reports.logFailure(failure, this.#failure);
    this.#failure = failure;
    this.#reports.changed();
  }
}

function broken(name: string, where: string, what: string): Failure {
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "soon" },
    say: `${name}: ${where} ${what}.`,
  });
}
