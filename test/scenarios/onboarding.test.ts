import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { readPropertiesText } from "../../src/config/java-properties.ts";
import type { Http } from "../../src/model/ports.ts";
import { createHttp } from "../../src/net/http.ts";
import { TIME_LIMITS } from "../../src/net/time-limits.ts";
import { makeAppCertificate } from "../harness/app-certificate.ts";
import { freePort } from "../harness/free-port.ts";
import { type Conversation, runOnboardingCommand } from "../harness/onboarding-command.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import { makeCertificate } from "../harness/splunkd/certificate.ts";
import { Rest } from "../harness/splunkd/rest.ts";

/**
 * Onboarding as an engineer does it, against the simulator: what is typed, printed and written. It proves the
 * dialog and the files; it does not prove that Microsoft's portal looks as described.
 */

let simulator: Simulator;
let web: Http;
let folder: string;

beforeAll(async () => {
  simulator = await startSimulator({ warn: () => undefined });
  web = createHttp();
});
afterAll(async () => {
  await web.close();
  await simulator.stop();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onboarding-"));
});
afterEach(async () => {
  await control("clear-faults", {});
  rmSync(folder, { recursive: true, force: true });
});

const customer = () => simulator.ready.customers[0]!;
const other = () => simulator.ready.customers[1]!;

async function control(action: string, body: Readonly<Record<string, unknown>>): Promise<void> {
  const answer = await web.send({
    method: "POST",
    url: `${simulator.ready.control_url}/${action}`,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    route: {},
  });
  if (answer.status !== 200) throw new Error(await answer.text(10_000));
  await answer.discard();
}

/** What the person's browser does: opens the address and ends where it is sent. */
async function browse(url: string): Promise<string> {
  const answer = await web.send({ method: "GET", url, headers: {}, route: { caFile: simulator.ready.ca_file } });
  await answer.discard();
  return answer.headers["location"] ?? "";
}

type Typed = string | ((said: string) => string | Promise<string>);

interface Setting {
  /** What is typed at each question, in order; a function sees what was said so far. */
  readonly typed?: readonly Typed[];
  readonly input?: string;
  readonly interactive?: boolean;
  readonly environment?: NodeJS.ProcessEnv;
  readonly openBrowser?: (url: string) => Promise<boolean>;
  /** What happens outside at each pause of the program. */
  readonly whilePausing?: () => Promise<void>;
}

/**
 * Runs one command line through the real parser with a scripted terminal and a clock that never makes anybody
 * wait.
 */
async function run(argv: readonly string[], setting: Setting = {}): Promise<Conversation> {
  const { whilePausing, typed: given = [], interactive = true, ...rest } = setting;
  const typed = [...given];
  let skippedMs = 0;
  const clock = {
    nowMs: () => Date.now() + skippedMs,
    monotonicMs: () => performance.now() + skippedMs,
    // The listener's five minutes and doctor's limit on one check must not pass at once; the rest is skipped.
    async pause(forMs: number, stop?: AbortSignal) {
      if (forMs >= 300_000 || forMs === TIME_LIMITS.doctor.ms)
        await new Promise<void>((resolve) => stop?.addEventListener("abort", () => resolve()));
      else skippedMs += forMs;
      await whilePausing?.();
    },
  };
  const conversation = await runOnboardingCommand(argv, {
    ...rest,
    folder,
    clock,
    interactive,
    async answer(question, said) {
      const next = typed.shift();
      if (next === undefined) throw new Error(`nobody answers: ${question}`);
      return typeof next === "string" ? next : next(said);
    },
  });
  expect(typed).toEqual([]);
  return conversation;
}

const place = (): string[] => [
  "--login-url",
  simulator.ready.login_url,
  "--graph-url",
  simulator.ready.graph_url,
  "--api-url",
  simulator.ready.api_url,
  "--ca-file",
  simulator.ready.ca_file,
];
const who = (one = customer()): string[] => [
  "--tenant-id",
  one.tenant_id,
  "--tenant-name",
  one.tenant_name,
  "--client-id",
  one.client_id,
  ...place(),
];
const key = (): NodeJS.ProcessEnv => ({ DEFENDER_MSSP_CLIENT_SECRET: customer().client_secret });

const addressIn = (said: string): string => said.split("\n").findLast((line) => line.startsWith("https://"))!;
/** An inputs.conf with these customers. */
function inputsConf(customers: Readonly<Record<string, Readonly<Record<string, string>>>>): string {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const stanzas = Object.entries(customers).map(([customerName, values]) => {
    const { tenant_id } = simulator.ready.customers.find(({ tenant_name }) => tenant_name === customerName)!;
    const all = { tenant_id, login_url, graph_url, api_url, ca_file, ...values };
    return [
      `[defender_mssp://${customerName}]`,
      ...Object.entries(all).map(([name, value]) => `${name} = ${value}`),
      "",
    ].join("\n");
  });
  const file = join(folder, "inputs.conf");
  writeFileSync(file, stanzas.join("\n"));
  return file;
}

const signInAndPaste: Typed = (said) => browse(addressIn(said));

/** The secrets of a run: none may be said, and none printed unless it was asked for. */
function expectNoSecrets(conversation: Conversation, ...more: string[]): void {
  for (const secret of [customer().client_secret, customer().refresh_token, ...more]) {
    for (const form of [
      secret,
      encodeURIComponent(secret),
      Buffer.from(secret).toString("base64"),
      JSON.stringify(secret).slice(1, -1),
    ]) {
      expect(conversation.said + conversation.out).not.toContain(form);
      expect(conversation.said + conversation.out).not.toContain(form.slice(4, 20));
    }
  }
}

