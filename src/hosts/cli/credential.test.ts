import { resolve } from "node:path";
import { expect, test } from "@jest/globals";
import { parseStanzas } from "../../config/settings.ts";
import type { Destination } from "../../model/endpoint-binding.ts";
import { caFileUnusable } from "../../model/endpoint-binding.ts";
import { EXIT } from "../../model/failure.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { resealCredentials, setCredential } from "./credential.ts";

/** Two customers; the `ca_file` of those in `closed` cannot be read. */
function services(closed: readonly string[]): { readonly services: OnboardingServices; readonly said: string[] } {
  const said: string[] = [];
  const stanzas = ["contoso", "fabrikam"].map((name) => ({ name }));
  const fake = {
    terminal: { say: (line: string) => said.push(line) },
    customers: async () => ({ stanzas }),
    filePlace: async () => ({
      name: "/state/secrets",
      async reseal(wanted: readonly Stanza[]) {
        return wanted.map(({ name }) => {
          if (closed.includes(name)) throw caFileUnusable("/closed.pem", "cannot be read");
          return `the refresh token of ${name}`;
        });
      },
    }),
  };
  return { services: fake as unknown as OnboardingServices, said };
}

test("credential reseal --all names a customer whose ca_file cannot be read, reseals the others and ends with 6", async () => {
  const { services: given, said } = services(["contoso"]);

  expect(await resealCredentials(given, { all: true })).toBe(EXIT.someCustomers);
  expect(said).toEqual([
    "contoso: The file /closed.pem named in ca_file cannot be read. Name a readable file with one or more certificates in PEM form.",
    "Bound to the current endpoints: the refresh token of fabrikam.",
    "It counts within 60 s; no restart is needed.",
  ]);
});

test("credential reseal ends with the failure's own exit code when no customer is left", async () => {
  const { services: given } = services(["contoso", "fabrikam"]);

  expect(await resealCredentials(given, { all: true })).toBe(EXIT.usage);
});

/** What `credential set` with these flags stores the credential for, and what it says. */
async function destinationSetWith(flags: Readonly<Record<string, string>>, said: string[] = []): Promise<Destination> {
  let stored: Destination | undefined;
  const fake = {
    terminal: { say: (line: string) => said.push(line) },
    filePlace: async () => ({
      name: "/state/secrets",
      credentialNames: () => Promise.resolve([]),
      storedCredential: () => Promise.resolve(undefined),
      async putCredential(_name: string, _credential: unknown, where: Destination) {
        stored = where;
      },
    }),
  };
  const given = { name: "msp", "client-id": "11111111-2222-3333-4444-555555555555", certificate: "/c.pem", ...flags };
  await setCredential(fake as unknown as OnboardingServices, given);
  if (stored === undefined) throw new Error("nothing was stored");
  return stored;
}

test("credential set reads its flags as a customer's settings are read, so that both have the same fingerprint", async () => {
  const settings = {
    cloud: "GCC-High",
    login_url: "https://LOGIN.example/",
    api_url: "https://api.example//",
    proxy: "proxy.example:8080",
    no_proxy: "localhost",
    ca_file: "/ca.pem",
  };
  const flags = Object.fromEntries(Object.entries(settings).map(([key, value]) => [key.replace("_", "-"), value]));
  const values = { ...settings, tenant_id: "contoso.example", credential: "msp" };
  const [stanza] = parseStanzas([{ name: "contoso", values }], { host: "cli", nowMs: 0 }).stanzas;

  const { endpoints, route } = await destinationSetWith(flags);

  expect(endpoints).toEqual(stanza?.endpoints);
  expect(endpoints).toMatchObject({ loginUrl: "https://login.example", mdeApiUrl: "https://api.example" });
  expect(route.proxy?.open((proxy) => proxy)).toBe("http://proxy.example:8080");
  expect(stanza?.route.proxy?.open((proxy) => proxy)).toBe("http://proxy.example:8080");
  expect([route.noProxy, route.caFile]).toEqual(["localhost", "/ca.pem"]);
});

