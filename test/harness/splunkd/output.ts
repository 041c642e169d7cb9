import { closeSync, fstatSync, openSync, writeSync } from "node:fs";

/**
 * Where received bytes end up: byte for byte in `file`, with a log of arrivals beside it (`file.arrivals`,
 * lines `{"offset","at"}`: the first `offset` bytes had arrived at `at`). The last `holdBytes` stay in
 * memory, as in splunkd's queue between the pipe and the index: they are gone when splunkd is killed, and are
 * written at an orderly stop.
 */
export class Output {
  private readonly queue: { readonly bytes: Buffer; readonly at: Date }[] = [];
  private heldBytes = 0;
  private offset = 0;
  private readonly fd: number | undefined;
  private readonly arrivals: number | undefined;
  private readonly holdBytes: number;

  constructor(file: string | undefined, options: { readonly continued: boolean; readonly holdBytes: number }) {
    this.holdBytes = options.holdBytes;
    if (file === undefined) return;
    const flag = options.continued ? "a" : "w";
    this.fd = openSync(file, flag);
    this.arrivals = openSync(`${file}.arrivals`, flag);
    this.offset = fstatSync(this.fd).size;
  }

  take(bytes: Buffer, at: Date): void {
    this.queue.push({ bytes, at });
    this.heldBytes += bytes.length;
    while (this.heldBytes > this.holdBytes) this.writeOldest();
  }

  /** At an orderly stop everything is written; otherwise what is held is lost. */
  close(options: { readonly orderly: boolean }): void {
    while (options.orderly && this.queue.length > 0) this.writeOldest();
    this.queue.length = 0;
    if (this.fd !== undefined) closeSync(this.fd);
    if (this.arrivals !== undefined) closeSync(this.arrivals);
  }

  private writeOldest(): void {
    const oldest = this.queue.shift();
    if (!oldest) return;
    this.heldBytes -= oldest.bytes.length;
    if (this.fd === undefined || this.arrivals === undefined) return;
    for (let at = 0; at < oldest.bytes.length; ) at += writeSync(this.fd, oldest.bytes, at);
    this.offset += oldest.bytes.length;
    writeSync(this.arrivals, `{"offset":${this.offset},"at":"${oldest.at.toISOString()}"}\n`);
  }
}
