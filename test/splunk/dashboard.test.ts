import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeEach, describe, expect, test } from "@jest/globals";
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { CUSTOMER_PANELS } from "../../scripts/generate/splunk-app/views.ts";
import { writeSplunkHealth } from "../../src/format/splunk/splunk-event.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import type { HealthEvent, StreamHealth } from "../../src/model/event.ts";
import type { Value } from "./eval-language.ts";
import { setNow } from "./eval-language.ts";
import { allSamples, CUSTOMERS, indexed } from "./samples.ts";
import type { IndexedEvent } from "./search-time.ts";
import { searchEvent } from "./search-time.ts";
import { shippedConf, shippedKnowledge } from "./shipped.ts";
import type { Row, SearchWorld } from "./spl.ts";
import { runAfter, runSearch } from "./spl.ts";

const NOW_S = Date.UTC(2026, 10, 24, 12) / 1000;
const KNOWLEDGE = shippedKnowledge();
const SAVED = shippedConf("savedsearches.conf");
const MACROS = new Map([...shippedConf("macros.conf")].map(([name, stanza]) => [name, stanza.get("definition") ?? ""]));

function streamHealth(more: Partial<StreamHealth>): StreamHealth {
  return {
    stream: "alerts",
    state: "ok",
    lag_s: 30,
    walk_completed_at: "2026-11-24T11:59:30Z",
    new: 1,
    updated: 0,
    swept: 0,
    replayed: 0,
    superseded: 0,
    requests: 2,
    throttled: 0,
    invalid_utf8: 0,
    retry_at: null,
    failure: null,
    actor: null,
    say: null,
    next_step: null,
    ...more,
  };
}

function health(
  tenant: keyof typeof CUSTOMERS,
  minutesAgo: number,
  streams: readonly Partial<StreamHealth>[],
  daysLeft: number | null = null,
  credential: string | null = daysLeft === null ? null : "main",
  tenantId: string = CUSTOMERS[tenant],
): IndexedEvent {
  const event: HealthEvent = {
    time: new Date((NOW_S - minutesAgo * 60) * 1000).toISOString(),
    tenant,
    tenant_id: tenantId,
    input: tenant,
    streams: streams.map(streamHealth),
    credential,
    credential_days_left: daysLeft,
    version: "1.0.0",
  };
  const out = new ByteWriter();
  writeSplunkHealth(out, tenant, event);
  return indexed(out.toString());
}

function world(events: readonly IndexedEvent[]): SearchWorld {
  const rows = events
    .map((event): Row => {
      const { fields, eventtypes } = searchEvent(event, KNOWLEDGE);
      return new Map<string, Value>([...fields, ["eventtype", eventtypes]]);
    })
    .toSorted((a, b) => Number(b.get("_time")) - Number(a.get("_time")));
  return { events: rows, macros: MACROS, lookups: new Map() };
}

const plain = (rows: readonly Row[]) => rows.map((row) => Object.fromEntries(row));
const saved = (name: string) => SAVED.get(`Defender MSSP - ${name}`)?.get("search") ?? "";

const THREE = [
  health("contoso", 70, [{ state: "failing", failure: "service-error" }]),
  health(
    "contoso",
    10,
    [
      {},
      {
        stream: "incidents",
        state: "throttled",
        lag_s: 400,
        failure: "throttled",
        actor: "microsoft",
        say: "Microsoft asks for a pause.",
        next_step: "Nothing.",
      },
    ],
    200,
  ),
  health(
    "fabrikam",
    5,
    [
      {
        state: "signed-out",
        lag_s: null,
        failure: "secret-expired",
        actor: "customer",
        say: "The key has expired.",
        next_step: "Make a new one.",
      },
      { stream: "incidents", swept: 3 },
    ],
    12,
  ),
  health("tailspin", 300, [{}]),
];

beforeEach(() => setNow(NOW_S));

describe("the lookup of customers", () => {
  test("holds one row per customer with the worst of its streams", () => {
    const one = world(THREE);
    runSearch(saved("Customers lookup"), one);
    expect(
      plain(one.lookups.get("defender_mssp_customers") ?? []).toSorted((a, b) =>
        String(a["tenant"]) < String(b["tenant"]) ? -1 : 1,
      ),
    ).toEqual([
      expect.objectContaining({
        tenant: "contoso",
        state: "throttled",
        lag_s: 400,
        say: "Microsoft asks for a pause.",
        streams: "alerts,incidents",
        credential_days_left: "200",
        last_seen: NOW_S - 600,
      }),
      expect.objectContaining({
        tenant: "fabrikam",
        state: "signed-out",
        failure: "secret-expired",
        actor: "customer",
        next_step: "Make a new one.",
      }),
      expect.objectContaining({ tenant: "tailspin", state: "ok", last_seen: NOW_S - 18_000 }),
    ]);
  });

  test("keeps a customer that no longer sends anything, and its fields are all declared", () => {
    const one = world(THREE);
    runSearch(saved("Customers lookup"), one);
    runSearch(saved("Customers lookup"), { ...one, events: [] });
    const rows = one.lookups.get("defender_mssp_customers") ?? [];
    expect(rows).toHaveLength(3);
    const declared = (shippedConf("transforms.conf").get("defender_mssp_customers")?.get("fields_list") ?? "").split(
      ", ",
    );
    for (const row of rows) for (const field of row.keys()) expect(declared).toContain(field);
  });
});

