import type { Setting, ValuesOf } from "../model/setting.ts";
import { FLEET_KEY_FILE, FLEET_MEMBER, FLEET_NAME } from "../model/settings-table.ts";
import type { Reading } from "./kinds.ts";
import type { MetricsContext } from "./metrics-settings.ts";
import { isLoopback } from "./output-settings.ts";
import { readRows } from "./read-rows.ts";

const POSTGRES_PORT = 5432;

/** Keys after `fleet.`. */
const FLEET_ROWS = [
  {
    key: "url",
    kind: { is: "text", max: 2048 },
    otherwise: "none: this collector works alone",
    help: "PostgreSQL (13 or newer) that the members of a fleet share, for example postgres://db1.example.com:5432,db2.example.com:5432/fleet. With several hosts the primary is found. User and password are settings of their own.",
  },
  {
    key: "user",
    kind: { is: "text", max: 63 },
    otherwise: "required with fleet.url",
    help: "Role of the database with which members connect. `fleet init --print-sql` prints the rights that it needs.",
  },
  {
    key: "password",
    kind: { is: "text", max: 8192 },
    secret: true,
    otherwise: "none",
    help: "Password of that role: file:PATH, env:NAME, credential:NAME or the value itself.",
  },
  {
    key: "name",
    kind: FLEET_NAME,
    default: "main",
    help: "Name of the fleet. Each fleet has a schema of its own, so that several fit into one database.",
  },
  {
    key: "member",
    kind: FLEET_MEMBER,
    otherwise: "this machine's name",
    help: "Name of this member, as the log and the other members show it.",
  },
  {
    key: "key_file",
    kind: FLEET_KEY_FILE,
    otherwise: "none: no customer of the fleet may sign in with a refresh token",
    help: "File with the key that encrypts refresh tokens in the fleet's database: the same on every member, for its owner alone. `fleet init` makes it.",
  },
  {
    key: "ca_file",
    kind: { is: "file" },
    otherwise: "the public certificate authorities",
    help: "PEM file with the certificate authority of the database's certificate. TLS is always verified; only a database on this machine may go without.",
  },
] as const satisfies readonly Setting[];

/** The same table with the optional fields visible to the type checker. */
export const FLEET_SETTINGS: readonly Setting[] = FLEET_ROWS;

/** The fleet to which this collector belongs. */
export type FleetSettings = Omit<ValuesOf<(typeof FLEET_ROWS)[number]>, "url" | "user"> & {
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly database: string;
  readonly user: string;
  /** All hosts are this machine, so that TLS may be left out. */
  readonly isLocal: boolean;
};

/** Reads `fleet.*`. Undefined without `fleet.url`, or when something is wrong, which `complain` was told. */
export function readFleet(given: Readonly<Record<string, string>>, context: MetricsContext): FleetSettings | undefined {
  let wrong = false;
  const complain = (key: string, say: string) => {
    wrong = true;
    context.complain({ stanza: "fleet", key, say });
  };
  const known = FLEET_SETTINGS.map(({ key }) => key);
  for (const key of Object.keys(given))
    if (!known.includes(key)) complain(key, `is not a setting; settings are ${known.join(", ")}`);
  const { whole } = readRows(
    FLEET_ROWS,
    given,
    { nowMs: 0, ...(context.file ? { file: context.file } : {}) },
    complain,
  );
  if (whole?.url === undefined) {
    if (Object.keys(given).length > 0 && !wrong) complain("url", `is missing; write ${EXAMPLE}`);
    return undefined;
  }
  const { url, user, ...rest } = whole;
  const address = readUrl(url);
  if (!address.ok) complain("url", address.say);
  if (user === undefined) complain("user", "is missing; write the role of the database, as fleet init printed it");
  if (wrong || !address.ok || user === undefined) return undefined;
  return { ...rest, ...address.value, user };
}

const EXAMPLE = "fleet.url=postgres://db.example.com:5432/fleet";

/** Nothing of a wrong address is repeated: it may hold a password. */
function readUrl(text: string): Reading<Pick<FleetSettings, "hosts" | "database" | "isLocal">> {
  if (text.includes("@"))
    return no("contains a user or a password; write them as fleet.user and fleet.password, and remove them here");
  const [, list, database] = /^postgres(?:ql)?:\/\/([^/?#]+)\/([A-Za-z0-9_.-]+)$/.exec(text) ?? [];
  if (list === undefined || database === undefined)
    return no(`is not the address of a database; write for example ${EXAMPLE}`);
  const hosts: { host: string; port: number }[] = [];
  for (const one of list.split(",")) {
    const [, bracketed, plain, digits = String(POSTGRES_PORT)] =
      /^(?:\[([0-9a-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/i.exec(one.trim()) ?? [];
    const host = bracketed ?? plain;
    const port = Number(digits);
    if (host === undefined || port < 1 || port > 65_535)
      return no(`contains something that is not a host with a port; write for example ${EXAMPLE}`);
    hosts.push({ host, port });
  }
  return {
    ok: true,
    value: { hosts, database, isLocal: hosts.every(({ host }) => isLoopback(host)) },
  };
}

function no(say: string): { readonly ok: false; readonly say: string } {
  return { ok: false, say };
}
