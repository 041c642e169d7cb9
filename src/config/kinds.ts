import type { AssertionSetting } from "../model/assertion.ts";
import { formatInstant, msFromTicks, parseInstant, ticksFromMs } from "../model/instant.ts";
import { proxyAddress } from "../model/proxy-address.ts";
import type { Kind, ListenAddress, ReadOf, StartPoint } from "../model/setting.ts";
import { tenantIdFrom } from "../model/tenant.ts";

/** A valid value, or what is wrong with it and what to write instead. */
export type Reading<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly say: string };

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Largest lookback of a first run. */
const START_MAX_DAYS = 3650;
/**
 * Longer values are not repeated in messages, because a secret typed into the wrong field must not be logged.
 */
const SHOWN_MAX = 24;

const DOMAIN = /^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/i;
const NOT_ONE_TENANT = new Set(["common", "organizations", "consumers"]);
const TRUE = new Set(["1", "true", "t", "yes", "y", "on"]);
const FALSE = new Set(["0", "false", "f", "no", "n", "off"]);
/** The old forms asked for a whole request address instead of the service's address. */
const OLD_FORM_PATH = /\/(oauth2|token|authorize|api\/alerts|api\/incidents|v1\.0|beta)(\/|$)/i;

/**
 * Reads one value (not empty; outer white space is already removed unless it is a secret). Paths of files and
 * folders are only read as text; the caller checks whether they can be used.
 */
export function readValue<K extends Kind>(kind: K, text: string, nowMs: number): Reading<ReadOf<K>> {
  return (READERS[kind.is] as (kind: K, text: string, nowMs: number) => Reading<ReadOf<K>>)(kind, text, nowMs);
}

type KindOf<Is extends Kind["is"]> = Extract<Kind, { readonly is: Is }>;
type Readers = {
  readonly [Is in Kind["is"]]: (kind: KindOf<Is>, text: string, nowMs: number) => Reading<ReadOf<KindOf<Is>>>;
};

const READERS: Readers = {
  text: (kind, text) => readText(text, kind.max, kind.pattern, kind.like),
  choice: (kind, text) => readChoice(text, kind.of),
  choices: (kind, text) => readChoices(text, kind.of),
  names: (kind, text) => readNames(text, kind.max),
  whole: (kind, text) => readWhole(text, kind.min, kind.max, kind.unit),
  "yes-no": (_, text) => readYesNo(text),
  tenant: (_, text) => readTenant(text),
  guid: (_, text) => readGuid(text),
  start: (_, text, nowMs) => readStart(text, nowMs),
  date: (_, text) => readDate(text),
  address: (kind, text) => readAddress(text, kind.plain === true, kind.login === true),
  listen: (_, text) => readListen(text),
  audience: (_, text) => readAudience(text),
  mode: (_, text) => readMode(text),
  file: (_, text) => readPath(text),
  assertion: (_, text) => readAssertion(text),
  folder: (_, text) => readPath(text),
};

