import type { Ticks } from "../model/instant.ts";
import { parseInstant } from "../model/instant.ts";
import type { RecordBody } from "../model/record.ts";
import type { RecordKind } from "../model/stream.ts";
import { parseInstantBytes } from "./instant-bytes.ts";
import { plainText, stringAt } from "./json-text.ts";
import {
  KIND,
  KIND_MASK,
  KIND_NUMBER,
  KIND_STRING,
  MEMBER_FIELDS,
  NAME_END,
  NAME_HAS_ESCAPES,
  NAME_START,
  VALUE_END,
  VALUE_HAS_ESCAPES,
  VALUE_START,
} from "./member-table.ts";

/**
 * Which top-level members say what a record is. Names differ per API: `id`/`lastUpdateDateTime` in Graph,
 * `incidentId` (a number) and `lastUpdateTime` in the XDR incidents API, `alertId` and `lastUpdatedTime`
 * (with a d) for the alerts inside.
 */
export interface RecordFields {
  readonly kind: RecordKind;
  /**
   * A string or a number (taken as its digits). `sha256`: hex SHA-256 of the record's bytes, for rows that
   * have no id.
   */
  readonly id: string | { readonly sha256: true };
  readonly updated: string;
  /** Taken as the update time when the record has none. */
  readonly updatedFallback?: Ticks;
  readonly created?: string;
  readonly tenant?: string;
  readonly service?: string;
}

const ID = 0;
const UPDATED = 1;
const CREATED = 2;
const TENANT = 3;
const SERVICE = 4;

interface WantedName {
  readonly name: Uint8Array;
  readonly role: number;
}

/** RecordFields made ready for looking names up by their length. */
export interface FieldNames {
  readonly fields: RecordFields;
  readonly byLength: readonly (readonly WantedName[] | undefined)[];
}

export function fieldNames(fields: RecordFields): FieldNames {
  const byLength: WantedName[][] = [];
  const add = (name: string | undefined, role: number): void => {
    if (name === undefined) return;
    const bytes = new TextEncoder().encode(name);
    for (let length = byLength.length; length <= bytes.length; length++) byLength.push([]);
    byLength[bytes.length]!.push({ name: bytes, role });
  };
  add(typeof fields.id === "string" ? fields.id : undefined, ID);
  add(fields.updated, UPDATED);
  add(fields.created, CREATED);
  add(fields.tenant, TENANT);
  add(fields.service, SERVICE);
  return { fields, byLength: byLength.map((names) => (names.length > 0 ? names : undefined)) };
}

/** What the members of one record said; reused, so reset before each. */
export class FieldValues {
  id: string | undefined;
  updated: Ticks | undefined;
  created: Ticks | undefined;
  tenant: string | undefined;
  service: string | undefined;
  /**
   * Tenants and services repeat from record to record: the last one's bytes are compared before a new string
   * is made.
   */
  #lastTenant = "";
  #lastTenantLower = "";
  #lastService = "";

  reset(): void {
    this.id = undefined;
    this.updated = undefined;
    this.created = undefined;
    this.tenant = undefined;
    this.service = undefined;
  }

  /** Reads every wanted member; of a name that comes twice the last counts, as for JSON.parse. */
  readAll(names: FieldNames, body: RecordBody): void {
    this.reset();
    const { bytes, start, members } = body;
    let row = body.firstMember;
    for (let i = 0; i < body.memberCount; i++, row += MEMBER_FIELDS) {
      const nameStart = start + members[row + NAME_START]!;
      const nameEnd = start + members[row + NAME_END]!;
      this.readOne(
        names,
        bytes,
        nameStart,
        nameEnd,
        start + members[row + VALUE_START]!,
        start + members[row + VALUE_END]!,
        members[row + KIND]!,
      );
    }
  }

  readOne(
    names: FieldNames,
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    kind: number,
  ): void {
    const role =
      (kind & NAME_HAS_ESCAPES) === 0
        ? roleOf(names, bytes, nameStart + 1, nameEnd - 1)
        : roleOfEscaped(names, bytes, nameStart, nameEnd);
    if (role >= 0) this.#take(role, bytes, valueStart, valueEnd, kind);
  }

  #take(role: number, bytes: Uint8Array, from: number, to: number, kind: number): void {
    const isString = (kind & KIND_MASK) === KIND_STRING;
    const hasEscapes = (kind & VALUE_HAS_ESCAPES) !== 0;
    switch (role) {
      case ID:
        if (isString) this.id = to - from > 2 ? stringAt(bytes, from, to, hasEscapes) : undefined;
        else this.id = (kind & KIND_MASK) === KIND_NUMBER ? plainText(bytes, from, to) : undefined;
        return;
      case UPDATED:
        this.updated = isString ? instantAt(bytes, from, to, hasEscapes) : undefined;
        return;
      case CREATED:
        this.created = isString ? instantAt(bytes, from, to, hasEscapes) : undefined;
        return;
      case TENANT:
        if (!isString) this.tenant = undefined;
        else if (!hasEscapes && isText(bytes, from + 1, to - 1, this.#lastTenant)) this.tenant = this.#lastTenantLower;
        else {
          this.#lastTenant = stringAt(bytes, from, to, hasEscapes);
          this.#lastTenantLower = this.#lastTenant.toLowerCase();
          this.tenant = this.#lastTenantLower;
        }
        if (this.tenant === "") this.tenant = undefined;
        return;
      default:
        if (!isString) this.service = undefined;
        else if (!hasEscapes && isText(bytes, from + 1, to - 1, this.#lastService)) this.service = this.#lastService;
        else {
          this.#lastService = stringAt(bytes, from, to, hasEscapes);
          this.service = this.#lastService;
        }
    }
  }
}

function instantAt(bytes: Uint8Array, from: number, to: number, hasEscapes: boolean): Ticks | undefined {
  return hasEscapes ? parseInstant(stringAt(bytes, from, to, true)) : parseInstantBytes(bytes, from + 1, to - 1);
}

function isText(bytes: Uint8Array, from: number, to: number, text: string): boolean {
  if (to - from !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[from + i] !== text.charCodeAt(i)) return false;
  return true;
}

function roleOf(names: FieldNames, bytes: Uint8Array, from: number, to: number): number {
  const candidates = names.byLength[to - from];
  if (candidates === undefined) return -1;
  for (const { name, role } of candidates) {
    let i = 0;
    while (i < name.length && bytes[from + i] === name[i]) i++;
    if (i === name.length) return role;
  }
  return -1;
}

function roleOfEscaped(names: FieldNames, bytes: Uint8Array, nameStart: number, nameEnd: number): number {
  const name = new TextEncoder().encode(stringAt(bytes, nameStart, nameEnd, true));
  return roleOf(names, name, 0, name.length);
}
