import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { makeFakeApp } from "./fake/app.ts";
import { type Splunkd, type SplunkdOptions, startSplunkd } from "./splunkd.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(600_000);

const folder = mkdtempSync(join(tmpdir(), "splunkd-test-"));
const app = makeFakeApp();
let files = 0;
const conf = (text: string): string => {
  const file = join(folder, `${++files}.conf`);
  writeFileSync(file, text);
  return file;
};
const one = (behave: string, more = ""): string => conf(`[defender_mssp://one]\nbehave = ${behave}\n${more}`);

const started: Splunkd[] = [];
async function start(options: Omit<SplunkdOptions, "app"> & { app?: string }): Promise<Splunkd> {
  const splunkd = await startSplunkd({ app, ...options });
  started.push(splunkd);
  return splunkd;
}
afterEach(async () => {
  for (const splunkd of started.splice(0)) if (splunkd.isRunning) await splunkd.stop();
});

interface Answer {
  readonly status: number;
  readonly body: {
    entry?: { name: string; acl: { app: string }; content: Record<string, string> }[];
    paging?: { total: number };
    messages?: { text: string }[];
    sessionKey?: string;
  };
}
function ask(
  splunkd: Splunkd,
  method: string,
  path: string,
  fields?: Record<string, string>,
  authorization?: string,
): Promise<Answer> {
  const headers = { authorization: authorization ?? `Basic ${Buffer.from("admin:changeme").toString("base64")}` };
  return new Promise((resolve, reject) => {
    const url = new URL(`${path}${path.includes("?") ? "&" : "?"}output_mode=json`, splunkd.serverUri);
    const request = https.request(url, { method, headers, ca: readFileSync(splunkd.caFile) }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () =>
        resolve({
          status: answer.statusCode ?? 0,
          body: JSON.parse(Buffer.concat(chunks).toString("utf8")) as Answer["body"],
        }),
      );
    });
    request.on("error", reject);
    request.end(fields === undefined ? undefined : new URLSearchParams(fields).toString());
  });
}

describe("an input that keeps the protocol", () => {
  test("is started in splunkd's environment, counted, stopped by SIGTERM and found without fault", async () => {
    process.env["SECRET_OF_THE_SHELL"] = "leaked";
    mkdirSync(join(folder, "pem"), { recursive: true });
    writeFileSync(join(folder, "pem", "ca.pem"), "PEM");
    const out = join(folder, "well.xml");
    const splunkd = await start({ conf: one("well+debug", "count = 5\nca_file = pem/ca.pem\n"), out });
    await splunkd.until((s) => s.events === 5, "five events");

    const outcome = await splunkd.stop();

    expect(outcome).toMatchObject({
      events: 5,
      sourcetypes: { "fake:0": 2, "fake:1": 3 },
      exit_code: 0,
      restarts: 0,
      faults: [],
    });
    expect(outcome.stop_ms).toBeLessThan(3_000);
    const log = splunkd.log.join("\n");
    expect(log).toContain(
      `started defender_mssp://one umask=77 cwd=/ home=${splunkd.home} ld=${splunkd.home}/lib leak=none ca=${splunkd.home}/etc/auth/defender_mssp/ca.pem index=security`,
    );
    expect(log).toMatch(
      /^\d\d-\d\d-\d{4} \d\d:\d\d:\d\d\.\d{3} \+0000 INFO {2}ExecProcessor - message from ".*\/linux_x86_64\/bin\/defender_mssp" started/m,
    );
    expect(log).not.toContain("not to be seen");
    const text = readFileSync(out, "utf8");
    expect(text.startsWith("<stream>\n<event") && text.endsWith("</stream>\n")).toBe(true);
    const arrivals = readFileSync(`${out}.arrivals`, "utf8").trim().split("\n");
    expect(JSON.parse(arrivals.at(-1) ?? "")).toMatchObject({ offset: text.length });
  });

  test.each(["utf-8-bom", "utf-16le", "utf-16be", "lying"] as const)(
    "may be handed its document in %s, byte by byte",
    async (encoding) => {
      const splunkd = await start({ conf: one("well"), encoding, inputPieceBytes: 1 });

      await splunkd.until((s) => s.events === 3, "three events");

      expect((await splunkd.stop()).faults).toEqual([]);
    },
  );

  test("with nothing to say writes nothing, not even an empty stream", async () => {
    const splunkd = await start({ conf: one("well", "count = 0\n") });
    await splunkd.until((s) => s.log.some((line) => line.includes("started")), "the start");

    expect(await splunkd.stop()).toMatchObject({ events: 0, faults: [] });
  });

  test("with no enabled stanza may end by itself", async () => {
    const splunkd = await start({ conf: one("well", "disabled = 1\n") });
    await splunkd.until((s) => !s.isRunning, "the end");

    expect(await splunkd.stop()).toMatchObject({ exit_code: 0, restarts: 0, faults: [] });
  });

  test("is installed from the package as from its folder", async () => {
    const tgz = join(folder, "fake.tgz");
    execFileSync("tar", ["-czf", tgz, "-C", dirname(app), "fake_app"]);
    const splunkd = await start({ app: tgz, conf: one("well") });
    await splunkd.until((s) => s.events === 3, "three events");

    expect((await splunkd.stop()).faults).toEqual([]);
  });
});

