import type { GlobalSettings } from "../model/stanza.ts";
import type { OutputSettings } from "./output-settings.ts";
import { readOutput } from "./output-settings.ts";

/** The output's name in messages and in `/status`. */
const NAME = "hec";
const PREFIX = "hec_";
/** Of a fleet: whoever shares the customers must not collect alone while they are wrong. */
const FLEET_PREFIX = "fleet_";

/** `hec_*` of Splunk's global keys. The token is elsewhere: every user who can read inputs sees these. */
export interface HecReference {
  /** As `outputs[n]` of type hec has them, without the token. */
  readonly values: Readonly<Record<string, string>>;
  /** `file:PATH` or `credential:NAME`. */
  readonly token: string;
}

/** `wrong`: events must not go anywhere, because nobody knows where they belong. */
export type HecGlobals = { readonly is: "reference"; readonly hec: HecReference } | { readonly is: "wrong" };

/** True for a setting that says where events go: while it is wrong, nothing is collected. */
export function saysWhereEventsGo(key: string): boolean {
  return key.startsWith(PREFIX) || key.startsWith(FLEET_PREFIX);
}

/**
 * Reads `hec_*`. Undefined without `hec_urls`: events go into splunkd's pipe.
 *
 * @param isWrong one of them was refused already.
 */
export function hecOfGlobals(
  globals: GlobalSettings,
  isWrong: boolean,
  complain: (key: string, say: string) => void,
): HecGlobals | undefined {
  const { hecUrls, hecToken, hecIndex, hecAck, hecGzip, hecCaFile, hecSpoolMib } = globals;
  if (hecUrls === undefined) {
    const alone = Object.entries({ hec_token: hecToken, hec_index: hecIndex, hec_ca_file: hecCaFile }).find(
      ([, value]) => value !== undefined,
    );
    if (isWrong) return { is: "wrong" };
    if (alone === undefined) return undefined;
    complain(alone[0], "is set, but hec_urls is not, so it is not known where events go; set hec_urls, or remove it");
    return { is: "wrong" };
  }
  const values = {
    type: "hec",
    urls: hecUrls.join(","),
    ack: hecAck,
    gzip: String(hecGzip),
    spool_mib: String(hecSpoolMib),
    ...(hecIndex === undefined ? {} : { index: hecIndex }),
    ...(hecCaFile === undefined ? {} : { ca_file: hecCaFile }),
  };
  if (hecToken === undefined && !isWrong)
    complain("hec_token", "is missing; write file: and the path of a file that contains the token of HEC");
  const output = hecOutput({ values, token: "" }, "-", complain);
  if (isWrong || hecToken === undefined || output === undefined) return { is: "wrong" };
  return { is: "reference", hec: { values, token: hecToken } };
}

/** The output while its token cannot be read. */
export function hecWithoutToken(hec: HecReference): OutputSettings | undefined {
  const output = hecOutput(hec, "-", () => undefined);
  if (output === undefined) return undefined;
  const { token: _, ...rest } = output;
  return rest;
}

/** The output with its token; undefined when something is wrong, which was then passed to `complain`. */
export function hecOutput(
  { values }: HecReference,
  token: string,
  complain: (key: string, say: string) => void,
): OutputSettings | undefined {
  return readOutput(
    NAME,
    { ...values, token },
    {
      customers: [],
      complain: ({ key, say }) => complain(`${PREFIX}${key}`, say),
      warn: () => undefined,
    },
  );
}

/** Sentences about an output or a fleet name keys as a properties file has them: `.token`, `fleet.url`. */
export function withSplunksKeys(text: string): string {
  return text
    .replaceAll("tenants[n].index", "`index` of the input")
    .replace(/(?<![\w./])\.(urls|token|index|ack|gzip|ca_file|spool_mib)\b/g, `${PREFIX}$1`)
    .replace(/\bfleet\.(url|user|password|name|member|key_file|ca_file)\b/g, `${FLEET_PREFIX}$1`);
}
