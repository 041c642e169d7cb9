import { describe, expect, test } from "@jest/globals";
import { readArcSightSettings } from "../../config/arcsight-settings.ts";
import { readPropertiesText } from "../../config/java-properties.ts";
import { parseStanzas } from "../../config/settings.ts";
import { sealed } from "../../model/sealed.ts";
import type { Stanza } from "../../model/stanza.ts";
import { connectorProperties } from "./connector-properties.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const OTHER = "99999999-2222-4333-8444-555555555555";
const TOKEN = "1.AXsecret-token_0123456789abcdefghijklmnopqrstuvwxyz";

function customer(over: Record<string, string> = {}): Stanza {
  const raw = [
    {
      name: "contoso",
      values: { tenant_id: TENANT, tenant_name: "Contoso", client_id: "77777777-0000-4000-8000-000000000000", ...over },
    },
  ];
  const [stanza] = parseStanzas(raw, { host: "cli", nowMs: 0 }).stanzas;
  return stanza!;
}

const write = (before: string | undefined, stanza = customer()): string =>
  connectorProperties(
    before,
    { stanza, refreshToken: sealed(TOKEN), redirectUri: "https://localhost:44300/wdatpconnector" },
    "w.properties",
  ).open((text) => text);

function read(text: string) {
  const reading = readPropertiesText(text);
  if (!reading.ok) throw new Error(reading.say);
  return reading;
}

/** As `arcsight run` reads the file. */
function asRun(text: string): { stanzas: readonly Stanza[]; problems: readonly unknown[] } {
  const settings = readArcSightSettings(read(text), {
    secrets: { environment: () => undefined, file: () => undefined } as never,
  });
  const parsed = parseStanzas(settings.raw, { host: "arcsight", nowMs: 0, globals: settings.globals });
  return { stanzas: parsed.stanzas, problems: [...settings.problems, ...parsed.problems] };
}

describe("a customer whose app has no client secret", () => {
  const manyCustomers = `tenants[0].tenant_id=${OTHER}\ntenants[0].client_id=${OTHER}\n`;
  test.each([
    [undefined, { assertion: "managed-identity:88888888-0000-4000-8000-000000000000" }],
    [undefined, { certificate: "/etc/app.pem" }],
    [manyCustomers, { assertion: "file:/var/run/token" }],
    [manyCustomers, { certificate: "/etc/app.pem" }],
  ])("keeps in the file %j what its app signs in with: %j", (before, own) => {
    const { stanzas, problems } = asRun(write(before, customer(own)));
    expect(problems).toEqual([]);
    expect(stanzas.find(({ tenantId }) => tenantId === TENANT)).toMatchObject(own);
  });
});

describe("a new connector file", () => {
  test("holds the old keys, with client_secret= left to fill in when no key was given", () => {
    const values = Object.fromEntries([...read(write(undefined)).byKey].map(([key, { value }]) => [key, value]));
    expect(values).toEqual({
      client_id: "77777777-0000-4000-8000-000000000000",
      client_secret: "",
      auth_url: `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/authorize`,
      token_url: `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/token`,
      redirect_uri: "https://localhost:44300/wdatpconnector",
      scope: "",
      reauthenticate: "false",
      tenant_name: "Contoso",
      refresh_token: TOKEN,
    });
  });

  test("is what arcsight run reads: this customer, this sign-in, the same addresses", () => {
    const place = { login_url: "https://login.example.test", graph_url: "https://graph.example.test" };
    const { stanzas, problems } = asRun(write(undefined, customer({ client_secret: "s3cret=\\:", ...place })));
    expect(problems).toEqual([]);
    expect(stanzas[0]).toMatchObject({
      tenantId: TENANT,
      tenantName: "Contoso",
      clientId: "77777777-0000-4000-8000-000000000000",
      endpoints: { loginUrl: "https://login.example.test", graphUrl: "https://graph.example.test" },
    });
    expect(stanzas[0]!.refreshToken!.open((value) => value)).toBe(TOKEN);
    expect(stanzas[0]!.clientSecret!.open((value) => value)).toBe("s3cret=\\:");
  });
});

describe("an existing file", () => {
  test("keeps its comments, its other keys, its line ends and the old spelling", () => {
    const before = "# mine\r\nclient_ID=old\r\nclient_secret=kept\r\noutputs[0].type=cef-file\r\n";
    const after = write(before);
    expect(after).toContain("# mine\r\n");
    expect(after).toContain("outputs[0].type=cef-file\r\n");
    const values = read(after).byKey;
    expect(values.get("client_ID")!.value).toBe("77777777-0000-4000-8000-000000000000");
    expect(values.get("client_secret")!.value).toBe("kept");
    expect(values.has("client_id")).toBe(false);
  });

  test("with several customers gets the token into the customer's own block, a new customer a block of its own", () => {
    const before = `tenants[0].tenant_id=${OTHER}\ntenants[0].refresh_token=theirs\ntenants[3].tenant_id=${TENANT.toUpperCase()}\n`;
    const known = read(write(before)).byKey;
    expect([known.get("tenants[0].refresh_token")!.value, known.get("tenants[3].refresh_token")!.value]).toEqual([
      "theirs",
      TOKEN,
    ]);

    const fresh = read(write(`tenants[0].tenant_id=${OTHER}\ntenants[0].refresh_token=theirs\n`)).byKey;
    expect([
      fresh.get("tenants[0].refresh_token")!.value,
      fresh.get("tenants[1].tenant_id")!.value,
      fresh.get("tenants[1].refresh_token")!.value,
    ]).toEqual(["theirs", TENANT, TOKEN]);
  });

  test("of another customer, or one that Java could not read, is refused", () => {
    expect(() => write(`token_url=https://login.microsoftonline.com/${OTHER}/oauth2/token\n`)).toThrow(
      /another customer/,
    );
    expect(() => write("ca_file=C:\\users\\me\\ca.pem\n")).toThrow(
      /was not changed, because it is not a valid properties file\. Line 1:/,
    );
  });

  test.each([
    ["client_secret=old\n", { assertion: "file:/var/run/token" }],
    ["certificate=/etc/old.pem\n", { assertion: "file:/var/run/token" }],
    ["assertion=file:/old\n", { certificate: "/etc/app.pem" }],
    ["assertion=file:/old\n", { client_secret: "n3w" }],
  ])("leaves no older proof of the app in the file: %j", (before, own) => {
    const text = write(before, customer(own));
    expect(asRun(text).problems).toEqual([]);
    const proofs = ["client_secret", "certificate", "assertion"].filter((key) =>
      read(text).byKey.get(key)?.value.trim(),
    );
    expect(proofs).toEqual(Object.keys(own));
  });
});
