import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { deliveries, FakeStdout } from "../../test/harness/fakes/splunkd-rest.ts";
import { parseStanzas } from "../config/settings.ts";
import type { HealthEvent } from "../model/event.ts";
import { pipeSink } from "./pipe-sink.ts";
import { PLAIN_LINES, SPLUNK_STREAM, StreamPipe } from "./stream-pipe.ts";

const TENANT = "11111111-2222-3333-4444-555555555555";
const stanzas = parseStanzas(
  [
    { name: "a", values: { tenant_id: TENANT, client_id: TENANT } },
    { name: "Müller & Söhne", values: { tenant_id: "mueller.example.com", tenant_name: "Müller", client_id: TENANT } },
  ],
  { host: "splunk", nowMs: 0 },
).stanzas;

const records = (n: number, filler = "") =>
  Array.from({ length: n }, (_, i) => ({
    id: `alert-${i}`,
    lastUpdateDateTime: "2026-11-24T12:00:00.1234567Z",
    serviceSource: "microsoftDefenderForEndpoint",
    title: `<${i}> & more`,
    filler,
  }));

const clock = new FakeClock();

function open() {
  const stdout = new FakeStdout();
  const pipe = new StreamPipe(stdout, clock, SPLUNK_STREAM);
  return { stdout, pipe, sink: pipeSink({ events: pipe, health: pipe, form: "splunk", customers: stanzas }) };
}

const ids = (text: string) => [...text.matchAll(/"id":"([^"]*)"/g)].map((match) => match[1]);

describe("deliveries", () => {
  test("leave as one stream, in order, and the bytes are counted", async () => {
    const { stdout, pipe, sink } = open();
    const written = await sink.write(deliveries("a", records(3)));
    await pipe.close();
    expect(written).toBe(Buffer.byteLength(stdout.taken) - Buffer.byteLength("<stream>\n</stream>\n"));
    expect(stdout.taken).toMatch(
      /^<stream>\n<event stanza="defender_mssp:\/\/a" unbroken="1"><time>1795521600\.123<\/time>/,
    );
    expect(stdout.taken.endsWith("</event>\n</stream>\n")).toBe(true);
    expect(ids(stdout.taken)).toEqual(["alert-0", "alert-1", "alert-2"]);
  });

  test("of many customers at once never tear one another", async () => {
    const { stdout, sink } = open();
    const batches = Array.from({ length: 20 }, (_, i) =>
      deliveries(i % 2 ? "a" : "Müller & Söhne", records(i, "x".repeat(5000))),
    );
    await Promise.all(batches.map((batch) => sink.write(batch)));
    expect(ids(stdout.taken)).toEqual(batches.flatMap((batch) => batch.map((one) => one.record.id)));
    expect(stdout.taken.match(/<event /g)).toHaveLength(190);
  });

  test("are handed over in writes of about 256 KiB", async () => {
    const { stdout, sink } = open();
    await sink.write(deliveries("a", records(200, "x".repeat(6000))));
    expect(Math.max(...stdout.sizes)).toBeLessThan(300 * 1024);
    expect(
      stdout.sizes
        .filter((size) => size > 1000)
        .slice(0, -1)
        .every((size) => size >= 256 * 1024),
    ).toBe(true);
  });

  test("that the host no longer takes are told, and the sink stays told", async () => {
    const { stdout, pipe, sink } = open();
    stdout.breaksWith = "EPIPE";
    await expect(sink.write(deliveries("a", records(1)))).rejects.toMatchObject({ code: "host-gone" });
    await expect(sink.write(deliveries("a", records(1)))).rejects.toMatchObject({ code: "host-gone" });
    expect(pipe.gone.aborted).toBe(true);
  });
});

const healthOf = (tenant: string, tenantId: string, input: string): HealthEvent => ({
  time: "2026-11-24T12:00:00Z",
  tenant,
  tenant_id: tenantId,
  input,
  streams: [],
  credential: null,
  credential_days_left: null,
  version: "1",
});

test("as lines, events leave by one pipe and health by another, without anything around them", async () => {
  const [stdout, stderr] = [new FakeStdout(), new FakeStdout()];
  const sink = pipeSink({
    events: new StreamPipe(stdout, clock, PLAIN_LINES),
    health: new StreamPipe(stderr, clock, PLAIN_LINES),
    form: "lines",
    customers: stanzas,
  });
  await sink.write(deliveries("a", records(2)));
  await sink.health(healthOf("a", TENANT, "a"));
  expect(
    stdout.taken
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { id: string }).id),
  ).toEqual(["alert-0", "alert-1"]);
  expect(JSON.parse(stderr.taken)).toEqual(healthOf("a", TENANT, "a"));
});

test("the health of a customer whose settings are wrong carries its stanza, and its source ends in unknown", async () => {
  const stdout = new FakeStdout();
  const pipe = new StreamPipe(stdout, clock, SPLUNK_STREAM);
  const sink = pipeSink({ events: pipe, health: pipe, form: "splunk", customers: stanzas });
  await sink.health(healthOf("Contoso GmbH", "", "wrong"));
  expect(stdout.taken).toContain('<event stanza="defender_mssp://wrong" unbroken="1">');
  expect(stdout.taken).toContain("<source>defender_mssp:health:unknown</source>");
});

describe("a health event carries the stanza of its input, also where two inputs have one tenant and one name", () => {
  test.each([
    ["a", "a", TENANT, "defender_mssp://a"],
    ["a-incidents", "a", TENANT, "defender_mssp://a-incidents"],
    ["Müller & Söhne", "Müller", "99999999-2222-3333-4444-555555555555", "defender_mssp://Müller &amp; Söhne"],
  ])("%s", async (input, tenant, tenantId, stanza) => {
    const { stdout, sink } = open();
    await sink.health(healthOf(tenant, tenantId, input));
    expect(stdout.taken).toContain(
      `<event stanza="${stanza}" unbroken="1"><time>1795521600.000</time><source>defender_mssp:health:${tenantId}</source>`,
    );
  });
});

test("the health of an input that does not run goes under another stanza, into its own index", async () => {
  const stdout = new FakeStdout();
  const pipe = new StreamPipe(stdout, clock, SPLUNK_STREAM);
  const placeOf = (input: string) => (input === "disabled" ? { stanza: "a", index: "customer_b" } : undefined);
  const sink = pipeSink({ events: pipe, health: pipe, form: "splunk", customers: stanzas, placeOf });
  await sink.health(healthOf("Fabrikam", TENANT, "disabled"));
  await sink.health(healthOf("a", TENANT, "a"));
  expect([...stdout.taken.matchAll(/stanza="([^"]*)"|<index>([^<]*)/g)].map(([match]) => match)).toEqual([
    'stanza="defender_mssp://a"',
    "<index>customer_b",
    'stanza="defender_mssp://a"',
  ]);
});
