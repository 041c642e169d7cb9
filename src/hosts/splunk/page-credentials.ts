import { SHARED_CREDENTIAL } from "../../config/intake-slot.ts";
import { hasControl } from "../../config/kinds.ts";
import { fingerprintDifferences } from "../../model/endpoint-binding.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { Log } from "../../model/ports.ts";
import { sealed } from "../../model/sealed.ts";
import { refuseSecretId } from "../../model/secret-id.ts";
import type { SharedCredentialRow } from "../../model/shared-credential.ts";
import type { GlobalSettings } from "../../model/stanza.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import { jsonOf } from "../../net/json-answer.ts";
import type { ListedInput } from "./input-list.ts";
import { destinationOf, typedIn } from "./intake.ts";
import { credentialId, type PasswordStore, type SecretId, type StoredSecret } from "./passwords.ts";
import { readCredential, type SecretPorts, type SharedCredential } from "./secrets.ts";

export interface PageCredentialsParts {
  /** As it is now. Throws the failures of Splunkd. */
  readonly store: () => Promise<PasswordStore>;
  /** Customers that use one of these get it at the next look. */
  readonly changed: (ids: ReadonlySet<SecretId>) => void;
  /** All inputs, disabled ones too, with `credential`. Throws the failures of Splunkd. */
  readonly inputs: () => Promise<readonly ListedInput[]>;
  readonly globals: Pick<GlobalSettings, "discoverCredential" | "partnercenterUrl">;
  readonly secrets: Pick<SecretPorts, "files" | "fingerprintOf">;
  readonly log: Log;
}

/**
 * The shared credentials, for the page Credentials in Splunk Web. The page sees none of them: it asks, and
 * leaves a new secret in the intake of Splunk's credential store. Every method throws Failure.
 */
export class PageCredentials {
  readonly #p: PageCredentialsParts;

  constructor(parts: PageCredentialsParts) {
    this.#p = parts;
  }

  async list(): Promise<readonly SharedCredentialRow[]> {
    const store = await this.#p.store();
    const usersOf = await this.#users();
    return store.credentialNames().map((name) => {
      const found = readOrDamaged(store, name)?.credential;
      return {
        name,
        kind: kindOf(found),
        client_id: found?.client_id ?? null,
        expires: found?.expires ?? null,
        used_by: usersOf.get(name) ?? [],
        is_home_app: this.#p.globals.discoverCredential === name,
      };
    });
  }

  /**
   * Stores the secret that was typed for this credential, bound to the addresses on the page. One that exists
   * keeps its addresses: a secret that was typed for others is refused.
   */
  async replace(name: string): Promise<void> {
    const { globals, secrets, log, changed } = this.#p;
    const store = await this.#p.store();
    const slots = store.intakeSlots().filter(({ stanza, key }) => stanza === name && key === SHARED_CREDENTIAL);
    const slot = slots.toSorted((a, b) => b.atMs - a.atMs).find(({ text }) => text !== undefined);
    try {
      const typed = slot?.text?.open(typedIn);
      if (typed === undefined) throw nothingTyped(name);
      const present = readOrDamaged(store, name);
      const where = destinationOf(typed.where, globals.partnercenterUrl, secrets.files);
      if (where === undefined) throw boundElsewhere(name, ["ca_file"]);
      const fingerprint = secrets.fingerprintOf(where);
      const differing =
        present?.stored === undefined ? [] : fingerprintDifferences(present.stored.fingerprint, fingerprint);
      if (differing.length > 0) throw boundElsewhere(name, differing);
      const credential = typed.secret.open((text) => credentialFrom(name, text, present?.credential));
      await store.put(credentialId(name), sealed(JSON.stringify(credential)), fingerprint);
      changed(new Set([credentialId(name)]));
      log.info("a shared credential typed on a page in Splunk Web is stored", { credential: name });
    } catch (error) {
      // A page that leaves a secret while no program runs does not wait for the answer.
      if (isFailure(error))
        log.warn("a shared credential typed on a page in Splunk Web is not stored", {
          credential: name,
          failure: error.code,
          say: error.say,
          next_step: error.nextStep || undefined,
        });
      throw error;
    } finally {
      // It is typed again where it was refused.
      for (const one of slots)
        await store.dropIntake(one).catch((error: unknown) => {
          if (!isFailure(error)) throw error;
          log.warn("a typed secret could not be deleted; it is deleted after an hour", { failure: error.code });
        });
    }
  }

