/**
 * The pages that lead from nothing to the first event, command by command, with the built binary, the
 * simulator and the fake splunkd. What a person does in a web page is done here in its place, and named.
 */
import { spawn } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import manifest from "../../package.json" with { type: "json" };
import { bundle } from "../../scripts/build/bundle.ts";
import { type ArchiveEntry, writeTar } from "../../scripts/build/tar.ts";
import { arcsightKit, technologyAddon } from "../../scripts/package/contents.ts";
import { createHttp } from "../../src/net/http.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import { type Splunkd, startSplunkd } from "../harness/splunkd/splunkd.ts";

jest.setTimeout(240_000);

const ROOT = path.resolve(import.meta.dirname, "../..");
const PASSWORD = "changeme";
const scratch = mkdtempSync(path.join(tmpdir(), "documented-commands-"));
const web = createHttp();
let simulator: Simulator;
let packages: Awaited<ReturnType<typeof bundle>>["packages"];
let splunkd: Splunkd | undefined;

beforeAll(async () => {
  ({ packages } = await bundle("src/main/main.ts"));
  simulator = await startSimulator({ shiftToNow: true });
});

afterAll(async () => {
  if (splunkd?.isRunning) await splunkd.stop();
  await simulator.stop();
  await web.close();
  rmSync(scratch, { recursive: true, force: true });
});

/** What stands for something else on the reader's machine than here. */
type Substitution = readonly [text: string, here: string, why: string];

interface Shell {
  /** Runs a block in a shell that is where the last one ended, and knows what earlier blocks defined. */
  run(block: string, typed?: readonly string[]): Promise<{ readonly out: string; readonly said: string }>;
  /** The blocks of the page, in their order, that no one has run. */
  readonly left: string[];
}

function shellOf(page: string, substitutions: readonly Substitution[], folder: string): Shell {
  const written = readFileSync(path.join(ROOT, page), "utf8");
  const blocks = [...written.matchAll(/^( *)```sh\n([^]*?)^ *```$/gm)].map(([, indent = "", block = ""]) =>
    block.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
  );
  for (const [quoted] of substitutions) expect(blocks.join("\n")).toContain(quoted);
  const left = blocks.map((block) =>
    substitutions.reduce((all, [quoted, here]) => all.replaceAll(quoted, here), block),
  );
  const definitions: string[] = [];
  const cwdFile = path.join(folder, "cwd");
  writeFileSync(cwdFile, folder);
  return {
    left,
    async run(block, typed = []) {
      const script = `set -eu\n${definitions.join("\n")}\n${block}\npwd > "${cwdFile}"\n`;
      if (block.includes("() {")) definitions.push(block);
      const child = spawn("sh", ["-c", script], {
        cwd: readFileSync(cwdFile, "utf8").trim(),
        env: { PATH: process.env["PATH"], HOME: folder },
      });
      // A block that asks for nothing can end before its standard input is closed.
      child.stdin.on("error", () => undefined);
      child.stdin.end(typed.map((line) => `${line}\n`).join(""));
      const [out, said, code] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        new Promise((resolve) => child.once("close", resolve)),
      ]);
      expect({ block, code, said: code === 0 ? "" : said, out: code === 0 ? "" : out }).toEqual({
        block,
        code: 0,
        said: "",
        out: "",
      });
      return { out, said };
    },
  };
}

/** The next block of the page, which has to hold this command. */
function next(shell: Shell, command: string): string {
  const block = shell.left.shift() ?? "";
  expect(block).toContain(command);
  return block;
}

/** The customer's administrator opens the link and accepts. */
async function accept(link: string): Promise<void> {
  const answer = await web.send({ method: "GET", url: link, headers: {}, route: { caFile: simulator.ready.ca_file } });
  await answer.discard();
  const landed = answer.headers["location"] ?? "";
  expect(landed).toContain("/common/oauth2/nativeclient?");
  expect(landed).toContain("admin_consent=True");
}

const contoso = () => simulator.ready.customers.find(({ tenant_name }) => tenant_name === "contoso")!;

function unpack(entries: readonly ArchiveEntry[], folder: string): void {
  for (const { path: name, content, mode } of entries) {
    const file = path.join(folder, name);
    mkdirSync(name.endsWith("/") ? file : path.dirname(file), { recursive: true });
    if (name.endsWith("/")) continue;
    writeFileSync(file, content);
    chmodSync(file, mode);
  }
}

