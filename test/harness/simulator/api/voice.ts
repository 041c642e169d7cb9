import { sendJson } from "../answers.ts";
import type { Grant } from "../entra/tokens.ts";
import type { Exchange } from "../exchange.ts";

/** What opens an API: any one of these roles or scopes. Both empty: every token for the API does. */
export interface Rights {
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
}

export type TokenFault = "empty" | "malformed" | "expired" | "audience";

/** How an API words its refusals. */
export interface Voice {
  unauthorized(exchange: Exchange, fault: TokenFault): void;
  forbidden(exchange: Exchange, grant: Grant, rights: Rights): void;
  badQuery(exchange: Exchange, message: string): void;
  failed(
    exchange: Exchange,
    status: number,
    code: string | undefined,
    message: string | undefined,
    headers?: Record<string, string>,
  ): void;
}

const TOKEN_FAULTS: Readonly<Record<TokenFault, string>> = {
  empty: "Access token is empty.",
  malformed:
    "IDX14100: JWT is not well formed, there are no dots (.). The token needs to be in JWS or JWE Compact Serialization Format.",
  expired: "Lifetime validation failed, the token is expired.",
  audience: "Access token validation failure. Invalid audience.",
};

const CHALLENGE =
  'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"';

/**
 * Codes by status where a fault names none (Microsoft Graph docs, error responses; Defender docs,
 * common-errors).
 */
const GRAPH_CODES: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "InvalidAuthenticationToken",
  403: "Forbidden",
  404: "ResourceNotFound",
  405: "Request_BadRequest",
  429: "TooManyRequests",
  500: "InternalServerError",
  502: "BadGateway",
  503: "ServiceUnavailable",
  504: "GatewayTimeout",
};
const DEFENDER_CODES: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "BadRequest",
  429: "TooManyRequests",
  500: "InternalServerError",
  502: "BadGateway",
  503: "ServiceUnavailable",
  504: "GatewayTimeout",
};
const MESSAGES: Readonly<Record<number, string>> = {
  429: "Too many requests.",
  500: "An internal server error occurred.",
  502: "Bad gateway.",
  503: "The service is temporarily unavailable. Please retry later.",
  504: "The gateway timed out.",
};

function missing(grant: Grant, rights: Rights): string {
  const [word, wanted] = grant.appOnly ? ["roles", rights.roles] : ["scopes", rights.scopes];
  return `Missing application ${word}. API required ${word}: ${wanted.join(",")}, application ${word}: ${grant.permissions.join(",")}.`;
}

/** Microsoft Graph: `{"error":{"code","message","innerError"}}`. */
export const graphVoice: Voice = {
  unauthorized: (exchange, fault) =>
    graphVoice.failed(exchange, 401, undefined, TOKEN_FAULTS[fault], { "www-authenticate": CHALLENGE }),
  forbidden: (exchange, grant, rights) => graphVoice.failed(exchange, 403, undefined, missing(grant, rights)),
  badQuery: (exchange, message) => graphVoice.failed(exchange, 400, undefined, message),
  failed(exchange, status, code, message, headers = {}) {
    const inner = {
      date: new Date(exchange.nowMs).toISOString().slice(0, 19),
      "request-id": exchange.requestId,
      "client-request-id": String(exchange.request.headers["client-request-id"] ?? exchange.requestId),
    };
    sendJson(
      exchange,
      status,
      {
        error: {
          code: code ?? GRAPH_CODES[status] ?? "UnknownError",
          message: message ?? MESSAGES[status] ?? "",
          innerError: inner,
        },
      },
      headers,
    );
  },
};

/** Defender for Endpoint and Defender XDR: `{"error":{"code","message","target"}}`. */
export const defenderVoice: Voice = {
  unauthorized: (exchange, fault) =>
    defenderVoice.failed(exchange, 401, undefined, `Unauthorized request - reason of failure: ${TOKEN_FAULTS[fault]}`, {
      "www-authenticate": "Bearer",
    }),
  forbidden: (exchange, grant, rights) => defenderVoice.failed(exchange, 403, undefined, missing(grant, rights)),
  badQuery: (exchange, message) => defenderVoice.failed(exchange, 400, "ODataError", message),
  failed(exchange, status, code, message, headers = {}) {
    sendJson(
      exchange,
      status,
      {
        error: {
          code: code ?? DEFENDER_CODES[status] ?? "InternalServerError",
          message: message ?? MESSAGES[status] ?? "",
          target: exchange.requestId,
        },
      },
      headers,
    );
  },
};
