import { inspect } from "node:util";
import { describe, expect, test } from "@jest/globals";
import type { FileLook, RawStanza, SettingsHost } from "./settings.ts";
import { parseStanzas, problemLine } from "./settings.ts";

const NOW_MS = Date.UTC(2026, 10, 24, 12);
const TENANT = "11111111-2222-3333-4444-555555555555";
const CLIENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

function stanza(name: string, values: Record<string, string> = {}): RawStanza {
  return { name, values: { tenant_id: TENANT, client_id: CLIENT, ...values } };
}

function parse(raw: readonly RawStanza[], more: Partial<Parameters<typeof parseStanzas>[1]> = {}) {
  return parseStanzas(raw, { host: "splunk", nowMs: NOW_MS, ...more });
}

/** The one problem that these values cause. */
function problemOf(values: Record<string, string>, host: SettingsHost = "splunk"): string {
  const parsed = parse([stanza("contoso", values)], { host });
  expect(parsed.problems).toHaveLength(1);
  return problemLine(parsed.problems[0]!);
}

describe("the ID of a client secret, pasted instead of its value, is refused", () => {
  const SECRET_ID = "9f1d3b60-2c4e-4a58-8a34-5d1f0c6b7e92";

  test.each(["splunk", "arcsight", "cli"] as const)("on host %s, with what to paste", (host) => {
    expect(problemOf({ client_secret: SECRET_ID }, host)).toBe(
      "contoso: client_secret: is the ID of the client secret, not its value; create a new client secret under Certificates & secrets and paste the column Value, which the portal shows only once",
    );
  });

  test.each([` ${SECRET_ID.toUpperCase()} `, `{${SECRET_ID}}`])("written as %j", (client_secret) => {
    expect(problemOf({ client_secret })).toContain("is the ID of the client secret");
  });

  test("and a value that only contains one is taken", () => {
    expect(parse([stanza("contoso", { client_secret: `x${SECRET_ID}` })]).problems).toEqual([]);
  });
});

describe("defaults are those of the contract", () => {
  const parsed = parse([stanza("contoso")]);

  test("of one customer", () => {
    expect(parsed.problems).toEqual([]);
    expect(parsed.warnings).toEqual([]);
    expect(parsed.stanzas[0]).toEqual({
      name: "contoso",
      tenantName: "contoso",
      tenantId: TENANT,
      cloud: "commercial",
      clientId: CLIENT,
      streams: ["alerts", "incidents"],
      start: { kind: "ago", ms: 7 * 86_400_000 },
      pollSeconds: 60,
      overlapMinutes: 30,
      sweepHours: 24,
      layout: "scalars-first",
      envelope: true,
      alertsSourcetype: "split",
      classicEntities: false,
      endpoints: {
        loginUrl: "https://login.microsoftonline.com",
        graphUrl: "https://graph.microsoft.com",
        apiUrl: "https://api.security.microsoft.com",
        mdeApiUrl: "https://api.security.microsoft.com",
        siemUrl: "https://wdatp-alertexporter-us.windows.com",
      },
      route: {},
    });
  });

  test("of the process", () => {
    expect(parsed.globals).toEqual({
      consentRedirect: "https://login.microsoftonline.com/common/oauth2/nativeclient",
      discoverHours: 1,
      discoverMode: "announce",
      hecAck: "auto",
      hecGzip: false,
      hecSpoolMib: 1024,
      replayMib: 16,
      recordMaxMib: 16,
      concurrency: 16,
      logLevel: "info",
    });
  });
});

