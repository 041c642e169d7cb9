import { parseStanzas } from "../../config/settings.ts";
import { Failure } from "../../model/failure.ts";
import type { SecretPlace } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";

/**
 * The home app as a stanza of the provider's own tenant, with its secret. Throws Failure
 * `credential-missing`,
 * `endpoint-changed`.
 *
 * @param like where its requests go: the customers' addresses, which the secret must be bound to.
 */
export async function homeApp(
  place: Pick<SecretPlace, "storedCredential" | "withCredential" | "name">,
  credential: string,
  like: Pick<Stanza, "endpoints" | "route" | "cloud">,
): Promise<Stanza> {
  const stored = await place.storedCredential(credential);
  if (stored?.tenant === undefined)
    throw new Failure("credential-missing", {
      actor: "operator",
      retry: { when: "never" },
      area: "sign-in",
      say:
        stored === undefined
          ? `The credential ${credential} of the home app is not stored in ${place.name}, so the list of customers is not read.`
          : `The credential ${credential} does not name your own tenant, so the list of customers is not read.`,
      nextStep: `Store it with \`--tenant-id\` and one of your own domains: run \`defender-mssp credential set ${credential}\`.`,
    });
  const values = { tenant_id: stored.tenant, credential, auth: "app" };
  const { stanzas } = parseStanzas([{ name: credential, values }], { host: "cli", nowMs: 0 });
  const [stanza] = stanzas;
  if (stanza === undefined) throw new Error("the stored credential names no tenant");
  const { endpoints, route, cloud } = like;
  return place.withCredential({ ...stanza, tenantName: "the home app", endpoints, route, cloud });
}
