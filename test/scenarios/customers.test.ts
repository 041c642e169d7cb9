import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { schemeDocument } from "../../src/config/scheme.ts";
import { createHttp } from "../../src/net/http.ts";
import { type Conversation, runOnboardingCommand } from "../harness/onboarding-command.ts";
import { SHARED_APP } from "../harness/simulator/identity.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import { makeCertificate } from "../harness/splunkd/certificate.ts";
import { Rest } from "../harness/splunkd/rest.ts";
import { readScheme } from "../harness/splunkd/scheme.ts";

/** The `customers` commands against the simulator: what they print and what they write. */

const SPLUNK_PASSWORD = "correct horse battery staple";
let simulator: Simulator;
let folder: string;

beforeAll(async () => {
  simulator = await startSimulator({
    warn: () => undefined,
    scenario: scenarioOf(
      JSON.stringify({
        name: "customers",
        story: "Customers that have not consented, one of them in another cloud.",
        customers: [
          { name: "contoso", consent: "absent" },
          { name: "fabrikam", consent: "absent" },
          { name: "adatum", consent: "absent", cloud: "gcc" },
        ],
      }),
      "customers",
    ),
  });
});
afterAll(() => simulator.stop());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "customers-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(...argv: readonly string[]): Promise<Conversation> {
  return runOnboardingCommand(argv, {
    folder,
    environment: { DEFENDER_MSSP_SPLUNK_PASSWORD: SPLUNK_PASSWORD },
    interactive: false,
    answer: (question) =>
      /^client secret/i.test(question)
        ? Promise.resolve(SHARED_APP.clientSecret)
        : Promise.reject(new Error(`nobody answers: ${question}`)),
  });
}

const addresses = () => {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  return { login_url, graph_url, api_url, ca_file };
};
const addressFlags = () =>
  Object.entries(addresses()).flatMap(([key, value]) => [`--${key.replaceAll("_", "-")}`, value]);
const tenantOf = (name: string): string =>
  simulator.ready.customers.find(({ tenant_name }) => tenant_name === name)?.tenant_id ?? "";

/** An inputs.conf whose scheme stanza holds the simulator's addresses. */
const conf = (more = ""): string =>
  write(
    "inputs.conf",
    `# the SOC\n[defender_mssp]\n${Object.entries(addresses())
      .map(([key, value]) => `${key} = ${value}\n`)
      .join("")}credential = mssp\n${more}`,
  );

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

const linesOf = ({ out }: Conversation) =>
  out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { customer: string; change: string; settings?: object; say?: string });

test("importing a list shows what it changes and writes nothing until --apply", async () => {
  const config = conf();
  const before = readFileSync(config, "utf8");
  const list = write("list.csv", "name;tenant;index\r\ncontoso;CONTOSO.onmicrosoft.com;soc\r\n");
  const shown = await run("customers", "import", list, "--config", config);
  expect(shown.out).toContain(`+ contoso  ${tenantOf("contoso")}  auth=app  index=soc`);
  expect(shown.said).toContain("Nothing is written yet.");
  expect(readFileSync(config, "utf8")).toBe(before);

  const applied = await run("customers", "import", list, "--config", config, "--apply");
  expect([shown.code, applied.code]).toEqual([0, 0]);
  expect(readFileSync(config, "utf8")).toBe(
    `${before}\n[defender_mssp://contoso]\ntenant_id = ${tenantOf("contoso")}\nauth = app\nindex = soc\n`,
  );
  expect((await run("customers", "import", list, "--config", config)).out).toBe("= 1 customer unchanged\n");
  const { said } = await run("doctor", "--all", "--config", config);
  expect(said).not.toContain("index is not a setting");
});

