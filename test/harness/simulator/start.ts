import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createPlainServer, type Server as PlainServer } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makePageCache } from "./api/lists.ts";
import { makeServerCertificate } from "./certificates.ts";
import { simulatorClock, type SimulatorClock } from "./clock.ts";
import { controlListener } from "./control.ts";
import { makeEntra } from "./entra/sign-in.ts";
import { makeTokenShop } from "./entra/tokens.ts";
import { openFolder, type DataFolder } from "./folder.ts";
import { refreshToken } from "./identity.ts";
import { microsoftListener, type Services } from "./server.ts";
import { shownLines } from "./shown.ts";
import { makeWorld, type World } from "./world.ts";

export interface SimulatorOptions {
  /** Folder with one folder per customer. Without it and without a scenario: the documentation samples. */
  readonly data?: string;
  /** Port of `login_url`, `graph_url` and `api_url`; 0: any. */
  readonly port?: number;
  /** Where its clock starts, ms; default: the real time. */
  readonly nowMs?: number;
  /** Its clock moves by the control API only, so that a test never waits. */
  readonly frozen?: boolean;
  readonly shiftToNow?: boolean;
  /** Told in one sentence about data it cannot use; default: standard error. */
  readonly warn?: (sentence: string) => void;
}

/** The ready line. */
export interface Ready {
  readonly login_url: string;
  readonly graph_url: string;
  readonly api_url: string;
  readonly siem_url: string;
  readonly ca_file: string;
  readonly control_url: string;
  readonly now: string;
  readonly customers: readonly ReadyCustomer[];
}

export interface ReadyCustomer {
  readonly tenant_id: string;
  readonly tenant_name: string;
  readonly client_id: string;
  readonly client_secret: string;
  readonly refresh_token: string;
}

export interface Simulator {
  readonly ready: Ready;
  /** The world itself, for tests in the same process. */
  readonly control: { readonly world: World; readonly clock: SimulatorClock; shown(): string };
  stop(): Promise<void>;
}

export const DEFAULT_DATA = new URL("../../fixtures/customers/", import.meta.url);

const LOOK_EVERY_MS = 250;

/** Starts the simulator. Resolves when it answers; rejects with one sentence when the data or the port cannot be used. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const warn = options.warn ?? ((sentence: string) => void process.stderr.write(`simulator: ${sentence}\n`));
  const clock = simulatorClock(Date.now, options.nowMs, options.frozen);
  const world = makeWorld(clock);
  const folder: DataFolder = openFolder(options.data ?? DEFAULT_DATA.pathname, world, { shiftToNow: options.shiftToNow ?? false, warn });
  const tokens = makeTokenShop(clock.nowMs);
  const services: Services = { world, tokens, entra: makeEntra(world, tokens), pages: makePageCache(), refresh: () => undefined };
  const certificate = await makeServerCertificate(Date.now());
  const home = mkdtempSync(join(tmpdir(), "defender-mssp-simulator-"));
  const caFile = join(home, "ca.pem");
  writeFileSync(caFile, certificate.caPem);

  const listener = microsoftListener(services);
  const tls = { cert: certificate.certificatePem, key: certificate.keyPem, keepAliveTimeout: 60_000 };
  const microsoft = createServer(tls, listener);
  const siem = createServer(tls, listener);
  const control = createPlainServer(controlListener(services));
  const ports: number[] = [];
  for (const [index, server] of [microsoft, siem, control].entries()) {
    ports.push(await listen(server, index === 0 ? (options.port ?? 0) : 0));
  }
  const [port = 0, siemPort = 0, controlPort = 0] = ports;
  const looking = setInterval(() => folder.look(), LOOK_EVERY_MS);
  looking.unref();

  const origin = `https://localhost:${port}`;
  const ready: Ready = {
    login_url: origin,
    graph_url: origin,
    api_url: origin,
    siem_url: `https://localhost:${siemPort}`,
    ca_file: caFile,
    control_url: `http://127.0.0.1:${controlPort}`,
    now: new Date(clock.nowMs()).toISOString(),
    customers: [...world.customers.values()].map(({ identity }) => ({
      tenant_id: identity.tenantId,
      tenant_name: identity.name,
      client_id: identity.clientId,
      client_secret: identity.clientSecret,
      refresh_token: refreshToken({ name: identity.name, generation: 0, clientId: identity.clientId }),
    })),
  };
  return {
    ready,
    control: { world, clock, shown: () => [...shownLines(world)].join("") },
    async stop() {
      clearInterval(looking);
      await Promise.all([microsoft, siem, control].map(close));
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Listens on loopback, IPv4 and (where there is one) IPv6 for `localhost`. */
function listen(server: Server | PlainServer, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(new Error(`--port ${port}: cannot listen there (${(error as NodeJS.ErrnoException).code}).`, { cause: error })));
    server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

function close(server: Server | PlainServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
