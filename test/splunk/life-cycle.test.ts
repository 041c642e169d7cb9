/**
 * The add-on's life cycle on a forwarder, with the archive that is shipped and the binary in it, under the
 * fake splunkd and against the simulator. One story per test; each starts from an empty SPLUNK_HOME. What it
 * does not prove: how a real splunkd orders edits and restarts.
 */

import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { bundle } from "../../scripts/build/bundle.ts";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { type ArchiveEntry, writeTar } from "../../scripts/build/tar.ts";
import { technologyAddon } from "../../scripts/package/contents.ts";
import { archiveBytes } from "../../scripts/package.ts";
import { MASK } from "../../src/config/settings.ts";
import { consult } from "../harness/oracle/main.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import type { Splunkd } from "../harness/splunkd/splunkd.ts";
import { startSplunkd } from "../harness/splunkd/splunkd.ts";
import { unpackTarball } from "../harness/splunkd/tarball.ts";
import { readConf } from "./conf.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(900_000);

const ROOT = path.resolve(import.meta.dirname, "../..");
const scratch = mkdtempSync(path.join(tmpdir(), "life-cycle-"));
const present = path.join(scratch, "present.tgz");
/**
 * The unpacked `present`. Most tests install it from here, because unpacking 112 MB takes longer than they
 * do.
 */
const presentFolder = path.join(scratch, "present", "TA_defender_mssp");
const previous = path.join(scratch, "previous.tgz");
let simulator: Simulator;
const started: Splunkd[] = [];
let files = 0;

beforeAll(async () => {
  if (!existsSync(path.join(ROOT, binaryPath("linux-x64"))))
    throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
  const { packages } = await bundle("src/main/main.ts");
  const entries = technologyAddon(["linux-x64"], packages);
  writeFileSync(present, await archiveBytes("present.tgz", entries));
  unpackTarball(present, path.dirname(presentFolder));
  // The old one is packed quickly, because its compression does not matter.
  writeFileSync(previous, gzipSync(writeTar(entries.map(asPrevious), 0), { level: 1 }));
  simulator = await startSimulator({ shiftToNow: true });
});

afterEach(async () => {
  for (const splunkd of started.splice(0)) if (splunkd.isRunning) await splunkd.stop();
});

afterAll(async () => {
  await simulator.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** The package as an older version would be: another version, one default less. */
function asPrevious(entry: ArchiveEntry): ArchiveEntry {
  if (!/default\/(app|inputs)\.conf$/.test(entry.path)) return entry;
  const text = entry.content
    .toString("utf8")
    .replaceAll(/^version = .*$/gm, "version = 0.0.9")
    .replace(/^record_max_mib = .*\n/m, "");
  return { ...entry, content: Buffer.from(text) };
}

const customer = (name: string) => simulator.control.customer(name);

/** The settings an admin types for one of the simulator's customers. */
function settings(name: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { tenant_id, client_id, client_secret, refresh_token } = customer(name);
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  return {
    tenant_id,
    client_id,
    client_secret,
    refresh_token,
    login_url,
    graph_url,
    api_url,
    ca_file,
    poll_seconds: "1",
    start: "3650d",
    ...more,
  };
}

function conf(inputs: Readonly<Record<string, Readonly<Record<string, string>>>>): string {
  const file = path.join(scratch, `inputs-${++files}.conf`);
  const stanza = ([name, values]: [string, Readonly<Record<string, string>>]) =>
    `[defender_mssp://${name}]\n${Object.entries(values)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join("")}`;
  writeFileSync(file, Object.entries(inputs).map(stanza).join("\n"));
  return file;
}

interface Forwarder {
  readonly home: string;
  readonly out: string;
}

function forwarder(): Forwarder {
  const home = mkdtempSync(path.join(scratch, "home-"));
  return { home, out: path.join(home, "out.xml") };
}

async function start(
  where: Forwarder,
  options: { readonly app?: string; readonly conf?: string } = {},
): Promise<Splunkd> {
  const splunkd = await startSplunkd({
    app: options.app ?? presentFolder,
    home: where.home,
    out: where.out,
    ...(options.conf ? { conf: options.conf } : {}),
  });
  started.push(splunkd);
  return splunkd;
}

/** What Splunk Web does for an administrator. `path` is below the inputs of our app. */
function admin(
  splunkd: Splunkd,
  method: "POST" | "DELETE",
  below: string,
  form: Readonly<Record<string, string>> = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const url = new URL(
      `/servicesNS/nobody/TA_defender_mssp/data/inputs/defender_mssp${below}?output_mode=json`,
      splunkd.serverUri,
    );
    const headers = { authorization: `Basic ${Buffer.from("admin:changeme").toString("base64")}` };
    const request = https.request(url, { method, headers, ca: readFileSync(splunkd.caFile) }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
    });
    request.on("error", reject).end(new URLSearchParams(form).toString());
  });
}