test("a wrong row is named with its line and reason, and the other rows are written", async () => {
  const config = conf();
  const list = write(
    "list.csv",
    [
      "name,tenant,index,cloud,streams,credential",
      "contoso,contoso.onmicrosoft.com,,,,",
      "nowhere,nowhere.example,,,,",
      "misspelt,contoso onmicrosoft com,,,,",
      "indexed,fabrikam.onmicrosoft.com,_internal,,,",
      "clouded,fabrikam.onmicrosoft.com,,moon,,",
      "streamed,fabrikam.onmicrosoft.com,,,allerts,",
      "elsewhere,adatum.onmicrosoft.com,,gcc-high,,",
      "again,contoso.onmicrosoft.com,,,,",
      "fabrikam,fabrikam.onmicrosoft.com,,,alerts incidents,other",
    ].join("\n"),
  );
  const imported = await run("customers", "import", list, "--config", config, "--apply");
  expect(imported.code).toBe(6);
  const wrong = imported.out.split("\n").filter((line) => line.startsWith("!"));
  expect(wrong).toEqual([
    expect.stringMatching(/^! Line 3 \(nowhere\) is not used: The tenant of nowhere was not found/),
    expect.stringMatching(/^! Line 4 \(misspelt\) has a wrong tenant/),
    expect.stringMatching(/^! Line 5 \(indexed\) has a wrong index/),
    expect.stringMatching(/^! Line 6 \(clouded\) has a wrong cloud/),
    expect.stringMatching(/^! Line 7 \(streamed\) has a wrong streams/),
    expect.stringMatching(/^! Line 8 \(elsewhere\) is not used: The tenant of elsewhere is in the cloud gcc/),
    expect.stringMatching(/^! Line 9 \(again\) has the same tenant as contoso on line 2/),
  ]);
  const text = readFileSync(config, "utf8");
  expect([...text.matchAll(/^\[defender_mssp:\/\/(.+)\]$/gm)].map(([, name]) => name)).toEqual(["contoso", "fabrikam"]);
  expect(text).toContain("credential = other\nauth = app\nstreams = alerts,incidents\n");
});

test("the cloud comes from the tenant's own document", async () => {
  const config = conf();
  await run("customers", "add", "adatum", "--tenant", "adatum.onmicrosoft.com", "--config", config);
  expect(readFileSync(config, "utf8")).toContain(`tenant_id = ${tenantOf("adatum")}\ncloud = gcc\n`);
});

test("a properties file keeps its comments, order and mode, and a symlink to it stays", async () => {
  const real = write("real.properties", "# our helper\nstate_dir=/x\noutputs[0].type=file\n");
  chmodSync(real, 0o640);
  const config = join(folder, "link.properties");
  symlinkSync(real, config);
  const add = ["--credential", "mssp", "--config", config, ...addressFlags()];
  const added = await run("customers", "add", "Müller", "--tenant", "contoso.onmicrosoft.com", ...add);
  expect(added).toMatchObject({ code: 0 });
  const text = readFileSync(real, "latin1");
  expect(text).toContain("# our helper\nstate_dir=/x\noutputs[0].type=file\n\ntenants[0].tenant_name=M\\u00fcller\n");
  expect(statSync(real).mode & 0o777).toBe(0o640);

  const removed = await run("customers", "remove", "müller", "--config", config);
  expect(removed.said).toContain("Müller is removed");
  expect(readFileSync(real, "latin1").trimEnd()).toBe("# our helper\nstate_dir=/x\noutputs[0].type=file");
});

test("the index of a list is written where an output of type hec uses it, and elsewhere is said not to be used", async () => {
  const list = write("list.csv", "name,tenant,index\ncontoso,contoso.onmicrosoft.com,soc\n");
  const importing = (config: string) =>
    run("customers", "import", list, "--config", config, "--credential", "m", "--apply", ...addressFlags());
  const notUsed = "The index is not used: the file has no output of type hec.";
  const hec = write("hec.properties", "outputs[0].type=cef-file\noutputs[1].type=hec\n");
  expect((await importing(hec)).said).not.toContain(notUsed);
  expect(readFileSync(hec, "latin1")).toContain("tenants[0].index=soc\n");
  writeFileSync(list, "name,tenant,index\ncontoso,contoso.onmicrosoft.com,other\n");
  expect((await importing(hec)).out).toContain("index: soc -> other");

  const cef = write("cef.properties", "outputs[0].type=cef-file\n");
  expect((await importing(cef)).said).toContain(notUsed);
  expect(readFileSync(cef, "latin1")).not.toContain("index");
  const add = ["customers", "add", "fabrikam", "--tenant", "fabrikam.onmicrosoft.com", "--index", "soc"];
  const added = await run(...add, "--credential", "m", "--config", cef, ...addressFlags());
  expect(added).toMatchObject({ code: 0, said: expect.stringContaining(notUsed) });
});

