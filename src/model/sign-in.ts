import type { AssertionSetting, assertionCredential } from "./assertion.ts";
import type { CloudName } from "./cloud.ts";
import type { CommandLines } from "./command-line.ts";
import type { DiscoverySettings } from "./discovered.ts";
import type { ExitCode, Failure } from "./failure.ts";
import type { Actor, FailureCode } from "./failure-codes.ts";
import type { PermissionDrift, TokenRights } from "./granted-permissions.ts";
import type { PartnerServices } from "./partner-consent.ts";
import type { RosterServices } from "./roster.ts";
import type { Sealed } from "./sealed.ts";
import type { AuthKind, SettingProblem, Stanza } from "./stanza.ts";
import type { StreamName } from "./stream.ts";

/**
 * How the MSSP's app authenticates at the token endpoint. `public`: a token from the device code flow is
 * redeemed without a client secret. `certificate` is a PEM file with one or more pairs of key and
 * certificate. It is read at each redemption, so replacing the file is a rollover. `assertion` is a token
 * that another issuer (a platform, Azure) gives this machine; it too is asked for at each redemption.
 */
export type AppCredential =
  | {
      readonly kind: "secret";
      readonly clientId: string;
      readonly secret: Sealed;
      /** When the client secret ends, if this was noted when it was stored. */
      readonly endsMs?: number;
    }
  | { readonly kind: "certificate"; readonly clientId: string; readonly path: string }
  | ReturnType<typeof assertionCredential>
  | { readonly kind: "public"; readonly clientId: string };

/**
 * The APIs that access tokens are requested for: the names of `token access --for`, and the retired SIEM API
 * for tenants that still have it.
 */
export const TOKEN_APIS = ["graph", "xdr", "mde", "siem"] as const;
export type TokenApi = (typeof TOKEN_APIS)[number];

/**
 * The person who runs a command. Standard output contains only the result of the command; everything else
 * goes to standard error.
 */
export interface Terminal {
  /** True when a person can be asked. */
  readonly interactive: boolean;
  out(text: string): void;
  say(line: string): void;
  ask(question: string): Promise<string>;
  /** Without echo. */
  askSecret(question: string): Promise<Sealed>;
  /** Everything on standard input, to its end. */
  readAll(): Promise<string>;
  /** A line that the next one replaces; not printed without a terminal. */
  progress(line: string): void;
}

/** The name under which the steps of a registration store the app for all customers. */
export const CREDENTIAL = "mssp";
/** The file of key and certificate in the steps of a registration. */
export const CERTIFICATE_FILE = "certificate.pem";

/**
 * The MSSP's apps, each with a power of its own. `reader` reads alerts in customers' tenants. `home` reads
 * the list of customers in the MSSP's own tenant. `bridge` grants the reader its permissions at customers
 * while `partner consent` runs.
 */
export type AppPurpose = "reader" | "home" | "bridge";

/** Where the home app reads the list of customers. */
export const CUSTOMER_SOURCES = ["gdap", "governance"] as const;
export type CustomerSource = (typeof CUSTOMER_SOURCES)[number];

/** The name under which the steps of a registration store the home app. */
export const HOME_CREDENTIAL = "home";

/** What Entra compares with the token that an app presents, letter by letter. */
export interface FederatedCredential {
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
}

/** The wanted app registration. */
export interface RegistrationPlan {
  readonly purpose: AppPurpose;
  /** Of the home app. */
  readonly sources: readonly CustomerSource[];
  readonly name: string;
  readonly cloud: CloudName;
  readonly streams: readonly StreamName[];
  readonly auth: AuthKind;
  readonly proof: "secret" | "certificate" | "federated";
  /** With proof `federated`: what the app trusts, and the setting `assertion` that goes with it. */
  readonly federated?: FederatedCredential & { readonly assertion: string };
  /** Also for the device code flow: enables "Allow public client flows". */
  readonly deviceCode: boolean;
  /** Empty for an app that nobody signs in to or consents to in a browser. */
  readonly redirectUris: readonly string[];
}

