/**
 * The container image and the Kubernetes objects that are shipped. No engine is at hand, so the image's root
 * is built by its own script, and the program is started in it as an engine would: another user, a read-only
 * root, nothing of this machine but the network. Needs root and mount namespaces; without them it is skipped,
 * and says so.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parseAllDocuments } from "yaml";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { ROOT } from "../../scripts/build/project.ts";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { consult } from "../harness/oracle/main.ts";
import { makeServerCertificate } from "../harness/simulator/certificates.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

// Processes are waited for by what they have done; this is only the bound for a machine that is busy.
jest.setTimeout(600_000);
const WITHIN_MS = 300_000;

const SHIPPED = path.join(ROOT, "arcsight");
const BINARY = path.join(ROOT, binaryPath("linux-x64"));
const CONTAINERFILE = readFileSync(join(SHIPPED, "container/Containerfile"), "utf8");
const MANIFEST = readFileSync(join(SHIPPED, "kubernetes/defender-mssp.yaml"), "utf8");
const SCHEMA = readFileSync(join(ROOT, "test/fixtures/kubernetes/schema-1.36.json"), "utf8");

interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: StatefulSetSpec;
}
interface StatefulSetSpec {
  readonly template: {
    readonly spec: {
      readonly securityContext: Readonly<Record<string, unknown>>;
      readonly containers: readonly {
        readonly args: readonly string[];
        readonly securityContext: Readonly<Record<string, unknown>>;
        readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
        readonly livenessProbe: { readonly httpGet: { readonly path: string } };
        readonly readinessProbe: { readonly httpGet: { readonly path: string } };
      }[];
    };
  };
}

/** Kubernetes reads YAML 1.1, where 0440 is octal. */
const objects = parseAllDocuments(MANIFEST, { version: "1.1" }).map((one) => one.toJS() as KubernetesObject);
const pod = objects.find(({ kind }) => kind === "StatefulSet")?.spec?.template.spec;
const properties = objects.find(({ kind }) => kind === "ConfigMap")?.data?.["defender-mssp.properties"] ?? "";

/** A JSON array behind an instruction of the last stage. */
function instruction(name: string): string {
  const stage = CONTAINERFILE.slice(CONTAINERFILE.lastIndexOf("\nFROM "));
  return new RegExp(`^${name} (.*)$`, "m").exec(stage)?.[1] ?? "";
}

describe("the Kubernetes objects", () => {
  test.each(objects.map((one) => [one.kind, one] as const))("%s is valid by Kubernetes' own schema", (kind, object) => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema({ $id: "kubernetes", ...(JSON.parse(SCHEMA) as object) });
    const group = object.apiVersion === "apps/v1" ? "apps.v1" : "core.v1";
    const validate = ajv.getSchema(`kubernetes#/$defs/io.k8s.api.${group}.${kind}`);
    const isValid = validate?.(object);
    expect([isValid, validate?.errors]).toEqual([true, null]);
  });

  test("the schema refuses a misspelt member", () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema({ $id: "kubernetes", ...(JSON.parse(SCHEMA) as object) });
    const validate = ajv.getSchema("kubernetes#/$defs/io.k8s.api.core.v1.Service");
    expect(validate?.({ apiVersion: "v1", kind: "Service", spec: { port: [] } })).toBe(false);
  });

  test("the pod has no right that the program does not need, and starts what the image starts", () => {
    const [container] = pod?.containers ?? [];
    expect(pod?.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532 });
    expect(container?.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(container?.args).toEqual(JSON.parse(instruction("CMD")));
    expect(instruction("USER")).toBe("65532:65532");
  });

  test("holds no secret: each stands in the Secret, and is referred to", () => {
    expect(properties.match(/^.*(secret|token)=.*$/gm)).toEqual([
      "tenants[0].client_secret=credential:client-secret",
      "outputs[0].token=credential:hec-token",
      "metrics.token=credential:metrics-token",
    ]);
  });
});

const canMount = process.getuid?.() === 0 && spawnSync("unshare", ["--mount", "true"]).status === 0;
const inRoot = canMount ? describe : describe.skip;
if (!canMount) process.stderr.write("The container's root is not tried: that needs root and mount namespaces.\n");