test("a new file is readable by its owner only", async () => {
  const config = join(folder, "new.properties");
  await run(
    "customers",
    "add",
    "c",
    "--tenant",
    "contoso.onmicrosoft.com",
    "--credential",
    "m",
    "--config",
    config,
    ...addressFlags(),
  );
  expect(statSync(config).mode & 0o777).toBe(0o600);
});

test("customers that the list does not name are shown and stay", async () => {
  const config = conf(`[defender_mssp://fabrikam]\ntenant_id = ${tenantOf("fabrikam")}\n`);
  const list = write("list.csv", "name,tenant\ncontoso,contoso.onmicrosoft.com\n");
  const imported = await run("customers", "import", list, "--config", config, "--apply");
  expect(imported.out).toContain("? fabrikam  is configured, but not in the list; it stays");
  expect(readFileSync(config, "utf8")).toContain("[defender_mssp://fabrikam]");
});

test("only the list's columns change a configured customer, and an empty field changes nothing", async () => {
  const config = conf(
    `[defender_mssp://contoso]\ntenant_id = contoso.onmicrosoft.com\nindex = old\nstreams = alerts, incidents\nauth = refresh_token\n`,
  );
  const list = write("list.csv", "name,tenant,index,streams\nCONTOSO,contoso.onmicrosoft.com,soc,\n");
  const imported = await run("customers", "import", list, "--config", config, "--apply");
  expect(imported.out).toContain(`~ contoso  ${tenantOf("contoso")}  index: old -> soc`);
  expect(readFileSync(config, "utf8")).toContain(
    "tenant_id = contoso.onmicrosoft.com\nindex = soc\nstreams = alerts, incidents\nauth = refresh_token\n",
  );
});

test("a customer that the list renames keeps its name, and one that moved to another tenant is refused", async () => {
  const config = conf(
    `[defender_mssp://old name]\ntenant_id = ${tenantOf("contoso")}\n[defender_mssp://moved]\ntenant_id = ${tenantOf("adatum")}\n`,
  );
  const before = readFileSync(config, "utf8");
  const list = write("list.csv", "name,tenant\nnew name,contoso.onmicrosoft.com\nmoved,fabrikam.onmicrosoft.com\n");
  const imported = await run("customers", "import", list, "--config", config, "--apply");
  expect(imported.out).toContain("The list calls it new name; it keeps its name");
  expect(imported.out).toContain(`! Line 3 (moved) has tenant ${tenantOf("fabrikam")}, but moved is configured with`);
  expect(readFileSync(config, "utf8")).toBe(before);
});

test("a list that is cut off inside quotes changes nothing", async () => {
  const config = conf();
  const before = readFileSync(config, "utf8");
  const list = write("list.csv", 'name,tenant\ncontoso,contoso.onmicrosoft.com\n"fabri');
  const imported = await run("customers", "import", list, "--config", config, "--apply");
  expect([imported.code, imported.said]).toEqual([2, expect.stringContaining("Nothing is changed.")]);
  expect(readFileSync(config, "utf8")).toBe(before);
});

test("without a credential in the list exactly one stored one is needed", async () => {
  const config = write("x.properties", `state_dir=${join(folder, "state")}\n`);
  const list = write("list.csv", "name,tenant\ncontoso,contoso.onmicrosoft.com\n");
  const importing = () =>
    run("customers", "import", list, "--config", config, "--state", join(folder, "state"), ...addressFlags());
  const set = (name: string) =>
    run(
      "credential",
      "set",
      name,
      "--client-id",
      SHARED_APP.clientId,
      "--state",
      join(folder, "state"),
      ...addressFlags(),
    );
  expect(await importing()).toMatchObject({ code: 2, said: expect.stringContaining("holds none") });
  await set("Mssp.one");
  expect((await importing()).out).toContain("credential=Mssp.one");
  await set("two");
  expect(await importing()).toMatchObject({ code: 2, said: expect.stringContaining("holds Mssp.one, two") });
});