function localInputs(where: Forwarder) {
  return readConf(readFileSync(path.join(where.home, "etc/apps/TA_defender_mssp/local/inputs.conf"), "utf8"));
}

function isMasked(where: Forwarder, name: string): boolean {
  const stanza = localInputs(where).get(`defender_mssp://${name}`);
  return stanza?.get("client_secret") === MASK && stanza.get("refresh_token") === MASK;
}

const lines = (splunkd: Splunkd, part: string) => splunkd.log.filter((line) => line.includes(part));
const isOk = (splunkd: Splunkd, tenant: string, since = 0) =>
  ["alerts", "incidents"].every((stream) =>
    splunkd.log
      .slice(since)
      .some((line) => line.includes(`stream state changed tenant=${tenant} stream=${stream} state=ok`)),
  );

/** Events of customers (health left out) by their key. */
function keysIn(where: Forwarder): string[] {
  return [...readFileSync(where.out, "utf8").matchAll(/"key":"([^"]+)"/g)].map((match) => match[1] as string);
}

/** Everything that was shown of these customers arrived once, as it was sent. */
async function expectWhole(where: Forwarder, names: readonly string[]): Promise<void> {
  const truth = path.join(scratch, `truth-${++files}.ndjson`);
  const ids = names.map((name) => customer(name).tenant_id);
  writeFileSync(
    truth,
    simulator.control
      .shown()
      .split("\n")
      .filter((line) => ids.some((id) => line.includes(id)))
      .map((line) => `${line}\n`)
      .join(""),
  );
  const { totals } = await consult({ truth, delivered: [where.out], format: "splunk" });
  expect(totals).toMatchObject({ lost: 0, duplicated: 0, changed_bytes: 0, out_of_order: 0 });
  expect(totals.delivered).toBeGreaterThan(5);
}

/** No secret of any customer in anything that is written but Splunk's own encrypted store. */
function expectNoSecret(where: Forwarder, splunkd: Splunkd): void {
  const written = [
    splunkd.log.join("\n"),
    readFileSync(where.out, "utf8"),
    ...filesBelow(path.join(where.home, "var/lib/splunk/modinputs")).map((file) => readFileSync(file, "utf8")),
  ].join("\n");
  for (const name of ["contoso", "fabrikam", "tailspin"]) {
    expect(written).not.toContain(customer(name).client_secret);
    expect(written).not.toContain(customer(name).refresh_token.slice(20, 80));
  }
}

function filesBelow(folder: string): string[] {
  return existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.join(entry.parentPath, entry.name))
    : [];
}

