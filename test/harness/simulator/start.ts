import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createPlainServer, type Server as PlainServer } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Action, perform as performAction } from "./actions.ts";
import { makePageCache } from "./api/page.ts";
import { makeServerCertificate } from "./certificates.ts";
import { type SimulatorClock, simulatorClock } from "./clock.ts";
import { controlListener } from "./control.ts";
import type { WorkloadIdentity } from "./entra/federation.ts";
import { makeEntra } from "./entra/sign-in.ts";
import { makeTokenShop } from "./entra/tokens.ts";
import { openFolder } from "./folder.ts";
import { refreshToken } from "./identity.ts";
import { type ProviderView, providerView } from "./provider/oracle.ts";
import type { Provider, ProviderApp } from "./provider/provider.ts";
import { applyScenario, readScenario, type Scenario } from "./scenario/apply.ts";
import { imdsListener, microsoftListener, type Services } from "./server.ts";
import { shownLines } from "./shown.ts";
import { type Customer, makeWorld, type World } from "./world.ts";

export interface SimulatorOptions {
  /** Folder with one folder per customer. Without it and without a scenario: the documentation samples. */
  readonly data?: string;
  /** A scenario file, or one already read. */
  readonly scenario?: string | Scenario;
  /** Port of `login_url`, `graph_url` and `api_url`; 0: any. */
  readonly port?: number;
  /** Where its clock starts, ms; default: the real time. */
  readonly nowMs?: number;
  /** Its clock moves by the control API only, so that a test never waits. */
  readonly frozen?: boolean;
  readonly shiftToNow?: boolean;
  /**
   * How long a client that shows a device code is asked to wait between two polls. Default: 5, as
   * Microsoft's.
   */
  readonly deviceCodeIntervalS?: number;
  /** Called with a sentence about data that cannot be used; default: prints it on standard error. */
  readonly warn?: (sentence: string) => void;
}

/** The ready line. */
export interface Ready {
  readonly login_url: string;
  readonly graph_url: string;
  readonly api_url: string;
  readonly siem_url: string;
  /** Where a scenario has a provider. */
  readonly partnercenter_url?: string;
  readonly ca_file: string;
  readonly control_url: string;
  readonly now: string;
  readonly customers: readonly ReadyCustomer[];
  readonly provider?: ReadyProvider;
  /** Where a scenario has identities. */
  readonly identities?: readonly ReadyIdentity[];
  /** The machine's metadata service, where an identity is a managed one. */
  readonly imds_url?: string;
}

/** An identity that proves itself by a token, and what a federated credential for it says. */
export interface ReadyIdentity {
  readonly name: string;
  readonly kind: "managed" | "platform";
  readonly client_id: string;
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
}

/** The provider of a scenario: its home tenant, its three apps and the user who signs in for it. */
export interface ReadyProvider {
  readonly tenant_id: string;
  readonly tenant_name: string;
  readonly domain: string;
  readonly user_name: string;
  /** Lists the customers; in the home tenant alone. */
  readonly home: ReadyApp;
  /** May grant roles in customers' tenants, for the user who signed in. */
  readonly bridge: ReadyApp;
  /** Reads alerts in customers' tenants. */
  readonly reader: ReadyApp;
}

export interface ReadyApp {
  readonly client_id: string;
  readonly client_secret: string;
}

export interface ReadyCustomer {
  readonly tenant_id: string;
  readonly tenant_name: string;
  readonly client_id: string;
  readonly client_secret: string;
  readonly refresh_token: string;
}

/** What the control API does, for tests in the same process. */
export interface Control {
  readonly world: World;
  readonly clock: SimulatorClock;
  /** The lines of `/shown`. */
  shown(): string;
  perform(action: Action): Readonly<Record<string, unknown>>;
  /** Moves the clock and lets everything happen that is due. */
  advance(ms: number): void;
  /** What the provider did and left behind; undefined in a scenario without one. */
  provider(): ProviderView | undefined;
  /** What a ready line says about a customer. */
  customer(name: string): ReadyCustomer;
}

export interface Simulator {
  readonly ready: Ready;
  /** The world itself, for tests in the same process. */
  readonly control: Control;
  stop(): Promise<void>;
}

/** Microsoft's documentation samples and records made from them. */
const DEFAULT_DATA = fileURLToPath(new URL("../../fixtures/customers/", import.meta.url));

const LOOK_EVERY_MS = 250;