describe("a value is taken in every form a person writes it", () => {
  test.each<[Record<string, string>, object]>([
    [{ tenant_id: "{11111111-2222-3333-4444-55555555AAAA}" }, { tenantId: "11111111-2222-3333-4444-55555555aaaa" }],
    [{ tenant_id: " Contoso.OnMicrosoft.com " }, { tenantId: "contoso.onmicrosoft.com" }],
    [{ start: "12h" }, { start: { kind: "ago", ms: 12 * 3_600_000 } }],
    [{ secret_expires: "2027-11-24" }, { secretExpires: Date.UTC(2027, 10, 24) }],
    [{ secret_expires: "2020-01-01T12:00:00Z" }, { secretExpires: Date.UTC(2020, 0, 1, 12) }],
    [{ start: "3650d" }, { start: { kind: "ago", ms: 3650 * 86_400_000 } }],
    [
      { start: "2026-11-01T00:00:00+01:00" },
      { start: { kind: "at", at: BigInt(Date.UTC(2026, 9, 31, 23)) * 10_000n } },
    ],
    [{ streams: "incidents; Alerts,incidents" }, { streams: ["alerts", "incidents"] }],
    [{ envelope: "0" }, { envelope: false }],
    [{ classic_entities: "T" }, { classicEntities: true }],
    [{ cloud: "GCC-High" }, { cloud: "gcc-high" }],
    [
      { login_url: "https://localhost:8443/" },
      { endpoints: expect.objectContaining({ loginUrl: "https://localhost:8443" }) },
    ],
    [
      { api_url: "https://gw.example.com/base/" },
      {
        endpoints: expect.objectContaining({
          apiUrl: "https://gw.example.com/base",
          mdeApiUrl: "https://gw.example.com/base",
        }),
      },
    ],
    [
      { cloud: "dod" },
      {
        endpoints: expect.objectContaining({
          graphUrl: "https://dod-graph.microsoft.us",
          mdeApiUrl: "https://api-gov.securitycenter.microsoft.us",
        }),
      },
    ],
    [{ assertion: " file:/var/run/token " }, { assertion: "file:/var/run/token" }],
    [
      { assertion: "Managed-Identity:{11111111-2222-3333-4444-55555555AAAA}" },
      { assertion: "managed-identity:11111111-2222-3333-4444-55555555aaaa" },
    ],
    [{ sweep_hours: "0" }, { sweepHours: 0 }],
    [{ poll_seconds: "60.0" }, { pollSeconds: 60 }],
    [{ tenant_name: "  Müller & Söhne " }, { tenantName: "Müller & Söhne" }],
  ])("%j", (values, wanted) => {
    const parsed = parse([stanza("contoso", values)]);
    expect(parsed.problems).toEqual([]);
    expect(parsed.stanzas[0]).toMatchObject(wanted);
  });

  test("a secret keeps its white space and its looks", () => {
    const [one] = parse([stanza("a", { client_secret: " 0123 ", refresh_token: "true" })]).stanzas;
    expect(one?.clientSecret?.open((value) => value)).toBe(" 0123 ");
    expect(one?.refreshToken?.open((value) => value)).toBe("true");
  });
});