test("with --json each row of the difference is one object", async () => {
  const config = conf(`[defender_mssp://fabrikam]\ntenant_id = ${tenantOf("fabrikam")}\n`);
  const list = write("list.csv", "name,tenant\ncontoso,contoso.onmicrosoft.com\n=x,a.com\n");
  const lines = linesOf(await run("customers", "import", list, "--config", config, "--json"));
  expect(lines.map(({ customer, change }) => [customer, change])).toEqual([
    ["contoso", "add"],
    ["=x", "wrong"],
    ["fabrikam", "not-listed"],
  ]);
  expect(lines[0]?.settings).toEqual({ tenant_id: tenantOf("contoso"), auth: "app" });
});

test.each([
  [["customers", "import", "LIST"], "Give --config FILE, or --to splunk."],
  [["customers", "add", "<b>", "--tenant", "a.com", "--config", "inputs.conf"], "Give another name."],
  [["customers", "remove", "nobody", "--config", "CONF"], "customers list"],
  [["customers", "import", "LIST", "--config", "customers.xml"], "Give an inputs.conf"],
])("%j says in one line what is missing", async (argv, step) => {
  const files: Record<string, string> = { LIST: write("list.csv", "name,tenant\n"), CONF: conf() };
  const { code, said } = await run(...argv.map((word) => files[word] ?? word));
  expect([code, said]).toEqual([2, expect.stringContaining(step)]);
});

/** A properties file with all three customers, who share the simulator's app. */
async function sharedByThree(): Promise<{ readonly config: string; readonly flags: readonly string[] }> {
  const config = write("shared.properties", `state_dir=${join(folder, "state")}\n`);
  const list = write(
    "shared.csv",
    "name,tenant,credential\ncontoso,contoso.onmicrosoft.com,\nfabrikam,fabrikam.onmicrosoft.com,\nadatum,adatum.onmicrosoft.com,gcc\n",
  );
  const state = ["--state", join(folder, "state")];
  const set = ["--client-id", SHARED_APP.clientId, ...state, ...addressFlags()];
  await run("credential", "set", "mssp", ...set);
  await run("credential", "set", "gcc", "--cloud", "gcc", ...set);
  await run("customers", "import", list, "--config", config, "--credential", "mssp", "--apply", ...addressFlags());
  return { config, flags: ["--config", config, ...state] };
}

/** What the administrator's browser does with a link: it ends on the redirect. */
async function accept(link: string, account: string): Promise<string> {
  const web = createHttp();
  const url = new URL(link);
  url.searchParams.set("login_hint", account);
  const answer = await web.send({
    method: "GET",
    url: url.href,
    headers: {},
    route: { caFile: simulator.ready.ca_file },
  });
  await answer.discard();
  await web.close();
  return answer.headers["location"] ?? "";
}

async function withdrawAll(): Promise<void> {
  const answer = await fetch(`${simulator.ready.control_url}/consent`, {
    method: "POST",
    body: JSON.stringify({ state: "absent" }),
  });
  expect(answer.status).toBe(200);
}

test("one link serves every customer, and --answer says which of them consented", async () => {
  const { flags } = await sharedByThree();
  const link = await run("consent-url", "--any-customer", "--customer", "contoso", "--customer", "fabrikam", ...flags);
  expect(link.out).toMatch(/^https:\/\/[^/]+\/organizations\/v2\.0\/adminconsent\?/);
  const landed = await accept(link.out.trim(), "admin@fabrikam.onmicrosoft.com");
  const answer = await run("consent-url", "--answer", landed, ...flags);
  expect(answer).toMatchObject({ code: 0, out: "fabrikam\n" });
  const waiting = linesOf(await run("customers", "list", "--waiting", "--json", ...flags));
  expect(waiting.map(({ customer }) => customer)).toEqual(["adatum", "contoso"]);
  await withdrawAll();
});

