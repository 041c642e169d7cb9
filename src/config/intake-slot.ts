import { type Sealed, sealed } from "../model/sealed.ts";
import { asciiJson } from "./ascii-json.ts";

/**
 * How a secret travels from a page in Splunk Web to the input: in entries of Splunk's credential store, so
 * that it never lies in inputs.conf. The page writes them, the input takes them over and deletes them. Splunk
 * encrypts at most 255 characters per entry, so the text is split; each entry's name says which piece of how
 * many it holds, so a reader knows when a slot is complete.
 */

export const INTAKE_REALM = "defender_mssp:intake";
/** In a slot's name in place of a setting: the slot is for the shared credential of that name. */
export const SHARED_CREDENTIAL = "credential";
/** In a slot's name in place of a setting: a page is creating an input of that name. */
export const NAME_CLAIM = "claim";
const PIECE_MAX = 250;
const CLAIM_MS = 60_000;
/** A claim is for its minute and the next one. */
export const CLAIM_ENDS_AFTER_MS = 2 * CLAIM_MS;

/** What a secret was typed for: it is sent nowhere else. */
export const DESTINATION_KEYS = ["cloud", "login_url", "graph_url", "api_url", "siem_url", "proxy", "ca_file"] as const;
export type TypedDestination = Readonly<Partial<Record<(typeof DESTINATION_KEYS)[number], string>>>;

/** The customer for which a secret was typed: no other one's input gets it, though it has the same name. */
export const CUSTOMER_KEYS = ["tenant_id", "client_id"] as const;
export type TypedFor = TypedDestination & Readonly<Partial<Record<(typeof CUSTOMER_KEYS)[number], string>>>;

/** Whose time a slot has: a browser's clock may be hours off. */
export type SlotClock = "splunkd" | "browser";

export interface IntakeSlot {
  readonly stanza: string;
  readonly key: string;
  /** When it was typed, by the clock that its text names; 0 where the name does not say it. */
  readonly atMs: number;
  /** Names of the entries that hold it. */
  readonly entries: readonly string[];
  /** JSON of the secret, its destination and its customer; undefined while pieces are missing. */
  readonly text: Sealed | undefined;
}

/**
 * The entries of one secret.
 *
 * @param nowMs by `clock`; also tells two slots of one setting apart.
 * @param page digits and letters that no other page has: an entry of this name is then always its own.
 */
export function intakeEntries(
  stanza: string,
  key: string,
  secret: string,
  where: TypedFor,
  nowMs: number,
  clock: SlotClock = "splunkd",
  page = "",
): readonly { readonly name: string; readonly password: string }[] {
  // No spaces either: a piece may begin with one.
  const text = asciiJson({ v: 1, secret, where, clock }, /[^!-~]/g);
  const pieces = text.match(new RegExp(`.{1,${PIECE_MAX}}`, "g")) ?? [];
  return pieces.map((password, at) => ({
    name: [encodedStanza(stanza), key, nowMs.toString(36), at + 1, pieces.length, ...(page === "" ? [] : [page])].join(
      "~",
    ),
    password,
  }));
}

/**
 * The entries that claim a name for a page that creates an input. Of two pages at once one finds an entry
 * there: each claims this minute and the next, so a page that never came back blocks nobody for long.
 *
 * @param nowMs by splunkd's clock, as pages on several computers compare it.
 * @param owner becomes the text of each, by which a page knows its own.
 */
export function claimEntries(
  stanza: string,
  nowMs: number,
  owner: string,
): readonly { readonly name: string; readonly password: string }[] {
  const minute = Math.floor(nowMs / CLAIM_MS);
  return [minute, minute + 1].map((at) => ({
    name: [encodedStanza(stanza), NAME_CLAIM, (at * CLAIM_MS).toString(36), 1, 1].join("~"),
    password: owner,
  }));
}

function encodedStanza(stanza: string): string {
  return encodeURIComponent(stanza).replaceAll("~", "%7E");
}

/** The slots among the entries of the intake's realm, in the order of their names. */
export function intakeSlots(entries: ReadonlyMap<string, Sealed>): readonly IntakeSlot[] {
  const bySlot = Map.groupBy([...entries.keys()].sort(), (name) => name.split("~").toSpliced(3, 2).join("~"));
  return [...bySlot].map(([slot, names]) => {
    const [stanza = "", key = "", time = ""] = slot.split("~");
    const pieces = new Map(names.map((name) => [Number(name.split("~")[3]), entries.get(name)?.open((text) => text)]));
    const total = Number(names[0]?.split("~")[4]);
    const all = Array.from({ length: total > 0 && total < 1_000 ? total : 0 }, (_, at) => pieces.get(at + 1));
    const isWhole = all.length > 0 && !all.includes(undefined);
    const atMs = Number.parseInt(time, 36) || 0;
    return { stanza: decoded(stanza), key, atMs, entries: names, text: isWhole ? sealed(all.join("")) : undefined };
  });
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
