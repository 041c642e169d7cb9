import { credentialOf } from "../auth/app-credential.ts";
import { askTenantFacts } from "../auth/authority.ts";
import { createTokenCycles } from "../auth/token-cycle.ts";
import { discoveryPass } from "../defender/roster/discovery-pass.ts";
import { ofHomeApp, type ProviderSource, readProviderList } from "../defender/roster/provider-list.ts";
import type { CustomerListing, DiscoveryHost, DiscoveryReport } from "../model/discovered.ts";
import { isFailure } from "../model/failure.ts";
import { audienceOf } from "../model/permissions.ts";
import type { Clock, Http, Log, Random, TokenSource } from "../model/ports.ts";
import type { DiscoveryRequest } from "../model/roster.ts";
import type { Stanza } from "../model/stanza.ts";
import { type TenantId, tenantIdFrom } from "../model/tenant.ts";
import { readDiscovered, writeDiscovered } from "../stores/disk/discovered-file.ts";
import { type DiskPorts, realDisk } from "../stores/disk/disk.ts";
import { defaultStateDir } from "./configuration.ts";

export interface DiscoveryWorld {
  readonly http: Http;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly signal?: AbortSignal;
}

/** Reads the list of customers once. Throws as `RosterServices.discover`. */
export function discover(
  ports: DiscoveryWorld,
  request: DiscoveryRequest,
  host: DiscoveryHost,
): Promise<DiscoveryReport> {
  const world = request.signal === undefined ? ports : { ...ports, signal: request.signal };
  const { clock, log } = world;
  const { settings, readFile, home, isDry = false, isConfirmed = false } = request;
  const stateDir = request.stateDir ?? defaultStateDir(process.env);
  const { source } = settings;
  const diskPorts: DiskPorts = { disk: realDisk, clock, platform: process.platform };
  return discoveryPass(
    {
      rules: settings,
      memory: {
        load: () => readDiscovered(diskPorts, log, stateDir),
        save: (discovered, text) => writeDiscovered(diskPorts, stateDir, discovered, text),
      },
      host,
      nowMs: () => clock.nowMs(),
      readList: () => {
        if (readFile !== undefined) return readFile();
        if (home === undefined || source === "file") throw new Error(`no way to read a list of ${source}`);
        return listOf(world, source, home);
      },
    },
    { isDry, isConfirmed },
  );
}

/** Reads the list once, signed in as the home app. Throws as `readProviderList`. */
export async function listOf(world: DiscoveryWorld, source: ProviderSource, home: Stanza): Promise<CustomerListing> {
  const credential = home.credential ?? home.name;
  const { signal = new AbortController().signal } = world;
  const tenantId = await homeTenant(world, home, signal).catch((error: unknown) => {
    throw isFailure(error) ? ofHomeApp(error, credential) : error;
  });
  return readProviderList(
    {
      ...world,
      source,
      home: tenantId,
      credential,
      endpoints: home.endpoints,
      route: home.route,
      tokens: tokensOf(world, home, tenantId),
    },
    signal,
  );
}

async function homeTenant(world: DiscoveryWorld, home: Stanza, signal: AbortSignal): Promise<TenantId> {
  const typed = tenantIdFrom(home.tenantId);
  if (typed !== undefined) return typed;
  const authority = { loginUrl: home.endpoints.loginUrl, tenant: home.tenantId };
  return (await askTenantFacts(world, authority, home.route, signal, home.tenantName)).tenantId;
}

/** Fetched for one reading, and once more if Microsoft rejects it. */
function tokensOf(world: DiscoveryWorld, home: Stanza, tenantId: TenantId): TokenSource {
  return createTokenCycles(world).forCustomer({
    tenant: { id: tenantId, name: home.tenantName, cloud: home.cloud },
    stanza: home,
    audience: audienceOf("graph", home.cloud),
    credential: credentialOf(home),
  });
}
