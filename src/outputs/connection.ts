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
   * Resolves when the operating system has accepted all bytes, which does not mean that they arrived. Rejects
   * when the connection is gone.
   */
  send(bytes: Uint8Array): Promise<void>;
  /** Resolves when the connection is gone, whoever ended it. Never rejects. */
  readonly gone: Promise<Failure>;
  /**
   * Closes the connection normally: bytes that were accepted are still sent, for at most `withinMs`. True
   * when the receiver closed its side too, which is the only sign that it read everything; false when it
   * reset the connection or did not answer in time.
   */
  close(withinMs: number): Promise<boolean>;
  /** Ends at once. */
  cut(why: Failure): void;
}

/** Sockets are injected, so that tests can use fakes. */
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
