/** Calls of the pages that watch and set up the whole process. */
import { username } from "@splunk/splunk-utils/config";
import { call, RestProblem } from "./rest.ts";
import type { Person } from "./state/rights.ts";

type Values = Readonly<Record<string, string>>;

const INPUTS_CONF = "configs/conf-inputs";
const PROCESS_STANZA = "defender_mssp";

interface Listed {
  readonly entry?: readonly { readonly content: Readonly<Record<string, unknown>> }[];
}

async function contentOf(path: string): Promise<Readonly<Record<string, unknown>>> {
  return ((await call("GET", path)) as Listed).entry?.[0]?.content ?? {};
}

/** Changes `[defender_mssp]`; what every input has that sets nothing else. */
export async function saveProcessSettings(changes: Values): Promise<void> {
  try {
    await call("POST", `${INPUTS_CONF}/${PROCESS_STANZA}`, { form: changes });
  } catch (error) {
    if (!(error instanceof RestProblem) || error.status !== 404) throw error;
    await call("POST", INPUTS_CONF, { form: { ...changes, name: PROCESS_STANZA } });
  }
}

export interface Installation {
  readonly splunk: string;
  readonly host: string;
  readonly addOn: string;
}

/** Versions. */
export async function readInstallation(): Promise<Installation> {
  const [server, launcher] = await Promise.all([contentOf("server/info"), contentOf("configs/conf-app/launcher")]);
  return {
    splunk: textOf(server["version"]),
    host: textOf(server["serverName"]),
    addOn: textOf(launcher["version"]),
  };
}

/** Who is logged in. */
export async function readPerson(): Promise<Person> {
  const { username: user, roles, capabilities } = await contentOf("authentication/current-context");
  return { user: textOf(user), roles: textsOf(roles), capabilities: textsOf(capabilities) };
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** A row of a search's result: a field has one text, or several. */
export type Found = Readonly<Record<string, string | readonly string[]>>;

/**
 * Runs a search and waits for its rows. A search is one's own: it runs under the name of the person.
 *
 * @param earliest a relative time, for example `-24h`.
 */
export async function search(text: string, earliest: string): Promise<readonly Found[]> {
  const form = {
    search: /^\s*\|/.test(text) ? text : `search ${text}`,
    exec_mode: "oneshot",
    earliest_time: earliest,
    latest_time: "now",
    // Else a search answers its first hundred rows.
    count: "0",
  };
  const answer = (await call("POST", "search/v2/jobs", { form, owner: String(username || "nobody") })) as
    | { readonly results?: readonly Found[] }
    | undefined;
  return answer?.results ?? [];
}
