import { expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { FakeSplunkd, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import type { HealthEvent } from "../../model/event.ts";
import type { HealthPlace } from "../../outputs/pipe-sink.ts";
import { reportDisabledInputs } from "./disabled-inputs.ts";

const TENANT = "11111111-2222-3333-4444-555555555555";
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

function bench(
  inputs: Readonly<Record<string, Readonly<Record<string, string>>>>,
  running: readonly string[],
  refusals: readonly number[] = [],
) {
  const fake = new FakeSplunkd();
  for (const [name, values] of Object.entries(inputs)) fake.inputs.set(name, { index: "default", ...values });
  fake.refusals.push(...refusals);
  const clock = new FakeClock();
  const log = new FakeLog();
  const sent: HealthEvent[] = [];
  const places = new Map<string, HealthPlace>();
  const stop = new AbortController();
  const splunkd = splunkdAt(fake, clock, { stop: stop.signal });
  const send = async (event: HealthEvent) => void sent.push(event);
  const version = "1.0.0";
  const reporting = reportDisabledInputs(
    { splunkd: () => splunkd, running, clock, log, version, send, places },
    stop.signal,
  );
  return { fake, clock, log, sent, places, stop, reporting };
}

test("P24 a disabled input is off at once and hourly, under its customer's name, and an enabled one is left alone", async () => {
  const { clock, sent, stop, reporting } = bench(
    {
      contoso: { disabled: "0", tenant_id: TENANT },
      fabrikam: { disabled: "1", tenant_id: TENANT.toUpperCase(), tenant_name: "Fabrikam AG", credential: "main" },
      tailspin: { disabled: "true", tenant_id: "tailspin.example.com", client_secret: "in-clear" },
    },
    ["contoso"],
  );
  await clock.advance(MINUTE_MS);
  expect(sent).toEqual([
    expect.objectContaining({ tenant: "Fabrikam AG", tenant_id: TENANT, input: "fabrikam", credential: "main" }),
    expect.objectContaining({ tenant: "tailspin", tenant_id: "", input: "tailspin", credential: null }),
  ]);
  expect(sent[0]?.streams).toMatchObject([
    {
      stream: "*",
      state: "off",
      failure: null,
      actor: null,
      say: "The input fabrikam is disabled, so Fabrikam AG is not collected.",
      next_step: "To collect it again, enable the input fabrikam under Settings > Data inputs.",
    },
  ]);
  expect(JSON.stringify(sent)).not.toContain("in-clear");
  await clock.advance(2 * HOUR_MS);
  expect(sent.map(({ input }) => input)).toEqual(Array.from({ length: 3 }, () => ["fabrikam", "tailspin"]).flat());
  stop.abort();
  await reporting;
});

test("an input that was disabled while it runs is not off before splunkd has restarted the program without it", async () => {
  const { clock, sent, stop } = bench({ contoso: { disabled: "1", tenant_id: TENANT } }, ["contoso"]);
  await clock.advance(MINUTE_MS);
  expect(sent).toEqual([]);
  stop.abort();
});

test("the event of a disabled input keeps the index of its customer, under an input that runs", async () => {
  const { clock, places, stop } = bench(
    {
      a: { disabled: "0", index: "customer_a" },
      b: { disabled: "0", index: "customer_b" },
      same: { disabled: "1", index: "customer_b" },
      other: { disabled: "1", index: "customer_c" },
      plain: { disabled: "1" },
    },
    ["a", "b"],
  );
  await clock.advance(MINUTE_MS);
  expect(Object.fromEntries(places)).toEqual({
    same: { stanza: "b" },
    other: { stanza: "a", index: "customer_c" },
    plain: { stanza: "a", index: "default" },
  });
  stop.abort();
});

test("one request an hour reads the list of 2,000 inputs, and asks for no secret", async () => {
  const inputs = Object.fromEntries(Array.from({ length: 2_000 }, (_, n) => [`c${n}`, { disabled: String(n % 2) }]));
  const { fake, clock, sent, stop } = bench(inputs, ["c0"]);
  await clock.advance(MINUTE_MS);
  expect(sent).toHaveLength(1_000);
  await clock.advance(2 * HOUR_MS);
  expect(fake.requests).toHaveLength(3);
  const asked = new URL(fake.requests[0]?.url ?? "").searchParams.getAll("f");
  expect(asked).toEqual(["disabled", "index", "tenant_id", "tenant_name", "credential"]);
  stop.abort();
});

test("a list that cannot be read is one warning, and is asked for again until it can be read", async () => {
  const { clock, log, sent, stop } = bench({ fabrikam: { disabled: "1", tenant_id: TENANT } }, [], [403, 403]);
  await clock.advance(11 * MINUTE_MS);
  expect(log.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
  expect(sent.map(({ input }) => input)).toEqual(["fabrikam"]);
  stop.abort();
});