test("an answer of somebody else's link, of an unknown tenant or of a refusal is not taken for a consent", async () => {
  const { flags } = await sharedByThree();
  const link = await run("consent-url", "--any-customer", "--customer", "contoso", ...flags);
  const landed = new URL(await accept(link.out.trim(), "admin@contoso.onmicrosoft.com"));
  await withdrawAll();
  const answered = (change: (query: URLSearchParams) => void) => {
    const url = new URL(landed);
    change(url.searchParams);
    return run("consent-url", "--answer", url.href, ...flags);
  };
  const other = await answered((query) => query.set("state", "made.up"));
  expect([other.code, other.said]).toEqual([3, expect.stringContaining("belongs to another link")]);
  const stranger = await answered((query) => query.set("tenant", "11111111-1111-4111-8111-111111111111"));
  expect([stranger.code, stranger.said]).toEqual([6, expect.stringContaining("no customer is configured with it")]);
  const refused = await answered((query) => {
    query.delete("admin_consent");
    query.set("error", "access_denied");
  });
  expect([refused.code, refused.out]).toEqual([3, ""]);
});

test("a link for all needs only the app's ID", async () => {
  const link = await run("consent-url", "--any-customer", "--client-id", SHARED_APP.clientId);
  expect(link.out).toContain(
    `https://login.microsoftonline.com/organizations/v2.0/adminconsent?client_id=${SHARED_APP.clientId}`,
  );
});

test("customers of two clouds do not get one link", async () => {
  const { flags } = await sharedByThree();
  const link = await run("consent-url", "--any-customer", ...flags);
  expect([link.code, link.out, link.said]).toEqual([2, "", expect.stringContaining("a link is for one")]);
});

test.each([
  ["en", "Subject: "],
  ["fr", "Objet : "],
  ["ja", "件名: "],
  ["de", "Betreff: "],
])(
  "a mail in %s is written for each customer that still lacks something, and for no other",
  async (language, subject) => {
    const { flags } = await sharedByThree();
    const link = await run("consent-url", "--customer", "contoso", ...flags);
    await accept(link.out.trim(), "admin@contoso.onmicrosoft.com");
    const out = join(folder, "mails");
    const mails = await run("consent-url", "--all", "--mail", language, "--out", out, ...flags);
    expect(mails.said).toContain("2 of 3 customers get a mail");
    expect(readdirSync(out).toSorted()).toEqual(["adatum.txt", "fabrikam.txt"]);
    const text = readFileSync(join(out, "fabrikam.txt"), "utf8");
    expect(text.startsWith(subject)).toBe(true);
    expect(text).toContain(`${tenantOf("fabrikam")}/v2.0/adminconsent?`);
    expect(text).toContain("fabrikam");
    await withdrawAll();
  },
);

test("the list of customers shows who must act, and what cannot be used", async () => {
  const { config, flags } = await sharedByThree();
  writeFileSync(config, `${readFileSync(config, "latin1")}\ntenants[9].tenant_name=broken\ntenants[9].tenant_id=x\n`);
  const listed = await run("customers", "list", ...flags);
  expect(listed.out).toMatch(/^CUSTOMER +TENANT +CONSENT SINCE +LAST EVENT +STATE +ACTOR +WHAT\n/);
  expect(listed.out).toMatch(/^broken .* misconfigured +you /m);
  expect(listed.out).toMatch(/^contoso .* awaiting-consent customer /m);
  expect(listed.said).toContain("4 customers: 0 have consented, 3 have not yet, 1 need somebody to act.");
});

