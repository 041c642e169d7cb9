import type { Clock, Log } from "../model/ports.ts";
import { errnoOf } from "../stores/disk/disk.ts";
import type { DatagramConnection, Dialer } from "./connection.ts";
import type { Batch, Output, OutputCondition } from "./output.ts";
import { RecentKeys } from "./recent-keys.ts";
import type { FrameStyle } from "./syslog-frame.ts";
import { syslogDatagrams } from "./syslog-frame.ts";

const REPORTED_AGAIN_MS = 60_000;

export interface UdpParts {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly style: Omit<FrameStyle, "framing">;
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Syslog over UDP, a datagram per event. UDP does not guarantee delivery: a lost datagram is not noticed, so
 * nothing is sent again.
 */
export class UdpOutput implements Output {
  readonly kind = "provisional";
  readonly name: string;
  readonly where: string;
  readonly #p: UdpParts;
  readonly #connection: DatagramConnection;
  readonly #recent = new RecentKeys();
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: UdpParts) {
    this.#p = parts;
    this.name = parts.name;
    this.where = `udp://${parts.host.includes(":") ? `[${parts.host}]` : parts.host}:${parts.port}`;
    this.#connection = parts.dialer.datagrams(parts);
  }

  wants(key: string): boolean {
    return this.#recent.wants(key);
  }

  async write(batch: Batch): Promise<void> {
    for (const datagram of syslogDatagrams(batch.bytes, this.#p.style, this.#p.clock.nowMs())) {
      try {
        await this.#connection.send(datagram);
      } catch (error) {
        this.#complain(error);
      }
    }
    this.#recent.took(batch.keys);
  }

  condition(): OutputCondition {
    return { state: "up", spooledBytes: 0, spoolLimitBytes: 0 };
  }

  listen(): void {
    // A lost datagram is not noticed.
  }

  async close(): Promise<void> {
    this.#connection.close();
  }

  #complain(error: unknown): void {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    const nowMs = this.#p.clock.monotonicMs();
    if (nowMs - this.#reportedAtMs < REPORTED_AGAIN_MS) return;
    this.#reportedAtMs = nowMs;
    this.#p.log.error("datagrams cannot be sent and are lost: UDP does not guarantee delivery, use tls or tcp", {
      output: this.name,
      to: this.where,
      error: errno,
    });
  }
}