test("credential set refuses the ID of a client secret, before anything is stored", async () => {
  const stored: string[] = [];
  const fake = {
    terminal: { say() {} },
    environment: {},
    readText: async () => "9f1d3b60-2c4e-4a58-8a34-5d1f0c6b7e92\r\n",
    filePlace: async () => ({
      credentialNames: async () => [],
      storedCredential: async () => undefined,
      putCredential: async (name: string) => stored.push(name),
    }),
  };
  const flags = {
    name: "msp",
    "client-id": "11111111-2222-3333-4444-555555555555",
    "client-secret-file": "secret.txt",
  };
  await expect(setCredential(fake as unknown as OnboardingServices, flags)).rejects.toMatchObject({
    code: "secret-id-pasted",
    actor: "operator",
    say: "The client secret given for app 11111111-2222-3333-4444-555555555555 is the secret's ID, not its value.",
    nextStep:
      "Create a new client secret under Certificates & secrets and copy the column Value. The portal shows the value only once.",
  });
  expect(stored).toEqual([]);
});

test.each([
  [{ cloud: "mars" }, '--cloud "mars" is not a known value'],
  [{ "graph-url": "http://graph.example" }, "--graph-url "],
])("credential set refuses %j in one sentence that names the flag", async (flags, said) => {
  await expect(destinationSetWith(flags as Record<string, string>)).rejects.toMatchObject({
    code: "usage",
    say: expect.stringContaining(said),
  });
});

test("credential set says when the credential counts", async () => {
  const said: string[] = [];
  await destinationSetWith({}, said);
  expect(said.at(-1)).toBe("It counts within 60 s; no restart is needed.");
});

/** `credential set` with these flags, on a terminal that nobody answers. */
async function set(flags: Readonly<Record<string, string>>): Promise<unknown> {
  let stored: unknown;
  const fake = {
    terminal: {
      interactive: true,
      say: () => undefined,
      ask: () => Promise.reject(new Error("nothing is to be asked")),
      askSecret: () => Promise.reject(new Error("no secret is to be asked")),
    },
    environment: { DEFENDER_MSSP_CLIENT_SECRET: "of another credential" },
    filePlace: async () => ({
      name: "/state/secrets",
      storedCredential: async () => ({ clientId: "11111111-2222-3333-4444-555555555555", expires: "2027-01-01" }),
      async putCredential(_name: string, credential: unknown) {
        stored = credential;
      },
    }),
  };
  await setCredential(fake as unknown as OnboardingServices, { name: "msp", ...flags });
  return stored;
}

test("credential set --assertion stores where the token comes from, asks for nothing and keeps no end date", async () => {
  const clientId = "11111111-2222-3333-4444-555555555555";
  expect(await set({ assertion: "managed-identity:77777777-0000-4000-8000-00000000000A" })).toEqual({
    clientId,
    assertion: "managed-identity:77777777-0000-4000-8000-00000000000a",
  });
  expect(await set({ assertion: "file:./token" })).toEqual({ clientId, assertion: `file:${resolve("token")}` });
});

test.each([
  [{ certificate: "/c.pem" }, "--assertion and --certificate do not go together."],
  [{ "client-secret-file": "/s" }, "--assertion and --client-secret-file do not go together."],
  [{ expires: "2027-11-24" }, "--assertion and --expires do not go together."],
  [{ assertion: "eyJhbGciOiJSUzI1NiJ9.e30.x" }, "--assertion is neither file:PATH nor managed-identity:CLIENT_ID"],
])("credential set --assertion refuses %j and repeats no token", async (flags, say) => {
  const failure: unknown = await set({ assertion: "file:/t", ...(flags as object) }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "usage", say: expect.stringContaining(say) });
  expect(String(failure)).not.toContain("eyJ");
});