describe("register", () => {
  test("prints a manifest that passes its own check, which the old page's registration does not", async () => {
    const printed = JSON.parse((await run(["register", "--auth", "app", "--json"])).out) as {
      manifest: Record<string, unknown>;
      portal_steps: string[];
      script: string;
    };
    const file = join(folder, "manifest.json");
    writeFileSync(file, JSON.stringify(printed.manifest));
    expect(await run(["register", "--auth", "app", "--check", file])).toMatchObject({
      code: 0,
      out: "The registration has exactly the required settings and permissions.\n",
    });

    // As Microsoft's page had it: one directory only, another redirect, no permission of today's APIs.
    writeFileSync(
      file,
      `\uFEFF${JSON.stringify({ signInAudience: "AzureADMyOrg", web: { redirectUris: ["https://contoso.com/SiemMsspConnector"] }, requiredResourceAccess: [] })}`,
    );
    const old = await run(["register", "--auth", "app", "--check", file]);
    expect(old.code).toBe(2);
    expect(old.out).toContain("single-tenant");
    expect(old.out).toContain("SecurityAlert.Read.All");
    expect(old.out).toContain(
      "https://login.microsoftonline.com/common/oauth2/nativeclient is not registered as type Web",
    );
  });

  test("is for an app without users unless told otherwise, and ends with the command that stores the credential", async () => {
    const config = inputsConf({ contoso: { credential: "mssp" } });
    const app = (await run(["register", "--config", config])).out;
    expect(app).not.toContain("localhost");
    expect(app).toContain("Application permissions");
    expect(app).toContain(`\`defender-mssp credential set mssp --config ${config} --to splunk\``);

    const user = (await run(["register", "--auth", "refresh_token"])).out;
    expect(user).toContain("https://localhost:44300/wdatpconnector");
    expect(user).toContain("Delegated permissions");
    expect(user).toContain("`defender-mssp credential set mssp`");
  });
});

describe("register for the other apps", () => {
  test.each([
    ["--home-app", "AzureADMyOrg"],
    ["--bridge-app", "AzureADMultipleOrgs"],
  ])("register %s prints a manifest that passes its own check", async (flag, signInAudience) => {
    const { manifest } = JSON.parse((await run(["register", flag, "--json"])).out) as { manifest: object };
    expect(manifest).toMatchObject({ signInAudience });
    const file = join(folder, "manifest.json");
    writeFileSync(file, JSON.stringify(manifest));
    expect(await run(["register", flag, "--check", file])).toMatchObject({ code: 0 });
    expect(await run(["register", "--check", file])).toMatchObject({ code: 2 });
  });

  test.each([
    [["--home-app", "--bridge-app"], "--home-app and --bridge-app do not go together."],
    [["--home-app", "--streams", "alerts"], "--streams does not go with --home-app."],
    [["--bridge-app", "--sources", "gdap"], "--sources does not go with --bridge-app."],
    [["--bridge-app", "--proof", "certificate"], "The bridge needs a client secret, because it is never stored."],
    [["--home-app", "--sources", "mars"], "mars names no list of customers."],
    [["--governance-template"], "The template names the app's two IDs and the group whose members read at customers."],
    [["--governance-template", "--auth", "refresh_token"], "the template of an app that reads without a user."],
    [["--governance-template", "--apply"], "the template of an app that reads without a user."],
    [["--governance-template", "--cloud", "dod"], "The permission IDs of dod are not known here."],
    [["--governance-template", "--app-id", "x", "--object-id", "y", "--group", "z"], "--app-id is not a GUID."],
  ])("register %j is refused", async (flags, words) => {
    const { code, said } = await run(["register", ...flags]);
    expect(code).toBe(2);
    expect(said).toContain(words);
  });

  test("register --governance-template prints JSON alone, and says that it was not tried on real tenants", async () => {
    const ids = ["--app-id", "--object-id", "--group"].flatMap((flag, n) => [
      flag,
      `11111111-2222-4333-8444-00000000000${n}`,
    ]);
    const { code, out, said } = await run(["register", "--governance-template", ...ids]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ delegatedAdministrationRoleAssignments: [{ group: { id: ids[5] } }] });
    expect(said).toContain("was not tried on real tenants");
  });
});