export interface Registration {
  /** The steps in the portal, one per line. */
  readonly portalSteps: readonly string[];
  /** An application object of Microsoft Graph. */
  readonly manifest: unknown;
  /** For Microsoft's own command line (`az`), to be run in a POSIX shell. */
  readonly script: string;
  /** An object of Microsoft Graph, for an app that has neither client secret nor certificate. */
  readonly federatedCredential?: unknown;
}

/** What a template of Tenant Governance is made of, beside the plan of the reader. */
export interface GovernanceRequest {
  /** Application (client) id and object id of the reader. */
  readonly clientId: string;
  readonly objectId: string;
  /** The role-assignable group whose members get the role Security Reader. */
  readonly groupId: string;
}

export interface RegistrationApplied {
  readonly clientId: string;
  readonly objectId: string;
  /** Only if a client secret was requested; shown once. */
  readonly secret: Sealed | undefined;
  readonly secretEnds: string | undefined;
}

export interface ConsentLink {
  readonly url: string;
  readonly state: string;
  readonly permissions: readonly string[];
}

export const MAIL_LANGUAGES = ["en", "fr", "ja", "de"] as const;
export type MailLanguage = (typeof MAIL_LANGUAGES)[number];

/** The permissions that are still missing after a customer's consent; empty if none is. */
export interface ConsentState {
  readonly missing: readonly string[];
  /** A sentence about the sign-in service's error, if there was one. */
  readonly say: string;
}

/** A started sign-in in a browser, to be completed with the browser's final address. */
export interface CodeFlow {
  readonly url: string;
  readonly redirectUri: string;
  readonly state: string;
  /** @param landed the whole address. Throws Failure with its own sentence for each kind of wrong address. */
  complete(landed: string): Promise<SignedIn>;
}

export interface DeviceFlow {
  readonly verificationUrl: string;
  readonly userCode: string;
  readonly lifetimeMs: number;
  /** Polls until the person has signed in. */
  complete(signal?: AbortSignal): Promise<SignedIn>;
}

/** The result of a sign-in. */
export interface SignedIn {
  readonly refreshToken: Sealed;
  readonly accessToken: Sealed;
  readonly account: string | undefined;
  /** Object id of the user. */
  readonly userId?: string | undefined;
  readonly tenantId: string | undefined;
  readonly scopes: readonly string[];
  readonly accessLifetimeMs: number;
  /** Sentences about missing permissions for the streams. */
  readonly warnings: readonly string[];
}

export interface CodeFlowRequest {
  readonly stanza: Stanza;
  readonly credential: AppCredential;
  readonly redirectUri: string;
  /** The v1 endpoint with `resource`, for old registrations. */
  readonly v1?: { readonly resource: string };
  /** This delegated permission of one API, instead of all that the API gave consent to (`/.default`). */
  readonly scope?: string;
}

/** One line of `token access`, `token inspect`. */
export interface TokenVerdict {
  readonly check: string;
  readonly ok: boolean;
  readonly say: string;
  readonly nextStep: string;
}

export interface ObtainedToken {
  readonly api: TokenApi;
  readonly token: Sealed;
  readonly lifetimeMs: number;
}

/** A precondition of collecting. Resolves with a remark (may be empty) or throws Failure. */
export interface DoctorCheck {
  readonly name: string;
  run(signal: AbortSignal): Promise<string>;
}

/** The fleet's preconditions, in order. */
export interface FleetChecks {
  /** The fleet's name. */
  readonly fleet: string;
  readonly checks: readonly DoctorCheck[];
  /** Ends the connections. */
  close(): Promise<void>;
}

/** Called with what a new access token of an API allows. */
export type RightsListener = (api: TokenApi, rights: TokenRights) => void;

/** A line of `doctor --json`; member names are those of the JSON. */
export interface DoctorReport {
  readonly tenant: string;
  readonly tenant_id: string;
  readonly ok: boolean;
  readonly checks: readonly DoctorLine[];
  /** As in health events; absent where no token was issued and the collector keeps nothing. */
  readonly permissions?: PermissionDrift;
}

