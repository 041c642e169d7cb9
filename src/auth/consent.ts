import { createHash, randomBytes } from "node:crypto";
import { Failure } from "../model/failure.ts";
import type { FailureCode } from "../model/failure-codes.ts";
import { apisOf, audienceOf, permissionName, permissionsOf } from "../model/permissions.ts";
import type { ConsentLink, MailLanguage } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { authOf } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { failureFromEntra } from "./entra-failures.ts";

type Who = Pick<
  Stanza,
  "tenantId" | "tenantName" | "cloud" | "endpoints" | "streams" | "auth" | "refreshToken" | "resource"
>;

/**
 * The v2 admin consent link. `/.default` of one API requests every permission that the registration lists,
 * for all APIs, so one link is enough. Source: Microsoft identity platform docs, "Admin consent on the
 * Microsoft identity platform" and "Scopes and permissions: the .default scope".
 *
 * The state can be checked later without being stored: it ends in a digest of the tenant, the app and its own
 * first part.
 */
export function consentLink(
  who: Who,
  clientId: string,
  redirectUri: string,
  random: (bytes: number) => Buffer = randomBytes,
): ConsentLink {
  const api = apisOf(who.streams)[0] ?? "graph";
  const state = stateFor(random(9).toString("base64url"), who.tenantId, clientId);
  const url = new URL(`${who.endpoints.loginUrl}/${encodeURIComponent(who.tenantId)}/v2.0/adminconsent`);
  url.search = new URLSearchParams({
    client_id: clientId,
    scope: `${audienceOf(api, who.cloud, who.resource)}/.default`,
    redirect_uri: redirectUri,
    state,
  }).toString();
  return {
    url: url.href,
    state,
    permissions: permissionsOf(who.streams).map((permission) => permissionName(permission, authOf(who))),
  };
}

/** Was this state made for a link of this tenant, or `organizations`, and this app? */
export function isLinkState(state: string, tenant: string, clientId: string): boolean {
  const [beginning = ""] = state.split(".");
  return state === stateFor(beginning, tenant, clientId);
}

function stateFor(beginning: string, tenantId: string, clientId: string): string {
  const digest = createHash("sha256")
    .update(JSON.stringify(["consent", beginning, tenantId.toLowerCase(), clientId.toLowerCase()]))
    .digest("base64url");
  return `${beginning}.${digest.slice(0, 16)}`;
}

/**
 * Checks the browser's final address after a consent. The address is not proof of the consent; only a token
 * with the permissions is.
 */
export function readConsent(landed: string, who: Who, clientId: string): { readonly tenantId: string } {
  let query: URLSearchParams;
  try {
    const url = new URL(landed.trim());
    query = url.searchParams.size > 0 ? url.searchParams : new URLSearchParams(url.hash.slice(1));
  } catch {
    throw refused(
      "consent-unreadable",
      "The pasted text is not a web address.",
      "Paste the whole address that the browser shows after the consent.",
    );
  }
  if (query.has("error")) {
    const body = { error: query.get("error"), error_description: query.get("error_description") };
    throw failureFromEntra({ status: 400, body }, { customer: who.tenantName, clientId });
  }
  if (query.has("code"))
    throw refused(
      "consent-unreadable",
      "This address is the answer to a sign-in, not to a consent.",
      "Paste it where `defender-mssp token acquire` asks for it.",
    );
  if (query.get("admin_consent")?.toLowerCase() !== "true")
    throw refused(
      "consent-unreadable",
      "The address does not confirm the consent.",
      "Open the link again and choose Accept.",
    );
  const state = query.get("state") ?? "";
  if (!isLinkState(state, who.tenantId, clientId)) {
    throw refused(
      "consent-other-link",
      "This consent belongs to another link: its state does not match this customer and app.",
      "Send the customer the link that `defender-mssp consent-url` prints.",
    );
  }
  const tenantId = tenantIdFrom(query.get("tenant") ?? "");
  const wanted = tenantIdFrom(who.tenantId);
  if (tenantId === undefined || (wanted !== undefined && tenantId !== wanted)) {
    throw refused(
      "consent-other-tenant",
      `Tenant ${tenantId ?? "unknown"} gave the consent, not ${who.tenantName} (${who.tenantId}).`,
      "Ask an administrator of the customer's tenant to open the link.",
    );
  }
  return { tenantId };
}