test("a customer whose tenant is unknown is a row of its own until its GUID is known", () => {
  const refused = [{ stream: "*" as const, state: "misconfigured" as const, failure: "settings" as const }];
  const unknown = (tenant: keyof typeof CUSTOMERS, minutesAgo: number) =>
    health(tenant, minutesAgo, refused, null, null, "");
  const one = world([
    unknown("contoso", 20),
    health("contoso", 10, [{}]),
    unknown("fabrikam", 5),
    unknown("tailspin", 5),
  ]);
  runSearch(saved("Customers lookup"), one);
  const rows = plain(one.lookups.get("defender_mssp_customers") ?? []);
  expect(Object.fromEntries(rows.map((row) => [row["tenant_id"], row["state"]]))).toEqual({
    [CUSTOMERS.contoso]: "ok",
    "unknown:fabrikam": "misconfigured",
    "unknown:tailspin": "misconfigured",
  });
});

describe("saved alerts", () => {
  test("name a silent customer", () => {
    const one = world(THREE);
    runSearch(saved("Customers lookup"), one);
    expect(plain(runSearch(saved("Customer silent"), one))).toEqual([
      expect.objectContaining({ tenant: "tailspin", silent_minutes: "300" }),
    ]);
  });

  test("name a credential that ends within 30 days", () => {
    expect(plain(runSearch(saved("Credential expiring"), world(THREE)))).toEqual([
      { tenant: "fabrikam", tenant_id: CUSTOMERS.fabrikam, credential: "main", days_left: 12 },
    ]);
  });

  test("name the customer of a client secret, certificate or refresh token that has no name of its own", () => {
    expect(plain(runSearch(saved("Credential expiring"), world([health("contoso", 5, [{}], 9, null)])))).toEqual([
      { tenant: "contoso", tenant_id: CUSTOMERS.contoso, days_left: 9 },
    ]);
  });

  test("count rows that only the sweep found", () => {
    expect(plain(runSearch(saved("Sweep found rows"), world(THREE)))).toEqual([
      { tenant: "fabrikam", tenant_id: CUSTOMERS.fabrikam, stream: "incidents", swept: 3 },
    ]);
  });

  test("are shipped switched off, but for the search that keeps the lookup", () => {
    expect([...SAVED].map(([name, stanza]) => [name, stanza.get("enableSched")])).toEqual([
      ["Defender MSSP - Customers lookup", "1"],
      ["Defender MSSP - Customer silent", "0"],
      ["Defender MSSP - Credential expiring", "0"],
      ["Defender MSSP - Sweep found rows", "0"],
    ]);
  });
});