inRoot("the image's root, read-only and as another user", () => {
  let folder: string;
  let simulator: Simulator;
  let hec: HecServer;
  let running: ChildProcess | undefined;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "container-"));
    chmodSync(folder, 0o755);
    simulator = await startSimulator({ frozen: true, scenario: SCENARIO, warn: () => undefined });
    hec = await startHec({ ack: "on", token: TOKEN, port: 0, out: join(folder, "indexed.jsonl") });
  });
  afterEach(async () => {
    running?.kill("SIGKILL");
    await hec.stop();
    await simulator.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
  const SCENARIO = scenarioOf(
    JSON.stringify({
      name: "container",
      story: "One customer.",
      seed: 3,
      customers: [{ name: "contoso", generate: [{ stream: "alerts", count: 40, from: "-3h", to: "-1m" }] }],
    }),
    "scenario",
  );

  test("the manifest's pod delivers everything to HEC, answers its probes, and stops normally", async () => {
    const root = join(folder, "root");
    expect(spawnSync("sh", [join(SHIPPED, "container/root.sh"), BINARY, root], { encoding: "utf8" })).toMatchObject({
      status: 0,
      stderr: "",
    });
    // Each engine lays these over the image's.
    writeFileSync(join(root, "etc/hosts"), "127.0.0.1 localhost\n");
    writeFileSync(join(root, "etc/resolv.conf"), "");
    layConfig(root);
    await laySecrets(root);
    const before = namesBelow(root);

    const log = start(root);
    await until(() => shownAt(log()) !== undefined && indexed() >= 40, log);
    const port = shownAt(log()) ?? 0;
    const answers = await Promise.all([
      probe(port, pod?.containers[0]?.livenessProbe.httpGet.path ?? ""),
      probe(port, pod?.containers[0]?.readinessProbe.httpGet.path ?? ""),
      probe(port, "/metrics"),
    ]);
    const ended = new Promise((done) => running?.once("close", done));
    running?.kill("SIGTERM");

    expect([await ended, log()]).toEqual([0, expect.any(String)]);
    expect(answers).toEqual([200, 200, 401]);
    const { totals } = await consult({
      truth: simulator.ready.control_url,
      delivered: [join(folder, "indexed.jsonl")],
      format: "jsonl",
    });
    expect(totals).toMatchObject({ shown: 40, delivered: 40, lost: 0, duplicated: 0 });
    expect(namesBelow(root).filter((name) => !before.includes(name))).toEqual([]);
    expect(readdirSync(join(folder, "state"))).not.toEqual([]);
  });

  /** The manifest's own properties, with the addresses of the simulator and the fake HEC. */
  function layConfig(root: string): void {
    const [customer] = simulator.ready.customers;
    const own: Readonly<Record<string, string>> = {
      "tenants[0].tenant_id": customer?.tenant_id ?? "",
      "tenants[0].client_id": customer?.client_id ?? "",
      "outputs[0].urls": hec.ready.url,
      "metrics.listen": "127.0.0.1:0",
    };
    const more = {
      "tenants[0].login_url": simulator.ready.login_url,
      "tenants[0].graph_url": simulator.ready.graph_url,
      "tenants[0].ca_file": "/etc/defender-mssp/simulator.pem",
      "tenants[0].start": "24h",
      "outputs[0].ca_file": "/etc/defender-mssp/hec.pem",
    };
    const lines = properties.split("\n").map((line) => {
      const key = line.split("=", 1)[0] ?? "";
      return own[key] === undefined ? line : `${key}=${own[key]}`;
    });
    const config = join(root, "etc/defender-mssp");
    writeFileSync(
      join(config, "defender-mssp.properties"),
      `${lines.join("\n")}\n${Object.entries(more)
        .map((entry) => entry.join("="))
        .join("\n")}\n`,
    );
    writeFileSync(join(config, "simulator.pem"), readFileSync(simulator.ready.ca_file));
    writeFileSync(join(config, "hec.pem"), readFileSync(hec.ready.ca_file));
  }

  /** As the kubelet lays a Secret: links to a folder whose name changes, root's, readable by fsGroup. */
  async function laySecrets(root: string): Promise<void> {
    const shown = await makeServerCertificate(Date.now());
    const secrets = {
      "client-secret": simulator.ready.customers[0]?.client_secret ?? "",
      "hec-token": TOKEN,
      "metrics-token": "f0c1a777-metrics-token-of-this-test",
      "metrics.pem": `${shown.keyPem}\n${shown.certificatePem}`,
    };
    const at = join(root, "run/secrets");
    const data = join(at, "..2026_11_29_20_00_00.1");
    mkdirSync(data, { recursive: true });
    for (const [name, text] of Object.entries(secrets)) {
      writeFileSync(join(data, name), text);
      chownSync(join(data, name), 0, 65532);
      chmodSync(join(data, name), 0o440);
      symlinkSync(`..data/${name}`, join(at, name));
    }
    symlinkSync("..2026_11_29_20_00_00.1", join(at, "..data"));
  }

  /** As an engine does: a read-only root, /proc and /dev, a volume, the image's user and environment. */
  function start(root: string): () => string {
    const state = join(folder, "state");
    mkdirSync(state);
    chownSync(state, 65532, 65532);
    const entry = JSON.parse(instruction("ENTRYPOINT")) as readonly string[];
    const args = pod?.containers[0]?.args ?? [];
    const script = [
      'mount --bind "$1" "$1"',
      'mount -o remount,bind,ro "$1"',
      'mount --bind "$2" "$1/var/lib/defender-mssp"',
      'mount --rbind /proc "$1/proc"',
      'mount --rbind /dev "$1/dev"',
      "chroot=$1; shift 2",
      'exec chroot --userspec=65532:65532 --groups=65532 "$chroot" "$@"',
    ].join("\n");
    const [name = "", value = ""] = instruction("ENV").split("=");
    const child = spawn("unshare", ["--mount", "sh", "-euc", script, "sh", root, state, ...entry, ...args], {
      env: { [name]: value, PATH: process.env["PATH"] },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running = child;
    let log = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (log += text.toString()));
    return () => log;
  }

  function indexed(): number {
    const file = join(folder, "indexed.jsonl");
    if (!existsSync(file)) return 0;
    return readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line.includes('"mssp"')).length;
  }
});

function shownAt(log: string): number | undefined {
  const port = /metrics are shown address="?https:\/\/[^"\s]*:(\d+)/.exec(log)?.[1];
  return port === undefined ? undefined : Number(port);
}

function namesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true }).map(String).sort();
}

async function until(holds: () => boolean, log: () => string): Promise<void> {
  const end = performance.now() + WITHIN_MS;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${WITHIN_MS / 1000} s; the log:\n${log()}`);
    await pause(50);
  }
}

/** The kubelet's probe: HTTPS, the certificate is not verified, no token. */
function probe(port: number, at: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path: at, rejectUnauthorized: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asked.on("error", reject);
    asked.end();
  });
}