describe("consent-url", () => {
  test("prints the link alone on standard output, and recognises the answer to it", async () => {
    const link = await run(["consent-url", ...who()]);
    expect(link.code).toBe(0);
    expect(link.out).toMatch(/^https:\/\/\S+\/v2\.0\/adminconsent\?\S+\n$/);

    const landed = await browse(link.out.trim());
    expect(landed).toContain("admin_consent=True");
    expect((await run(["consent-url", ...who(), "--answer", landed])).said).toContain(
      `The address says that contoso (${customer().tenant_id}) gave the consent.`,
    );
  });

  test("returns to a page of Microsoft that register lists, so that the administrator does not end on a dead address", async () => {
    const form = { grant_type: "client_credentials", scope: "https://graph.microsoft.com/.default" };
    const client = { client_id: customer().client_id, client_secret: customer().client_secret };
    const answer = await web.send({
      method: "POST",
      url: `${simulator.ready.login_url}/${customer().tenant_id}/oauth2/v2.0/token`,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ ...form, ...client }).toString(),
      route: { caFile: simulator.ready.ca_file },
    });
    const { access_token: input } = JSON.parse(await answer.text(100_000)) as { access_token: string };
    const { graph_url, ca_file } = simulator.ready;
    const made = await run(["register", "--auth", "app", "--apply", "--graph-url", graph_url, "--ca-file", ca_file], {
      input,
    });
    const clientId = /client\) ID ([0-9a-f-]{36})/.exec(made.said)?.[1] ?? "";
    const app = who({ ...customer(), client_id: clientId });

    const landed = new URL(await browse((await run(["consent-url", ...app])).out.trim()));
    expect(landed.origin + landed.pathname).toBe("https://login.microsoftonline.com/common/oauth2/nativeclient");
    expect(landed.searchParams.get("admin_consent")).toBe("True");

    const own = await run(["consent-url", ...app, "--consent-redirect", "https://mssp.example/thanks"]);
    expect(new URL(own.out.trim()).searchParams.get("redirect_uri")).toBe("https://mssp.example/thanks");
    expect(await browse(own.out.trim())).toBe("");
  });

  test("names a consent by the wrong tenant", async () => {
    const link = (await run(["consent-url", ...who()])).out.trim();
    const landed = new URL(await browse(link));
    landed.searchParams.set("tenant", other().tenant_id);
    const answer = await run(["consent-url", ...who(), "--answer", landed.href]);
    expect(answer.code).toBe(3);
    expect(answer.said).toContain(`Tenant ${other().tenant_id} gave the consent, not ${customer().tenant_name}`);
  });

  test("has a sentence each for another link's answer, a declined consent and a sign-in's answer", async () => {
    const link = (await run(["consent-url", ...who()])).out.trim();
    const landed = new URL(await browse(link));
    landed.searchParams.set("state", "x.y");
    expect((await run(["consent-url", ...who(), "--answer", landed.href])).said).toContain(
      "This consent belongs to another link: its state does not match this customer and app.",
    );
    const declined =
      "http://localhost:44300/defender-mssp?error=access_denied&error_description=AADSTS65004%3A%20User%20declined";
    expect((await run(["consent-url", ...who(), "--answer", declined])).said).toContain("declined the consent");
    expect(
      (await run(["consent-url", ...who(), "--answer", "http://localhost:44300/defender-mssp?code=abc"])).said,
    ).toContain("answer to a sign-in");
  });

  test("says with --wait what is missing until consent is complete", async () => {
    await control("consent", { customers: [customer().tenant_name], state: "absent" });
    const waiting = run(["consent-url", ...who(), "--auth", "app", "--wait"], { environment: key() });
    await control("consent", { customers: [customer().tenant_name], state: "granted" });
    expect((await waiting).said).toContain(`${customer().tenant_name} has granted all permissions.`);
  });

  test.each([
    ["AADSTS7000229", "AADSTS7000229"],
    ["AADSTS700016, the older answer", "AADSTS700016"],
  ])("goes on waiting while the customer's tenant does not know the app: %s", async (_, absent_app) => {
    const customers = [customer().tenant_name];
    await control("consent", { customers, state: "absent", absent_app });
    let pauses = 0;
    const done = await run(["consent-url", ...who(), "--auth", "app", "--wait"], {
      environment: key(),
      async whilePausing() {
        pauses += 1;
        if (pauses === 3) await control("consent", { customers, state: "granted", absent_app: "AADSTS7000229" });
      },
    });
    expect([done.code, pauses]).toEqual([0, 3]);
    expect(done.said.split("\n").filter((line) => line.includes(absent_app))).toHaveLength(1);
    expect(done.said).toContain(`${customer().tenant_name} has granted all permissions.`);
  });

  test("goes on waiting while Microsoft is still adding the app to the customer's tenant", async () => {
    await control("fault", { on: ["token"], times: 2, answer: { aadsts: 650051 } });
    const done = await run(["consent-url", ...who(), "--auth", "app", "--wait"], { environment: key() });
    expect(done.code).toBe(0);
    expect(done.said).toContain("Microsoft is still adding app");
  });

  test.each([
    ["en", "choose Accept"],
    ["fr", "autorisations"],
    ["ja", "管理者"],
  ])("writes a mail in %s", async (language, words) => {
    const mail = await run(["consent-url", ...who(), "--mail", language]);
    expect(mail.out).toContain(words);
    expect(mail.out).toContain("/v2.0/adminconsent?");
  });
});

