import { readListFile } from "../hosts/cli/discovered-customers.ts";
import { homeApp } from "../hosts/cli/home-app.ts";
import type { RosterPlace } from "../hosts/cli/roster-place.ts";
import type { DiscoverySettings } from "../model/discovered.ts";
import { Failure } from "../model/failure.ts";
import type { Clock, Http, Log } from "../model/ports.ts";
import type { RosterServices } from "../model/roster.ts";
import type { SecretPlace } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { readDiscovered } from "../stores/disk/discovered-file.ts";
import { realDisk } from "../stores/disk/disk.ts";
import type { Discovery } from "./collector.ts";
import { discoveryLoop } from "./discovery-loop.ts";
import { rosterServices } from "./roster.ts";

/** What discovery is given by the host that collects. */
export interface HostDiscovery {
  readonly settings: DiscoverySettings;
  readonly stateDir: string;
  /** The customers as they were configured at start. */
  readonly customers: readonly Stanza[];
  readonly http: Http;
  readonly clock: Clock;
  readonly log: Log;
  /** The configured customers as they are now. */
  readonly place: (roster: RosterServices) => Promise<RosterPlace>;
  /** Where the home app's secret is; called for each reading, because it may be replaced. */
  readonly secrets: () => Promise<SecretPlace>;
  /** Undefined when there is no such file. Throws Failure if the host may not read it. */
  readonly readText: (file: string) => Promise<string | undefined>;
  readonly changed: () => void;
}

/** The list of customers as one host reads it. */
export function hostDiscovery(host: HostDiscovery): Discovery {
  const { settings, stateDir, http, clock, log } = host;
  const roster = rosterServices({
    http,
    clock,
    log,
    splunkd: () => Promise.reject(new Error("a collector has its own access to splunkd")),
    environment: process.env,
  });
  const services = { roster, nowMs: () => clock.nowMs() };
  return discoveryLoop({
    settings,
    clock,
    log,
    services,
    place: () => host.place(roster),
    remembered: () => readDiscovered({ disk: realDisk }, log, stateDir).discovered,
    changed: host.changed,
    async pass(discovering, rows, signal) {
      const like = modelOf(host);
      const { listFile, credential } = settings;
      return roster.discover(
        {
          settings,
          stateDir,
          signal,
          ...(credential === undefined ? {} : { home: await homeApp(await host.secrets(), credential, like) }),
          ...(listFile === undefined
            ? {}
            : {
                readFile: async () =>
                  rows.keep(await readListFile(services, listFile, await host.readText(listFile), like)),
              }),
        },
        discovering,
      );
    },
  });
}

/** Requests for the list go where those of the model customer go, else of the first one. */
function modelOf({ settings, customers }: HostDiscovery): Stanza {
  const sorted = customers.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const model = sorted.find(({ name }) => name === settings.defaults) ?? sorted[0];
  if (model !== undefined) return model;
  throw new Failure("settings", {
    actor: "operator",
    retry: { when: "later" },
    say: "No configured customer can be used, so it is not known where the list of customers is: `login_url` and `graph_url` are a customer's.",
    nextStep: "Correct the settings of one customer.",
  });
}