function readAudience(text: string): Reading<string> {
  if (!/^(https|api):\/\/[^\s?#@]+$/i.test(text))
    return no("is not an audience; write one such as https://api.securitycenter.microsoft.com");
  return ok(text.replace(/\/+$/, ""));
}

/** What every account may write is nothing that a SIEM should trust, and events are not programs. */
function readMode(text: string): Reading<number> {
  const mode = /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : 0;
  return (mode & 0o713) === 0o600
    ? ok(mode)
    : no(`${shown(text)} is not a mode for files; write 0600, 0640, 0644 or 0660`);
}

function readPath(text: string): Reading<string> {
  return hasControl(text) ? no("contains a control character; write a plain path") : ok(text);
}

/** Nothing of a wrong value is repeated: somebody may have pasted the token itself. */
function readAssertion(text: string): Reading<AssertionSetting> {
  const [, kind = "", value = ""] = /^(file|managed-identity):\s*(.*)$/i.exec(text) ?? [];
  if (value === "")
    return no("is neither file:PATH nor managed-identity:CLIENT_ID; write the path of the file that holds the token");
  if (kind.toLowerCase() === "file") {
    const path = readPath(value);
    return path.ok ? { ok: true, value: `file:${path.value}` } : path;
  }
  const identity = tenantIdFrom(value);
  return identity === undefined
    ? no("has no GUID after managed-identity:; write the client ID from the overview of the managed identity")
    : { ok: true, value: `managed-identity:${identity}` };
}

function ok<T>(value: T): Reading<T> {
  return { ok: true, value };
}

function no(say: string): Reading<never> {
  return { ok: false, say };
}

/** The value in quotes if it is too short for a secret, else "the value". */
function shown(text: string): string {
  return text.length <= SHOWN_MAX && !hasControl(text) ? `"${text}"` : "the value";
}

export function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

function readText(text: string, max: number, pattern: RegExp | undefined, like: string | undefined): Reading<string> {
  if (text.length > max) return no(`has ${text.length} characters, more than ${max}; write at most ${max}`);
  if (hasControl(text)) return no("contains a control character or a line break; write it on one line");
  if (pattern && !pattern.test(text))
    return no(`contains characters that are not allowed; write ${like ?? "other characters"}`);
  return ok(text);
}

function readChoice(text: string, of: readonly string[]): Reading<string> {
  const lower = text.toLowerCase();
  return of.includes(lower) ? ok(lower) : no(`${shown(text)} is not a known value; write one of ${of.join(", ")}`);
}

function readChoices(text: string, of: readonly string[]): Reading<readonly string[]> {
  const words = text
    .toLowerCase()
    .split(/[\s,;]+/)
    .filter((word) => word !== "");
  const unknown = words.filter((word) => !of.includes(word));
  if (unknown.length > 0)
    return no(
      `${unknown.map(shown).join(", ")} is not a known value; write one or more of ${of.join(", ")}, separated by commas`,
    );
  if (words.length === 0) return no(`is empty; write one or more of ${of.join(", ")}, separated by commas`);
  return ok(of.filter((word) => words.includes(word)));
}

function readNames(text: string, max: number): Reading<readonly string[]> {
  const line = readText(text, max, undefined, undefined);
  if (!line.ok) return line;
  const names = text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  return names.length === 0 ? no("is empty; write one or more names, separated by commas") : ok(names);
}

/** An IPv6 address stands in brackets. */
function readListen(text: string): Reading<ListenAddress> {
  const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (text.length > 260 || host === undefined)
    return no("is not an address with a port; write address and port such as 127.0.0.1:44380");
  const port = Number(digits);
  return port > 65_535 ? no(`${port} is above 65535; write a port from 0 to 65535`) : ok({ host, port });
}

function readWhole(text: string, min: number, max: number, unit: string): Reading<number> {
  const instead = `write a whole number of ${unit} from ${min} to ${max}`;
  // splunkd's own form can pass a whole number as "60.0".
  if (!/^[+-]?\d{1,15}(\.0*)?$/.test(text)) return no(`${shown(text)} is not a whole number; ${instead}`);
  const value = Number(text);
  if (value < min) return no(`${value} is below ${min}; ${instead}`);
  if (value > max) return no(`${value} is above ${max}; ${instead}`);
  return ok(value);
}

function readYesNo(text: string): Reading<boolean> {
  const lower = text.toLowerCase();
  if (TRUE.has(lower)) return ok(true);
  if (FALSE.has(lower)) return ok(false);
  return no(`${shown(text)} is neither true nor false; write true or false`);
}

function readTenant(text: string): Reading<string> {
  const guid = tenantIdFrom(text);
  if (guid) return ok(guid);
  if (NOT_ONE_TENANT.has(text.toLowerCase()))
    return no(`"${text}" is not one tenant; write the customer's tenant GUID or one of its domains`);
  if (DOMAIN.test(text)) return ok(text.toLowerCase());
  return no(
    "is neither a GUID nor a domain; write the customer's tenant GUID (Microsoft Entra ID, Overview) or a domain such as contoso.onmicrosoft.com",
  );
}

function readGuid(text: string): Reading<string> {
  const guid = tenantIdFrom(text);
  return guid
    ? ok(guid)
    : no("is not a GUID; write the application (client) ID from the overview of the app registration");
}

function readStart(text: string, nowMs: number): Reading<StartPoint> {
  const instead = `write for example 12h, 30d (at most ${START_MAX_DAYS}d) or an ISO time such as ${formatInstant(ticksFromMs(nowMs - 7 * DAY_MS)).slice(0, 19)}Z`;
  const ago = /^(\d{1,9})\s*([mhd])$/i.exec(text);
  if (ago) {
    const unitMs = { m: 60_000, h: HOUR_MS, d: DAY_MS }[ago[2]?.toLowerCase() as "m" | "h" | "d"];
    const ms = Number(ago[1]) * unitMs;
    if (ms > START_MAX_DAYS * DAY_MS) return no(`${shown(text)} is more than ${START_MAX_DAYS}d; ${instead}`);
    return ok({ kind: "ago", ms });
  }
  const at = parseInstant(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text);
  if (at === undefined) return no(`${shown(text)} is not a valid time; ${instead}`);
  if (at > ticksFromMs(nowMs)) return no(`${shown(text)} is in the future; ${instead}`);
  if (at < ticksFromMs(nowMs - START_MAX_DAYS * DAY_MS))
    return no(`${shown(text)} is more than ${START_MAX_DAYS}d ago; ${instead}`);
  return ok({ kind: "at", at });
}

/** A day is its first instant in UTC. */
function readDate(text: string): Reading<number> {
  const at = parseInstant(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text);
  return at === undefined ? no(`${shown(text)} is not a valid date; write it as 2027-11-24`) : ok(msFromTicks(at));
}

function readAddress(text: string, plain: boolean, login: boolean): Reading<string> {
  if (login) {
    const proxy = proxyAddress(text);
    if (proxy?.login !== undefined) {
      const without = readAddress(proxy.url.href, plain, false);
      const { user, password } = proxy.login;
      // Encoded, so that every reader after this one finds the same host in it.
      return without.ok
        ? ok(without.value.replace("://", `://${encodeURIComponent(user)}:${encodeURIComponent(password)}@`))
        : without;
    }
  }
  const instead = plain
    ? "write an address such as http://proxy.example.com:8080"
    : "write an address such as https://login.microsoftonline.com";
  let url: URL;
  try {
    // A proxy is often written without its scheme.
    url = new URL(plain && /^[a-z0-9.-]+:\d+$/i.test(text) ? `http://${text}` : text);
  } catch {
    return no(`is not a valid address; ${instead}`);
  }
  if (url.protocol !== "https:" && !(plain && url.protocol === "http:")) {
    return no(
      plain
        ? `does not begin with http:// or https://; ${instead}`
        : `does not begin with https://; ${instead} (tokens are sent only over https)`,
    );
  }
  if (url.hostname === "") return no(`names no host; ${instead}`);
  if (!login && (url.username !== "" || url.password !== "")) return no(`contains a login; ${instead}`);
  if (url.search !== "" || url.hash !== "") return no(`contains a question mark or a number sign; ${instead}`);
  if (!plain && OLD_FORM_PATH.test(url.pathname))
    return no(`is the address of a whole request; write only the service's address: ${url.origin}`);
  if (plain) return ok(url.href.replace(/\/+$/, ""));
  return ok(`${url.origin}${url.pathname.replace(/\/+$/, "")}`);
}