describe("each breach of the protocol is a fault", () => {
  const table: readonly [string, string, RegExp][] = [
    ["a line on stderr without a level", "unlevelled", /without a level: \(node:1\)/],
    ["an empty stream", "empty", /an empty <stream>/],
    ["a stream that is not closed", "unclosed", /ends without <\/stream>/],
    ["a control character", "forbidden", /control character/],
    ["a bare ampersand", "bare-ampersand", /ampersand/],
    [
      "an event of a stanza that was not in the run document",
      "strange-stanza",
      /not in the run document: defender_mssp:\/\/nobody/,
    ],
    ["an exit code after SIGTERM", "fails-at-stop", /exit code 4/],
    ["a process that does not stop", "stays", /had to be killed/],
  ];
  test.each(table)("%s", async (_name, behave, fault) => {
    const splunkd = await start({ conf: one(behave, behave === "empty" ? "count = 0\n" : ""), graceMs: 500 });
    await splunkd.until(
      (s) => s.log.some((line) => line.includes("started")) && (behave === "empty" || s.events > 0),
      "output",
    );

    const { faults } = await splunkd.stop();

    expect(faults).toEqual(expect.arrayContaining([expect.stringMatching(fault)]));
  });

  test("a process that keeps ending is restarted a few times and then left stopped", async () => {
    const splunkd = await start({ conf: one("quits"), restartAfterMs: 1 });
    await splunkd.until((s) => s.hasGivenUp, "giving up");

    const outcome = await splunkd.stop();

    expect(outcome.restarts).toBe(5);
    expect(outcome.faults).toEqual(
      expect.arrayContaining([
        "the process ended more than five times within a minute",
        "the process ended with exit code 3",
      ]),
    );
  });

  test("a refused input is reported with its message and is not a fault", async () => {
    const splunkd = await start({ conf: one("refused") });

    expect(splunkd.validations).toEqual([
      { stanza: "defender_mssp://one", ok: false, message: "behave: refused is not to be had" },
    ]);
    expect(splunkd.faults).toEqual([]);
  });
});

