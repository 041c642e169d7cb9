import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { XMLParser } from "fast-xml-parser";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { deliveries, FakeSplunkd, FakeStdout, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import { INTAKE_REALM, intakeEntries, SHARED_CREDENTIAL } from "../../config/intake-slot.ts";
import { answerIn, requestSettings } from "../../config/request-stanza.ts";
import type { FileLook } from "../../config/settings.ts";
import { SCHEME as FORMAT_SCHEME } from "../../format/splunk/splunk-event.ts";
import { caFileUnusable } from "../../model/endpoint-binding.ts";
import type { RefreshTokenVault } from "../../model/ports.ts";
import type { RosterReport } from "../../model/roster-report.ts";
import { sealed } from "../../model/sealed.ts";
import { settingsFor } from "../../model/settings-table.ts";
import { networkFailure } from "../../net/network-failures.ts";
import type { PageAnswers, SplunkHost, SplunkWorld } from "./index.ts";
import {
  credentialId,
  customerSecretId,
  LOOK_EVERY_MS,
  openSplunkHost,
  PasswordStore,
  readRun,
  SCHEME,
  schemeDocument,
  validate,
} from "./index.ts";

const TENANT = "11111111-2222-3333-4444-555555555555";

async function* openPipe(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
  await new Promise(() => {});
}

function world(
  stdin: string,
  more: Partial<Omit<SplunkWorld, "stdout">> = {},
): SplunkWorld & {
  readonly lines: string[];
  readonly fake: FakeSplunkd;
  readonly stdout: FakeStdout;
} {
  const lines: string[] = [];
  const fake = new FakeSplunkd();
  const stdout = new FakeStdout();
  return {
    http: fake,
    fake,
    stdout,
    lines,
    clock: new FakeClock(),
    random: FakeRandom.always(),
    stdin: openPipe(stdin),
    writeLogLine: (line) => lines.push(line),
    files: { look: () => ({ kind: "missing" }) },
    readBytes: async () => undefined,
    fingerprintOf: () => "v1",
    stampOf: () => "",
    splunkHome: "/opt/splunk",
    program: { program: ["/opt/splunk/bin/splunk", "cmd", "/opt/splunk/defender_mssp"], shell: "posix" },
    version: "1.0.0",
    ...more,
  };
}

/** Settles secrets and lets the pauses in it pass. */
async function settle(host: SplunkHost, { clock }: SplunkWorld): Promise<void> {
  const settled = host.settleSecrets();
  await (clock as FakeClock).advance(5_000);
  await settled;
}

const params = (values: Record<string, string>) =>
  Object.entries(values)
    .map(([key, value]) => `<param name="${key}">${value}</param>`)
    .join("");
const stanza = (name: string, values: Record<string, string>) =>
  `<stanza name="defender_mssp://${name}" app="search">${params({ tenant_id: TENANT, client_id: TENANT, disabled: "0", index: "main", ...values })}</stanza>`;
const runDocument = (...stanzas: string[]) =>
  `<input><server_host>h</server_host><server_uri>https://127.0.0.1:8089</server_uri><session_key>k</session_key><checkpoint_dir>/var/modinputs</checkpoint_dir><configuration>${stanzas.join("")}</configuration></input>`;
const items = (values: Record<string, string>) =>
  `<items><server_uri>https://127.0.0.1:8089</server_uri><session_key>k</session_key><item name="contoso">${params({ tenant_id: TENANT, client_id: TENANT, ...values })}</item></items>`;

describe("--scheme", () => {
  const parsed = new XMLParser({ ignoreAttributes: false, parseTagValue: false }).parse(schemeDocument()) as {
    scheme: Record<string, unknown> & { endpoint: { args: { arg: Record<string, string>[] } } };
  };

  test("asks for XML streaming, one process, and our own validation", () => {
    expect(parsed.scheme).toMatchObject({
      streaming_mode: "xml",
      use_single_instance: "true",
      use_external_validation: "true",
    });
  });

  test("offers every setting with title and help, and nothing of Splunk's own", () => {
    const args = parsed.scheme.endpoint.args.arg;
    expect(args.map((arg) => arg["@_name"])).toEqual(["name", ...settingsFor("splunk").map((row) => row.key)]);
    for (const arg of args) {
      expect(arg["title"]).toMatch(/\S/);
      expect(arg["description"]).toMatch(/\S/);
      expect(arg["required_on_edit"]).toBe("false");
    }
    expect(args.filter((arg) => arg["required_on_create"] === "true").map((arg) => arg["@_name"])).toEqual([
      "name",
      "tenant_id",
    ]);
  });

  test("every argument is in the spec file, without which splunkd does not load the scheme", () => {
    const spec = readFileSync(
      new URL("../../../splunk-app/TA_defender_mssp/README/inputs.conf.spec", import.meta.url),
      "utf8",
    );
    for (const row of settingsFor("splunk")) expect(spec).toMatch(new RegExp(`^${row.key} = <`, "m"));
    expect(spec).toContain("[defender_mssp://<name>]");
  });

  test("its name is the one events are written under", () => expect(SCHEME).toBe(FORMAT_SCHEME));
});

describe("--validate-arguments", () => {
  test("accepts good settings without a word, a masked secret included", async () => {
    const { http, ...rest } = world(items({ client_secret: "********", refresh_token: "clear" }));
    expect(await validate(rest)).toEqual({ stdout: "", exitCode: 0 });
    expect((http as FakeSplunkd).requests).toEqual([]);
  });

  test("a wrong setting of the whole process refuses a new input, but not the edit that masks its secret", async () => {
    expect(await validate(world(items({ client_secret: "clear", replay_mib: "lots" })))).toMatchObject({ exitCode: 1 });
    expect(await validate(world(items({ client_secret: "********", replay_mib: "lots" })))).toEqual({
      stdout: "",
      exitCode: 0,
    });
    expect(await validate(world(items({ client_secret: "********", poll_seconds: "lots" })))).toMatchObject({
      exitCode: 1,
    });
  });

  test("accepts the program's own edit, which sends the mask and nothing else, and no other setting without a tenant", async () => {
    const sent = (values: Record<string, string>) =>
      world(`<items><item name="contoso">${params({ disabled: "0", ...values })}</item></items>`);
    expect(await validate(sent({ client_secret: "********", refresh_token: "********" }))).toEqual({
      stdout: "",
      exitCode: 0,
    });
    for (const values of [{ client_secret: "clear" }, { client_secret: "********", cloud: "commercial" }, {}])
      expect(await validate(sent(values))).toMatchObject({ exitCode: 1 });
  });

  test("refuses with one plain sentence per problem, as splunkd wants it", async () => {
    expect(
      await validate(world(items({ cloud: "&lt;mars&gt;", poll_seconds: "0", client_secret: "hunter2\n" }))),
    ).toEqual({
      stdout:
        '<error><message>contoso: cloud: "&lt;mars&gt;" is not a known value; write one of commercial, gcc, gcc-high, dod · contoso: client_secret: contains a control character or a line break; write it on one line · contoso: poll_seconds: 0 is below 1; write a whole number of seconds from 1 to 86400</message></error>\n',
      exitCode: 1,
    });
  });

  test("refuses the ID of a client secret, and says what to paste", async () => {
    const secretId = "9f1d3b60-2c4e-4a58-8a34-5d1f0c6b7e92";
    expect(await validate(world(items({ client_secret: secretId })))).toEqual({
      stdout:
        "<error><message>contoso: client_secret: is the ID of the client secret, not its value; create a new client secret under Certificates &amp; secrets and paste the column Value, which the portal shows only once</message></error>\n",
      exitCode: 1,
    });
  });

  test("refuses a file outside the folders that only an administrator fills", async () => {
    expect((await validate(world(items({ ca_file: "/etc/shadow" })))).stdout).toContain(
      "/etc/shadow is outside the allowed folders; put the file under /opt/splunk/etc/auth/defender_mssp or /opt/splunk/etc/apps/TA_defender_mssp/local",
    );
  });

  test("refuses an assertion beside a client secret that is stored already, and says what to remove", async () => {
    const assertion = "managed-identity:77777777-0000-4000-8000-000000000000";
    expect(await validate(world(items({ assertion })))).toEqual({ stdout: "", exitCode: 0 });
    expect(await validate(world(items({ assertion, client_secret: "********" })))).toEqual({
      stdout:
        "<error><message>contoso: assertion: is set beside client_secret, but an app proves who it is in one way; remove client_secret, or remove assertion</message></error>\n",
      exitCode: 1,
    });
  });

  test("a document that is none is a sentence too", async () => {
    expect(await validate(world("<items><item></items>"))).toEqual({
      exitCode: 1,
      stdout: "<error><message>splunkd's document is not well-formed XML (line 1).</message></error>\n",
    });
  });
});

describe("a run", () => {
  test("collects for the good customers and names the others once", async () => {
    const outside = world(
      runDocument(
        stanza("good", { client_secret: "s3cret" }),
        stanza("bad", { poll_seconds: "0" }),
        stanza("masked", { tenant_id: "b.example.com", client_secret: "********" }),
      ),
    );
    outside.fake.inputs.set("good", { client_secret: "s3cret" });
    const run = await readRun(outside);
    const host = await openSplunkHost(run, outside, new AbortController().signal);

    expect(host.customers.map((one) => one.stanza.name)).toEqual(["good"]);
    expect(host.stateDir).toBe("/var/modinputs");
    expect(outside.lines).toEqual([
      'ERROR a setting is not valid customer=bad key=poll_seconds say="0 is below 1; write a whole number of seconds from 1 to 86400"\n',
      'ERROR a customer cannot be collected customer=masked failure=secret-missing say="This input has only the mask in client_secret, and no secret is stored for it." next_step="Type client_secret into the input, or set `credential`."\n',
    ]);

    await host.sink.write(deliveries("good", [{ id: "1", lastUpdateDateTime: "2026-11-24T12:00:00Z" }]));
    await settle(host, outside);
    expect(outside.fake.edits).toHaveLength(1);
    expect(await host.close()).toBe("closed");
    expect(outside.stdout.taken).toMatch(/^<stream>\n<event .*<\/event>\n<\/stream>\n$/s);
    expect(outside.lines.join("")).not.toContain("s3cret");
  });

  test("prints commands on its fleet with the file that names the fleet, also for a customer without an input", async () => {
    const { commands } = await readRun(world(runDocument(stanza("contoso", {}))));
    const config = "--config /opt/splunk/etc/apps/TA_defender_mssp/local/inputs.conf";
    const program = "/opt/splunk/bin/splunk cmd /opt/splunk/defender_mssp";

    expect(commands.inText("Run `defender-mssp fleet apply` here.", "fleet main")).toBe(
      `Run \`${program} fleet apply ${config}\` here.`,
    );
    expect(commands.inText('Run `defender-mssp customers remove "Fabrikam" --to fleet`.', "Fabrikam")).toContain(
      `customers remove Fabrikam --to fleet ${config}`,
    );
    expect(commands.inText("Run `defender-mssp doctor`.", "fleet main")).not.toContain("--config");
  });

  test("with events for another output only health and notices go to splunkd, and the customer's rows see both", async () => {
    const outside = world(runDocument(stanza("contoso", { index: "customers" })));
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    const taken: string[] = [];
    const sink = host.withEventsTo({
      kind: "durable",
      write: async (batch) => taken.push(...batch.map(({ record }) => record.id)),
      writeHuge: async ({ record }) => taken.push(record.id),
    });
    const batch = deliveries("contoso", [{ id: "a1", lastUpdateDateTime: "2026-11-24T12:00:00Z" }]);
    expect([sink.kind, await sink.write(batch), taken]).toEqual(["durable", 1, ["a1"]]);
    const notice = { time: "2026-11-24T12:00:00.000Z", tenant: "defender-mssp", about: "event-rejected" } as const;
    await host.notice({ ...notice, tenant_id: "00000000-0000-0000-0000-000000000000", say: "One event is refused." });
    await host.close();

    expect(outside.stdout.taken.split("<event ")).toHaveLength(2);
    expect(outside.stdout.taken).toContain('stanza="defender_mssp://contoso"');
    expect(outside.stdout.taken).toContain("<sourcetype>defender_mssp:health</sourcetype><index>main</index>");
    expect(outside.stdout.taken).toContain('"say":"One event is refused.","streams":[],"notice":"event-rejected"');
  });

  const differing: RosterReport = {
    under_contract: 1,
    configured: 2,
    consented: 2,
    collected: 2,
    silent: 0,
    failure: "roster-difference",
    actor: "operator",
    say: "1 customer under contract is not configured (Litware).",
    next_step: null,
    differences: [{ tenant: "Litware", tenant_id: "", difference: "not-configured" }],
    more: 0,
  };

  test.each([
    ["in the index that all inputs have", "customers", /^(?!.*<index>main<).*Litware/s],
    ["in no customer's index where each has its own", "other", /<index>main<\/index>.*Litware/s],
  ])("compares all customers with the list under the first input, %s", async (_, index, wanted) => {
    const secret = { client_secret: "s3cret", index: "customers" };
    const outside = world(runDocument(stanza("one", secret), stanza("two", { ...secret, index })));
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    await host.sink.health({
      time: "2026-11-24T12:00:00Z",
      tenant: "",
      tenant_id: "",
      input: "",
      streams: [],
      credential: null,
      credential_days_left: null,
      version: "1",
      roster: differing,
    });
    await host.close();
    expect(outside.stdout.taken).toContain('<event stanza="defender_mssp://one"');
    expect(outside.stdout.taken).toContain("1 customer under contract is not configured");
    expect(outside.stdout.taken).toMatch(wanted);
  });

  test.each([
    [
      "no input at all",
      runDocument(),
      "WARN no input is enabled; add one under Settings > Data inputs inputs=0 refused=0\n",
    ],
    [
      "only bad ones",
      runDocument(stanza("bad", { cloud: "mars" })),
      "WARN no input can be used; see the errors above inputs=1 refused=1\n",
    ],
  ])("%s: it stays up and says so, asks splunkd nothing and opens no stream", async (_, document, line) => {
    const outside = world(document);
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    const stop = new AbortController();
    const idle = host.sayIdle(stop.signal);
    expect(outside.lines.at(-1)).toBe(line);
    stop.abort();
    await idle;
    await host.close();
    expect(outside.fake.requests).toEqual([]);
    expect(outside.stdout.taken).toBe("");
  });

  test("without an input a page's request is answered all the same: a credential is stored before the first customer", async () => {
    const outside = world(runDocument());
    const stop = new AbortController();
    const host = await openSplunkHost(await readRun(outside), outside, stop.signal);
    expect(outside.fake.requests).toEqual([]);
    const where = { cloud: "commercial" };
    const typed = JSON.stringify({ client_id: TENANT, client_secret: "s3cret" });
    const slot = intakeEntries("mssp", SHARED_CREDENTIAL, typed, where, T0, "splunkd", "page");
    for (const { name, password } of slot) outside.fake.add("TA_defender_mssp", INTAKE_REALM, name, password);
    outside.fake.pageRequests.set("r1", requestSettings("mssp", "credential-replace"));
    const serving = host.servePages({} as PageAnswers, stop.signal);
    await (outside.clock as FakeClock).advance(5_000);
    stop.abort();
    await serving;

    const answered = answerIn(outside.fake.pageRequests.get("r1") ?? {});
    expect(answered).toMatchObject({ state: "done", ok: true, credentials: [{ name: "mssp", client_id: TENANT }] });
    expect(JSON.stringify(answered)).not.toContain("s3cret");
    expect([...outside.fake.rows.keys()].filter((id) => id.includes("intake"))).toEqual([]);
    await host.close();
  });

  test("it no longer says that no input can be used once one is collected", async () => {
    const clock = new FakeClock();
    const outside = world(runDocument(stanza("bad", { cloud: "mars" })), { clock });
    const stop = new AbortController();
    const host = await openSplunkHost(await readRun(outside), outside, stop.signal);
    const said = () => outside.lines.filter((line) => line.includes("no input can be used")).length;
    let isIdle = true;
    const idle = host.sayIdle(stop.signal, () => isIdle);
    await clock.advance(3_600_000);
    expect(said()).toBe(2);
    isIdle = false;
    await clock.advance(3_600_000);
    expect(said()).toBe(2);
    stop.abort();
    await idle;
    await host.close();
  });

  test("splunkd that refuses the session key stops only those who need its store", async () => {
    const outside = world(
      runDocument(
        stanza("a", { client_secret: "typed" }),
        stanza("b", { tenant_id: "b.example.com", client_secret: "********" }),
      ),
    );
    outside.fake.refusals.push(401);
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    expect(host.customers.map((one) => one.stanza.name)).toEqual(["a"]);
    expect(host.refused.map((one) => [one.stanza.name, one.failure.code])).toEqual([["b", "splunkd-session-refused"]]);
    await settle(host, outside);
    expect(outside.lines.at(-1)).toBe(
      "WARN secrets typed into inputs stay in clear text in inputs.conf, because the credential store cannot be used customers=1 failure=splunkd-session-refused\n",
    );
  });

  test("an input with wrong settings is handed on with what its health event says", async () => {
    const outside = world(runDocument(stanza("bad", { tenant_name: "Contoso GmbH", poll_seconds: "0" })));
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    expect(host.misconfigured).toMatchObject([{ name: "bad", tenantName: "Contoso GmbH", tenantId: TENANT }]);
    expect(host.misconfigured[0]?.failure).toMatchObject({
      code: "settings",
      actor: "operator",
      say: "bad is not collected: `poll_seconds` 0 is below 1; write a whole number of seconds from 1 to 86400.",
      nextStep: 'Correct `poll_seconds` in the input "bad".',
    });
  });

  test("P24 when splunkd hangs, opening goes on after 35 s so that health events come in time", async () => {
    const clock = new FakeClock();
    const http = {
      async send(): Promise<never> {
        await clock.pause(40_000);
        throw networkFailure(undefined, { host: "127.0.0.1:8089" });
      },
      close: () => Promise.resolve(),
    };
    const outside = world(runDocument(stanza("b", { client_secret: "********" })), { clock, http });
    const opening = openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    await clock.advance(35_000);
    const { refused } = await opening;
    await clock.advance(60_000);
    expect(outside.lines.filter((line) => line.includes("credential store cannot be read"))).toHaveLength(1);
    expect(refused.map(({ stanza: one, failure }) => [one.name, failure.code, failure.say])).toEqual([
      ["b", "splunkd-unreachable", "splunkd's credential store did not answer within 35 s. It is asked again."],
    ]);
  });

  describe("with secrets that were typed on a page, and a splunkd that takes no write", () => {
    async function busy(stop = new AbortController().signal) {
      const clock = new FakeClock();
      const outside = world(runDocument(stanza("a", { client_secret: "typed" }), stanza("b", {})), { clock });
      for (const { name, password } of ["client_secret", "refresh_token"].flatMap((key) =>
        intakeEntries("b", key, "from the page", {}, clock.nowMs()),
      ))
        outside.fake.add("TA_defender_mssp", INTAKE_REALM, name, password);
      const send = outside.fake.send.bind(outside.fake);
      const splunkd = { isBusy: true, isHanging: false };
      outside.fake.send = (request) => {
        if (request.method === "GET") return send(request);
        if (splunkd.isHanging) return new Promise(() => {});
        if (splunkd.isBusy) outside.fake.refusals.push(503);
        return send(request);
      };
      const opened: SplunkHost[] = [];
      void openSplunkHost(await readRun(outside), outside, stop).then((host) => opened.push(host));
      return { clock, splunkd, opened };
    }

    test("collecting begins after 10 s, and a secret that is stored later is used without a restart", async () => {
      const { clock, splunkd, opened } = await busy();
      await clock.advance(10_000);
      const [host] = opened;
      expect(host?.customers.map(({ stanza: one }) => one.name)).toEqual(["a"]);
      expect(host?.refused.map(({ stanza: one }) => one.name)).toEqual(["b"]);

      splunkd.isBusy = false;
      await clock.advance(LOOK_EVERY_MS);
      const found = await host?.look(new Set());
      expect(found?.customers.map(({ stanza: one }) => [one.name, one.clientSecret?.open((key) => key)])).toEqual([
        ["b", "from the page"],
      ]);
    });

    test("a stop does not wait for them", async () => {
      const stop = new AbortController();
      const { clock, splunkd, opened } = await busy(stop.signal);
      splunkd.isHanging = true;
      await clock.advance(100);
      expect(opened).toEqual([]);
      stop.abort();
      await clock.advance(0);
      expect(opened).toHaveLength(1);
    });
  });

  test("a store that was shut at start is read again: who needed it is collected for without a restart", async () => {
    const before = world(runDocument(stanza("b", { client_secret: "typed" })));
    await settle(await openSplunkHost(await readRun(before), before, new AbortController().signal), before);
    const clock = new FakeClock();
    const outside = world(runDocument(stanza("b", { client_secret: "********" })), { clock });
    for (const [id, row] of before.fake.rows) outside.fake.rows.set(id, row);
    outside.fake.refusals.push(401, 401);
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    expect(host.refused.map((one) => one.stanza.name)).toEqual(["b"]);

    expect((await host.look(new Set())).customers).toEqual([]);
    await clock.advance(60_000);
    expect((await host.look(new Set())).customers).toEqual([]);
    await clock.advance(120_000);
    const { customers } = await host.look(new Set());

    expect(customers.map(({ stanza: one }) => [one.name, one.clientSecret?.open((key) => key)])).toEqual([
      ["b", "typed"],
    ]);
    expect((await host.look(new Set())).customers).toEqual([]);
  });

  test("health of what is not an input goes under an input, but into no customer's index", async () => {
    const healthOf = async (index: string, input: string): Promise<string> => {
      const outside = world(runDocument(stanza("b", { index: "customer_b" }), stanza("a", { index })));
      const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
      await host.sink.health({
        time: "2026-11-24T12:00:00.000Z",
        tenant: "Fabrikam",
        tenant_id: "",
        input,
        streams: [],
        credential: null,
        credential_days_left: null,
        version: "1.0.0",
      });
      await host.close();
      return outside.stdout.taken;
    };
    expect(await healthOf("customer_a", "Fabrikam")).toMatch(/stanza="defender_mssp:\/\/a".*<index>main<\/index>/s);
    expect(await healthOf("main", "Fabrikam")).toMatch(/stanza="defender_mssp:\/\/a"/);
    expect(await healthOf("main", "Fabrikam")).not.toContain("<index>");
    expect(await healthOf("customer_a", "b")).toMatch(/stanza="defender_mssp:\/\/b"/);
  });

  test("a list of customers is read only where a Splunk administrator put it", async () => {
    const outside = world(runDocument(stanza("a", {})));
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    await expect(host.readListFile("/etc/passwd")).rejects.toMatchObject({ code: "discovery-doubtful" });
    await host.close();
  });

  describe("a look for changed credentials", () => {
    const AUTH = "/opt/splunk/etc/auth/defender_mssp";
    const MASK = "********";

    async function running(more: Parameters<typeof world>[1], ...stanzas: string[]) {
      const clock = new FakeClock();
      const outside = world(runDocument(...stanzas), { clock, ...more });
      const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
      const look = async (...failing: string[]) => {
        await clock.advance(LOOK_EVERY_MS);
        const { customers, refused } = await host.look(new Set(failing));
        return {
          customers: customers.map(({ stanza: { name, clientSecret } }) => [name, clientSecret?.open((key) => key)]),
          vaults: customers.map(({ vault }) => vault),
          refused: refused.map(({ stanza: { name }, failure }) => [name, failure.code]),
        };
      };
      return { ...outside, clock, host, look };
    }

    /** As a command stores it, in a process of its own. */
    async function store(fake: FakeSplunkd, work: (writer: PasswordStore) => Promise<unknown>): Promise<void> {
      const clock = new FakeClock();
      const splunkd = splunkdAt(fake, clock);
      await work(await PasswordStore.read(splunkd, clock, new FakeRandom()));
    }
    const credentialSet = (fake: FakeSplunkd, clientSecret: string, fingerprint = "v1") =>
      store(fake, (writer) =>
        writer.put(
          credentialId("main"),
          sealed(JSON.stringify({ client_id: TENANT, client_secret: clientSecret })),
          fingerprint,
        ),
      );
    const SHARED = { client_id: "", credential: "main" };

    test("finds a shared credential that is stored for the first time, and one that is corrected", async () => {
      const { fake, host, look } = await running({}, stanza("a", SHARED), stanza("b", { client_secret: "own" }));
      expect(host.refused.map(({ failure }) => failure.code)).toEqual(["credential-missing"]);
      expect(await look("a")).toMatchObject({ customers: [], refused: [] });
      await credentialSet(fake, "wrong");
      expect(await look("a")).toMatchObject({ customers: [["a", "wrong"]], refused: [] });
      await credentialSet(fake, "right");
      expect(await look("a")).toMatchObject({ customers: [["a", "right"]], refused: [] });
      expect(await look()).toMatchObject({ customers: [], refused: [] });
    });

    test("finds that a shared credential was removed, or belongs to other endpoints", async () => {
      const { fake, look } = await running({}, stanza("a", SHARED));
      await credentialSet(fake, "right");
      await look("a");
      await credentialSet(fake, "right", "v2");
      expect(await look()).toMatchObject({ customers: [], refused: [["a", "endpoint-changed"]] });
      await store(fake, (writer) => writer.remove(credentialId("main")));
      expect(await look()).toMatchObject({ customers: [], refused: [["a", "credential-missing"]] });
    });

    test.each([
      ["no credential fails", []],
      ["a credential fails", ["customer-7"]],
    ])("takes two requests a minute for 2,000 inputs, when %s", async (_, failing) => {
      const names = Array.from({ length: 2_000 }, (__, n) => `customer-${n}`);
      const { fake, look } = await running({}, ...names.map((name) => stanza(name, SHARED)));
      await credentialSet(fake, "right");
      expect((await look(...names)).customers).toHaveLength(2_000);
      const before = fake.requests.length;
      for (let minute = 1; minute <= 10; minute += 1) {
        await look(...failing);
        await look(...failing);
        expect(fake.requests.length - before).toBeLessThanOrEqual(2 * minute);
      }
      expect(fake.requests.length - before).toBe(20);
    });

    test("gives a customer the refresh token of a new sign-in, and keeps a rotated one while others change", async () => {
      const signedIn = (fake: FakeSplunkd, token: string) =>
        store(fake, (writer) => writer.put(customerSecretId("a", "refresh_token"), sealed(token), "v1"));
      const text = async (vault: RefreshTokenVault | undefined) => (await vault?.current())?.open((token) => token);
      const { fake, look } = await running({}, stanza("a", { ...SHARED, refresh_token: MASK }));
      await credentialSet(fake, "wrong");
      await signedIn(fake, "first");
      const [vault] = (await look("a")).vaults;
      expect(await text(vault)).toBe("first");
      await vault?.store(sealed("rotated"), { refused: false });

      await credentialSet(fake, "right");
      expect((await look("a")).vaults).toEqual([vault]);
      expect(await text(vault)).toBe("rotated");

      await signedIn(fake, "second");
      expect(await text((await look()).vaults[0])).toBe("second");
    });

    test("admits a customer whose certificate was not there at start, and binds it to its endpoints", async () => {
      const pem = `${AUTH}/app.pem`;
      const there = new Set([AUTH]);
      const files: FileLook = {
        look: (file) =>
          there.has(file) ? { kind: file === AUTH ? "folder" : "file", realPath: file } : { kind: "missing" },
      };
      const { fake, host, look } = await running({ files }, stanza("a", { certificate: pem }));
      expect(host.misconfigured.map(({ name }) => name)).toEqual(["a"]);
      expect(await look()).toMatchObject({ customers: [], refused: [] });
      expect(fake.requests).toEqual([]);
      there.add(pem);
      expect(await look()).toMatchObject({ customers: [["a", undefined]], refused: [] });
      await host.close();
      expect([...fake.rows.keys()]).toContain("defender_mssp:customer.a.certificate:");
      expect(await look()).toMatchObject({ customers: [], refused: [] });
    });

    test("admits a customer whose platform wrote its token only after the start, without anything from the store", async () => {
      const token = `${AUTH}/token`;
      const there = new Set([AUTH]);
      const files: FileLook = {
        look: (file) =>
          there.has(file) ? { kind: file === AUTH ? "folder" : "file", realPath: file } : { kind: "missing" },
      };
      const { fake, host, look } = await running({ files }, stanza("a", { assertion: `file:${token}` }));
      expect(host.misconfigured.map(({ name }) => name)).toEqual(["a"]);
      there.add(token);
      expect(await look()).toMatchObject({ customers: [["a", undefined]], refused: [] });
      await host.close();
      expect([...fake.rows.keys()].filter((key) => key.includes("customer.a"))).toEqual([]);
    });

    test("gives a customer another try when the platform renewed its token", async () => {
      let stamp = "first";
      const token = `${AUTH}/token`;
      const { look } = await running(
        {
          files: { look: (file) => ({ kind: file === AUTH ? "folder" : "file", realPath: file }) },
          stampOf: (file) => (file === token ? stamp : ""),
        },
        stanza("a", { assertion: `file:${token}` }),
      );
      expect(await look("a")).toMatchObject({ customers: [] });
      stamp = "renewed";
      expect(await look("a")).toMatchObject({ customers: [["a", undefined]] });
    });

    test("admits a customer whose CA file could not be read at start", async () => {
      const ca = `${AUTH}/ca.pem`;
      let mode = "closed";
      const { host, look } = await running(
        {
          files: { look: (file) => ({ kind: file === AUTH ? "folder" : "file", realPath: file }) },
          stampOf: (file) => (file === ca ? mode : ""),
          fingerprintOf() {
            if (mode === "closed") throw caFileUnusable(ca, "cannot be read");
            return "v1";
          },
        },
        stanza("a", { client_secret: "typed", ca_file: ca }),
      );
      expect(host.refused.map(({ failure }) => failure.code)).toEqual(["ca-file-unusable"]);
      expect(await look("a")).toMatchObject({ customers: [], refused: [] });
      mode = "open";
      expect(await look("a")).toMatchObject({ customers: [["a", "typed"]], refused: [] });
    });

    test("reads a secret's file again when the file changed, and only then", async () => {
      const key = `${AUTH}/key`;
      let content = "wrong";
      let reads = 0;
      const { look } = await running(
        {
          files: { look: (file) => ({ kind: file === AUTH ? "folder" : "file", realPath: file }) },
          stampOf: (file) => (file === key ? content : ""),
          async readBytes() {
            reads += 1;
            return new TextEncoder().encode(content);
          },
        },
        stanza("a", { client_secret: `file:${key}` }),
      );
      expect(await look("a")).toMatchObject({ customers: [] });
      expect(reads).toBe(1);
      content = "right";
      expect(await look("a")).toMatchObject({ customers: [["a", "right"]] });
    });

    test("says once that splunkd does not answer, asks once a look, and finds the change afterwards", async () => {
      const { fake, lines, look } = await running({}, stanza("a", SHARED));
      await credentialSet(fake, "right");
      lines.length = 0;
      const before = fake.requests.length;
      fake.refusals.push(503, 503, 503);
      for (let n = 0; n < 3; n += 1) expect(await look("a")).toMatchObject({ customers: [] });
      expect(fake.requests.length - before).toBe(3);
      expect(lines).toEqual([
        expect.stringContaining("WARN Splunk's credential store cannot be read, so changed secrets do not count yet"),
      ]);
      expect(await look("a")).toMatchObject({ customers: [["a", "right"]] });
    });
  });

  describe("a splunkd_ca_file that cannot be used", () => {
    const AUTH = "/opt/splunk/etc/auth/defender_mssp";
    const OWN_CA = "/opt/splunk/etc/auth/cacert.pem";
    const files: FileLook = { look: (file) => ({ kind: file === AUTH ? "folder" : "file", realPath: file }) };

    test.each<[string, Record<string, string>, readonly string[]]>([
      ["the file of another customer is tried", { splunkd_ca_file: `${AUTH}/good.pem` }, ["closed.pem", "good.pem"]],
      ["Splunk's own CA is tried last", {}, ["closed.pem", "cacert.pem"]],
    ])("closes the credential store to no customer: %s", async (_, values, tried) => {
      const before = world(runDocument(stanza("b", { client_secret: "typed" })));
      await settle(await openSplunkHost(await readRun(before), before, new AbortController().signal), before);
      const document = runDocument(
        stanza("a", { client_secret: "typed", splunkd_ca_file: `${AUTH}/closed.pem`, tenant_id: "a.example.com" }),
        stanza("b", { client_secret: "********", ...values }),
      );
      const outside = world(document, { files });
      for (const [id, row] of before.fake.rows) outside.fake.rows.set(id, row);
      const answer = outside.fake.send.bind(outside.fake);
      const routes: (string | undefined)[] = [];
      outside.fake.send = async (request) => {
        routes.push(request.route.caFile?.split("/").at(-1));
        if (request.route.caFile?.endsWith("closed.pem") === true) throw caFileUnusable("closed.pem", "cannot be read");
        return answer(request);
      };
      const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);

      expect(host.customers.map((one) => one.stanza.name)).toEqual(["a", "b"]);
      expect([...new Set(routes)]).toEqual(tried);
      expect(outside.lines).toEqual([
        `WARN splunkd cannot be verified with a file that splunkd_ca_file names; the next one is tried file=${AUTH}/closed.pem customer=a\n`,
      ]);
    });

    test("leaves splunkd-untrusted as the failure when no other file verifies splunkd either", async () => {
      const outside = world(runDocument(stanza("b", { client_secret: "********" })), { files });
      outside.fake.send = async () => {
        throw caFileUnusable(OWN_CA, "cannot be read");
      };
      const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
      expect(host.refused.map(({ failure }) => failure.code)).toEqual(["splunkd-untrusted"]);
    });
  });

  test("a certificate of splunkd that is too weak is named so, because no CA file helps", async () => {
    const outside = world(runDocument(stanza("b", { client_secret: "********" })));
    outside.fake.send = async () => {
      const weak = Object.assign(new Error("EE certificate key too weak"), { code: "UNSPECIFIED" });
      throw networkFailure(weak, { host: "127.0.0.1:8089" });
    };
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    expect(host.refused.map(({ failure }) => failure)).toMatchObject([
      { code: "splunkd-untrusted", say: expect.stringMatching(/^splunkd's certificate is too weak: /) },
    ]);
  });

  test("secrets that are stored but cannot be announced are masked all the same", async () => {
    const outside = world(runDocument(stanza("a", { client_secret: "typed" })));
    outside.fake.inputs.set("a", { client_secret: "typed" });
    const send = outside.fake.send.bind(outside.fake);
    outside.fake.send = (request) => {
      if (request.url.includes("changes")) outside.fake.refusals.push(403);
      return send(request);
    };
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    await settle(host, outside);
    expect(outside.fake.edits.map(({ form }) => form["client_secret"])).toEqual(["********"]);
  });

  test("the refresh token's vault starts with the token that is stored", async () => {
    const outside = world(runDocument(stanza("a", { client_secret: "k", refresh_token: "first" })));
    const host = await openSplunkHost(await readRun(outside), outside, new AbortController().signal);
    const [{ vault } = {}] = host.customers;
    expect((await vault!.current()).open((token) => token)).toBe("first");
  });

  test("log_level decides what is said", async () => {
    const outside = world(runDocument(stanza("a", { log_level: "error", polll_seconds: "1" })));
    await readRun(outside);
    expect(outside.lines).toEqual([]);
  });
});