describe("installing, configuring, restarting and upgrading", () => {
  test("collect an input saved with clear secrets, mask them, and continue after a restart and an upgrade without a repeat", async () => {
    const where = forwarder();
    const first = await start(where, {
      app: previous,
      conf: conf({ contoso: settings("contoso"), fabrikam: settings("fabrikam") }),
    });
    await first.until(() => isMasked(where, "contoso") && isMasked(where, "fabrikam"), "both inputs masked");
    await first.until((s) => isOk(s, "contoso") && isOk(s, "fabrikam"), "both customers collected");
    expect(await first.stop()).toMatchObject({ exit_code: 0, faults: [] });
    await expectWhole(where, ["contoso", "fabrikam"]);
    expectNoSecret(where, first);
    const before = keysIn(where);

    const second = await start(where, { app: previous });
    await second.until((s) => isOk(s, "contoso") && isOk(s, "fabrikam"), "both collected with the stored secrets");
    expect(await second.stop()).toMatchObject({ exit_code: 0, faults: [], restarts: 0 });
    expect(keysIn(where)).toEqual(before);

    const upgraded = await start(where, { app: present });
    await upgraded.until((s) => isOk(s, "contoso") && isOk(s, "fabrikam"), "both collected by the new version");
    expect(await upgraded.stop()).toMatchObject({ exit_code: 0, faults: [] });
    expect(keysIn(where)).toEqual(before);
    expect(readFileSync(path.join(where.home, "etc/apps/TA_defender_mssp/default/app.conf"), "utf8")).not.toContain(
      "0.0.9",
    );
    expect(isMasked(where, "contoso")).toBe(true);
    expectNoSecret(where, upgraded);
  });

  test("replace a stored client secret when it is typed again", async () => {
    const where = forwarder();
    const splunkd = await start(where, {
      conf: conf({ contoso: settings("contoso", { auth: "app", refresh_token: "" }) }),
    });
    const isStored = () => localInputs(where).get("defender_mssp://contoso")?.get("client_secret") === MASK;
    await splunkd.until((s) => isOk(s, "contoso") && isStored(), "the customer collected and masked");
    const before = splunkd.log.length;
    expect(await admin(splunkd, "POST", "/contoso", { client_secret: "not-the-right-key" })).toBe(200);
    await splunkd.until(
      (s) =>
        // The line of the first masking may come this late, so the input itself has to be masked again.
        isStored() &&
        ["AADSTS7000215", "is stored and masked"].every((part) =>
          s.log.slice(before).some((line) => line.includes(part)),
        ),
      "the wrong key noticed and masked",
    );

    const after = splunkd.log.length;
    expect(await admin(splunkd, "POST", "/contoso", { client_secret: customer("contoso").client_secret })).toBe(200);
    await splunkd.until((s) => isOk(s, "contoso", after), "the right key at work");
    await splunkd.until(isStored, "it is masked");
    expect((await splunkd.stop()).faults).toEqual([]);
    expectNoSecret(where, splunkd);
  });
});

describe("clone, rename, disable, delete", () => {
  test("a clone has only the mask and says so, a renamed input continues where the old one stopped, and the others never stop", async () => {
    const where = forwarder();
    const splunkd = await start(where, {
      conf: conf({ contoso: settings("contoso"), fabrikam: settings("fabrikam") }),
    });
    await splunkd.until(
      (s) => isMasked(where, "contoso") && isMasked(where, "fabrikam") && isOk(s, "contoso") && isOk(s, "fabrikam"),
      "both at work and masked",
    );

    const masked = {
      ...settings("contoso"),
      client_secret: MASK,
      refresh_token: MASK,
      ca_file: localInputs(where).get("defender_mssp://contoso")?.get("ca_file") ?? "",
    };
    expect(await admin(splunkd, "POST", "", { ...masked, name: "copy of contoso" })).toBe(201);
    await splunkd.until(
      (s) => lines(s, 'customer="copy of contoso" failure=secret-missing').length > 0,
      "the clone refused",
    );
    expect(await admin(splunkd, "DELETE", "/copy%20of%20contoso")).toBe(200);

    const before = splunkd.log.length;
    expect(await admin(splunkd, "DELETE", "/contoso")).toBe(200);
    expect(
      await admin(splunkd, "POST", "", { ...settings("contoso"), ca_file: masked.ca_file, name: "Contoso Größe (EU)" }),
    ).toBe(201);
    await splunkd.until(() => isMasked(where, "Contoso Größe (EU)"), "the renamed input masked");
    await splunkd.until(
      (s) => s.log.slice(before).some((line) => line.includes('tenant="Contoso Größe (EU)" stream=incidents state=ok')),
      "the renamed input at work",
    );
    const outcome = await splunkd.stop();
    expect(outcome).toMatchObject({ exit_code: 0, faults: [] });
    await expectWhole(where, ["contoso", "fabrikam"]);
  });

  test("a disabled input is not collected, without any input the process keeps running and says so, and state and secrets remain", async () => {
    const where = forwarder();
    const splunkd = await start(where, { conf: conf({ contoso: settings("contoso") }) });
    await splunkd.until((s) => isMasked(where, "contoso") && isOk(s, "contoso"), "the customer at work and masked");

    expect(await admin(splunkd, "POST", "/contoso/disable")).toBe(200);
    await splunkd.until((s) => lines(s, "no input is enabled").length > 0, "it says that nobody is left");
    const asleep = splunkd.log.length;
    expect(await admin(splunkd, "POST", "/contoso/enable")).toBe(200);
    await splunkd.until((s) => isOk(s, "contoso", asleep), "the customer again at work");
    expect(await splunkd.stop()).toMatchObject({ exit_code: 0, faults: [] });
    await expectWhole(where, ["contoso"]);
  });
});

