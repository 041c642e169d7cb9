import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { MASK, parseStanzas } from "../../src/config/settings.ts";
import { customerSecretId, PasswordStore } from "../../src/hosts/splunk/passwords.ts";
import { endpointBinding } from "../../src/model/endpoint-binding.ts";
import { sealed } from "../../src/model/sealed.ts";
import { FakeClock, T0 } from "../harness/fakes/clock.ts";
import { FakeRandom } from "../harness/fakes/random.ts";
import { FakeSplunkd, splunkdAt } from "../harness/fakes/splunkd-rest.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import { startSplunkd } from "../harness/splunkd/splunkd.ts";
import { indexed } from "./samples.ts";
import type { IndexedEvent } from "./search-time.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const CUSTOMERS = ["contoso", "fabrikam", "tailspin", "northwind", "adatum", "litware"] as const;

/** Health events of the built binary, one customer for each state, and the customers' tenants. */
export interface CollectedHealth {
  readonly events: readonly IndexedEvent[];
  readonly tenantIds: Readonly<Record<(typeof CUSTOMERS)[number], string>>;
}

/**
 * Runs the built binary under the fake splunkd against the simulator until every customer has the state that
 * its name stands for: contoso is ok and its client secret ends in 12 days, contoso-2 is a second input of
 * contoso and fails, fabrikam fails after it was ok, tailspin is throttled, northwind awaits consent, adatum
 * is signed out, wrong is misconfigured without a tenant, litware is disabled.
 */
