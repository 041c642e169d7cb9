import { readFilePath } from "../config/files.ts";
import type { FleetSettings } from "../config/fleet-settings.ts";
import { metricsOfGlobals } from "../config/metrics-settings.ts";
import { problemLine } from "../config/settings.ts";
import { decodedText } from "../config/text-encoding.ts";
import { readArcSightConfig, realSecretReader } from "../hosts/arcsight/index.ts";
import { statusTable } from "../hosts/cli/status-table.ts";
import type { ExitCode } from "../model/failure.ts";
import { EXIT, isFailure } from "../model/failure.ts";
import { isLoopback } from "../model/loopback.ts";
import type { Http, HttpAnswer, Log } from "../model/ports.ts";
import { type Sealed, sealed } from "../model/sealed.ts";
import type { SettingProblem } from "../model/stanza.ts";
import type { StatusDocument } from "../model/status.ts";
import { jsonOf } from "../net/json-answer.ts";
import { type Configuration, readSettingsFile, settingsFailure } from "./configuration.ts";
import { readerOf } from "./fleet-configuration.ts";
import type { RosterReader } from "./fleet-roster.ts";
import type { ListeningSettings } from "./monitor.ts";
import { realClock, realFiles } from "./world.ts";

/** 10,000 customers with six streams each. */
const ANSWER_MOST_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 10_000;

export interface StatusWorld {
  readonly http: Http;
  readonly log: Log;
  readonly out: (text: string) => void;
  readonly environment: NodeJS.ProcessEnv;
  /** Reads a file that is not a properties file. Throws Failure `settings`. */
  readonly configuration: () => Promise<Pick<Configuration, "settings">>;
  /** What the database of a fleet knows of a member's customers. Throws what it says. */
  readonly fleet: (settings: FleetSettings, reader: RosterReader) => Promise<StatusDocument>;
}

/**
 * `status`: asks the collector of this configuration, else the database of its fleet. Exit code 5 with one
 * sentence when none answers. Throws Failure `settings` when the configuration cannot be read.
 */
export async function status(config: string, json: boolean, world: StatusWorld): Promise<ExitCode> {
  const { metrics: settings, fleet } = await monitoredIn(config, world);
  const show = (document: StatusDocument): ExitCode => {
    world.out(json ? `${JSON.stringify(document)}\n` : statusTable(document));
    return EXIT.done;
  };
  if (settings === undefined && fleet !== undefined) return show(await world.fleet(fleet.settings, fleet.reader));
  if (settings === undefined) {
    world.log.error(
      `${config} does not set \`metrics.listen\` (in Splunk \`metrics_listen\`), so no collector can be asked for its status. Set it, for example to 127.0.0.1:9464, and restart the collector.`,
    );
    return EXIT.host;
  }
  const { answer, why } = await ask(settings, world.http);
  const text = answer?.status === 200 ? await answer.text(ANSWER_MOST_BYTES) : undefined;
  const document = text === undefined ? undefined : asStatus(jsonOf(text));
  if (document === undefined) {
    await answer?.discard();
    if (fleet !== undefined) {
      world.log.warn(`No status comes from ${addressOf(settings)}; this is what the fleet's database knows.`);
      return show(await world.fleet(fleet.settings, fleet.reader));
    }
    world.log.error(`No status comes from ${addressOf(settings)}: ${why ?? refusedBy(answer)}.`);
    return EXIT.host;
  }
  return show(document);
}

function refusedBy(answer: HttpAnswer | undefined): string {
  if (answer?.status === 401) return "it rejects the token of this configuration; restart the collector after a change";
  return `it answers with status ${answer?.status} and is not a collector of this program`;
}

async function ask(settings: ListeningSettings, http: Http): Promise<{ answer?: HttpAnswer; why?: string }> {
  const { certificate, token } = settings;
  const url = addressOf(settings);
  const send = (bearer?: string) =>
    http.send({
      method: "GET",
      url: `${url}/status`,
      headers: { accept: "application/json", ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }) },
      route: {
        direct: true,
        ...(certificate === undefined ? {} : { caFile: certificate }),
        // The certificate is for the name by which others call this machine.
        ...(certificate !== undefined && isLoopback(askedHost(settings.host)) ? { loopbackCertificate: true } : {}),
      },
      headersTimeoutMs: TIMEOUT_MS,
      bodyTimeoutMs: TIMEOUT_MS,
    });
  try {
    return { answer: await (token === undefined ? send() : token.open(send)) };
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { why: error.say.replace(/\.$/, "") };
  }
}

/** Who listens on every address answers on this machine's own. */
function askedHost(host: string): string {
  return host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
}

function addressOf({ host, port, certificate }: ListeningSettings): string {
  const asked = askedHost(host);
  return `${certificate === undefined ? "http" : "https"}://${asked.includes(":") ? `[${asked}]` : asked}:${port}`;
}

function asStatus(value: unknown): StatusDocument | undefined {
  const found = value as Partial<StatusDocument> | null | undefined;
  const isStatus =
    typeof found === "object" &&
    found !== null &&
    [found.collectors, found.customers, found.outputs].every((list) => Array.isArray(list));
  return isStatus ? (found as StatusDocument) : undefined;
}

async function monitoredIn(
  config: string,
  { environment, configuration, log }: StatusWorld,
): Promise<{
  readonly metrics?: ListeningSettings | undefined;
  readonly fleet?: { readonly settings: FleetSettings; readonly reader: RosterReader };
}> {
  const complain = (problem: SettingProblem) => log.error(problemLine(problem));
  if (!config.toLowerCase().endsWith(".properties")) {
    const { settings } = await configuration();
    const found = metricsOfGlobals(settings.globals, complain);
    if (found === undefined) return {};
    const { tokenFile, ...rest } = found;
    return { metrics: tokenFile === undefined ? rest : { ...rest, token: await tokenIn(tokenFile, environment) } };
  }
  const bytes = await readSettingsFile(config);
  const read = readArcSightConfig(bytes, config, {
    nowMs: realClock.nowMs(),
    secrets: realSecretReader(environment, process.platform),
    files: realFiles,
  });
  for (const problem of read.problems.filter(({ stanza }) => stanza === "metrics")) complain(problem);
  const { metrics, fleet: settings } = read;
  if (settings === undefined) return { metrics };
  return { metrics, fleet: { settings, reader: readerOf({ config: read, file: config, overrides: {} }) } };
}

async function tokenIn(named: string, { SPLUNK_HOME }: NodeJS.ProcessEnv): Promise<Sealed> {
  const file = readFilePath(named, {
    files: realFiles,
    ...(SPLUNK_HOME === undefined ? {} : { splunkHome: SPLUNK_HOME }),
  });
  if (!file.ok) throw settingsFailure(`metrics_token: ${file.say}`);
  const bytes = await readSettingsFile(file.value, "metrics_token");
  return sealed(decodedText(bytes).replace(/\r?\n$/, ""));
}