export interface DoctorLine {
  readonly check: string;
  readonly ok: boolean;
  readonly failure: FailureCode | null;
  readonly actor: Actor | null;
  readonly say: string;
  readonly next_step: string;
}

/** Sign-in as the command line sees it; `main` builds it from `auth`, `net` and `defender`. */
export interface SignInService {
  registration(plan: RegistrationPlan): Registration;
  /** A policy template of Tenant Governance that makes the reader with its roles in a governed tenant. */
  governanceTemplate(plan: RegistrationPlan, request: GovernanceRequest): unknown;
  /** What a manifest lacks or has unnecessarily, one sentence each; empty if it is right. */
  checkManifest(manifest: unknown, plan: RegistrationPlan): readonly string[];
  /** Of the token that this machine presents. Throws Failure where it has none. */
  federatedCredential(assertion: AssertionSetting, cloud: CloudName): Promise<FederatedCredential>;
  applyRegistration(
    plan: RegistrationPlan,
    graphToken: Sealed,
    stanza: Pick<Stanza, "endpoints" | "route">,
  ): Promise<RegistrationApplied>;
  consentLink(stanza: Stanza, clientId: string, redirectUri: string): ConsentLink;
  /** @param customer undefined for a link that all customers get. */
  consentMail(language: MailLanguage, customer: string | undefined, link: ConsentLink): string;
  /** Does this state belong to a link of this tenant (or `organizations`) and app? */
  isLinkState(state: string, tenant: string, clientId: string): boolean;
  /**
   * Reads the final address of a consent. Throws Failure for an error, another tenant, or another link's
   * answer.
   */
  readConsent(landed: string, stanza: Stanza, clientId: string): { readonly tenantId: string };
  /** Asks the token endpoint which of the wanted permissions are granted. */
  consentState(stanza: Stanza, credential: AppCredential): Promise<ConsentState>;
  beginCodeFlow(request: CodeFlowRequest): Promise<CodeFlow>;
  beginDeviceFlow(stanza: Stanza, clientId: string): Promise<DeviceFlow>;
  /**
   * A new access token for one API. A refresh token in the stanza is redeemed, and its replacement is passed
   * to `keep`.
   */
  accessToken(stanza: Stanza, api: TokenApi, keep: (rotated: Sealed) => Promise<void>): Promise<ObtainedToken>;
  /** Decodes and checks, without any network access. */
  inspectToken(token: Sealed, wanted: { readonly stanza?: Stanza; readonly api?: TokenApi }): readonly TokenVerdict[];
  /**
   * In the order in which they must run.
   *
   * @param listener hears what each access token allows.
   */
  doctorChecks(stanza: Stanza, listener?: RightsListener): readonly DoctorCheck[];
}

/** Where a fleet's refresh tokens are stored by a person. */
export interface FleetTokenPlace {
  /** As a sentence names it. */
  readonly name: string;
  put(stanza: Stanza, token: Sealed): Promise<void>;
}

/** A store of secrets of one host, each sealed with the endpoints in force when it was typed. */
export interface SecretPlace {
  /** As a sentence names it: `Splunk's credential store`, a path. */
  readonly name: string;
  putRefreshToken(stanza: Stanza, token: Sealed): Promise<void>;
  putCredential(name: string, credential: StoredCredential, where: Pick<Stanza, "endpoints" | "route">): Promise<void>;
  /** Names of the shared credentials that are stored. */
  credentialNames(): Promise<readonly string[]>;
  /** What is stored under a name, without its secret; undefined if nothing is. */
  storedCredential(name: string): Promise<Omit<StoredCredential, "clientSecret"> | undefined>;
  /**
   * A stanza with the values of the shared credential that it names, if it needs them. Throws Failure
   * `credential-missing`, `endpoint-changed`.
   */
  withCredential(stanza: Stanza): Promise<Stanza>;
  /** Accepts the present endpoints for what is stored; returns what was resealed, as a sentence names it. */
  reseal(stanzas: readonly Stanza[]): Promise<readonly string[]>;
}