describe("token acquire", () => {
  test("signs in by a pasted address, with the old script's redirect URI, into a ready connector file", async () => {
    const file = join(folder, "WDATP-connector.properties");
    const done = await run(
      [
        "token",
        "acquire",
        ...who(),
        "--way",
        "paste",
        "--redirect-uri",
        "https://SiemMsspConnector",
        "--to",
        "arcsight",
        "--file",
        file,
      ],
      {
        typed: [customer().client_secret, signInAndPaste],
      },
    );

    expect(done).toMatchObject({ code: 0, out: "" });
    expect(done.said).toContain("Signed in for contoso as mssp-reader@contoso.onmicrosoft.com");
    const reading = readPropertiesText(readFileSync(file, "latin1"));
    const values = Object.fromEntries(
      [...(reading as { byKey: ReadonlyMap<string, { value: string }> }).byKey].map(([name, { value }]) => [
        name,
        value,
      ]),
    );
    expect(values).toMatchObject({
      client_id: customer().client_id,
      client_secret: customer().client_secret,
      redirect_uri: "https://SiemMsspConnector",
      token_url: `${simulator.ready.login_url}/${customer().tenant_id}/oauth2/v2.0/token`,
    });
    expect(values["refresh_token"]!.length).toBeGreaterThan(1000);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expectNoSecrets(done, values["refresh_token"]!);
  });

  test("signs in through the browser, which returns to loopback by itself", async () => {
    const port = await freePort();
    let page: Promise<string> = Promise.resolve("");
    const done = await run(
      [
        "token",
        "acquire",
        ...who(),
        "--redirect-uri",
        `http://localhost:${port}/back`,
        "--to",
        "file",
        "--file",
        join(folder, "token.txt"),
      ],
      {
        environment: key(),
        openBrowser: async (url) => {
          page = fetchPage(await browse(url));
          return true;
        },
      },
    );

    expect(done.code).toBe(0);
    expect(readFileSync(join(folder, "token.txt"), "utf8")).toMatch(/^1\.A\S+\n$/);
    expect(await page).toContain("The sign-in is complete. Close this window and return to the terminal.");
    expect(await page).not.toMatch(/code=|state=|1\.A/);
  });

  test("signs in through the browser over https, as in the old connector's registration, with a certificate made for this sign-in", async () => {
    const port = await freePort();
    let shown: Promise<readonly string[]> = Promise.resolve([]);
    const done = await run(
      [
        "token",
        "acquire",
        ...who(),
        "--redirect-uri",
        `https://localhost:${port}/wdatpconnector`,
        "--to",
        "file",
        "--file",
        join(folder, "token.txt"),
      ],
      {
        environment: key(),
        openBrowser: async (url) => {
          const landed = await browse(url);
          shown = new Promise((resolve) => {
            const request = https.get(
              landed.replace("localhost", "127.0.0.1"),
              { headers: { host: `localhost:${port}` }, rejectUnauthorized: false, agent: false },
              (answer) => {
                const { subject, subjectaltname } = (answer.socket as TLSSocket).getPeerCertificate();
                resolve([String(subject.CN), String(subjectaltname), String(answer.resume().statusCode)]);
              },
            );
            request.on("error", (error) => resolve([error.message]));
          });
          return true;
        },
      },
    );

    expect(done.code).toBe(0);
    expect(done.said).toContain("warns about the certificate of localhost");
    expect(await shown).toEqual(["localhost", "DNS:localhost, IP Address:127.0.0.1", "200"]);
  });

  test("signs in with a device code", async () => {
    await control("device-code", { customers: [customer().tenant_name], state: "approve" });
    const done = await run(["token", "acquire", ...who(), "--device-code", "--print"]);
    expect(done.said).toMatch(/type the code [A-Z0-9]+/);
    expect(done).toMatchObject({ code: 0, out: expect.stringMatching(/^1\.A\S+\n$/) });
  });

  test("redeems a device code's token as it was issued, without a client secret, also where the app has one", async () => {
    const token = (await run(["token", "acquire", ...who(), "--device-code", "--print"])).out.trim();
    const bare = await run(["doctor", ...who()], { environment: { DEFENDER_MSSP_REFRESH_TOKEN: token } });
    const beside = await run(["doctor", ...who()], { environment: { ...key(), DEFENDER_MSSP_REFRESH_TOKEN: token } });
    expect([bare.out, beside.out]).toEqual([
      expect.stringContaining("contoso is ready."),
      expect.stringContaining("contoso is ready."),
    ]);
  });

  test("says that a device code was declined", async () => {
    await control("device-code", { customers: [customer().tenant_name], state: "decline" });
    const done = await run(["token", "acquire", ...who(), "--device-code", "--print"]);
    expect(done).toMatchObject({ code: 3, out: "", said: expect.stringContaining("declined") });
  });

  test("signs in at the v1 endpoint with its resource for an old registration", async () => {
    const done = await run(
      ["token", "acquire", ...who(), "--v1", "--resource", "https://graph.windows.net", "--way", "paste", "--print"],
      {
        environment: key(),
        typed: [signInAndPaste],
      },
    );
    expect(done).toMatchObject({ code: 0, out: expect.stringMatching(/^1\.A\S+\n$/) });
  });

  test("reads an old connector's file line by line", async () => {
    const old = join(folder, "WDATP-connector.properties");
    writeFileSync(
      old,
      [
        `client_ID=${customer().client_id}`,
        `client_secret=${customer().client_secret}`,
        `auth_url=https\\://login.microsoftonline.com/${customer().tenant_id}?resource\\=https%3A%2F%2FWDATPAlertExport.Seville.onmicrosoft.com`,
        `token_url=https\\://login.microsoftonline.com/${customer().tenant_id}/oauth2/token`,
        "redirect_uri=https\\://localhost\\:44300/wdatpconnector",
        "scope=",
        "reauthenticate=true",
        `refresh_token=${customer().refresh_token}`,
        "",
      ].join("\r\n"),
    );
    const done = await run([
      "token",
      "acquire",
      "--from",
      old,
      "--tenant-name",
      "contoso",
      ...place(),
      "--to",
      "file",
      "--file",
      join(folder, "token.txt"),
    ]);

    expect(done.code).toBe(0);
    expect(done.said).toContain(`taken over  token_url names the tenant: tenant_id = ${customer().tenant_id}.`);
    expect(done.said).toContain("dropped     auth_url is dropped");
    expect(done.said).toContain(
      "missing     Today's APIs need their own consent, which the old sign-in did not include.",
    );
    expectNoSecrets(done);
    const rotated = readFileSync(join(folder, "token.txt"), "utf8").trim();
    expect(rotated).not.toBe(customer().refresh_token);
  });

  test("refuses text that is not a whole refresh token, and does not ask for a sign-in instead", async () => {
    const acquire = ["token", "acquire", "--from", "-", ...who(), "--print"];
    for (const input of ["", "0.AXo\n"]) {
      const done = await run(acquire, { environment: key(), input });
      expect([done.code, done.said]).toEqual([
        2,
        expect.stringContaining("Standard input contains no complete refresh token."),
      ]);
    }
    const cut = await run(acquire, { environment: key(), input: customer().refresh_token.slice(0, 400) });
    expect([cut.code, cut.said]).toEqual([3, expect.stringContaining("Check that you pasted the whole token.")]);
    expect(cut.said).not.toContain("is missing");
  });

  test("asks again after a mistake in copying, with a sentence for each mistake", async () => {
    const done = await run(["token", "acquire", ...who(), "--way", "paste", "--print"], {
      environment: key(),
      typed: ["hello", "https://login.microsoftonline.com/common/reprocess?x=1", signInAndPaste],
    });
    expect(done.code).toBe(0);
    expect(done.said).toContain("The pasted text is not a web address.");
    expect(done.said).toContain("does not begin with http://localhost:44300/defender-mssp");
  });

  test.each<[string, (landed: string) => string, string]>([
    [
      "another sign-in's address",
      (landed) => landed.replace(/state=[^&]+/, "state=stolen"),
      "The address belongs to another sign-in.",
    ],
    [
      "an error",
      () => "http://localhost:44300/defender-mssp?error=access_denied&error_description=AADSTS65004",
      "declined the consent",
    ],
    [
      "a consent's address",
      () => "http://localhost:44300/defender-mssp?admin_consent=True&tenant=x",
      "answer to a consent",
    ],
  ])("refuses %s", async (_, change, words) => {
    const done = await run(["token", "acquire", ...who(), "--way", "paste", "--print"], {
      interactive: false,
      environment: key(),
      typed: [async (said) => change(await browse(addressIn(said)))],
    });
    expect(done).toMatchObject({ code: 3, out: "" });
    expect(done.said).toContain(words);
  });

  test("recognises the ID of the client secret instead of its value before anybody signs in", async () => {
    const done = await run(["token", "acquire", ...who(), "--way", "paste", "--print"], {
      typed: ["0f0f0f0f-1111-4222-8333-444455556666"],
    });
    expect(done).toMatchObject({ code: 3, out: "" });
    expect(done.said).toContain("is the secret's ID, not its value");
  });

  test("asks nothing when no target for the token is given", async () => {
    expect(await run(["token", "acquire", ...who()])).toMatchObject({
      code: 2,
      said: expect.stringContaining("No destination for the refresh token was given."),
    });
  });
});