describe("a wrong setting is refused with the stanza, the key, its bound and what to write instead", () => {
  test.each<[Record<string, string>, string]>([
    [{ poll_seconds: "0" }, "contoso: poll_seconds: 0 is below 1; write a whole number of seconds from 1 to 86400"],
    [
      { poll_seconds: "86401" },
      "contoso: poll_seconds: 86401 is above 86400; write a whole number of seconds from 1 to 86400",
    ],
    [
      { poll_seconds: "1e3" },
      'contoso: poll_seconds: "1e3" is not a whole number; write a whole number of seconds from 1 to 86400',
    ],
    [{ cloud: "mars" }, 'contoso: cloud: "mars" is not a known value; write one of commercial, gcc, gcc-high, dod'],
    [
      { streams: "alerts,logs" },
      'contoso: streams: "logs" is not a known value; write one or more of alerts, incidents, xdr-incidents, mde-alerts, siem-alerts, hunting, separated by commas',
    ],
    [
      { start: "3651d" },
      'contoso: start: "3651d" is more than 3650d; write for example 12h, 30d (at most 3650d) or an ISO time such as 2026-11-17T12:00:00Z',
    ],
    [
      { start: "2026-11-24T12:00:01Z" },
      'contoso: start: "2026-11-24T12:00:01Z" is in the future; write for example 12h, 30d (at most 3650d) or an ISO time such as 2026-11-17T12:00:00Z',
    ],
    [
      { secret_expires: "24.11.2027" },
      'contoso: secret_expires: "24.11.2027" is not a valid date; write it as 2027-11-24',
    ],
    [
      { start: "yesterday" },
      'contoso: start: "yesterday" is not a valid time; write for example 12h, 30d (at most 3650d) or an ISO time such as 2026-11-17T12:00:00Z',
    ],
    [
      { tenant_id: "common" },
      `contoso: tenant_id: "common" is not one tenant; write the customer's tenant GUID or one of its domains`,
    ],
    [
      { assertion: "eyJhbGciOiJSUzI1NiJ9.e30.x" },
      "contoso: assertion: is neither file:PATH nor managed-identity:CLIENT_ID; write the path of the file that holds the token",
    ],
    [
      { assertion: "managed-identity:collector" },
      "contoso: assertion: has no GUID after managed-identity:; write the client ID from the overview of the managed identity",
    ],
    [
      { assertion: "file:/token", client_secret: "s" },
      "contoso: assertion: is set beside client_secret, but an app proves who it is in one way; remove client_secret, or remove assertion",
    ],
    [
      { assertion: "file:/token", certificate: "/app.pem" },
      "contoso: assertion: is set beside certificate, but an app proves who it is in one way; remove certificate, or remove assertion",
    ],
    [{ envelope: "maybe" }, 'contoso: envelope: "maybe" is neither true nor false; write true or false'],
    [
      { login_url: "http://login.example.com" },
      "contoso: login_url: does not begin with https://; write an address such as https://login.microsoftonline.com (tokens are sent only over https)",
    ],
    [
      { login_url: "https://login.windows.net/x/oauth2/token" },
      "contoso: login_url: is the address of a whole request; write only the service's address: https://login.windows.net",
    ],
    [
      { graph_url: "https://u:p@graph.microsoft.com" },
      "contoso: graph_url: contains a login; write an address such as https://login.microsoftonline.com",
    ],
    [
      { streams: "hunting" },
      "contoso: hunting_queries: is missing although streams contains hunting; write the path of the file with the queries, or remove hunting from streams",
    ],
    [
      { client_id: "" },
      "contoso: client_id: is missing; write the application (client) ID of your app registration, or set 'credential'",
    ],
    [
      { tenant_id: "" },
      "contoso: tenant_id: is missing; write the customer's Microsoft Entra tenant: its GUID, or one of its domains such as contoso.onmicrosoft.com",
    ],
    [
      { cim_entity_zone: "Zone A" },
      "contoso: cim_entity_zone: contains characters that are not allowed; write a lower-case word (letters, digits, '_', '-')",
    ],
  ])("%j", (values, wanted) => expect(problemOf(values)).toBe(wanted));

  test("all problems at once, and the other customers go on", () => {
    const parsed = parse([
      stanza("bad", { poll_seconds: "0", cloud: "mars" }),
      stanza("good"),
      stanza("worse", { tenant_id: "??" }),
    ]);
    expect(parsed.problems.map((one) => [one.stanza, one.key])).toEqual([
      ["bad", "cloud"],
      ["bad", "poll_seconds"],
      ["worse", "tenant_id"],
    ]);
    expect(parsed.stanzas.map((one) => one.name)).toEqual(["good"]);
  });

  test("a shared credential stands in for the client id", () => {
    expect(parse([stanza("a", { client_id: "", credential: "main" })]).problems).toEqual([]);
  });

  test("what was typed into the wrong field is not repeated", () => {
    const secret = "Abc8Q~typed-into-the-wrong-field-0123456789";
    const keys = [
      "tenant_id",
      "client_id",
      "cloud",
      "streams",
      "start",
      "poll_seconds",
      "envelope",
      "login_url",
      "proxy",
      "resource",
      "credential",
      "cim_entity_zone",
      "auth",
      "log_level",
    ];
    const parsed = parse([{ name: "a", values: Object.fromEntries(keys.map((key) => [key, secret])) }]);
    expect(parsed.problems.length).toBeGreaterThan(10);
    expect(inspect(parsed, { depth: 9 })).not.toContain(secret);
  });

  test("a secret never appears, not even one that is too long", () => {
    const parsed = parse([
      stanza("a", { client_secret: "s".repeat(9000), refresh_token: "r3fresh\nsecret" }),
      stanza("b", { client_secret: "hunter2", proxy: "http://me:pa55@proxy:8080" }),
    ]);
    expect(parsed.problems.map((one) => one.key)).toEqual(["client_secret", "refresh_token"]);
    expect(
      inspect(parsed, { depth: 9 }) + JSON.stringify(parsed.stanzas.map((one) => ({ ...one, start: 0 }))),
    ).not.toMatch(/sssss|r3fresh|hunter2|pa55/);
  });
});

