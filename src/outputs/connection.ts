import type { Failure } from "../model/failure.ts";

/** Where a connector listens. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly protocol: "tls" | "tcp";
  readonly caFile?: string;
  /** PEM with our own key and certificate. */
  readonly certificate?: string;
}

/** One connection that only sends. */
export interface Connection {
  /**
   * Resolves when the operating system has taken all bytes; rejects when the connection is gone. Taken is not
   * arrived.
   */
  send(bytes: Uint8Array): Promise<void>;
  /** Resolves when the connection is gone, whoever ended it. Never rejects. */
  readonly gone: Promise<Failure>;
  /**
   * Ends in order: what was taken is still sent, for at most `withinMs`. True when the receiver ended its
   * side too, which is the only sign that it read everything; false when it broke off or was not heard of in
   * time.
   */
  close(withinMs: number): Promise<boolean>;
  /** Ends at once. */
  cut(why: Failure): void;
}

/** Sockets is injected: tests bring their own. */
export interface Dialer {
  /** Throws Failure `output-unreachable` or `output-untrusted`. */
  connect(target: Target, stop: AbortSignal): Promise<Connection>;
  datagrams(target: { readonly host: string; readonly port: number }): DatagramConnection;
}

export interface DatagramConnection {
  /** Resolves when the operating system took it; rejects with an errno error. */
  send(datagram: Uint8Array): Promise<void>;
  close(): void;
}