describe("Splunk's credential store", () => {
  test("takes the sign-in through splunkd's REST with a login, and doctor finds it there", async () => {
    const home = join(folder, "splunk");
    mkdirSync(join(home, "etc", "apps", "TA_defender_mssp", "local"), { recursive: true });
    const certificate = await makeCertificate("as-shipped", new Date());
    writeFileSync(join(folder, "splunk-ca.pem"), certificate.ca);
    const rest = new Rest({
      home,
      app: "TA_defender_mssp",
      folder: join(home, "etc", "apps", "TA_defender_mssp"),
      schemeName: "defender_mssp",
      certificate,
      port: 0,
      passwordLimit: "truncate",
      admin: { name: "admin", password: "correct horse battery staple" },
      unavailableCalls: 0,
      collections: {},
      scheme: () => undefined,
      validate: () => Promise.resolve(undefined),
      inputsChanged: () => undefined,
    });
    const splunk = [
      "--splunk-uri",
      await rest.listen(),
      "--splunk-user",
      "admin",
      "--splunkd-ca-file",
      join(folder, "splunk-ca.pem"),
    ];
    try {
      const wrong = await run(["token", "acquire", ...who(), "--way", "paste", "--to", "splunk", ...splunk], {
        typed: ["wrong"],
      });
      expect(wrong).toMatchObject({
        code: 5,
        said: expect.stringContaining("Splunk rejected this user and password."),
      });

      const done = await run(["token", "acquire", ...who(), "--way", "paste", "--to", "splunk", ...splunk], {
        typed: ["correct horse battery staple", customer().client_secret, signInAndPaste],
      });
      expect(done).toMatchObject({
        code: 0,
        out: "",
        said: expect.stringContaining("stored in Splunk's credential store"),
      });
      expectNoSecrets(done, "correct horse battery staple");

      const green = await run(["doctor", ...who(), ...splunk], {
        environment: { DEFENDER_MSSP_SPLUNK_PASSWORD: "correct horse battery staple" },
      });
      expect(green.out).toContain("contoso is ready.");
      const moved = await run(["doctor", "--json", ...who(), ...splunk, "--siem-url", "https://siem.evil.example"], {
        environment: { DEFENDER_MSSP_SPLUNK_PASSWORD: "correct horse battery staple" },
      });
      expect(JSON.parse(moved.out).checks.at(-1)).toMatchObject({ check: "secrets", failure: "endpoint-changed" });
    } finally {
      await rest.close();
    }
  });
});

describe("token access and inspect", () => {
  test("check a fresh token and do not print it", async () => {
    const done = await run(["token", "access", ...who(), "--auth", "app", "--out", join(folder, "access.txt")], {
      environment: key(),
    });
    expect(done.code).toBe(0);
    expect(done.out).toContain("ok   alerts: SecurityAlert.Read.All is granted.");
    const token = readFileSync(join(folder, "access.txt"), "utf8").trim();
    expectNoSecrets(done, token);
    expect(statSync(join(folder, "access.txt")).mode & 0o777).toBe(0o600);

    const stranger = await run(["token", "inspect", join(folder, "access.txt"), ...who(other())]);
    expect(stranger.code).toBe(3);
    expect(stranger.out).toContain(`not for ${other().tenant_name}`);

    writeFileSync(join(folder, "cut.txt"), `${token.slice(0, 200)}\r\n`);
    expect((await run(["token", "inspect", join(folder, "cut.txt")])).out).toContain("truncated or damaged");
  });

  test("store a rotated refresh token before the new access token is shown", async () => {
    const done = await run(["token", "access", ...who(), "--print"], {
      environment: { ...key(), DEFENDER_MSSP_REFRESH_TOKEN: customer().refresh_token },
    });
    expect(done.code).toBe(0);
    const kept = readdirSync(join(folder, "state", "secrets"));
    expect(kept).toEqual([expect.stringMatching(/\.token\.json$/)]);
  });
});