describe("a proxy's login", () => {
  test.each([
    ["http://me:50%off@proxy:8080", "http://me:50%25off@proxy:8080"],
    ["http://me:a#b@proxy:8080", "http://me:a%23b@proxy:8080"],
    ["http://me:12/3@proxy:8080", "http://me:12%2F3@proxy:8080"],
    ["http://me:a?b@proxy:8080", "http://me:a%3Fb@proxy:8080"],
    ["http://me:p%40ss@proxy:8080", "http://me:p%40ss@proxy:8080"],
    ["me:a/b@proxy:8080", "http://me:a%2Fb@proxy:8080"],
  ])("of %s is taken as it stands, and the host is the one behind it", (written, read) => {
    const parsed = parse([stanza("a", { client_secret: "hunter2", proxy: written })]);

    expect(parsed.problems).toEqual([]);
    expect(parsed.stanzas[0]?.route.proxy?.open((proxy) => proxy)).toBe(read);
  });
});

describe("Splunk's mask", () => {
  test("is not a secret, and is reported as one to look up", () => {
    const parsed = parse([stanza("a", { client_secret: "********", refresh_token: "clear" })]);
    expect(parsed.masked.get("a")).toEqual(["client_secret"]);
    expect(parsed.stanzas[0]?.clientSecret).toBeUndefined();
    expect(parsed.stanzas[0]?.refreshToken).toBeDefined();
  });
});

describe("keys", () => {
  test("Splunk's own are ignored without a word", () => {
    const own = {
      index: "main",
      host: "$decideOnStartup",
      source: "x",
      sourcetype: "y",
      interval: "",
      disabled: "0",
      start_by_shell: "false",
      _meta: "a::b",
      "python.version": "python3",
    };
    expect(parse([stanza("a", own)]).warnings).toEqual([]);
  });

  test("an unknown one is warned about once, with the one that is meant", () => {
    const many = ["a", "b", "c"].map((name, i) =>
      stanza(name, { poll_second: "60", tenant_id: `11111111-2222-3333-4444-55555555555${i}` }),
    );
    expect(parse(many).warnings).toEqual([
      "poll_second is not a setting and is ignored (a and 2 more); did you mean poll_seconds?",
    ]);
  });

  test("a key named like an object's own property is just unknown", () => {
    expect(
      parse([
        {
          name: "a",
          values: JSON.parse(
            `{"tenant_id":"${TENANT}","client_id":"${CLIENT}","__proto__":"x","constructor":"y"}`,
          ) as Record<string, string>,
        },
      ]).warnings,
    ).toHaveLength(1);
  });
});

