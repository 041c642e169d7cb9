import type { ListenAddress, Setting, ValuesOf } from "../model/setting.ts";
import type { GlobalSettings, SettingProblem } from "../model/stanza.ts";
import type { Reading } from "./kinds.ts";
import { isLoopback } from "./output-settings.ts";
import { isGiven, readRows } from "./read-rows.ts";

/** Keys after `metrics.`. */
const METRICS_ROWS = [
  {
    key: "listen",
    kind: { is: "listen" },
    wrong: "is not an address with a port; write address and port such as 127.0.0.1:9464",
    otherwise: "none: nothing is opened",
    help: "Address and port of /metrics, /status, /healthz/live and /healthz/ready, for example 127.0.0.1:9464. Addresses that other machines can reach need metrics.certificate and metrics.token.",
  },
  {
    key: "certificate",
    kind: { is: "file" },
    otherwise: "none: plain http",
    help: "PEM file with private key and certificate for https.",
  },
  {
    key: "token",
    kind: { is: "text", max: 8192 },
    secret: true,
    otherwise: "none",
    help: "Bearer token of /metrics and /status: file:PATH, env:NAME, credential:NAME or the value itself. The health paths need none.",
  },
] as const satisfies readonly Setting[];

/** The same table with the optional fields visible to the type checker. */
export const METRICS_SETTINGS: readonly Setting[] = METRICS_ROWS;

/** Where metrics are shown. */
export type MetricsSettings = Omit<ValuesOf<(typeof METRICS_ROWS)[number]>, "listen"> & ListenAddress;

export interface MetricsContext {
  /** Checks a file named in a setting; if undefined, files are not checked. */
  readonly file?: (path: string) => Reading<string>;
  readonly complain: (problem: SettingProblem) => void;
  readonly warn: (say: string) => void;
}

/**
 * Reads `metrics.*`. Undefined without `metrics.listen`, or when something is wrong, which was then passed to
 * `complain`: collection goes on without metrics.
 */
export function readMetrics(
  given: Readonly<Record<string, string>>,
  context: MetricsContext,
): MetricsSettings | undefined {
  let wrong = false;
  const complain = (key: string, say: string) => {
    wrong = true;
    context.complain({ stanza: "metrics", key, say });
  };
  const known = METRICS_SETTINGS.map(({ key }) => key);
  for (const key of Object.keys(given))
    if (!known.includes(key))
      context.warn(`metrics.${key} is not a setting and is ignored; settings are ${known.join(", ")}`);
  const { whole } = readRows(
    METRICS_ROWS,
    given,
    { nowMs: 0, ...(context.file ? { file: context.file } : {}) },
    complain,
  );
  if (wrong || whole?.listen === undefined) return undefined;
  const { listen, ...rest } = whole;
  for (const key of missingFor(listen, given)) complain(key, missing(key, listen, ""));
  return wrong ? undefined : { ...rest, ...listen };
}

/** The same settings as Splunk's global keys have them (`metrics_listen`), where the token is in a file. */
export function metricsOfGlobals(
  { metricsListen, metricsCertificate, metricsToken }: GlobalSettings,
  complain: (problem: SettingProblem) => void,
): (Omit<MetricsSettings, "token"> & { readonly tokenFile?: string }) | undefined {
  if (metricsListen === undefined) return undefined;
  const given = { certificate: metricsCertificate ?? "", token: metricsToken ?? "" };
  const absent = missingFor(metricsListen, given);
  for (const key of absent)
    complain({ stanza: "", key: `metrics_${key}`, say: missing(key, metricsListen, "metrics_") });
  if (absent.length > 0) return undefined;
  return {
    ...metricsListen,
    ...(metricsCertificate === undefined ? {} : { certificate: metricsCertificate }),
    ...(metricsToken === undefined ? {} : { tokenFile: metricsToken.replace(/^file:\s*/, "") }),
  };
}

type Protection = "certificate" | "token";

/** Metrics name every customer, so other machines get them encrypted and with a token only. */
function missingFor({ host }: ListenAddress, given: Readonly<Record<string, string>>): readonly Protection[] {
  if (isLoopback(host)) return [];
  return (["certificate", "token"] as const).filter((key) => !isGiven(given, key));
}

function missing(key: Protection, { host }: ListenAddress, prefix: string): string {
  const instead = key === "certificate" ? "give a PEM with key and certificate" : "set one";
  return `is missing although ${prefix}listen names ${host}, which other machines reach; ${instead}, or listen on 127.0.0.1`;
}