function refused(code: FailureCode, say: string, nextStep: string): Failure {
  return new Failure(code, { actor: "operator", retry: { when: "never" }, area: "sign-in", say, nextStep });
}

interface MailText {
  /** The whole first line. */
  readonly subject: string;
  /** @param customer undefined in a mail that all customers get. */
  readonly body: (customer: string | undefined, link: ConsentLink) => readonly string[];
}

const MAILS: Readonly<Record<MailLanguage, MailText>> = {
  en: {
    subject: "Subject: Permission to read Microsoft Defender alerts",
    body: (customer, link) => [
      "Hello,",
      "",
      `To monitor ${customer ?? "your organisation"}, our program needs permission to read the alerts and incidents of Microsoft Defender in your tenant. It cannot change anything.`,
      "Please ask an administrator (Global Administrator or Privileged Role Administrator) to open this link, check the list of permissions and choose Accept:",
      "",
      link.url,
      "",
      `Requested permissions: ${link.permissions.join(", ")}.`,
      "The browser may then show an empty page or an error page. This is normal. You can withdraw the permission at any time under Microsoft Entra ID, Enterprise applications.",
    ],
  },
  fr: {
    subject: "Objet : Autorisation de lire les alertes Microsoft Defender",
    body: (customer, link) => [
      "Bonjour,",
      "",
      `pour surveiller ${customer ?? "votre organisation"}, notre programme a besoin de lire les alertes et les incidents de Microsoft Defender dans votre locataire. Il ne peut rien modifier.`,
      "Un administrateur (administrateur général ou administrateur de rôle privilégié) ouvre ce lien, vérifie la liste des autorisations et choisit Accepter :",
      "",
      link.url,
      "",
      `Autorisations demandées : ${link.permissions.join(", ")}.`,
      "Le navigateur peut ensuite afficher une page vide ou une page d’erreur ; c’est normal. Vous pouvez retirer l’autorisation à tout moment dans Microsoft Entra ID, Applications d’entreprise.",
    ],
  },
  de: {
    subject: "Betreff: Zugriff auf Microsoft-Defender-Warnungen",
    body: (customer, link) => [
      "Guten Tag,",
      "",
      `um ${customer ?? "Ihre Organisation"} zu überwachen, braucht unser Programm die Erlaubnis, die Warnungen und Vorfälle von Microsoft Defender in Ihrem Mandanten zu lesen. Ändern kann es nichts.`,
      "Bitte lassen Sie einen Administrator (Globaler Administrator oder Administrator für privilegierte Rollen) diesen Link öffnen, die Liste der Berechtigungen prüfen und „Akzeptieren“ wählen:",
      "",
      link.url,
      "",
      `Angeforderte Berechtigungen: ${link.permissions.join(", ")}.`,
      "Der Browser zeigt danach vielleicht eine leere Seite oder eine Fehlerseite; das ist normal. Sie können die Erlaubnis jederzeit unter Microsoft Entra ID, Unternehmensanwendungen, zurücknehmen.",
    ],
  },
  ja: {
    subject: "件名: Microsoft Defender のアラートを読み取る許可のお願い",
    body: (customer, link) => [
      "ご担当者様",
      "",
      `${customer ?? "貴社"} の監視のため、当社のプログラムに、貴社テナントの Microsoft Defender のアラートとインシデントを読み取る許可が必要です。変更は一切行いません。`,
      "管理者 (グローバル管理者または特権ロール管理者) の方が次のリンクを開き、アクセス許可の一覧を確認して「承諾」を押してください。",
      "",
      link.url,
      "",
      `要求するアクセス許可: ${link.permissions.join(", ")}`,
      "その後、空白のページやエラー ページが表示されることがありますが、問題ありません。許可は Microsoft Entra ID の「エンタープライズ アプリケーション」でいつでも取り消せます。",
    ],
  },
};

/** A short text for the customer's administrator. */
export function consentMail(language: MailLanguage, customer: string | undefined, link: ConsentLink): string {
  const mail = MAILS[language];
  return [mail.subject, "", ...mail.body(customer, link), ""].join("\n");
}