describe("a shared credential", () => {
  test("is stored once, used by name, rotated by the same command, and refused after the endpoints changed", async () => {
    const state = ["--state", join(folder, "state")];
    const named = [
      "--tenant-id",
      customer().tenant_id,
      "--tenant-name",
      "contoso",
      "--credential",
      "mssp",
      "--auth",
      "app",
      ...place(),
      ...state,
    ];
    writeFileSync(join(folder, "key.txt"), `${customer().client_secret}\r\n`);
    const set = await run([
      "credential",
      "set",
      "mssp",
      "--client-id",
      customer().client_id,
      "--client-secret-file",
      join(folder, "key.txt"),
      ...place(),
      ...state,
    ]);
    expect(set.code).toBe(0);
    expectNoSecrets(set);
    expect((await run(["doctor", ...named])).code).toBe(0);

    const moved = [...named, "--siem-url", "https://siem.evil.example"];
    const refused = await run(["doctor", "--json", ...moved]);
    expect(refused.code).toBe(3);
    expect(JSON.parse(refused.out).checks.at(-1)).toMatchObject({
      check: "secrets",
      failure: "endpoint-changed",
      actor: "operator",
    });
    expect((await run(["credential", "reseal", "--all", ...moved])).said).toContain(
      "Bound to the current endpoints: the credential mssp.",
    );
    expect((await run(["doctor", ...moved])).code).toBe(0);
  });

  const stored = (config: string, ...more: string[]) =>
    run(["credential", "set", "mssp", "--config", config, ...more], {
      environment: key(),
      typed: [customer().client_id],
    });

  test("takes addresses, proxy and CA of its customers from the configuration, so that nothing has to be typed twice", async () => {
    const config = inputsConf({ contoso: { credential: "mssp", auth: "app" } });
    expect(await stored(config)).toMatchObject({ code: 0 });
    expect(await run(["doctor", "--config", config])).toMatchObject({ code: 0 });
  });

  test("is not bound when its customers differ in what it is bound to; the sentence names two of them and the setting", async () => {
    const config = inputsConf({
      contoso: { credential: "mssp", auth: "app" },
      fabrikam: { credential: "mssp", auth: "app", siem_url: "https://siem.example" },
    });
    const { code, said } = await run(["credential", "set", "mssp", "--config", config], { environment: key() });
    expect(code).toBe(2);
    expect(said).toContain("contoso and fabrikam differ in siem_url");
    expect(await stored(config, "--customer", "contoso")).toMatchObject({ code: 0 });
  });

  test("keeps its client ID when its client secret is replaced, and asks for the new end date where one was noted", async () => {
    const config = inputsConf({ contoso: { credential: "mssp", auth: "app" } });
    await stored(config, "--expires", "2026-12-01");
    const again = await run(["credential", "set", "mssp", "--config", config], {
      environment: key(),
      typed: ["2036-12-01"],
    });
    expect(again).toMatchObject({ code: 0 });
    expect((await run(["doctor", "--config", config])).out).toContain("Client secret, ends on 2036-12-01");
  });

  test("is the app of a consent link and of a sign-in for a customer that names it", async () => {
    const config = inputsConf({ contoso: { credential: "mssp" } });
    await stored(config);
    const link = await run(["consent-url", "--config", config]);
    expect(new URL(link.out).searchParams.get("client_id")).toBe(customer().client_id);
    expect(new URL(link.out).searchParams.get("redirect_uri")).toBe(
      "https://login.microsoftonline.com/common/oauth2/nativeclient",
    );
    const landed = await browse(link.out.trim());
    const answered = await run(["consent-url", "--config", config, "--answer"], { typed: [landed] });
    expect(answered.said).toContain(`run \`defender-mssp doctor --customer contoso --config ${config}\``);

    const file = join(folder, "new.properties");
    const signedIn = await run(
      ["token", "acquire", "--config", config, "--way", "paste", "--to", "arcsight", "--file", file],
      { typed: [signInAndPaste] },
    );
    expect(signedIn).toMatchObject({ code: 0 });
    const written = readFileSync(file, "latin1");
    expect(written).toContain("credential=mssp");
    expect(written).not.toContain(customer().client_secret);
  });
});

describe("doctor of Splunk's inputs without a login for Splunk", () => {
  test.each([
    ["a masked client secret", { client_secret: "********", auth: "app" }],
    ["a shared credential", { credential: "main" }],
  ])("says of %s where it is kept, and prints the command that looks there", async (_, values) => {
    const config = inputsConf({ contoso: { client_id: customer().client_id, ...values } });
    const { code, out } = await run(["doctor", "--config", config]);
    expect(code).toBe(2);
    expect(out).toContain("is kept in Splunk's credential store, and this command was given no login for Splunk.");
    expect(out).toContain(
      `\`defender-mssp doctor --customer contoso --splunk-uri https://localhost:8089 --config ${config}\``,
    );
  });
});

interface GoldenRow {
  readonly name: string;
  readonly wanted: { readonly code: string; readonly actor: string };
}
const golden = JSON.parse(
  readFileSync(new URL("../golden/sign-in-failures.json", import.meta.url), "utf8"),
) as GoldenRow[];

