import { PARTNERCENTER_URL } from "../../model/cloud.ts";
import type { Clock, Http, Random } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import type { Stanza } from "../../model/stanza.ts";
import { API_IDENTITIES } from "../api-identities.ts";
import { BRIDGE_SCOPES } from "../app-permissions.ts";
import type { JsonReply } from "../json-request.ts";
import { isSuccess, patiently, requestJson } from "../json-request.ts";
import { createTokenPacer } from "../token-pacer.ts";
import { isThereAlready, partnerCenterRefusal } from "./partner-failures.ts";

/** Partner Center takes 50 requests a second from an app. A full bucket and one second's refill are fewer. */
const REQUESTS_PER_SECOND = 24;

export interface PartnerCenterParts {
  readonly http: Http;
  readonly clock: Clock;
  readonly random: Random;
  readonly home: Stanza;
  /** @param refused a token that Partner Center just rejected. */
  token(refused?: Sealed): Promise<Sealed>;
}

interface More {
  readonly body?: unknown;
  readonly unsure?: () => void;
}

/**
 * Partner Center's consents of apps at the partner's customers. Source: Partner Center docs, "Control panel
 * vendor APIs".
 */
export class PartnerCenter {
  readonly #parts: PartnerCenterParts;
  readonly #pacer: { acquire(): Promise<void> };

  constructor(parts: PartnerCenterParts) {
    this.#parts = parts;
    this.#pacer = createTokenPacer(parts.clock, REQUESTS_PER_SECOND);
  }

  /**
   * Lets the bridge grant permissions at the customer, as the signed-in user may. Throws Failure when Partner
   * Center refuses it.
   *
   * @param unsure called when the bridge may be there although this fails: the request was sent, and it is
   *   not known whether Partner Center did it.
   * @returns whether it was there already.
   */
  async grant(
    customer: Stanza,
    bridge: { readonly clientId: string; readonly name: string },
    unsure: () => void,
  ): Promise<{ readonly wasThere: boolean }> {
    const body = {
      applicationId: bridge.clientId,
      displayName: bridge.name,
      applicationGrants: [{ enterpriseApplicationId: API_IDENTITIES.graph.appId, scope: BRIDGE_SCOPES.join(",") }],
    };
    const reply = await patiently(this.#parts, () =>
      this.#ask("POST", `/v1/customers/${customer.tenantId}/applicationconsents`, { body, unsure }),
    );
    const wasThere = isThereAlready(reply);
    if (!isSuccess(reply) && !wasThere) throw partnerCenterRefusal(reply, customer.tenantName);
    return { wasThere };
  }

  /**
   * Takes everything from the bridge that it has at the customer. One that is not there is removed.
   *
   * @param pausesMs how long to wait before asking again where it is not there: Microsoft may yet let it in.
   */
  async remove(
    customer: Pick<Stanza, "tenantId" | "tenantName">,
    clientId: string,
    pausesMs: readonly number[] = [],
  ): Promise<void> {
    const ask = (): Promise<JsonReply> =>
      patiently(this.#parts, () =>
        this.#ask("DELETE", `/v1/customers/${customer.tenantId}/applicationconsents/${clientId}`),
      );
    let reply = await ask();
    for (const pauseMs of pausesMs) {
      if (reply.status !== 404) break;
      await this.#parts.clock.pause(pauseMs);
      reply = await ask();
    }
    if (!isSuccess(reply) && reply.status !== 404) throw partnerCenterRefusal(reply, customer.tenantName);
  }

  async #ask(method: "POST" | "DELETE", path: string, more: More = {}): Promise<JsonReply> {
    const token = await this.#parts.token();
    const reply = await this.#send(method, path, more, token);
    // A token may have been revoked or have ended on the way. One without MFA is renewed without MFA.
    const isOld = reply.status === 401 && partnerCenterRefusal(reply, "").code !== "partner-mfa-missing";
    return isOld ? this.#send(method, path, more, await this.#parts.token(token)) : reply;
  }

  async #send(method: "POST" | "DELETE", path: string, { body, unsure }: More, token: Sealed): Promise<JsonReply> {
    await this.#pacer.acquire();
    const { home } = this.#parts;
    try {
      const reply = await requestJson(this.#parts, {
        method,
        url: `${home.endpoints.partnercenterUrl ?? PARTNERCENTER_URL}${path}`,
        addressSetting: "partnercenter_url",
        token,
        body,
        route: home.route,
      });
      if (reply.status >= 500) unsure?.();
      return reply;
    } catch (error) {
      unsure?.();
      throw error;
    }
  }
}