test("docs/arcsight/README.md leads from the unpacked kit to the first events, as it is written", async () => {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const folder = path.join(scratch, "arcsight é");
  mkdirSync(folder);
  const name = `defender-mssp-arcsight-${manifest.version}-linux-x64`;
  // Not compressed: packing is not what is tried here.
  const archive = gzipSync(writeTar(arcsightKit("linux-x64", name, packages), 0), { level: 0 });
  writeFileSync(path.join(folder, `${name}.tar.gz`), archive);
  const addresses = Object.entries({ login_url, graph_url, api_url, ca_file, start: "3650d" });
  const shell = shellOf(
    "docs/arcsight/README.md",
    [
      ["<version>", manifest.version, "the reader fills it in"],
      [
        "tenants[0].credential=mssp\n",
        `tenants[0].credential=mssp\n${addresses.map(([key, value]) => `tenants[0].${key}=${value}\n`).join("")}`,
        "the simulator's addresses; its samples are old",
      ],
    ],
    folder,
  );

  await shell.run(next(shell, "tar -xzf"));
  await shell.run(next(shell, "cat > defender-mssp.properties"));
  const steps = await shell.run(next(shell, "./defender-mssp register"));
  expect(steps.out).toContain("run `./defender-mssp credential set mssp --config defender-mssp.properties`");
  // In Microsoft's portal somebody registers the app; here it is the simulator's.
  await shell.run(next(shell, "credential set mssp"), [contoso().client_id, contoso().client_secret]);
  await accept((await shell.run(next(shell, "consent-url"))).out.trim());
  const checked = await shell.run(next(shell, "doctor"));
  expect(checked.out).toContain("contoso is ready.");
  const collected = await shell.run(next(shell, "arcsight run"));
  expect(collected.out).toMatch(/^CEF:0\|Microsoft\|/);
  expect(collected.out).toContain("contoso");
  expect(shell.left).toEqual([]);
});

test("docs/splunk/first-customer.md leads from the installed package to the first event, as it is written", async () => {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const folder = path.join(scratch, "splunk");
  const home = path.join(folder, "home é");
  const out = path.join(folder, "out.xml");
  unpack(technologyAddon(["linux-x64"], packages), folder);
  mkdirSync(path.join(home, "bin"), { recursive: true });
  // As `splunk cmd` does: runs a program in Splunk's environment.
  writeFileSync(path.join(home, "bin/splunk"), `#!/bin/sh\nshift\nSPLUNK_HOME='${home}' exec "$@"\n`, { mode: 0o755 });
  const allowed = path.join(home, "etc/auth/defender_mssp/simulator.pem");
  mkdirSync(path.dirname(allowed), { recursive: true });
  cpSync(ca_file, allowed);
  splunkd = await startSplunkd({ app: path.join(folder, "TA_defender_mssp"), home, out });
  const uri = splunkd.serverUri;
  const addresses = Object.entries({ login_url, graph_url, api_url, ca_file: allowed });
  const asFlags = addresses.map(([key, value]) => `--${key.replaceAll("_", "-")} '${value}'`).join(" ");
  const shell = shellOf(
    "docs/splunk/first-customer.md",
    [
      ["SPLUNK_HOME=/opt/splunk", `SPLUNK_HOME='${home}'`, "where Splunk is"],
      ["--splunk-user admin", `--splunk-user admin --splunk-uri ${uri}`, "the fake splunkd has another port"],
      ["credential set mssp", `credential set mssp ${asFlags}`, "the simulator's addresses"],
      ["consent-url --tenant-id", `consent-url ${asFlags} --tenant-id`, "the simulator's addresses"],
    ],
    folder,
  );

  await shell.run(next(shell, "export SPLUNK_HOME"));
  const steps = await shell.run(next(shell, "defender_mssp register"));
  expect(steps.out).toContain("credential set mssp --to splunk`");
  // In Microsoft's portal somebody registers the app; here it is the simulator's.
  const typed = [PASSWORD, contoso().client_id, contoso().client_secret];
  await shell.run(next(shell, "credential set mssp"), typed);
  await accept((await shell.run(next(shell, "consent-url"), [PASSWORD])).out.trim());
  // In Splunk Web somebody fills in the form.
  const form = { name: "contoso", tenant_id: "contoso.onmicrosoft.com", credential: "mssp", index: "main" };
  const created = await web.send({
    method: "POST",
    url: `${uri}/servicesNS/nobody/TA_defender_mssp/data/inputs/defender_mssp`,
    headers: {
      authorization: `Basic ${Buffer.from(`admin:${PASSWORD}`).toString("base64")}`,
      "content-type": "application/x-www-form-urlencoded",
    },
    body: new URLSearchParams({ ...form, ...Object.fromEntries(addresses), start: "3650d" }).toString(),
    route: { caFile: splunkd.caFile },
  });
  expect([created.status, await created.text(10_000)]).toEqual([201, expect.anything()]);
  const checked = await shell.run(next(shell, "doctor"), [PASSWORD]);
  expect(checked.out).toContain("contoso is ready.");
  expect(shell.left).toEqual([]);

  const written = () => (existsSync(out) ? readFileSync(out, "utf8") : "");
  await splunkd.until(
    () => /"tenant":"contoso".*"state":"ok"/.test(written()) && written().includes('"mssp":{"tenant":"contoso"'),
    "the customer's first events, and its health",
    60_000,
  );
});