describe("doctor", () => {
  test("shows a customer without problems as ok from the settings to the last stream", async () => {
    const done = await run(
      ["doctor", ...who(), "--auth", "app", "--streams", "alerts,incidents,xdr-incidents,mde-alerts"],
      {
        environment: key(),
      },
    );
    expect(done.code).toBe(0);
    expect(done.out).toContain("contoso is ready.");
    expect(done.out.match(/^ok /gm)).toHaveLength(17);
    expectNoSecrets(done);
  });

  test.each(golden.filter(({ name }) => name.startsWith("AADSTS")).map((row) => [row.name, row] as const))(
    "%s is explained as in the table",
    async (name, { wanted }) => {
      await control("fault", { on: ["token"], answer: { aadsts: Number(name.slice("AADSTS".length)) } });
      const done = await run(["doctor", "--json", ...who(), "--auth", "app"], { environment: key() });
      const report = JSON.parse(done.out) as {
        ok: boolean;
        checks: { check: string; failure: string; actor: string; say: string; next_step: string }[];
      };
      expect(report.ok).toBe(false);
      expect(report.checks.at(-1)).toMatchObject({
        check: "token graph",
        failure: wanted.code,
        actor: wanted.actor,
        say: expect.stringContaining(`(${name})`),
      });
      expect(report.checks.at(-1)!.next_step).not.toBe("");
    },
  );

  test.each<[string, () => Promise<void>, string, string]>([
    [
      "permissions that were never granted",
      () => control("permissions", { customers: [customer().tenant_name], roles: ["ThreatHunting.Read.All"] }),
      "consent-missing",
      "customer",
    ],
    [
      "an API that fails",
      () => control("fault", { on: ["alerts"], answer: { status: 500 } }),
      "service-error",
      "microsoft",
    ],
  ])("names who must act for %s", async (_, arrange, failure, actor) => {
    await arrange();
    const done = await run(["doctor", "--json", ...who(), "--auth", "app"], { environment: key() });
    expect(JSON.parse(done.out).checks.at(-1)).toMatchObject({ failure, actor });
    await control("permissions", {
      customers: [customer().tenant_name],
      roles: [
        "SecurityAlert.Read.All",
        "SecurityIncident.Read.All",
        "ThreatHunting.Read.All",
        "Incident.Read.All",
        "Alert.Read.All",
      ],
    });
  });

  test("is ready behind a gateway that writes a byte order mark before every JSON answer", async () => {
    await control("fault", { on: ["token", "discovery", "alerts", "incidents"], answer: { body: "bom" } });
    const done = await run(["doctor", ...who(), "--auth", "app"], { environment: key() });
    expect([done.code, done.out]).toEqual([0, expect.stringContaining("contoso is ready.")]);

    await control("clear-faults", {});
    await control("fault", { on: ["token"], answer: { body: "bom", aadsts: 7000222 } });
    const refused = await run(["doctor", ...who(), "--auth", "app"], { environment: key() });
    expect(refused.out).toContain("has expired (AADSTS7000222)");
  });

  test("names Content-Type and size, and nothing of the content, where alerts come under another Content-Type", async () => {
    const names = [customer().tenant_name];
    const record = { stream: "alerts", id: "da-secret", set: { title: "Mimikatz on WS-17" } };
    await control("record", { customers: names, ...record });
    await control("fault", { on: ["alerts"], answer: { content_type: "text/plain; charset=utf-8" } });
    const done = await run(["doctor", "--json", ...who(), "--auth", "app"], { environment: key() });
    expect(JSON.parse(done.out).checks.at(-1)).toMatchObject({
      failure: "bad-answer",
      say: expect.stringMatching(
        / answered 200 with Content-Type text\/plain; charset=utf-8 \(\d+ bytes\) instead of JSON\.$/,
      ),
    });
    expect(done.out + done.said).not.toMatch(/Mimikatz|WS-17|da-secret/);
  });

  test("accepts an app with a certificate, and says when the certificate is not uploaded", async () => {
    const made = await makeAppCertificate();
    const pem = join(folder, "app.pem");
    writeFileSync(pem, `${made.certificatePem}${made.keyPem}`.replaceAll("\n", "\r\n"));
    const signedBy = ["doctor", ...who(), "--auth", "app", "--certificate", pem];

    const before = await run(signedBy);
    expect(before).toMatchObject({ code: 3, out: expect.stringContaining("AADSTS700027") });

    await control("certificate", { customers: [customer().tenant_name], pem: made.certificatePem });
    expect(await run(signedBy)).toMatchObject({ code: 0, out: expect.stringContaining("contoso is ready.") });

    writeFileSync(pem, made.certificatePem);
    expect((await run(signedBy)).out).toContain("contains a certificate but not its private key");
  });

  test("names the customer whose tenant does not exist", async () => {
    const nobody = { ...customer(), tenant_id: "99999999-0000-4000-8000-000000000000" };
    const done = await run(["doctor", ...who(nobody), "--auth", "app"], { environment: key() });
    expect(done.out).toContain("The tenant of contoso was not found");
    expect(done.out).toContain("Check the settings `tenant_id` and `cloud` of contoso.");
  });

  test("names a clock that is an hour off", async () => {
    await control("clock", { advance: "1h" });
    const done = await run(["doctor", ...who(), "--auth", "app"], { environment: key() });
    await control("clock", { advance: "-1h" });
    expect(done.out).toMatch(/NO {2}clock .*60 minutes behind/);
  });

  test("names the issuer of an untrusted certificate and the setting", async () => {
    const done = await run(
      [
        "doctor",
        "--tenant-id",
        customer().tenant_id,
        "--client-id",
        customer().client_id,
        "--login-url",
        simulator.ready.login_url,
        "--auth",
        "app",
      ],
      { environment: key() },
    );
    expect(done.code).toBe(4);
    expect(done.out).toContain('issued by "CN=defender-mssp simulator CA"');
    expect(done.out).toContain("ca_file");
  });

  test("checks the outputs of a connector file last: a folder that can be written, and a receiver that is not there", async () => {
    const file = join(folder, "helper.properties");
    const port = await freePort();
    const lines = (receiver: boolean): string =>
      [
        `tenants[0].tenant_id=${customer().tenant_id}`,
        "tenants[0].tenant_name=contoso",
        `tenants[0].client_id=${customer().client_id}`,
        `tenants[0].client_secret=${customer().client_secret}`,
        "tenants[0].auth=app",
        `tenants[0].login_url=${simulator.ready.login_url}`,
        `tenants[0].graph_url=${simulator.ready.graph_url}`,
        `tenants[0].ca_file=${simulator.ready.ca_file}`,
        "outputs[0].type=cef-file",
        `outputs[0].path=${folder}/new/events.cef`,
        ...(receiver
          ? [
              "outputs[1].type=syslog",
              "outputs[1].host=127.0.0.1",
              `outputs[1].port=${port}`,
              "outputs[1].protocol=tcp",
            ]
          : []),
      ].join("\n");
    writeFileSync(file, lines(false));
    const green = await run(["doctor", "--config", file]);
    expect([green.code, green.out]).toEqual([
      0,
      expect.stringMatching(/ok {2}outputs\[0\] .*events\.cef can be written/),
    ]);

    writeFileSync(file, lines(true));
    const broken = await run(["doctor", "--config", file, "--json"]);
    expect([broken.code, JSON.parse(broken.out).checks.at(-1)]).toEqual([
      5,
      expect.objectContaining({ check: "outputs[1]", failure: "output-unreachable" }),
    ]);
  });

  test("sorts the table of all customers by who must act", async () => {
    const conf = simulator.ready.customers
      .slice(0, 3)
      .map(
        (one, n) =>
          `[defender_mssp://${one.tenant_name}]\ntenant_id = ${one.tenant_id}\nclient_id = ${one.client_id}\nclient_secret = ${n === 1 ? "wrong" : one.client_secret}\nauth = app\nlogin_url = ${simulator.ready.login_url}\ngraph_url = ${simulator.ready.graph_url}\nca_file = ${simulator.ready.ca_file}\n`,
      )
      .join("\n");
    writeFileSync(join(folder, "inputs.conf"), conf);
    const done = await run(["doctor", "--config", join(folder, "inputs.conf"), "--all"]);
    expect(done.code).toBe(6);
    const rows = done.out.trim().split("\n");
    expect(rows[1]).toMatch(new RegExp(`^operator +${other().tenant_name} +token graph`));
    expect(done.out).toContain("2 of 3 customers are ready.");
  });
});