describe("a user who edits an input", () => {
  test("cannot redirect its secret to another address or through another proxy", async () => {
    const where = forwarder();
    const splunkd = await start(where, {
      conf: conf({ contoso: settings("contoso"), fabrikam: settings("fabrikam") }),
    });
    await splunkd.until(
      (s) => isMasked(where, "contoso") && isMasked(where, "fabrikam") && isOk(s, "fabrikam"),
      "both masked",
    );

    for (const [key, value] of [
      ["login_url", "https://127.0.0.1:9"],
      ["proxy", "http://127.0.0.1:9"],
    ] as const) {
      const before = splunkd.log.length;
      const was = localInputs(where).get("defender_mssp://contoso")?.get(key) ?? "";
      expect(await admin(splunkd, "POST", "/contoso", { [key]: value })).toBe(200);
      await splunkd.until(
        (s) =>
          s.log
            .slice(before)
            .some((line) => line.includes(`customer=contoso failure=endpoint-changed say="${key} changed`)),
        `${key} refused`,
      );
      await splunkd.until((s) => isOk(s, "fabrikam", before), "the other customer goes on");
      expect(splunkd.log.slice(before).filter((line) => line.includes("127.0.0.1:9"))).toEqual([]);
      expect(await admin(splunkd, "POST", "/contoso", { [key]: was })).toBe(200);
    }
    expect((await splunkd.stop()).faults).toEqual([]);
    expectNoSecret(where, splunkd);
  });

  test("is refused in the form for a wrong value, and splunkd.log names a wrong value in the file", async () => {
    const where = forwarder();
    const splunkd = await start(where, {
      conf: conf({
        contoso: settings("contoso"),
        wrong: settings("fabrikam", { poll_seconds: "often", cloud: "mars" }),
      }),
    });
    expect(splunkd.validations.filter((one) => !one.ok)).toEqual([
      {
        stanza: "defender_mssp://wrong",
        ok: false,
        message:
          'wrong: cloud: "mars" is not a known value; write one of commercial, gcc, gcc-high, dod · wrong: poll_seconds: "often" is not a whole number; write a whole number of seconds from 1 to 86400',
      },
    ]);
    expect(await admin(splunkd, "POST", "/contoso", { start: "tomorrow" })).toBe(400);
    await splunkd.until((s) => isOk(s, "contoso"), "the good customer at work");
    expect(lines(splunkd, "a setting is not valid customer=wrong key=cloud").length).toBeGreaterThan(0);
    await splunkd.stop();
  });
});

describe("a package unpacked by hand", () => {
  function unpacked(programMode: number): string {
    const folder = mkdtempSync(path.join(scratch, "by-hand-"));
    const app = path.join(folder, "TA_defender_mssp");
    cpSync(presentFolder, app, { recursive: true });
    for (const file of filesBelow(app)) chmodSync(file, 0o600);
    chmodSync(path.join(app, "linux_x86_64/bin/defender_mssp"), programMode);
    return app;
  }

  test("is not registered when its program may not be executed, as docs/splunk/install.md says", async () => {
    await expect(
      start(forwarder(), { app: unpacked(0o600), conf: conf({ contoso: settings("contoso") }) }),
    ).rejects.toThrow(/EACCES/);
  });

  test("works with files that only Splunk's user may read", async () => {
    const where = forwarder();
    const splunkd = await start(where, { app: unpacked(0o700), conf: conf({ contoso: settings("contoso") }) });
    await splunkd.until((s) => isMasked(where, "contoso") && isOk(s, "contoso"), "the customer at work and masked");
    expect(await splunkd.stop()).toMatchObject({ exit_code: 0, faults: [] });
    await expectWhole(where, ["contoso"]);
  });
});