describe("under kills and full pipes", () => {
  test("a full pipe blocks the input, SIGTERM still ends it, and the cut stream is not a fault", async () => {
    const splunkd = await start({ conf: one("endless") });
    await splunkd.until((s) => s.events > 100, "events");
    splunkd.pauseReading();

    expect(await splunkd.stop()).toMatchObject({ exit_code: 0, faults: [] });
  });

  test("a killed input leaves half an event and is restarted", async () => {
    const splunkd = await start({ conf: one("endless"), restartAfterMs: 1 });
    await splunkd.until((s) => s.events > 100, "events");
    const before = splunkd.pid;
    splunkd.signal("SIGKILL");
    await splunkd.until((s) => s.isRunning && s.pid !== before && s.restarts === 1, "the second run");

    expect((await splunkd.stop()).faults).toEqual([]);
  });

  test("a killed splunkd loses what it held, and the input ends when its pipe breaks", async () => {
    const out = join(folder, "crash.xml");
    const splunkd = await start({ conf: one("endless"), out, holdBytes: 500_000 });
    await splunkd.until((s) => s.events > 20_000, "events");

    const outcome = await splunkd.crash();

    expect(outcome.orphan).toBe(false);
    const written = readFileSync(out, "utf8").match(/<\/event>/g)?.length ?? 0;
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(outcome.events - 1_000);
  });

  test("a home used before continues with the same output file and its edited inputs", async () => {
    const out = join(folder, "twice.xml");
    const home = join(folder, "home");
    const settings = one("well+masks", "refresh_token = secret-1\n");
    const first = await start({ conf: settings, out, home });
    await first.until((s) => s.events === 6 && s.restarts === 1, "the masking and the second run");
    expect((await first.stop()).faults).toEqual([]);
    expect(first.log.join("\n")).toContain("masked created=201 edited=200");

    const second = await start({ conf: settings, out, home });
    await second.until((s) => s.events === 3, "three more");
    await second.stop();

    expect(second.log.join("\n")).toContain("token=masked");
    expect(readFileSync(out, "utf8").match(/<stream>/g)).toHaveLength(3);
    expect(second.rest.passwords.list()).toMatchObject([{ realm: "defender_mssp", name: "one", password: "secret-1" }]);
    const clear = execFileSync("sh", ["-c", `grep -rla secret-1 ${home} || true`]).toString();
    expect(clear).toBe("");
  });
});

const PASSWORDS = "/servicesNS/nobody/fake_app/storage/passwords";
const createLong = (splunkd: Splunkd): Promise<Answer> =>
  ask(splunkd, "POST", PASSWORDS, { realm: "r", name: "long", password: "x".repeat(256) });