describe("the dashboard Customers", () => {
  const panels = new Map(CUSTOMER_PANELS.flat().map((panel) => [panel.title, panel]));
  const shown = (title: string) => {
    const one = world(THREE);
    return plain(runAfter(runSearch("`defender_mssp_customer_streams`", one), panels.get(title)?.after ?? "", one));
  };

  test.each([
    ["Customers", { customers: 3 }],
    ["Silent for two hours", { silent: 1 }],
    ["Not collected", { failing: 1 }],
    ["Throttled or catching up", { slow: 1 }],
    ["Credential ends within 30 days", { ending: 1 }],
  ])("counts in the panel %s", (title, wanted) => expect(shown(title)).toEqual([wanted]));

  test("lists customers worst first, with the sentence and the next step", () => {
    expect(
      shown("Customers, worst first (click one for its alerts)").map((row) => [
        row["tenant"],
        row["state"],
        row["say"],
        row["next_step"],
      ]),
    ).toEqual([
      ["tailspin", "silent", undefined, undefined],
      ["fabrikam", "signed-out", "The key has expired.", "Make a new one."],
      ["contoso", "throttled", "Microsoft asks for a pause.", "Nothing."],
    ]);
  });

  test("lists the streams that are not ok, and the credentials", () => {
    expect(shown("Every stream that is not ok").map((row) => [row["tenant"], row["stream"], row["state"]])).toEqual([
      ["fabrikam", "alerts", "signed-out"],
      ["contoso", "incidents", "throttled"],
    ]);
    expect(shown("Credentials, soonest end first").map((row) => [row["tenant"], row["credential_days_left"]])).toEqual([
      ["fabrikam", 12],
      ["contoso", 200],
    ]);
  });

  test("shows the chosen customer's alerts by severity, technique and newest version", () => {
    const one = world(allSamples().map((sample) => sample.event));
    const own = (title: string) =>
      plain(runSearch((panels.get(title)?.search ?? "").replaceAll("$tenant_id|s$", `"${CUSTOMERS.contoso}"`), one));
    expect(own("$tenant$: alerts by severity").length).toBeGreaterThan(1);
    expect(own("$tenant$: alerts by ATT&amp;CK technique").map((row) => row["mitre_technique_id"])).toContain(
      "T1564.001",
    );
    const now = own("$tenant$: alerts as they are now");
    expect(now.length).toBeGreaterThan(3);
    for (const row of now)
      expect(row).toMatchObject({
        severity: expect.any(String),
        signature: expect.any(String),
        dest: expect.any(String),
      });
  });

  test("is Simple XML 1.1 without a script, holds these very searches, and its tokens are all set", () => {
    const xml = readFileSync(
      path.resolve(import.meta.dirname, "../../splunk-app/SA_defender_mssp/default/data/ui/views/customers.xml"),
      "utf8",
    );
    expect(XMLValidator.validate(xml)).toBe(true);
    const { form } = new XMLParser({
      ignoreAttributes: false,
      isArray: (name) => name === "row" || name === "panel",
    }).parse(xml) as {
      form: Record<string, unknown>;
    };
    expect(form["@_version"]).toBe("1.1");
    expect(form["@_script"]).toBeUndefined();
    const set = new Set([...xml.matchAll(/token="(\w+)"/g)].map((match) => match[1]));
    const used = new Set(
      [...xml.matchAll(/\$(?:row\.)?(\w+)(?:\.\w+)?(?:\|\w)?\$/g)]
        .filter((match) => !match[0].startsWith("$row."))
        .map((match) => match[1]),
    );
    expect([...used].filter((name) => !set.has(name))).toEqual([]);
  });
});

describe("from an incident to its alerts and back", () => {
  const actions = shippedConf("workflow_actions.conf");
  const fill = (name: string, values: Row) =>
    (actions.get(name)?.get("search.search_string") ?? "").replace(
      /\$(\w+)\$/g,
      (_, field: string) => `"${String(values.get(field))}"`,
    );

  test("it takes one click each way, within one customer", () => {
    const one = world(allSamples().map((sample) => sample.event));
    const incidents = runSearch("`defender_mssp_incidents`", one);
    const linked = incidents
      .map((incident) => ({ incident, alerts: runSearch(fill("defender_mssp_alerts_of_incident", incident), one) }))
      .filter((pair) => pair.alerts.length > 0);
    expect(linked.length).toBeGreaterThan(2);
    for (const { incident, alerts } of linked) {
      for (const alert of alerts) {
        expect(alert.get("tenant_id")).toBe(incident.get("tenant_id"));
        const back = runSearch(fill("defender_mssp_incident_of_alert", alert), one).map((row) => row.get("ticket_id"));
        expect(back).toContain(incident.get("ticket_id"));
      }
    }
  });
});

describe("of the searches in the docs", () => {
  const page = readFileSync(path.resolve(import.meta.dirname, "../../docs/splunk/searches.md"), "utf8");
  const rows = [...page.matchAll(/^\| ([^|]+) \| `+ ?(.+?) ?`+(?: \(.*\))? \|$/gm)].map(
    (match) => [match[1] as string, (match[2] as string).replaceAll("\\|", "|")] as const,
  );

  test("every one is read by this test", () => expect(rows.length).toBe(page.match(/^\| (?!You want|---)/gm)?.length));

  test.each(rows)("%s runs and finds events", (name, search) => {
    const one = world([...allSamples().map((sample) => sample.event), ...THREE]);
    runSearch(saved("Customers lookup"), one);
    const alert = one.events.find((row) => row.get("incident_id") !== undefined);
    const filled = search
      .replace("<id>", String(alert?.get(search.includes("incident_id") ? "incident_id" : "id")))
      .replace("<GUID>", String(alert?.get("tenant_id")));
    const found = runSearch(filled, one);
    // Nothing was repeated in these samples.
    expect(found.length > 0).toBe(name !== "Repeats after a crash");
  });
});