test("the list against the customers under contract names who is not configured, and who is not under contract", async () => {
  const { flags } = await sharedByThree();
  const early = await run("customers", "list", "--against", ...flags);
  expect([early.code, early.said]).toEqual([2, expect.stringContaining("No list of customers was read yet.")]);
  const seen = { source: "file", first_seen: "2026-11-29T10:00:00Z", last_seen: "2026-11-29T10:00:00Z" };
  const listedAs = (name: string, more: object = {}) => ({
    ...seen,
    name,
    listed_name: name,
    missing_since: null,
    ended_at: null,
    relationships: [],
    decided: "announced",
    by: "discovery",
    excluded_by: null,
    reminded: [],
    ...more,
  });
  const idOf = (digit: string) => `${digit.repeat(8)}-2222-4333-8444-555555555555`;
  const customers = {
    [tenantOf("contoso")]: listedAs("Contoso"),
    [idOf("1")]: listedAs("Litware"),
    [idOf("2")]: listedAs("Tailspin", { decided: "excluded", excluded_by: "discover_exclude" }),
    [idOf("3")]: listedAs("Gone", { missing_since: "2026-11-29T10:00:00Z" }),
  };
  mkdirSync(join(folder, "state"), { recursive: true });
  const file = join(folder, "state/discovered.json");
  writeFileSync(file, JSON.stringify({ version: 1, listed_at: "2026-11-29T10:00:00Z", customers }));
  const listed = await run("customers", "list", "--against", "--json", ...flags);
  expect(listed.said).toContain("2 under contract are not configured.");
  expect(
    listed.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object),
  ).toEqual([
    expect.objectContaining({ customer: "adatum", under_contract: false, say: expect.stringMatching(/^It is not in/) }),
    expect.objectContaining({ customer: "contoso", under_contract: true }),
    expect.objectContaining({ customer: "fabrikam", under_contract: false }),
    expect.objectContaining({ customer: "Litware", state: "not-configured", actor: "operator", under_contract: true }),
    expect.objectContaining({ customer: "Tailspin", state: "not-configured", actor: "" }),
  ]);
});