describe("global settings", () => {
  test("where stanzas differ the first by name counts, with one warning", () => {
    const parsed = parse([
      stanza("b", { concurrency: "4", tenant_id: "b.example.com" }),
      stanza("a", { concurrency: "8" }),
    ]);
    expect(parsed.globals.concurrency).toBe(8);
    expect(parsed.warnings).toEqual([
      "concurrency applies to all customers but differs between stanzas; the value of a is used",
    ]);
  });

  test("a wrong one stops no customer: the default holds", () => {
    const parsed = parse([
      stanza("a", { concurrency: "0" }),
      stanza("b", { concurrency: "0", tenant_id: "b.example.com" }),
    ]);
    expect(parsed.stanzas).toHaveLength(2);
    expect(parsed.globals.concurrency).toBe(16);
    expect(parsed.problems.map(problemLine)).toEqual([
      "a: concurrency: 0 is below 1; write a whole number of customers from 1 to 256 (until then 16 is used)",
    ]);
  });

  test.each([
    ["https://mssp.example/thanks?x=1", true],
    ["http://localhost:44300/defender-mssp", true],
    ["http://mssp.example/thanks", false],
    ["https://mssp.example/#thanks", false],
    ["thanks", false],
  ])("consent_redirect is a page that Microsoft can return to: %s", (consent_redirect, good) => {
    const { globals, problems } = parse([stanza("a", { consent_redirect })]);
    expect([globals.consentRedirect === consent_redirect, problems.length]).toEqual([good, good ? 0 : 1]);
  });

  test("those outside the stanzas win", () => {
    expect(
      parse([stanza("a", { log_level: "warn" })], { host: "arcsight", globals: { log_level: "debug" } }).globals
        .logLevel,
    ).toBe("debug");
  });
});

test("two customers of one tenant are warned about once", () => {
  expect(parse([stanza("a"), stanza("b"), stanza("c")]).warnings).toEqual([
    `a, b, c collect the same tenant ${TENANT}: each delivers all events, and they share one request budget`,
  ]);
});

test.each([
  ["", "is empty"],
  ["a\u0007b", "control character"],
  ["x".repeat(201), "201 characters"],
])("the stanza name %j is refused", (name, part) => {
  expect(parse([stanza(name)]).problems[0]?.say).toContain(part);
});

test.each(["Müller GmbH", "Contoso Ltd. (EU)", "客户", "a/b\\c:d"])("the stanza name %j is taken", (name) => {
  expect(parse([stanza(name)]).problems).toEqual([]);
});

