import { describe, expect, test } from "@jest/globals";
import { CONTOSO, deliveriesOf, SAMPLES } from "../../test/golden/samples.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";

import type { EventStyle } from "../format/splunk/record-json.ts";
import type { Delivery, HealthEvent, HugeDelivery } from "../model/event.ts";
import { Failure } from "../model/failure.ts";
import { type LineFormat, lineFormatOf } from "./line-format.ts";
import type { Batch, Output, OutputListener } from "./output.ts";
import { RecentKeys } from "./recent-keys.ts";
import { OutputsSink } from "./sink.ts";

const ALERTS = deliveriesOf(SAMPLES[0]!);

/** An output in memory. */
class RecordingOutput implements Output {
  readonly name: string;
  readonly where = "memory";
  readonly kind: Output["kind"];
  readonly recent = new RecentKeys();
  text = "";
  refuses = false;
  state: "up" | "down" | "refusing" = "up";
  spooledBytes = 0;
  #listeners: OutputListener[] = [];

  constructor(name: string, kind: Output["kind"] = "durable") {
    this.name = name;
    this.kind = kind;
  }

  wants(key: string): boolean {
    return this.recent.wants(key);
  }

  async write(batch: Batch): Promise<void> {
    await Promise.resolve();
    if (this.refuses)
      throw new Failure("output-full", { actor: "operator", retry: { when: "later" }, say: `${this.name} is full` });
    this.text += Buffer.from(batch.bytes).toString("utf8");
    this.recent.took(batch.keys);
  }

  condition() {
    return { state: this.state, spooledBytes: this.spooledBytes, spoolLimitBytes: 100 };
  }

  listen(listener: OutputListener): void {
    this.#listeners.push(listener);
  }

