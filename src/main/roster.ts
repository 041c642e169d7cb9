import { chmodSync, chownSync, realpathSync, statSync } from "node:fs";
import { askTenantFacts, tenantFact } from "../auth/authority.ts";
import { assertCloud, cloudOf } from "../auth/cloud-match.ts";
import { GRANTED_FACT, historyName, keptPermissions } from "../auth/permission-history.ts";
import { decodedText } from "../config/text-encoding.ts";
import type { Splunkd } from "../hosts/splunk/index.ts";
import { SplunkInputs } from "../hosts/splunk/index.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { Clock, Http, Log } from "../model/ports.ts";
import type { RosterServices } from "../model/roster.ts";
import type { SplunkAccess } from "../model/sign-in.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { readIfThere, realDisk, replaceFile } from "../stores/disk/disk.ts";
import { savedFacts } from "../stores/disk/facts.ts";
import { streamProgress } from "../stores/disk/progress.ts";
import { contractIn } from "./contract.ts";
import { discover } from "./discovery.ts";
import { realClock, realRandom } from "./world.ts";

export interface RosterParts {
  readonly http: Http;
  readonly clock: Clock;
  readonly log: Log;
  readonly splunkd: (access: SplunkAccess) => Promise<Splunkd>;
  readonly environment: NodeJS.ProcessEnv;
}

/** Creates what the `customers` commands need. */
export function rosterServices({ http, clock, log, splunkd, environment }: RosterParts): RosterServices {
  return {
    async findTenant({ tenantId, tenantName, endpoints, route }, wanted) {
      const authority = { loginUrl: endpoints.loginUrl, tenant: tenantId };
      const facts = await askTenantFacts({ http, clock }, authority, route, undefined, tenantName);
      if (wanted !== undefined) assertCloud(facts, wanted, tenantName);
      return { tenantId: facts.tenantId, cloud: cloudOf(facts) };
    },
    replaceFile: replaceConfiguration,
    async splunk(access) {
      return new SplunkInputs(await splunkd(await access()), clock, realRandom);
    },
    fleet: async (argv) => (await import("./fleet-roster-place.ts")).fleetRoster(argv, environment),
    discover: (request, host) => discover({ http, clock, log, random: realRandom }, request, host),
    underContract: (stateDir) => contractIn(stateDir, log),
    kept: keptIn,
  };
}

/** The facts are read once for all customers. */
function keptIn(stateDir: string): ReturnType<RosterServices["kept"]> {
  const facts = readableFacts(stateDir);
  const granted = keptPermissions(facts[GRANTED_FACT]);
  return ({ name, tenantId: tenant, endpoints: { loginUrl } }) => {
    const tenantId = tenantIdFrom(tenant) ?? tenantIdFrom(facts[tenantFact({ loginUrl, tenant })] ?? "");
    if (tenantId === undefined) return { tenantId, progress: {}, granted: {} };
    const ports = { disk: realDisk, clock: realClock, platform: process.platform };
    return {
      tenantId,
      progress: streamProgress(ports, stateDir, name, tenantId),
      granted: granted.get(historyName(tenantId, name)) ?? {},
    };
  };
}

/** None where this account may not read the collector's state. */
function readableFacts(stateDir: string): Readonly<Record<string, string>> {
  try {
    return savedFacts({ disk: realDisk }, stateDir);
  } catch (error) {
    if (!isFailure(error)) throw error;
    return {};
  }
}

/** A symlink stays: the file that it leads to is replaced. */
async function replaceConfiguration(
  path: string,
  before: string | undefined,
  after: string,
  encoding: "utf8" | "latin1",
): Promise<void> {
  const bytes = readIfThere(realDisk, path);
  const now = bytes && (encoding === "utf8" ? decodedText(bytes) : bytes.toString(encoding));
  if (now !== before)
    throw new Failure("settings", {
      actor: "operator",
      retry: { when: "never" },
      say: `${path} was changed by somebody else while this command ran. Nothing was written.`,
      nextStep: "Run the command again.",
    });
  const file = before === undefined ? path : realpathSync(path);
  const known = process.platform === "win32" ? undefined : statSync(file, { throwIfNoEntry: false });
  const account = process.getuid?.();
  if (known !== undefined && account !== 0 && known.uid !== account)
    throw unwritable(path, `it belongs to another account (user ID ${known.uid})`, "Run the command as that account.");
  try {
    await replaceFile(
      { disk: realDisk, clock: realClock, platform: process.platform },
      file,
      Buffer.from(after, encoding),
    );
  } catch (cause) {
    if (!isFailure(cause)) throw cause;
    throw unwritable(path, "the folder does not allow it", "Give this account the right to write there.", cause);
  }
  if (known === undefined) return;
  if (account === 0) chownSync(file, known.uid, known.gid);
  chmodSync(file, known.mode & 0o777);
}

function unwritable(path: string, why: string, nextStep: string, cause?: unknown): Failure {
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "never" },
    say: `${path} cannot be written: ${why}. It is unchanged.`,
    nextStep,
    cause,
  });
}
