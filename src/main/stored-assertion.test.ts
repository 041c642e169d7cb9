import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { ScriptedHttp } from "../../test/harness/fakes/http.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { parseStanzas } from "../config/settings.ts";
import { sealed } from "../model/sealed.ts";
import type { Stanza } from "../model/stanza.ts";
import { FileSecrets } from "./stored-secrets.ts";
import { presentFingerprint } from "./world.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const APP = "99999999-0000-4000-8000-000000000000";
const OWN_APP = "88888888-0000-4000-8000-000000000000";
const assertion = "file:/var/run/token";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stored-assertion-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const secrets = () =>
  new FileSecrets(folder, {
    http: new ScriptedHttp(),
    clock: new FakeClock(),
    log: new FakeLog(),
    fingerprintOf: presentFingerprint,
  });

function stanzaWith(values: Readonly<Record<string, string>>): Stanza {
  const raw = { name: "contoso", values: { tenant_id: TENANT, credential: "mssp", ...values } };
  return parseStanzas([raw], { host: "arcsight", nowMs: 0 }).stanzas[0] as Stanza;
}

test("an assertion that is stored once serves every customer that names the credential", async () => {
  await secrets().putCredential("mssp", { clientId: APP, assertion }, stanzaWith({}));

  expect(await secrets().storedCredential("mssp")).toEqual({ clientId: APP, assertion });
  expect(await secrets().withCredential(stanzaWith({}))).toMatchObject({ clientId: APP, assertion });
  // The path is all that is stored: the token itself never gets onto this disk.
  const stored = readdirSync(join(folder, "secrets")).map((file) =>
    readFileSync(join(folder, "secrets", file), "utf8"),
  );
  expect(stored.map((text) => JSON.parse(text).values)).toEqual([{}]);
});

test("a customer's own client secret, certificate or assertion takes the place of the stored assertion", async () => {
  await secrets().putCredential("mssp", { clientId: APP, assertion }, stanzaWith({}));

  for (const own of [{ client_secret: "s" }, { certificate: "/app.pem" }])
    expect((await secrets().withCredential(stanzaWith(own))).assertion).toBeUndefined();
  const mine = `managed-identity:${OWN_APP}`;
  expect((await secrets().withCredential(stanzaWith({ assertion: mine }))).assertion).toBe(mine);
});

test("a stored assertion is not sent to addresses for which it was not stored", async () => {
  await secrets().putCredential("mssp", { clientId: APP, assertion }, stanzaWith({}));

  for (const elsewhere of [{ login_url: "https://evil.example" }, { proxy: "http://evil.example:8080" }])
    await expect(secrets().withCredential(stanzaWith(elsewhere))).rejects.toMatchObject({ code: "endpoint-changed" });
});

test("a client secret that replaces a stored assertion leaves nothing of it", async () => {
  await secrets().putCredential("mssp", { clientId: APP, assertion }, stanzaWith({}));
  await secrets().putCredential("mssp", { clientId: APP, clientSecret: sealed("s") }, stanzaWith({}));

  const stanza = await secrets().withCredential(stanzaWith({}));
  expect(stanza.assertion).toBeUndefined();
  expect(stanza.clientSecret?.open((value) => value)).toBe("s");
});