describe("customers in Splunk", () => {
  let rest: Rest;
  let splunk: readonly string[];
  let edits: number;
  const refuse = new Set<string>();

  beforeEach(async () => {
    edits = 0;
    refuse.clear();
    const home = join(folder, "splunk");
    mkdirSync(join(home, "etc/apps/TA_defender_mssp/local"), { recursive: true });
    const certificate = await makeCertificate("as-shipped", new Date());
    const caFile = write("splunk-ca.pem", certificate.ca);
    rest = new Rest({
      home,
      app: "TA_defender_mssp",
      folder: join(home, "etc/apps/TA_defender_mssp"),
      schemeName: "defender_mssp",
      certificate,
      port: 0,
      passwordLimit: "truncate",
      admin: { name: "admin", password: SPLUNK_PASSWORD },
      unavailableCalls: 0,
      collections: {},
      scheme: () => readScheme(schemeDocument()),
      validate: (name) => Promise.resolve(refuse.has(name) ? "refused by the test" : undefined),
      inputsChanged: () => {
        edits += 1;
      },
    });
    splunk = [
      "--to",
      "splunk",
      "--splunk-uri",
      await rest.listen(),
      "--splunk-user",
      "admin",
      "--splunkd-ca-file",
      caFile,
    ];
  });
  afterEach(() => rest.close());

  const inputs = (): string => readFileSync(join(folder, "splunk/etc/apps/TA_defender_mssp/local/inputs.conf"), "utf8");
  const imported = (list: string, ...more: readonly string[]) =>
    run("customers", "import", list, ...splunk, ...addressFlags(), ...more);

  test("are discovered in a list and created as customers add does, with the model's settings and an own index", async () => {
    await run("credential", "set", "mssp", "--client-id", SHARED_APP.clientId, ...splunk, ...addressFlags());
    const list = write("list.csv", "name,tenant,index\ncontoso,contoso.onmicrosoft.com,soc_contoso\n");
    await imported(list, "--apply", "--start", "3d");
    writeFileSync(list, "name,tenant\ncontoso,contoso.onmicrosoft.com\nfabrikam,fabrikam.onmicrosoft.com\n");
    const discover = ["customers", "discover", ...splunk, "--discover", `file:${list}`, "--state", folder];
    const shown = await run(...discover, "--discover-defaults", "contoso");
    expect(shown).toMatchObject({ code: 0, out: expect.stringContaining("+ fabrikam") });
    expect(inputs()).not.toContain("fabrikam");

    edits = 0;
    const applied = await run(...discover, "--discover-defaults", "contoso", "--apply");
    expect([applied.code, edits]).toEqual([0, 1]);
    const created = inputs().slice(inputs().indexOf("[defender_mssp://fabrikam]"));
    for (const line of [
      `tenant_id = ${tenantOf("fabrikam")}`,
      "credential = mssp",
      "start = 3d",
      "index = soc_fabrikam",
    ])
      expect(created).toContain(`${line}\n`);
    expect(created).not.toContain("discover");
    // What Splunk refuses is tried again by the next one, and named.
    writeFileSync(
      list,
      "name,tenant\ncontoso,contoso.onmicrosoft.com\nfabrikam,fabrikam.onmicrosoft.com\nadatum,adatum.onmicrosoft.com\n",
    );
    refuse.add("adatum");
    const refused = await run(...discover, "--discover-defaults", "contoso", "--apply");
    expect(refused).toMatchObject({ code: 5, said: expect.stringContaining("1 could not be written") });
    refuse.clear();
    expect(await run(...discover, "--discover-defaults", "contoso", "--apply")).toMatchObject({ code: 0 });
    expect(inputs()).toContain("[defender_mssp://adatum]");
  });

  test("are created with one request each, changed only where the list differs, and removed", async () => {
    await run("credential", "set", "mssp", "--client-id", SHARED_APP.clientId, ...splunk, ...addressFlags());
    const list = write(
      "list.csv",
      "name,tenant,index\ncontoso,contoso.onmicrosoft.com,soc\nfabrikam,fabrikam.onmicrosoft.com,\n",
    );
    edits = 0;
    const created = await imported(list, "--apply");
    expect([created.code, edits]).toEqual([0, 2]);
    expect(created.said).toContain("Splunk restarted the program up to 2 times");
    expect(inputs()).toContain("[defender_mssp://contoso]");
    expect(inputs()).toMatch(/credential = mssp/);
    expect(inputs()).not.toContain("splunkd_ca_file");

    edits = 0;
    const changed = write(
      "changed.csv",
      "name,tenant,index\ncontoso,contoso.onmicrosoft.com,other\nfabrikam,fabrikam.onmicrosoft.com,\n",
    );
    const again = await imported(changed, "--apply");
    expect([again.code, again.out, edits]).toEqual([
      0,
      `~ contoso  ${tenantOf("contoso")}  index: soc -> other\n= 1 customer unchanged\n`,
      1,
    ]);

    const listed = linesOf(await run("customers", "list", "--json", ...splunk));
    expect(listed.map(({ customer }) => customer)).toEqual(["contoso", "fabrikam"]);
    expect(await run("customers", "remove", "fabrikam", ...splunk)).toMatchObject({ code: 0 });
    expect(inputs()).not.toContain("fabrikam");
  });

  test("that Splunk rejects are named, and the others are created", async () => {
    refuse.add("contoso");
    const list = write("list.csv", "name,tenant\ncontoso,contoso.onmicrosoft.com\nfabrikam,fabrikam.onmicrosoft.com\n");
    const created = await imported(list, "--credential", "mssp", "--apply");
    expect([created.code, created.said]).toEqual([6, expect.stringContaining("Splunk rejected contoso (HTTP 400)")]);
    expect(inputs()).toContain("[defender_mssp://fabrikam]");
    expect(inputs()).not.toContain("[defender_mssp://contoso]");
  });

  test("can be written to a new file instead, for one restart", async () => {
    const list = write("list.csv", "name,tenant\ncontoso,contoso.onmicrosoft.com\n");
    const file = join(folder, "more.conf");
    const written = await imported(list, "--credential", "mssp", "--conf-only", file, "--apply");
    expect([written.code, edits]).toEqual([0, 0]);
    expect(written.said).toContain("restart Splunk once");
    expect(readFileSync(file, "utf8")).toMatch(/^\[defender_mssp:\/\/contoso\]\ntenant_id = /);
    expect((await imported(list, "--credential", "mssp", "--conf-only", file, "--apply")).said).toContain(
      "exists already",
    );
  });
});