describe("a file that a Splunk setting names", () => {
  const found: Record<string, ReturnType<FileLook["look"]>> = {
    "/opt/splunk/etc/auth/defender_mssp": { kind: "folder", realPath: "/data/splunk/etc/auth/defender_mssp" },
    "/opt/splunk/etc/auth/defender_mssp/ca.pem": {
      kind: "file",
      realPath: "/data/splunk/etc/auth/defender_mssp/ca.pem",
    },
    "/opt/splunk/etc/auth/defender_mssp/link.pem": { kind: "file", realPath: "/etc/shadow" },
    "/opt/splunk/etc/auth/defender_mssp/folder": {
      kind: "folder",
      realPath: "/data/splunk/etc/auth/defender_mssp/folder",
    },
    "/opt/splunk/etc/auth/defender_mssp_other/x.pem": {
      kind: "file",
      realPath: "/opt/splunk/etc/auth/defender_mssp_other/x.pem",
    },
    "/etc/passwd": { kind: "file", realPath: "/etc/passwd" },
  };
  const files = {
    files: { look: (file: string) => found[file] ?? ({ kind: "missing" } as const) },
    roots: ["/opt/splunk/etc/apps/TA_defender_mssp/local", "/opt/splunk/etc/auth/defender_mssp"],
    splunkHome: "/opt/splunk",
  };
  const parseFile = (file: string) => parse([stanza("a", { ca_file: file })], { files });

  test.each([
    "/opt/splunk/etc/auth/defender_mssp/ca.pem",
    "$SPLUNK_HOME/etc/auth/defender_mssp/ca.pem",
    "/opt/splunk/etc/auth/defender_mssp/../defender_mssp/ca.pem",
  ])("%s is taken", (file) => {
    const parsed = parseFile(file);
    expect(parsed.problems).toEqual([]);
    expect(parsed.stanzas[0]?.route.caFile).toBe("/opt/splunk/etc/auth/defender_mssp/ca.pem");
    const [asToken] = parse([stanza("a", { assertion: `file:${file}` })], { files }).stanzas;
    expect(asToken?.assertion).toBe("file:/opt/splunk/etc/auth/defender_mssp/ca.pem");
  });

  test.each([
    ["/etc/passwd", "is outside the allowed folders"],
    ["/opt/splunk/etc/auth/defender_mssp/../../passwd", "is outside the allowed folders"],
    ["/opt/splunk/etc/auth/defender_mssp_other/x.pem", "is outside the allowed folders"],
    ["ca.pem", "is not an absolute path"],
    ["/opt/splunk/etc/auth/defender_mssp/gone.pem", "does not exist"],
    ["/opt/splunk/etc/auth/defender_mssp/folder", "is not a regular file"],
    ["/opt/splunk/etc/auth/defender_mssp/link.pem", "is a link to a file outside"],
  ])("%s is refused", (file, part) => {
    const asToken = parse([stanza("a", { assertion: `file:${file}` })], { files });
    expect(asToken.problems[0]).toMatchObject({ key: "assertion", say: expect.stringContaining(part) });
    const parsed = parseFile(file);
    expect(parsed.problems[0]?.key).toBe("ca_file");
    expect(parsed.problems[0]?.say).toContain(part);
    expect(parsed.problems[0]?.say).toContain(file);
  });

  test("is looked at once for all customers that name it, and refused for each of them", () => {
    const looked: string[] = [];
    const counting = {
      ...files,
      files: {
        look: (file: string) => {
          looked.push(file);
          return files.files.look(file);
        },
      },
    };
    const good = "/opt/splunk/etc/auth/defender_mssp/ca.pem";
    const names = Array.from({ length: 20 }, (_, n) => `customer-${n}`);
    const parsed = parse(
      [
        ...names.map((name) => stanza(name, { ca_file: good })),
        ...["x", "y"].map((name) => stanza(name, { ca_file: "/etc/passwd" })),
      ],
      { files: counting },
    );

    expect(looked.filter((file) => file === good)).toHaveLength(1);
    expect(parsed.stanzas.map(({ name }) => name)).toEqual(names);
    expect(parsed.problems.map(({ stanza: name, key }) => [name, key])).toEqual([
      ["x", "ca_file"],
      ["y", "ca_file"],
    ]);
    // What was seen once does not hold for ever: the next reading looks again.
    parse([stanza("later", { ca_file: good })], { files: counting });
    expect(looked.filter((file) => file === good)).toHaveLength(2);
  });
});

test("customers with the same text in different settings, and with different ones, each get their own", () => {
  const raw = [
    stanza("a", {
      tenant_name: "alerts",
      streams: "alerts",
      graph_url: "https://one.example",
      proxy: "http://u:p@proxy.example:1",
    }),
    stanza("b", {
      tenant_name: "incidents",
      streams: "alerts",
      graph_url: "https://two.example",
      proxy: "http://u:q@proxy.example:1",
    }),
  ];
  const [a, b] = parse(raw).stanzas;

  expect([a?.tenantName, a?.streams, b?.tenantName, b?.streams]).toEqual([
    "alerts",
    ["alerts"],
    "incidents",
    ["alerts"],
  ]);
  expect([a?.endpoints.graphUrl, b?.endpoints.graphUrl]).toEqual(["https://one.example", "https://two.example"]);
  const logins = [a, b].map((one) => one?.route.proxy?.open((text) => /u:(.)@/.exec(text)?.[1]));
  expect(logins).toEqual(["p", "q"]);
});
