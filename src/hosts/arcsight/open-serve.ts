import { randomBytes as systemRandomBytes } from "node:crypto";
import { join } from "node:path";
import type { ServeSettings } from "../../config/arcsight-settings.ts";
import type { Clock, Log } from "../../model/ports.ts";
import type { Stanza } from "../../model/stanza.ts";
import { namesOf, type RunningServer, type ServerSettings, startServer } from "../../net/http-server.ts";
import { type Disk, errnoOf, readIfThere } from "../../stores/disk/disk.ts";
import { answerTo, ROWS_MAX } from "./serve/answers.ts";
import { ServeBuffer } from "./serve/buffer.ts";
import { LocalTokens, type TokenFile } from "./serve/tokens.ts";

export interface ServeWorld {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  /** The system's random bytes, unless a test injects others. */
  readonly randomBytes?: (count: number) => Uint8Array;
  readonly platform?: NodeJS.Platform;
  /** Rows after which an answer ends; 10,000 unless a test injects less. */
  readonly rowsMax?: number;
}

export interface Serving {
  /** The sink of the engine. */
  readonly sink: ServeBuffer;
  /** Starts to answer requests. Throws Failure `output-broken`. */
  listen(): Promise<RunningServer>;
}

/**
 * Opens the buffer in `serve/` of the state folder (open that, and its lock, first). Throws Failure
 * `state-unreadable`, `state-unwritable`.
 */
export function openServe(
  settings: ServeSettings,
  stanzas: readonly Pick<Stanza, "name" | "tenantId">[],
  stateDir: string,
  { disk, clock, log, randomBytes = systemRandomBytes, platform = process.platform, rowsMax = ROWS_MAX }: ServeWorld,
): Serving {
  const { host, port, certificate, clientSecret } = settings;
  const server: ServerSettings = {
    host,
    port,
    called: CALLED,
    ...(certificate === undefined ? {} : { certificate }),
    ...(clientSecret === undefined ? {} : { secret: clientSecret }),
  };
  const customers = stanzas.map(({ name, tenantId }) => ({ stanza: name, tenantId }));
  const sink = new ServeBuffer({
    folder: join(stateDir, "serve"),
    keepDays: settings.keepDays,
    customers,
    ports: { disk, clock, platform },
    log,
  });
  const tokens = new LocalTokens({
    ...(settings.clientId === undefined ? {} : { clientId: settings.clientId }),
    ...(settings.clientSecret === undefined ? {} : { clientSecret: settings.clientSecret }),
    clock,
    randomBytes,
    file: tokenFile(join(stateDir, "serve", "tokens.json"), disk, log),
  });
  return {
    sink,
    async listen() {
      const parts = {
        customers,
        source: sink,
        tokens,
        isServerName: namesOf(server),
        keepDays: settings.keepDays,
        rowsMax,
        reportedLookbacks: new Set<string>(),
        clock,
        log,
      };
      return startServer(server, (request) => answerTo(request, parts), log);
    },
  };
}

const CALLED: ServerSettings["called"] = {
  server: "serve",
  listen: "serve.listen",
  certificate: "serve.certificate",
  secret: "serve.client_secret",
};

/** A token that cannot be saved is still valid until the next start. */
function tokenFile(path: string, disk: Disk, log: Log): TokenFile {
  return {
    load: () => readIfThere(disk, path)?.toString("utf8"),
    save(text) {
      try {
        disk.writeFileSync(`${path}.new`, text, { mode: 0o600 });
        disk.renameSync(`${path}.new`, path);
      } catch (error) {
        log.warn("access tokens cannot be saved; after a restart connectors must get new ones", {
          error: errnoOf(error),
        });
      }
    },
  };
}