describe("doctor with many customers", () => {
  const NAMES = Array.from({ length: 40 }, (_, n) => `customer-${String(n + 1).padStart(2, "0")}`);
  /** The first that are checked, before the app has worked anywhere. */
  const ABSENT = NAMES.slice(0, 10);
  let many: Simulator;

  beforeAll(async () => {
    const customers = NAMES.map((name) => `{ name: ${name}${ABSENT.includes(name) ? ", consent: absent" : ""} }`);
    const text = `{ name: many, story: forty customers, customers: [${customers.join(", ")}] }`;
    many = await startSimulator({ scenario: scenarioOf(text, "many"), warn: () => undefined });
  });
  afterAll(async () => {
    await many.stop();
  });

  /** All customers use the provider's shared app, as an MSSP's do. */
  async function check(...flags: string[]): Promise<Conversation> {
    const { login_url, graph_url, ca_file, control_url } = many.ready;
    const state = await web.send({ method: "GET", url: `${control_url}/state`, headers: {}, route: {} });
    const { shared_app: app } = JSON.parse(await state.text(10_000_000)) as { shared_app: Record<string, string> };
    const stanzas = many.ready.customers.map(
      ({ tenant_name, tenant_id }) =>
        `[defender_mssp://${tenant_name}]\ntenant_id = ${tenant_id}\nclient_id = ${app["client_id"]}\nclient_secret = ${app["client_secret"]}\nauth = app\nlogin_url = ${login_url}\ngraph_url = ${graph_url}\nca_file = ${ca_file}\n`,
    );
    writeFileSync(join(folder, "inputs.conf"), stanzas.join("\n"));
    return run(["doctor", "--config", join(folder, "inputs.conf"), "--all", ...flags]);
  }

  async function answerOlder(absent_app: string): Promise<void> {
    const body = JSON.stringify({ state: "absent", absent_app, customers: ABSENT });
    const url = `${many.ready.control_url}/consent`;
    const headers = { "content-type": "application/json" };
    await (await web.send({ method: "POST", url, headers, body, route: {} })).discard();
  }

  test.each(["AADSTS7000229", "AADSTS700016"])(
    "says once, with their names, that ten of forty have not consented, and that this is the customers' turn (%s)",
    async (number) => {
      await answerOlder(number);
      const done = await check("--brief");
      expect(done.code).toBe(6);
      const lines = done.out.trimEnd().split("\n");
      expect(lines).toHaveLength(5);
      expect(lines[1]).toMatch(
        new RegExp(
          `^customer +10 app-not-found +${ABSENT.join(", ")}: customer-01 has not consented to app [0-9a-f-]+ yet, or has removed it \\(${number}\\)\\. Send .*consent-url --customer customer-01 .* The same for the others\\.$`,
        ),
      );
      expect(lines[3]).toBe("30 of 40 customers are ready.");
      expect(lines[4]).toBe("Granted to the app, and needed by no stream: ThreatHunting.Read.All (30 customers).");
    },
  );

  test("prints with --brief --json one object per reason", async () => {
    const done = await check("--brief", "--json");
    expect(
      done.out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([expect.objectContaining({ actor: "customer", failure: "app-not-found", customers: ABSENT })]);
  });

  test("has a row per customer without --brief, and the sentence only in the first of each reason", async () => {
    const done = await check();
    expect(done.out.match(/^customer +customer-\d\d /gm)).toHaveLength(10);
    expect(done.out.match(/^- +customer-\d\d +ready$/gm)).toHaveLength(30);
    expect(done.out.match(/has not consented/g)).toHaveLength(1);
    expect(done.out.match(/the same as customer-01$/gm)).toHaveLength(9);
  });
});

describe("the loopback listener", () => {
  test("counts only the browser's own return: not another state, Host, path or method", async () => {
    const port = await freePort();
    let seen: Promise<readonly number[]> = Promise.resolve([]);
    const done = await run(
      ["token", "acquire", ...who(), "--redirect-uri", `http://localhost:${port}/back`, "--print"],
      {
        environment: key(),
        openBrowser: async (url) => {
          const landed = new URL(await browse(url));
          const evil = new URL(landed);
          evil.searchParams.set("state", "guessed");
          seen = (async () => [
            await statusOf(evil.href),
            await statusOf(landed.href, { host: "evil.example" }),
            await statusOf(landed.href.replace("/back", "/other")),
            await statusOf(landed.href, {}, "POST"),
            await statusOf(landed.href),
          ])();
          return true;
        },
      },
    );
    expect(done.code).toBe(0);
    expect(await seen).toEqual([404, 404, 404, 404, 200]);
  });

  test("listens on loopback addresses only", async () => {
    const { listenOnLoopback } = await import("../../src/hosts/cli/loopback-listener.ts");
    const port = await freePort();
    const listener = await listenOnLoopback(`http://localhost:${port}/`, "s", () => new Promise(() => {}), Date.now());
    const outside = Object.values(networkInterfaces())
      .flat()
      .filter((one) => one && !one.internal && one.family === "IPv4");
    const reached = await Promise.all(
      outside.map((one) => statusOf(`http://${one?.address}:${port}/?state=s`).catch(() => "refused")),
    );
    listener.close();
    // On a machine without a network nothing is left to try; the address that is bound is then the proof.
    expect(reached.every((answer) => answer === "refused")).toBe(true);
  });
});

function statusOf(url: string, headers: Record<string, string> = {}, method = "GET"): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .request(
        url.replace("localhost", "127.0.0.1"),
        { method, headers: { host: new URL(url).host, ...headers }, agent: false },
        (answer) => resolve(answer.resume().statusCode ?? 0),
      )
      .on("error", reject)
      .end();
  });
}

function fetchPage(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    http
      .get(url.replace("localhost", "127.0.0.1"), { headers: { host: new URL(url).host }, agent: false }, (answer) => {
        let text = "";
        answer.on("data", (piece) => (text += piece)).on("end", () => resolve(text));
      })
      .on("error", reject);
  });
}