/**
 * Starts the simulator. Resolves when it answers; rejects with one sentence when the data, the scenario or
 * the port cannot be used.
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const warn = options.warn ?? ((sentence: string) => void process.stderr.write(`simulator: ${sentence}\n`));
  const scenario = typeof options.scenario === "string" ? readScenario(options.scenario) : options.scenario;
  const clock = simulatorClock(Date.now, options.nowMs ?? scenario?.startMs, options.frozen);
  const seed = scenario?.seed ?? "1";
  const world = makeWorld(clock, seed);
  const tokens = makeTokenShop(() => clock.nowMs());
  const events = scenario === undefined ? [] : applyScenario(scenario, world, tokens, warn);
  const data = options.data ?? (scenario === undefined ? DEFAULT_DATA : undefined);
  const folder =
    data === undefined ? undefined : openFolder(data, world, { shiftToNow: options.shiftToNow ?? false, warn });
  const refresh = (): void => {
    while (events[0] !== undefined && events[0].atMs <= clock.nowMs()) events.shift()?.run();
  };
  const perform = (action: Action): Readonly<Record<string, unknown>> =>
    performAction(action, { world, tokens, seed }, clock.nowMs());
  const services: Services = {
    world,
    tokens,
    entra: makeEntra(world, tokens, options.deviceCodeIntervalS),
    pages: makePageCache(),
    refresh,
  };
  const certificate = await makeServerCertificate(Date.now());
  const home = mkdtempSync(join(tmpdir(), "defender-mssp-simulator-"));
  const caFile = join(home, "ca.pem");
  writeFileSync(caFile, certificate.caPem);

  const tls = { cert: certificate.certificatePem, key: certificate.keyPem, keepAliveTimeout: 60_000 };
  const microsoft = createServer(tls, microsoftListener(services));
  const siem = createServer(tls, microsoftListener(services, "siem"));
  const control = createPlainServer(controlListener({ world, refresh, perform }));
  const imds = createPlainServer(imdsListener(services));
  const servers = [microsoft, siem, control, imds];
  const looking = setInterval(() => {
    folder?.look();
    refresh();
  }, LOOK_EVERY_MS);
  looking.unref();
  const stop = async (): Promise<void> => {
    clearInterval(looking);
    await Promise.all(servers.map(close));
    rmSync(home, { recursive: true, force: true });
  };
  try {
    const port = await listen(microsoft, options.port ?? 0);
    const siemPort = await listen(siem, 0);
    const controlPort = await listen(control, 0);
    const origin = `https://localhost:${port}`;
    const customers = [...world.customers.values()].map(readyCustomer);
    const ready: Ready = {
      login_url: origin,
      graph_url: origin,
      api_url: origin,
      siem_url: `https://localhost:${siemPort}`,
      ca_file: caFile,
      control_url: `http://127.0.0.1:${controlPort}`,
      now: new Date(clock.nowMs()).toISOString(),
      customers,
      ...(world.identities.length === 0 ? {} : { identities: world.identities.map(readyIdentity) }),
      ...(world.identities.some(({ kind }) => kind === "managed")
        ? { imds_url: `http://127.0.0.1:${await listen(imds, 0)}` }
        : {}),
      ...(world.provider === undefined ? {} : { partnercenter_url: origin, provider: readyProvider(world.provider) }),
    };
    return { ready, stop, control: makeControl(world, clock, perform, refresh) };
  } catch (error) {
    await stop();
    throw error;
  }
}

function makeControl(world: World, clock: SimulatorClock, perform: Control["perform"], refresh: () => void): Control {
  return {
    world,
    clock,
    perform,
    shown: () => [...shownLines(world)].join(""),
    advance(ms) {
      clock.advance(ms);
      refresh();
    },
    provider: () => providerView(world),
    customer(name) {
      const customer = world.customers.get(name);
      if (customer === undefined) throw new Error(`The simulator has no customer ${name}.`);
      return readyCustomer(customer);
    },
  };
}

function readyCustomer({ identity }: Customer): ReadyCustomer {
  return {
    tenant_id: identity.tenantId,
    tenant_name: identity.name,
    client_id: identity.clientId,
    client_secret: identity.clientSecret,
    refresh_token: refreshToken({ name: identity.name, generation: 0, clientId: identity.clientId }),
  };
}

function readyIdentity({ name, kind, clientId, issuer, subject, audience }: WorkloadIdentity): ReadyIdentity {
  return { name, kind, client_id: clientId, issuer, subject, audience };
}

function readyProvider({ home, apps, user }: Provider): ReadyProvider {
  const app = ({ clientId, secrets: [secret] }: ProviderApp): ReadyApp => ({
    client_id: clientId,
    client_secret: secret?.value ?? "",
  });
  return {
    tenant_id: home.identity.tenantId,
    tenant_name: home.identity.name,
    domain: home.identity.domain,
    user_name: user.name,
    home: app(apps.home),
    bridge: app(apps.bridge),
    reader: app(apps.reader),
  };
}

function listen(server: Server | PlainServer, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new Error(`--port ${port}: cannot listen there (${(error as NodeJS.ErrnoException).code}).`, { cause: error }),
      ),
    );
    server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

function close(server: Server | PlainServer): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