  breakOff(keys: readonly string[]): void {
    this.recent.setPending(keys);
    for (const listener of this.#listeners) listener.broken?.();
  }

  spool(bytes: number): void {
    this.spooledBytes = bytes;
    for (const listener of this.#listeners) listener.changed?.(this.condition());
  }

  becomes(state: "up" | "down" | "refusing"): void {
    this.state = state;
    this.spool(this.spooledBytes);
  }

  async close(): Promise<void> {}

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }
}

const FORMAT: LineFormat = {
  id: "plain",
  delivery: (out, { stanza, found, record }) => out.text(`${stanza} ${found} ${record.id}\n`),
  health: (out, { tenant }) => out.text(`health ${tenant}\n`),
  notice: (out, { say }) => out.text(`notice ${say}\n`),
};

const log = new FakeLog();

function sinkOf(
  ...outputs: readonly (RecordingOutput | { readonly output: RecordingOutput; readonly tenants: readonly string[] })[]
): OutputsSink {
  const branches = outputs.map((one) =>
    "output" in one
      ? { output: one.output, format: FORMAT, tenants: new Set(one.tenants) }
      : { output: one, format: FORMAT },
  );
  return new OutputsSink(branches, () => 0, log);
}

function deliver(stanza: string, found: Delivery["found"], key: string): Delivery {
  return { ...ALERTS[0]!, stanza, found, key };
}

function health(tenant: string, input = tenant.toLowerCase()): HealthEvent {
  return {
    time: "2026-11-24T19:00:00Z",
    tenant,
    tenant_id: CONTOSO.id,
    input,
    streams: [],
    credential: null,
    credential_days_left: null,
    version: "1",
  };
}

describe("with several outputs at once", () => {
  test("each output gets every event, or only the events of its customers where it names them", async () => {
    const all = new RecordingOutput("outputs[0]");
    const one = new RecordingOutput("outputs[1]");
    const sink = sinkOf(all, { output: one, tenants: ["fabrikam"] });

    await sink.write([deliver("contoso", "poll", "k1"), deliver("fabrikam", "poll", "k2")]);
    await sink.health(health("Fabrikam"));
    await sink.health(health("Fabrikam", "fabrikam-2"));
    await sink.health(health(CONTOSO.name, "contoso"));

    expect(all.lines.map((line) => line.split(" ")[0])).toEqual(["contoso", "fabrikam", "health", "health", "health"]);
    expect(one.lines.map((line) => line.split(" ")[0])).toEqual(["fabrikam", "health"]);
  });

  test("an output that refuses makes the batch come again, and the others skip what they have", async () => {
    const good = new RecordingOutput("outputs[0]");
    const full = new RecordingOutput("outputs[1]");
    full.refuses = true;
    const sink = sinkOf(good, full);

    await expect(sink.write([deliver("contoso", "poll", "k1")])).rejects.toMatchObject({ code: "output-full" });
    full.refuses = false;
    await sink.write([deliver("contoso", "poll", "k1")]);

    expect([good.lines.length, full.lines.length]).toEqual([1, 1]);
  });

  test("a replay goes only to the output whose connection broke", async () => {
    const file = new RecordingOutput("outputs[0]");
    const syslog = new RecordingOutput("outputs[1]", "provisional");
    const sink = sinkOf(file, syslog);
    let asked = 0;
    sink.onBroken(() => (asked += 1));
    await sink.write([deliver("contoso", "poll", "k1")]);

    syslog.breakOff(["contoso|k1"]);
    await sink.write([deliver("contoso", "replay", "k1")]);

    expect(asked).toBe(1);
    expect(file.lines).toHaveLength(1);
    expect(syslog.lines.map((line) => line.split(" ")[1])).toEqual(["poll", "replay"]);
  });

  test("two customers of one tenant both get their event", async () => {
    const output = new RecordingOutput("outputs[0]");
    await sinkOf(output).write([deliver("contoso", "poll", "k1"), deliver("fabrikam", "poll", "k1")]);
    expect(output.lines).toHaveLength(2);
  });

  test("the sink is durable only when all outputs are", () => {
    const durable = new RecordingOutput("a");
    expect([sinkOf(durable).kind, sinkOf(durable, new RecordingOutput("b", "provisional")).kind]).toEqual([
      "durable",
      "provisional",
    ]);
  });

  test("a spool that fills is reported once, on every output", async () => {
    const file = new RecordingOutput("outputs[0]");
    const syslog = new RecordingOutput("outputs[1]", "provisional");
    const sink = sinkOf(file, syslog);

    for (const bytes of [40, 60, 80, 10, 55]) syslog.spool(bytes);
    await sink.write([]);

    expect(file.lines.map((line) => /(\d+) %/.exec(line)?.[1])).toEqual(["60", "55"]);
  });
});

test("says which customers' events are accepted again, once each time an output refused them", () => {
  const all = new RecordingOutput("outputs[0]");
  const some = new RecordingOutput("outputs[1]");
  const sink = sinkOf(all, { output: some, tenants: ["fabrikam"] });
  const heard: unknown[] = [];
  sink.onAccepting((stanzas) => heard.push(stanzas));
  all.becomes("down");
  all.becomes("up");
  expect(heard).toEqual([]);
  for (const state of ["refusing", "refusing", "down", "up"] as const) all.becomes(state);
  for (const state of ["refusing", "up", "up"] as const) some.becomes(state);
  expect(heard).toEqual([undefined, new Set(["fabrikam"])]);
});

test("a record that one output cannot format is a defect: no other output gets half of the batch, and no refusal goes unhandled", async () => {
  const [first, second] = [new RecordingOutput("outputs[0]"), new RecordingOutput("outputs[1]")];
  const broken: LineFormat = {
    ...FORMAT,
    id: "broken",
    delivery: () => {
      throw new TypeError("no such member");
    },
  };
  const sink = new OutputsSink(
    [
      { output: first, format: FORMAT },
      { output: second, format: broken },
    ],
    () => 0,
    log,
  );
  await expect(sink.write(ALERTS)).rejects.toThrow("no such member");
  await Promise.resolve();
  expect(first.lines).toEqual([]);
});

describe("in the memory of batches", () => {
  test("a batch that waits for one output is untouched by those that come after it", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    class SlowOnce extends RecordingOutput {
      #calls = 0;
      override async write(batch: Batch): Promise<void> {
        this.#calls += 1;
        if (this.#calls === 1) await held;
        await super.write(batch);
      }
    }
    const slow = new SlowOnce("slow");
    const quick = new RecordingOutput("quick");
    const sink = sinkOf(slow, quick);
    const named = (id: string): Delivery[] => [{ ...ALERTS[0]!, key: id, record: { ...ALERTS[0]!.record, id } }];
    const first = sink.write(named("first"));
    for (let i = 0; i < 5; i += 1) await sink.write(named(`later-${i}`));
    release();
    await first;
    expect(slow.lines.map((line) => line.split(" ").at(-1))).toEqual([
      "later-0",
      "later-1",
      "later-2",
      "later-3",
      "later-4",
      "first",
    ]);
  });

  test("the memory of a refused batch is lent again only once every output is done with it", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    class Slow extends RecordingOutput {
      override async write(batch: Batch): Promise<void> {
        await held;
        await super.write(batch);
      }
    }
    const slow = new Slow("slow");
    const full = new RecordingOutput("full");
    full.refuses = true;
    const sink = sinkOf(slow, full);
    const named = (id: string): Delivery[] => [{ ...ALERTS[0]!, key: id, record: { ...ALERTS[0]!.record, id } }];
    const writes = ["one", "two", "three"].map((id) => sink.write(named(id)).catch(() => undefined));
    await new Promise<void>((resolve) => setImmediate(resolve));
    release();
    await Promise.all(writes);
    expect(slow.lines.map((line) => line.split(" ").at(-1))).toEqual(["one", "two", "three"]);
  });
});