describe("a conf file with wrong global settings", () => {
  test("does not stop collection, and secrets are still masked", async () => {
    const where = forwarder();
    const file = conf({ contoso: settings("contoso") });
    writeFileSync(file, `[defender_mssp]\nreplay_mib = lots\nlog_level = shout\n\n${readFileSync(file, "utf8")}`);
    const splunkd = await start(where, { conf: file });
    await splunkd.until((s) => isMasked(where, "contoso") && isOk(s, "contoso"), "the customer at work and masked");
    expect(lines(splunkd, 'key=replay_mib say="\\"lots\\" is not a whole number').length).toBeGreaterThan(0);
    expect(await splunkd.stop()).toMatchObject({ exit_code: 0, faults: [] });
    await expectWhole(where, ["contoso"]);
  });
});

describe("two inputs for one customer", () => {
  test("both deliver everything, and one log line says so", async () => {
    const where = forwarder();
    const splunkd = await start(where, {
      conf: conf({ "contoso a": settings("contoso"), "contoso b": settings("contoso") }),
    });
    await splunkd.until(
      (s) =>
        isMasked(where, "contoso a") &&
        isMasked(where, "contoso b") &&
        isOk(s, '"contoso a"') &&
        isOk(s, '"contoso b"'),
      "both at work and masked",
    );
    const before = splunkd.log.length;
    await splunkd.restart();
    await splunkd.until((s) => isOk(s, '"contoso a"', before) && isOk(s, '"contoso b"', before), "both at work again");
    expect(await splunkd.stop()).toMatchObject({ exit_code: 0, faults: [] });
    expect(splunkd.log.slice(before).filter((line) => line.includes("the same tenant"))).toHaveLength(1);

    const keysOf = (name: string): string[] =>
      [...readFileSync(where.out, "utf8").matchAll(/<event stanza="defender_mssp:\/\/([^"]+)".*?"key":"([^"]+)"/g)]
        .filter((match) => match[1] === name)
        .map((match) => match[2] as string)
        .toSorted();
    const a = keysOf("contoso a");
    expect(a.length).toBeGreaterThan(5);
    expect(keysOf("contoso b")).toEqual(a);
    expect(new Set(a).size).toBe(a.length);
  });
});

describe("a full disk under the state folder", () => {
  /**
   * While the limit is set no file of the process can grow. That is like a full disk, with another error
   * number (EFBIG) and without a disk of its own.
   */
  const filesMayGrow = (splunkd: Splunkd, may: boolean): void => {
    expect(spawnSync("prlimit", ["--pid", String(splunkd.pid), `--fsize=${may ? "unlimited" : "0"}:`]).status).toBe(0);
  };

  test("is reported in splunkd.log, loses nothing, and needs no restart once there is space again", async () => {
    const where = forwarder();
    const splunkd = await start(where, { conf: conf({ contoso: settings("contoso") }) });
    await splunkd.until((s) => isMasked(where, "contoso") && isOk(s, "contoso"), "the customer at work and masked");
    await splunkd.until(
      (s) =>
        s.restarts > 0 &&
        isOk(
          s,
          "contoso",
          s.log.findLastIndex((line) => line.includes("New scheduled exec")),
        ),
      "started again",
    );

    const before = splunkd.log.length;
    filesMayGrow(splunkd, false);
    simulator.control.perform({
      do: "generate",
      customers: ["contoso"],
      stream: "alerts",
      count: 40,
      from: 0,
      to: 1000,
    });
    await splunkd.until(
      (s) =>
        s.log.slice(before).some((line) => /ERROR.*cannot be written: EFBIG.*next_step="Free disk space/.test(line)),
      "it is said",
    );
    filesMayGrow(splunkd, true);
    await splunkd.until(
      (s) => s.log.slice(before).some((line) => line.includes("tenant=contoso stream=alerts state=ok")),
      "collection resumes by itself",
      120_000,
    );

    expect(await splunkd.stop()).toMatchObject({ exit_code: 0, faults: [], restarts: 1 });
    await expectWhole(where, ["contoso"]);
    expectNoSecret(where, splunkd);
  });
});