describe("the management port of the fake splunkd", () => {
  test("storage/passwords creates, changes, reads, pages and deletes entries and answers a conflict", async () => {
    const splunkd = await start({
      conf: one("well"),
      passwords: [{ app: "other_app", realm: "r", name: "theirs", password: "x", sharing: "global" }],
    });
    const create = (name: string): Promise<Answer> =>
      ask(splunkd, "POST", PASSWORDS, { realm: "a:b", name, password: "p" });

    expect((await create("n")).status).toBe(201);
    expect((await create("n")).status).toBe(409);
    expect((await ask(splunkd, "POST", `${PASSWORDS}/a%5C%3Ab%3An%3A`, { password: "q" })).status).toBe(200);
    expect((await ask(splunkd, "POST", `${PASSWORDS}/a%5C%3Ab%3An%3A`, { password: "q", name: "n" })).status).toBe(400);
    const read = await ask(splunkd, "GET", `${PASSWORDS}/a%5C%3Ab%3An%3A`);
    expect(read.body.entry?.[0]).toMatchObject({
      name: "a\\:b:n:",
      acl: { app: "fake_app" },
      content: { realm: "a:b", username: "n", clear_password: "q" },
    });
    for (let i = 0; i < 40; i++) await create(`m${i}`);
    const page = await ask(splunkd, "GET", PASSWORDS);
    expect([page.body.entry?.length, page.body.paging?.total]).toEqual([30, 42]);
    const all = await ask(splunkd, "GET", `${PASSWORDS}?count=-1`);
    expect(all.body.entry?.length).toBe(42);
    expect(all.body.entry?.map((entry) => entry.acl.app)).toContain("other_app");
    expect((await ask(splunkd, "DELETE", `${PASSWORDS}/a%5C%3Ab%3An%3A`)).status).toBe(200);
    expect((await ask(splunkd, "GET", `${PASSWORDS}/a%5C%3Ab%3An%3A`)).status).toBe(404);
    expect(splunkd.rest.calls[0]).toEqual({
      method: "POST",
      path: PASSWORDS,
      status: 201,
      fields: ["realm", "name", "password"],
    });
  });

  test("a password of 256 characters is truncated to 255 or refused, as the option says", async () => {
    const truncating = await start({ conf: one("well") });
    expect((await createLong(truncating)).status).toBe(201);
    expect(truncating.rest.passwords.find("fake_app", "r", "long")?.password).toHaveLength(255);
    const refusing = await start({ conf: one("well"), passwordLimit: "refuse" });
    expect((await createLong(refusing)).status).toBe(400);
  });

  test("a bad or expired session key is answered 401, the first calls 503 when asked", async () => {
    const splunkd = await start({ conf: one("well"), unavailableCalls: 2 });

    expect((await ask(splunkd, "GET", PASSWORDS)).status).toBe(503);
    expect((await ask(splunkd, "GET", PASSWORDS)).status).toBe(503);
    expect((await ask(splunkd, "GET", PASSWORDS)).status).toBe(200);
    expect((await ask(splunkd, "GET", PASSWORDS, undefined, "Splunk nonsense")).status).toBe(401);
    const login = await ask(splunkd, "POST", "/services/auth/login", { username: "admin", password: "changeme" });
    expect((await ask(splunkd, "GET", PASSWORDS, undefined, `Splunk ${login.body.sessionKey}`)).status).toBe(200);
    splunkd.rest.revoke(login.body.sessionKey ?? "");
    expect((await ask(splunkd, "GET", PASSWORDS, undefined, `Splunk ${login.body.sessionKey}`)).status).toBe(401);
  });

  test("an input is created, edited, disabled and deleted; each change restarts the one process", async () => {
    const splunkd = await start({ conf: one("well") });
    const inputs = "/servicesNS/nobody/fake_app/data/inputs/defender_mssp";
    const settled = (restarts: number): Promise<void> =>
      splunkd.until((s) => s.restarts === restarts && s.isRunning, `restart ${restarts}`);

    expect((await ask(splunkd, "POST", inputs, { name: "two", behave: "well" })).status).toBe(201);
    await settled(1);
    expect((await ask(splunkd, "POST", inputs, { name: "two", behave: "well" })).status).toBe(409);
    expect((await ask(splunkd, "POST", inputs, { name: "three", behave: "refused" })).body.messages?.[0]?.text).toBe(
      "behave: refused is not to be had",
    );
    expect((await ask(splunkd, "POST", `${inputs}/two`, { count: "1" })).body.messages?.[0]?.text).toContain(
      "missing: behave",
    );
    expect(
      (await ask(splunkd, "POST", `${inputs}/two`, { behave: "well", colour: "red" })).body.messages?.[0]?.text,
    ).toContain('"colour" is not supported');
    expect((await ask(splunkd, "POST", `${inputs}/two/disable`)).status).toBe(200);
    await settled(2);
    expect((await ask(splunkd, "GET", `${inputs}/two`)).body.entry?.[0]?.content).toMatchObject({
      behave: "well",
      disabled: "1",
      index: "security",
    });
    expect((await ask(splunkd, "DELETE", `${inputs}/two`)).status).toBe(200);
    await settled(3);
    expect((await ask(splunkd, "GET", `${inputs}/two`)).status).toBe(404);
    expect((await splunkd.stop()).faults).toEqual([]);
  });

  test("edits that are written while another one is validated are all kept, and each restarts the process", async () => {
    const inputs = "/servicesNS/nobody/fake_app/data/inputs/defender_mssp";
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const splunkd = await start({
      conf: one("well"),
      restartPerEdit: true,
      beforeWrite: (name) => (name === "slow" ? held : Promise.resolve()),
    });
    const slow = ask(splunkd, "POST", inputs, { name: "slow", behave: "well" });
    expect((await ask(splunkd, "POST", inputs, { name: "quick", behave: "well" })).status).toBe(201);
    expect((await ask(splunkd, "POST", `${inputs}/one`, { behave: "well", count: "2" })).status).toBe(200);
    release();
    expect((await slow).status).toBe(201);
    const list = await ask(splunkd, "GET", inputs);
    expect(list.body.entry?.map(({ name, content }) => [name, content["count"]])).toEqual([
      ["one", "2"],
      ["quick", undefined],
      ["slow", undefined],
    ]);
    await splunkd.until((s) => s.restarts === 3 && s.isRunning, "one restart for each edit");
    expect(splunkd.edits).toBe(3);
    expect((await splunkd.stop()).faults).toEqual([]);
  });

  test("of two that create the same input at once, one is answered 409", async () => {
    const inputs = "/servicesNS/nobody/fake_app/data/inputs/defender_mssp";
    const splunkd = await start({ conf: one("well") });
    const both = ["1", "2"].map((count) => ask(splunkd, "POST", inputs, { name: "two", behave: "well", count }));
    expect((await Promise.all(both)).map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409]);
    expect((await splunkd.stop()).faults).toEqual([]);
  });

  test("configs/conf-* reads default under local and writes local", async () => {
    const splunkd = await start({ conf: one("well") });
    const path = "/servicesNS/nobody/fake_app/configs/conf-inputs";

    expect((await ask(splunkd, "GET", `${path}/defender_mssp`)).body.entry?.[0]?.content).toMatchObject({
      index: "security",
      start_by_shell: "false",
    });
    expect((await ask(splunkd, "POST", `${path}/defender_mssp`, { index: "main" })).status).toBe(200);
    expect((await ask(splunkd, "GET", `${path}/defender_mssp`)).body.entry?.[0]?.content).toMatchObject({
      index: "main",
      start_by_shell: "false",
    });
    expect((await ask(splunkd, "GET", `${path}/nothing`)).status).toBe(404);
  });

  test("a configuration file of the app is listed in pages of 30, with the named settings only, and loses stanzas of local/ alone", async () => {
    const splunkd = await start({ conf: one("well") });
    const path = "/servicesNS/nobody/fake_app/configs/conf-own";
    const names = Array.from({ length: 31 }, (_, at) => `request ${at}`);
    for (const name of names) expect((await ask(splunkd, "POST", path, { name, a: "1", b: "2" })).status).toBe(201);
    expect((await ask(splunkd, "POST", path, { name: "request 0" })).status).toBe(409);

    expect((await ask(splunkd, "GET", path)).body.entry).toHaveLength(30);
    const all = (await ask(splunkd, "GET", `${path}?count=0&f=a`)).body.entry ?? [];
    expect(all.map(({ name }) => name)).toEqual(names);
    expect(Object.keys(all[0]?.content ?? {}).filter((key) => key !== "eai:acl")).toEqual(["a"]);
    expect((await ask(splunkd, "GET", `${path}/request%200`)).body.entry?.[0]?.content).toMatchObject({
      disabled: false,
      "eai:appName": "fake_app",
      b: "2",
    });

    expect((await ask(splunkd, "DELETE", `${path}/request%200`)).status).toBe(200);
    expect((await ask(splunkd, "DELETE", `${path}/request%200`)).status).toBe(404);
    expect((await ask(splunkd, "POST", `${path}/request%200`, { a: "3" })).status).toBe(404);
    const shipped = "/servicesNS/nobody/fake_app/configs/conf-app/package";
    expect((await ask(splunkd, "DELETE", shipped)).status).toBe(400);
  });
});