describe("a record too large to be held", () => {
  const LARGE = JSON.stringify({
    id: "huge",
    serviceSource: "microsoftDefenderForEndpoint",
    title: "Ransomware was stopped",
    severity: "high",
    evidence: Array.from({ length: 700 }, (_, i) => ({
      "@odata.type": "#microsoft.graph.security.urlEvidence",
      url: `https://x/${i}/${"y".repeat(100)}`,
    })),
    lastUpdateDateTime: "2026-11-24T11:30:00Z",
  });

  function huge(found: Delivery["found"] = "poll"): HugeDelivery {
    return {
      ...deliver("contoso", found, "k1"),
      record: { kind: "alert", id: "huge", updated: ALERTS[0]!.record.updated },
    };
  }

  async function* pieces() {
    const bytes = Buffer.from(LARGE);
    for (let at = 0; at < bytes.length; at += 1_000) yield bytes.subarray(at, at + 1_000);
  }

  function sinkWith(output: RecordingOutput, type: "cef-file" | "json-lines", book = new FakeLog()): OutputsSink {
    const style = {
      layout: "vendor",
      envelope: true,
      alertsSourcetype: "x",
      classicEntities: false,
      cimEntityZone: undefined,
    } as unknown as EventStyle;
    const format = lineFormatOf({ type, profile: "xdr", evidence: "none", cefVersion: "0" }, () => style, "collector");
    return new OutputsSink([{ output, format }], () => 0, book);
  }

  test("goes out as CEF with its small members and the amount of evidence that is left out", async () => {
    const output = new RecordingOutput("outputs[0]");
    const book = new FakeLog();
    await sinkWith(output, "cef-file", book).writeHuge(huge(), pieces());
    expect(output.lines).toHaveLength(1);
    expect(output.text).toContain("|alert:microsoftDefenderForEndpoint|Ransomware was stopped|");
    expect(output.text).toMatch(/ cn1=700 .*cn1Label=Evidence Left Out|cn1Label=Evidence Left Out cn1=700/);
    expect(book.texts).toEqual([
      expect.stringMatching(
        /^warn a record above record_max_mib .*"id":"huge","bytes":\d+,"left_out":"evidence \(700 items, \d+ bytes\)"/,
      ),
    ]);
  });

  test("goes out as a JSON line of its small members", async () => {
    const output = new RecordingOutput("outputs[0]");
    await sinkWith(output, "json-lines").writeHuge(huge(), pieces());
    const { evidence: _, ...small } = JSON.parse(LARGE);
    const { mssp, ...record } = JSON.parse(output.text);
    expect(record).toEqual(small);
    expect(mssp.key).toBe("k1");
  });

  test("is refused, comes again and is pending like any other", async () => {
    const file = new RecordingOutput("outputs[0]");
    const syslog = new RecordingOutput("outputs[1]", "provisional");
    const sink = sinkOf(file, syslog);
    syslog.refuses = true;
    log.lines.length = 0;
    await expect(sink.writeHuge(huge(), pieces())).rejects.toMatchObject({ code: "output-full" });
    expect(log.texts).toEqual([]);
    syslog.refuses = false;
    await sink.writeHuge(huge(), pieces());
    expect([file.lines, syslog.lines]).toEqual([["contoso poll huge"], ["contoso poll huge"]]);
    expect(log.texts).toHaveLength(1);
    await sink.writeHuge(huge("replay"), pieces());
    expect([file.lines.length, syslog.lines.length, log.texts.length]).toEqual([1, 1, 1]);

    syslog.breakOff(["contoso|k1"]);
    await sink.writeHuge(huge("replay"), pieces());
    expect([file.lines.length, syslog.lines]).toEqual([1, ["contoso poll huge", "contoso replay huge"]]);
  });

  test("is never sent with more of it than is reported to the engine", async () => {
    const output = new RecordingOutput("outputs[0]");
    const sink = sinkWith(output, "json-lines");
    async function* many() {
      yield Buffer.from('{"id":"huge"');
      for (let i = 0; i < 40; i += 1) yield Buffer.from(`,"member${i}":"${"x".repeat(60_000)}"`);
      yield Buffer.from("}");
    }
    await sink.writeHuge(huge(), many());
    const { mssp: _, ...record } = JSON.parse(output.text);
    const { length } = JSON.stringify(record);
    expect(length).toBeLessThanOrEqual(sink.hugeMostBytes);
    expect(length).toBeGreaterThan(sink.hugeMostBytes - 64 * 1024);
  });

  test("lets other work run between its pieces", async () => {
    let otherWork = 0;
    let next = setImmediate(function count() {
      otherWork += 1;
      next = setImmediate(count);
    });
    await sinkOf(new RecordingOutput("outputs[0]")).writeHuge(huge(), pieces());
    clearImmediate(next);
    expect(otherWork).toBeGreaterThan(LARGE.length / 1_000 - 2);
  });

  test("whose pieces cannot be read again is not written", async () => {
    const output = new RecordingOutput("outputs[0]");
    async function* broken() {
      yield Buffer.from('{"id":"huge",');
      throw new Failure("state-unwritable", { actor: "operator", retry: { when: "later" }, say: "gone" });
    }
    await expect(sinkOf(output).writeHuge(huge(), broken())).rejects.toMatchObject({ code: "state-unwritable" });
    expect(output.text).toBe("");
  });
});