/** A shared app credential as it is stored. */
export interface StoredCredential {
  readonly clientId: string;
  readonly clientSecret?: Sealed;
  readonly certificate?: string;
  readonly assertion?: AssertionSetting;
  /** ISO date on which the client secret ends, for warnings. */
  readonly expires?: string;
  /** The one tenant that the app signs in to: of the home app, the provider's own. */
  readonly tenant?: string;
}

export interface SplunkAccess {
  readonly serverUri: string;
  readonly caFile: string | undefined;
  /** A Splunk authentication token, or a login. */
  readonly token: Sealed | undefined;
  readonly user: string | undefined;
  readonly password: Sealed | undefined;
}

/** Customers as `--config` or flags give them. */
export interface FoundCustomers {
  readonly stanzas: readonly Stanza[];
  readonly problems: readonly SettingProblem[];
  /** Those whose stored secrets cannot be used; not in `stanzas`. */
  readonly refused: readonly { readonly stanza: Stanza; readonly failure: Failure }[];
  readonly warnings: readonly string[];
  /** Where a customer's browser ends after the consent. */
  readonly consentRedirect: string;
  /** How the list of customers is read; undefined without one. */
  readonly discovery?: DiscoverySettings;
  /** The folder of checkpoints. */
  readonly stateDir: string;
}

/** Everything that the onboarding commands need from outside. */
export interface OnboardingServices {
  /** What it says holds commands as they run here; what it puts `out` stays as it is. */
  readonly terminal: Terminal;
  /** Prints commands as they run here, in what goes to standard output. */
  readonly commands: CommandLines;
  readonly signInService: SignInService;
  readonly roster: RosterServices;
  readonly partner: PartnerServices;
  /** What `doctor --fleet` checks. Throws Failure `settings` when the configuration has no fleet. */
  fleetChecks(argv: Readonly<Record<string, unknown>>): Promise<FleetChecks>;
  readonly nowMs: () => number;
  readonly pause: (forMs: number, signal?: AbortSignal) => Promise<void>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /**
   * Reads `--config` and settings given as flags (flags win). With `needSecrets` false a stanza without its
   * secrets is fine. Throws Failure `settings-wrong` when the file cannot be read.
   */
  customers(
    argv: Readonly<Record<string, unknown>>,
    options: { readonly needSecrets: boolean },
  ): Promise<FoundCustomers>;
  /**
   * Splunk's credential store through splunkd's REST. It is opened once; `access` is then not called again.
   */
  splunkPlace(access: () => Promise<SplunkAccess>): Promise<SecretPlace>;
  /** The state folder of the modular input on this machine; undefined where Splunk's home is not known. */
  stateDirOfSplunk(): string | undefined;
  /** `secrets/` of the state folder. */
  filePlace(argv: Readonly<Record<string, unknown>>): Promise<SecretPlace>;
  /** The database of the fleet that `--config` names. Throws Failure when this customer cannot use it. */
  fleetTokenPlace(argv: Readonly<Record<string, unknown>>, customer: Stanza): Promise<FleetTokenPlace>;
  /**
   * `latin1` for Java's properties: one character per byte. Undefined when there is no such file; throws
   * Failure `settings` when it cannot be read.
   */
  readText(path: string, encoding: "utf8" | "latin1"): Promise<string | undefined>;
  /**
   * 0600, written aside, flushed and renamed. Throws Failure `output-broken`.
   *
   * @param readers `as-before`: a file that was there keeps its owner, its group, and that group's right to
   *   read if nobody else had it.
   */
  writeSecretFile(
    path: string,
    content: Sealed,
    encoding: "utf8" | "latin1",
    readers?: "owner" | "as-before",
  ): Promise<void>;
  /** What a secret for these addresses is bound to. */
  fingerprintOf(where: Pick<Stanza, "endpoints" | "route">): string;
  /** Opens the person's browser; resolves false when there is none. */
  openBrowser(url: string): Promise<boolean>;
  finish(code: ExitCode): void;
}