describe("the command splunkd", () => {
  const main = new URL("./main.ts", import.meta.url).pathname;

  function run(
    args: readonly string[],
    signalAtReady?: NodeJS.Signals,
  ): Promise<{ readonly code: number | null; readonly lines: Record<string, unknown>[] }> {
    const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "ignore"] });
    let text = "";
    let signalled = false;
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      if (signalAtReady && !signalled && text.includes("\n")) {
        signalled = true;
        child.kill(signalAtReady);
      }
    });
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) =>
        resolve({
          code,
          lines: text
            .split("\n")
            .filter((line) => line !== "")
            .map((line) => JSON.parse(line) as Record<string, unknown>),
        }),
      );
    });
  }

  test("prints one ready line and one last line, stops when idle and exits 0", async () => {
    const { code, lines } = await run(["--app", app, "--conf", one("well"), "--until-idle", "0.3"]);

    expect(code).toBe(0);
    expect(lines).toHaveLength(2);
    expect(Object.keys(lines[0] ?? {})).toEqual(["server_uri", "home", "pid", "ca_file", "splunkd_pid"]);
    expect(lines[1]).toMatchObject({ events: 3, sourcetypes: { "fake:0": 1, "fake:1": 2 }, exit_code: 0, faults: [] });
  });

  test("stops normally on SIGTERM", async () => {
    const { code, lines } = await run(["--app", app, "--conf", one("well")], "SIGTERM");

    expect(code).toBe(0);
    expect(lines[1]).toMatchObject({ restarts: 0, faults: [] });
  });

  test("exits 1 when the protocol was not kept and 2 when there is nothing to start", async () => {
    expect((await run(["--app", app, "--conf", one("unlevelled"), "--until-idle", "0.3"])).code).toBe(1);
    expect((await run(["--app", join(folder, "nowhere"), "--conf", one("well")])).code).toBe(2);
  });
});