export async function collectHealth(): Promise<CollectedHealth> {
  const scratch = mkdtempSync(path.join(tmpdir(), "health-events-"));
  const data = path.join(scratch, "customers");
  for (const name of CUSTOMERS)
    cpSync(path.join(ROOT, "test/fixtures/customers/fabrikam"), path.join(data, name), { recursive: true });
  const app = path.join(scratch, "TA_defender_mssp");
  cpSync(path.join(ROOT, "splunk-app/TA_defender_mssp"), app, { recursive: true });
  mkdirSync(path.join(app, "linux_x86_64/bin"), { recursive: true });
  cpSync(path.join(ROOT, binaryPath("linux-x64")), path.join(app, "linux_x86_64/bin/defender_mssp"));
  const simulator = await startSimulator({ data, shiftToNow: true });
  try {
    const { control, ready } = simulator;
    control.perform({ do: "consent", customers: ["northwind"], state: "withdrawn" });
    const secrets = new Map<string, string>();
    const of = (name: string, more: Readonly<Record<string, string>> = {}) => {
      const { tenant_id, client_id, client_secret } = control.customer(name);
      const { login_url, graph_url, api_url, ca_file } = ready;
      secrets.set(name, client_secret);
      const signIn = { tenant_id, client_id, client_secret: MASK, auth: "app" };
      return { ...signIn, login_url, graph_url, api_url, ca_file, poll_seconds: "1", start: "3650d", ...more };
    };
    const inTwelveDays = new Date(Date.now() + 12.5 * 86_400_000).toISOString();
    const inputs: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      contoso: of("contoso", { tenant_name: "Contoso", secret_expires: inTwelveDays, index: "customer_contoso" }),
      "contoso-2": of("contoso", { tenant_name: "Contoso", streams: "incidents", graph_url: "https://127.0.0.1:1" }),
      fabrikam: of("fabrikam", { streams: "alerts" }),
      tailspin: of("tailspin"),
      northwind: of("northwind", { streams: "alerts" }),
      adatum: of("adatum", { streams: "alerts" }),
      wrong: of("adatum", { tenant_id: "not a tenant" }),
      litware: of("litware", { tenant_name: "Litware Inc", disabled: "1", index: "customer_litware" }),
    };
    const conf = path.join(scratch, "inputs.conf");
    writeFileSync(
      conf,
      Object.entries(inputs)
        .map(([name, values]) => `[defender_mssp://${name}]\n${lines(values)}`)
        .join("\n"),
    );
    secrets.set("contoso-2", secrets.get("contoso") ?? "").set("adatum", "not-the-secret");
    const passwords = await storedSecrets(inputs, secrets);
    const out = path.join(scratch, "out.xml");
    const splunkd = await startSplunkd({ app, conf, out, home: path.join(scratch, "home"), validate: 0, passwords });
    let ended: Awaited<ReturnType<typeof splunkd.stop>>;
    try {
      const said = (...parts: readonly string[]) =>
        splunkd.log.some((line) => parts.every((part) => line.includes(part)));
      const isOk = (tenant: string, stream: string) => said(`tenant=${tenant} stream=${stream} state=ok`);
      await splunkd.until(
        () => isOk("fabrikam", "alerts") && isOk("tailspin", "alerts") && isOk("tailspin", "incidents"),
        "fabrikam and tailspin collected",
      );
      const throttled = { status: 429, retry_after_seconds: 3_600 };
      control.perform({ do: "fault", on: ["alerts"], customers: ["tailspin"], answer: throttled });
      control.perform({ do: "fault", on: ["alerts"], customers: ["fabrikam"], answer: { status: 500 } });
      await splunkd.until(
        () =>
          isOk("Contoso", "alerts") &&
          isOk("Contoso", "incidents") &&
          said("tenant=Contoso", "state=failing") &&
          said("tenant=fabrikam", "state=failing") &&
          said("tenant=tailspin", "state=throttled") &&
          said("tenant=northwind", "state=awaiting-consent") &&
          said("tenant=adatum", "state=signed-out") &&
          said("tenant=wrong", "state=misconfigured"),
        "each customer in the state that it stands for",
        120_000,
      );
      await splunkd.until(() => readFileSync(out, "utf8").includes('"state":"off"'), "the disabled input reported");
    } finally {
      ended = await splunkd.stop();
    }
    if (ended.exit_code !== 0 || ended.faults.length > 0)
      throw new Error(`the protocol was not kept: ${ended.faults.join("; ")}`);
    const events = [...readFileSync(out, "utf8").matchAll(/<event .*?<\/event>/gs)]
      .map(([event]) => indexed(event))
      .filter(({ sourcetype }) => sourcetype === "defender_mssp:health");
    const tenantIds = Object.fromEntries(CUSTOMERS.map((name) => [name, control.customer(name).tenant_id]));
    return { events, tenantIds: tenantIds as CollectedHealth["tenantIds"] };
  } finally {
    await simulator.stop();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Health events that 0.1.0 wrote: they name no input. */
export function healthOfOldVersion(): readonly IndexedEvent[] {
  const file = path.join(ROOT, "test/fixtures/upgrade/0.1.0/splunk/delivered.xml");
  return [...readFileSync(file, "utf8").matchAll(/<event .*?<\/event>/gs)]
    .map(([event]) => indexed(event))
    .filter(({ sourcetype }) => sourcetype === "defender_mssp:health");
}

/** The credential store once the secrets are typed and masked: then nothing restarts the program. */
async function storedSecrets(
  inputs: Readonly<Record<string, Readonly<Record<string, string>>>>,
  secrets: ReadonlyMap<string, string>,
) {
  const fake = new FakeSplunkd();
  const clock = new FakeClock(T0, { pauses: "pass" });
  const rest = splunkdAt(fake, clock);
  const store = await PasswordStore.read(rest, clock, FakeRandom.always());
  const fingerprintOf = endpointBinding({
    readFile: (file) => readFileSync(file),
    sha256Hex: (bytes) => createHash("sha256").update(bytes).digest("hex"),
  });
  const raw = Object.entries(inputs).map(([name, values]) => ({ name, values }));
  for (const stanza of parseStanzas(raw, { host: "splunk", nowMs: Date.now() }).stanzas)
    await store.put(
      customerSecretId(stanza.name, "client_secret"),
      sealed(secrets.get(stanza.name) ?? ""),
      fingerprintOf(stanza),
    );
  return [...fake.rows].map(([id, { app, realm, password }]) => ({
    app,
    realm,
    name: id.slice(realm.length + 1, -1),
    password,
    sharing: "app" as const,
  }));
}

function lines(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key} = ${value}\n`)
    .join("");
}