  /** Refused while somebody uses it. */
  async remove(name: string): Promise<void> {
    const users = (await this.#users()).get(name) ?? [];
    const all = this.#p.globals.discoverCredential === name ? [...users, "discover_credential"] : users;
    if (all.length > 0) throw stillUsed(name, all);
    const store = await this.#p.store();
    await store.remove(credentialId(name));
    this.#p.changed(new Set([credentialId(name)]));
    this.#p.log.info("a shared credential is deleted on a page in Splunk Web", { credential: name });
  }

  async #users(): Promise<ReadonlyMap<string, readonly string[]>> {
    const inputs = await this.#p.inputs();
    const byCredential = Map.groupBy(inputs, ({ content: { credential } }) =>
      typeof credential === "string" ? credential.trim() : "",
    );
    return new Map([...byCredential].map(([name, those]) => [name, those.map((input) => input.name).toSorted()]));
  }
}

interface Present {
  /** Undefined where it cannot be read. */
  readonly stored: StoredSecret | undefined;
  readonly credential: SharedCredential | undefined;
}

/** Undefined where none is stored. */
function readOrDamaged(store: PasswordStore, name: string): Present | undefined {
  try {
    const stored = store.get(credentialId(name));
    return stored && { stored, credential: stored.value.open(readCredential) };
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { stored: undefined, credential: undefined };
  }
}

function kindOf(found: SharedCredential | undefined): SharedCredentialRow["kind"] {
  if (found === undefined) return "damaged";
  if (found.assertion !== undefined) return "assertion";
  return found.certificate === undefined ? "client secret" : "certificate";
}

/** An app has one proof of what it is, so a secret takes the place of a certificate or an assertion. */
function credentialFrom(name: string, text: string, present: SharedCredential | undefined): SharedCredential {
  const typed = (jsonOf(text) ?? {}) as Readonly<Record<string, unknown>>;
  const field = (key: string): string => (typeof typed[key] === "string" ? typed[key] : "");
  const clientId = tenantIdFrom(field("client_id")) ?? present?.client_id;
  const secret = field("client_secret").trim();
  const endsMs = Date.parse(field("expires"));
  if (clientId === undefined) throw wrong(name, "has no client ID", "Give the application (client) ID of the app.");
  refuseSecretId(sealed(secret), clientId);
  if (secret === "" || hasControl(secret))
    throw wrong(name, "got no usable client secret", "Type the client secret again.");
  return {
    client_id: clientId,
    client_secret: secret,
    ...(Number.isNaN(endsMs) ? {} : { expires: new Date(endsMs).toISOString() }),
    ...(present?.tenant === undefined ? {} : { tenant: present.tenant }),
  };
}

function wrong(name: string, what: string, nextStep: string): Failure {
  const say = `The shared credential ${name} ${what}, so nothing is stored.`;
  return new Failure("settings", { actor: "operator", retry: { when: "never" }, say, nextStep });
}

function nothingTyped(name: string): Failure {
  return new Failure("secret-missing", {
    actor: "operator",
    retry: { when: "never" },
    say: `No typed client_secret is waiting for the shared credential ${name}.`,
    nextStep: "Load the list again; if its end did not change, type the secret again.",
  });
}

function boundElsewhere(name: string, parts: readonly string[]): Failure {
  return new Failure("endpoint-changed", {
    actor: "operator",
    retry: { when: "never" },
    say: `The shared credential ${name} is bound to other addresses than this page's (${parts.join(", ")}), so nothing is stored.`,
    nextStep: `Store it with \`defender_mssp credential set ${name} --to splunk\`, and give these settings as flags.`,
  });
}

const NAMED_USERS = 5;

function stillUsed(name: string, users: readonly string[]): Failure {
  const more = users.length > NAMED_USERS ? ` and ${users.length - NAMED_USERS} more` : "";
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `The shared credential ${name} is used by ${users.slice(0, NAMED_USERS).join(", ")}${more}, so it is not deleted.`,
    nextStep: "Give them another credential first.",
  });
}
